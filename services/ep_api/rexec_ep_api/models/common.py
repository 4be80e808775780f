"""What answers of many routes have in common."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field, WithJsonSchema

Moment = Annotated[
    datetime, WithJsonSchema({"type": "string", "examples": ["2026-05-04T12:00:00"]})
]
"""A time in UTC that does not say so, as in CKAN: what JSON Schema calls a date-time would."""


class Message(BaseModel):
    """What was done."""

    message: str = Field(description="What was done.")
