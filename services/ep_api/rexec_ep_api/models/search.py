"""What requests and answers about searching for datasets hold."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from rexec_ep_api.models.fields import LONGEST_URL, Body

Term = Annotated[str, StringConstraints(max_length=1000)]
Address = Annotated[str, StringConstraints(max_length=LONGEST_URL)]


class SearchBody(Body):
    """What the datasets have that are searched for; all of it together."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"search_term": "rain,hourly", "resource_format": "CSV", "server": "local"},
                {"owner_org": "hydrology-lab", "filter_list": ["extras_project:catchment"]},
            ]
        }
    )

    dataset_name: Term | None = Field(default=None, description="Part of the name.")
    dataset_title: Term | None = Field(default=None, description="Part of the title.")
    owner_org: Term | None = Field(default=None, description="Part of the organization's name.")
    resource_url: Address | None = Field(
        default=None, description="The url of a resource, exactly."
    )
    resource_name: Term | None = Field(default=None, description="The name of one, exactly.")
    dataset_description: Term | None = Field(default=None, description="Part of the notes.")
    resource_description: Term | None = Field(
        default=None, description="The description of a resource, exactly."
    )
    resource_format: Term | None = Field(
        default=None, description="The format of a resource, in any case."
    )
    search_term: Term | None = Field(
        default=None,
        description="Parts of anything in the dataset, separated by commas; then the other "
        "conditions on the dataset do not count.",
    )
    filter_list: Annotated[list[Term], Field(max_length=100)] | None = Field(
        default=None, description="`key:part` of a field, as with the keys of GET /search."
    )
    timestamp: Term | None = Field(
        default=None,
        description="`<T` or `>T` for the dataset nearest to a time, `A/B` for those between.",
    )
    server: Literal["local", "global", "pre_ckan"] | None = Field(
        default="global", description="Which catalog."
    )


class FoundResourcePart(BaseModel):
    """A resource as searches show it."""

    id: str = Field(description="Its identifier.")
    url: str | None = Field(description="Where its content is.")
    name: str | None = Field(description="What it is called.")
    description: str | None = Field(description="What it holds.")
    format: str | None = Field(description="CSV, NetCDF, and so on.")


class SearchHit(BaseModel):
    """A dataset as searches show it."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(description="Its identifier.")
    name: str = Field(description="Its name.")
    title: str | None = Field(description="Its title.")
    owner_org: str | None = Field(description="Name of the organization that it belongs to.")
    notes: str | None = Field(description="What it is.")
    resources: list[FoundResourcePart] = Field(description="Its parts.")
    extras: dict[str, Any] = Field(description="Anything else, by key.")
