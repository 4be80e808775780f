"""What requests and answers about buckets and objects hold."""

from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from rexec_ep_api.models.fields import Body

_HOUR: Final = 3600
_WEEK: Final = 7 * 24 * _HOUR


class BucketBody(Body):
    """A bucket that shall exist."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "rain-2026"}]})

    name: str = Field(
        min_length=3,
        max_length=63,
        pattern=r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$",
        description="Its name: lower-case letters, digits, - and dots.",
    )
    region: str | None = Field(
        default=None,
        max_length=60,
        pattern=r"^[a-zA-Z0-9-]+$",
        description="Where it shall be; where the endpoint has its others if left out.",
    )


class BucketView(BaseModel):
    """A bucket."""

    name: str = Field(description="Its name.")
    creation_date: datetime | None = Field(description="When it was made.")


class BucketList(BaseModel):
    """All buckets."""

    buckets: list[BucketView] = Field(description="All that the endpoint can use.")


class Done(BaseModel):
    """What was done."""

    message: str = Field(description="What was done.")
    success: bool = Field(default=True, description="That it was.")


class ObjectView(BaseModel):
    """An object in a bucket."""

    key: str = Field(description="Its key.")
    size: int = Field(description="Bytes that it has.")
    etag: str = Field(description="What tells its content from others.")
    last_modified: datetime = Field(description="When it was stored.")
    content_type: str | None = Field(default=None, description="Stores do not list it.")


class ObjectList(BaseModel):
    """Objects of a bucket."""

    objects: list[ObjectView] = Field(description="In the order of their keys.")
    prefix: str | None = Field(description="How their keys begin, as asked.")
    next_after: str | None = Field(
        description="What to ask for with `after` to get those that come next; null at the end."
    )


class ObjectStored(BaseModel):
    """An object that was stored."""

    bucket: str = Field(description="Its bucket.")
    key: str = Field(description="Its key.")
    size: int = Field(description="Bytes that it has.")
    etag: str = Field(description="What tells its content from others.")


class ObjectMetadata(BaseModel):
    """What is known of an object."""

    key: str = Field(description="Its key.")
    size: int = Field(description="Bytes that it has.")
    content_type: str = Field(description="Its media type.")
    last_modified: datetime = Field(description="When it was stored.")
    etag: str = Field(description="What tells its content from others.")
    metadata: dict[str, str] = Field(description="What whoever stored it added.")


class PresignedBody(Body):
    """How long an address shall work; both names for it mean the same."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"expires_in": 600}]})

    expires_in: int | None = Field(
        default=None, ge=1, le=_WEEK, description="Seconds; an hour if nothing is said."
    )
    expiration: int | None = Field(
        default=None, ge=1, le=_WEEK, description="The same, if `expires_in` is not given."
    )

    @property
    def seconds(self) -> int:
        """How long."""
        return self.expires_in or self.expiration or _HOUR


class PresignedUrl(BaseModel):
    """An address that works without a token for a while."""

    url: str = Field(description="The address: PUT to it to upload, GET it to download.")
    expires_in: int = Field(description="Seconds for which it works.")
