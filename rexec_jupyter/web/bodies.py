"""The form of every error."""

from pydantic import BaseModel, Field


class FieldError(BaseModel):
    """One place where a request is not as it should be."""

    loc: list[str | int] = Field(description="Where it stands.", examples=[["body", "name"]])
    msg: str = Field(description="What is wrong there.", examples=["Field required"])
    type: str = Field(description="The kind of error.", examples=["missing"])


class ErrorBody(BaseModel):
    """What went wrong."""

    error: str = Field(description="The kind of error.", examples=["NotFound"])
    detail: str = Field(
        description="What went wrong, with what, and what to do about it.",
        examples=["Dataset not found"],
    )
    correlation_id: str = Field(
        description="Identifies the request, in the header X-Correlation-ID and the log too."
    )
    timestamp: str = Field(description="When, in UTC.", examples=["2026-05-04T12:00:00+00:00"])
    path: str = Field(description="What was asked for.", examples=["/dataset/rain-gauges"])


class InvalidBody(ErrorBody):
    """What is wrong with a request, place by place."""

    errors: list[FieldError] = Field(description="The places.")
