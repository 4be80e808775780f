"""What requests and answers about datasets hold."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from rexec_ep_api.models.common import Moment
from rexec_ep_api.models.fields import (
    EXTRAS,
    NAME,
    NOTES,
    OWNER,
    TITLE,
    Body,
    DatasetName,
    Extras,
    Notes,
    Owner,
    ResourceUrl,
    Title,
    Word,
    Words,
)

_RESOURCE: dict[str, Any] = {
    "url": "https://data.example.org/rain/2026.csv",
    "name": "rain-2026",
    "format": "CSV",
    "description": "Hourly sums of 2026.",
    "mimetype": "text/csv",
    "size": 48213,
}
_DATASET: dict[str, Any] = {
    "name": "rain-gauges",
    "title": "Rain gauges",
    "owner_org": "hydrology-lab",
    "notes": "Hourly precipitation of forty gauges.",
    "tags": ["rain", "hourly"],
    "groups": ["water"],
    "extras": {"station_count": 40, "project": "catchment"},
    "resources": [_RESOURCE],
    "private": False,
    "license_id": "cc-by",
    "version": "1.2",
}


class ResourceBody(Body):
    """A resource that comes with its dataset."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RESOURCE]})

    url: ResourceUrl = Field(description="Where its content is.")
    name: Annotated[str, Field(min_length=1, max_length=255, description="What it is called.")]
    format: Word | None = Field(default=None, description="CSV, NetCDF, and so on.")
    description: Notes | None = Field(default=None, description="What it holds.")
    mimetype: Word | None = Field(default=None, description="Its media type.")
    size: int | None = Field(default=None, ge=0, lt=2**63, description="Bytes that it has.")


Resources = Annotated[list[ResourceBody], Field(max_length=1000)]


class DatasetBody(Body):
    """A dataset that shall exist."""

    model_config = ConfigDict(json_schema_extra={"examples": [_DATASET]})

    name: DatasetName = Field(description=NAME)
    title: Title = Field(description=TITLE)
    owner_org: Owner = Field(description=OWNER)
    notes: Notes | None = Field(default=None, description=NOTES)
    tags: Words | None = Field(default=None, description="Keywords.")
    groups: Words | None = Field(default=None, description="Groups that it belongs to.")
    extras: Extras | None = Field(default=None, description=EXTRAS)
    resources: Resources | None = Field(default=None, description="Its parts.")
    private: bool | None = Field(
        default=False, description="Whether only its creator and writers see it."
    )
    license_id: Word | None = Field(default=None, description="Short name of its licence.")
    version: Word | None = Field(default=None, description="Its version.")


class DatasetChangeBody(Body):
    """What shall be different about a dataset; what is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"title": "Rain gauges, corrected", "extras": {"station_count": 41}}]
        }
    )

    name: DatasetName | None = Field(default=None, description=NAME)
    title: Title | None = Field(default=None, description=TITLE)
    owner_org: Owner | None = Field(default=None, description=OWNER)
    notes: Notes | None = Field(default=None, description=NOTES)
    tags: Words | None = Field(default=None, description="Keywords, all of them.")
    groups: Words | None = Field(default=None, description="Groups, all of them.")
    extras: Extras | None = Field(default=None, description="Added to those there are.")
    resources: Resources | None = Field(
        default=None,
        description="PUT: all of them. PATCH: added, or in place of one with the same url or name.",
    )
    private: bool | None = Field(
        default=None, description="Whether only its creator and writers see it."
    )
    license_id: Word | None = Field(default=None, description="Short name of its licence.")
    version: Word | None = Field(default=None, description="Its version.")


class DatasetCreated(BaseModel):
    """The dataset that now exists."""

    id: str = Field(description="Its identifier.")
    name: str = Field(description="Its name; another than asked for if that was taken.")
    title: str = Field(description="Its title.")
    warning: str | None = Field(default=None, description="Why it has another name.")


class DatasetPublished(DatasetCreated):
    """The copy that now exists in the pre-CKAN catalog."""

    message: str = Field(description="What was done.")


class ResourceView(BaseModel):
    """A resource."""

    id: str = Field(description="Its identifier.")
    package_id: str = Field(description="Identifier of its dataset.")
    name: str | None = Field(description="What it is called.")
    url: str | None = Field(description="Where its content is.")
    description: str | None = Field(description="What it holds.")
    format: str | None = Field(description="CSV, NetCDF, and so on.")
    mimetype: str | None = Field(description="Its media type.")
    size: int | None = Field(description="Bytes that it has.")
    created: Moment | None = Field(description="When it was registered.")
    last_modified: Moment | None = Field(description="When it was changed last.")


class DatasetView(BaseModel):
    """A dataset with all that is known about it."""

    id: str = Field(description="Its identifier.")
    name: str = Field(description=NAME)
    title: str = Field(description=TITLE)
    owner_org: str | None = Field(description="Name of the organization that it belongs to.")
    notes: str | None = Field(description=NOTES)
    extras: dict[str, Any] = Field(description=EXTRAS)
    resources: list[ResourceView] = Field(description="Its parts.")
    tags: list[str] = Field(description="Keywords.")
    groups: list[str] = Field(description="Groups that it belongs to.")
    private: bool = Field(description="Whether only its creator and writers see it.")
    license_id: str | None = Field(description="Short name of its licence.")
    version: str | None = Field(description="Its version.")
    metadata_created: Moment | None = Field(description="When it was registered.")
    metadata_modified: Moment | None = Field(description="When it was changed last.")
