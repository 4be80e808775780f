"""What requests and answers about resources hold."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from rexec_ep_api.models.datasets import ResourceView
from rexec_ep_api.models.fields import Body, Notes, ResourceUrl, Word
from rexec_ep_api.models.search import Term


class ResourceChangeBody(Body):
    """What shall be different about a resource; what is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"description": "Hourly sums of 2026, corrected.", "format": "CSV"}]
        }
    )

    name: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None, description="What it is called."
    )
    url: ResourceUrl | None = Field(default=None, description="Where its content is.")
    description: Notes | None = Field(default=None, description="What it holds.")
    format: Word | None = Field(default=None, description="CSV, NetCDF, and so on.")


class ResourceSearch(BaseModel):
    """What the resources have that are searched for; all of it together, in any case."""

    q: Term | None = Field(default=None, description="Part of the name, url or description.")
    name: Term | None = Field(default=None, description="Part of the name.")
    url: Term | None = Field(default=None, description="Part of the url.")
    format: Term | None = Field(default=None, description="The whole format.")
    description: Term | None = Field(default=None, description="Part of the description.")
    limit: int = Field(default=100, ge=1, le=1000, description="How many to return at most.")
    offset: int = Field(default=0, ge=0, lt=2**63, description="How many to leave out first.")
    server: Literal["local", "pre_ckan"] = Field(default="local", description="Which catalog.")


class FoundResourceView(ResourceView):
    """A resource and the dataset that it belongs to."""

    dataset_id: str = Field(description="Identifier of its dataset.")
    dataset_name: str = Field(description="Name of its dataset.")
    dataset_title: str | None = Field(description="Title of its dataset.")


class FoundResources(BaseModel):
    """The resources that were searched for."""

    count: int = Field(description="How many there are, whatever the limit.")
    results: list[FoundResourceView] = Field(description="Those asked for, the newest first.")
