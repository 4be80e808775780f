"""What requests and answers about Pelican federations hold."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from rexec_ep_api.models.datasets import ResourceView
from rexec_ep_api.models.fields import Body, Notes


class FederationView(BaseModel):
    """A federation."""

    name: str = Field(description="What it is called.")
    url: str = Field(description="Where it is.")
    description: str = Field(description="What it has.")


class Federations(BaseModel):
    """The federations that can be asked."""

    success: bool = Field(default=True, description="That it was done.")
    federations: dict[str, FederationView] = Field(description="By the name to ask for.")
    count: int = Field(description="How many there are.")


class FileView(BaseModel):
    """A file or directory."""

    name: str = Field(description="Its path.")
    size: int = Field(description="Bytes that it has.")
    type: Literal["file", "directory"] = Field(description="What it is.")
    modified: datetime | None = Field(description="When it was changed last.")


class Listing(BaseModel):
    """What a namespace holds."""

    success: bool = Field(default=True, description="That it was done.")
    path: str = Field(description="The namespace.")
    files: list[str] | list[FileView] = Field(description="Paths, or what is known of each.")
    count: int = Field(description="How many there are.")


class FileInfo(BaseModel):
    """What is known of a file."""

    success: bool = Field(default=True, description="That it was done.")
    file: FileView = Field(description="The file.")


class ImportBody(Body):
    """A file that shall be part of a dataset."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "pelican_url": "pelican://osg-htc.org/ospool/public/rain-2026.csv",
                    "package_id": "rain-gauges",
                    "resource_description": "Hourly sums of 2026.",
                }
            ]
        }
    )

    pelican_url: Annotated[str, StringConstraints(min_length=1, max_length=8192)] = Field(
        description="Where it is: pelican://federation/path."
    )
    package_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="Identifier or name of the dataset."
    )
    resource_name: Annotated[str, StringConstraints(max_length=255)] | None = Field(
        default=None, description="What it is called; as the file if left out."
    )
    resource_description: Notes | None = Field(default=None, description="What it holds.")


class Imported(BaseModel):
    """The resource that was made."""

    success: bool = Field(default=True, description="That it was done.")
    resource: ResourceView = Field(description="The resource.")
