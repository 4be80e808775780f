"""What requests and answers about organizations hold."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[
    str,
    # It stands in the path of requests, so a slash or a control character could never be asked for.
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        max_length=100,
        pattern=r"^[^\x00-\x1f\x7f/\\]+$",
    ),
]


class OrganizationRequest(BaseModel):
    """An organization that shall exist."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "hydrology-lab",
                    "title": "Hydrology Lab",
                    "description": "Rain, rivers and what they carry.",
                }
            ]
        }
    )

    name: Name = Field(description="Its unique name.")
    title: str = Field(min_length=1, max_length=1000, description="What people read.")
    description: str | None = Field(default=None, max_length=100_000, description="What it is.")


class OrganizationCreated(BaseModel):
    """The organization that now exists."""

    id: str = Field(description="Its identifier.")
    message: str = Field(description="What was done.")
