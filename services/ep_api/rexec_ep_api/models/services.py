"""What requests about registered services hold."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from rexec_ep_api.catalog.records import SERVICES
from rexec_ep_api.models.fields import EXTRAS, NOTES, Body, Extras, Notes, ServiceUrl, WebUrl

_EXAMPLE: dict[str, Any] = {
    "service_name": "rain-api",
    "service_title": "Rain API",
    "owner_org": SERVICES,
    "service_url": "https://rain.example.org/api",
    "service_type": "API",
    "notes": "Hourly precipitation as JSON.",
    "extras": {"requires_auth": "true"},
    "health_check_url": "https://rain.example.org/health",
    "documentation_url": "https://rain.example.org/docs",
}


def _is_services(owner: str) -> str:
    if owner != SERVICES:
        raise ValueError(f"owner_org must be '{SERVICES}'")
    return owner


# It stands in the path of requests, so a slash or a control character could never be asked for.
_Name = Annotated[
    str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f/\\]+$")
]
_Title = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_Type = Annotated[str, StringConstraints(max_length=50)]
_Owner = Annotated[str, AfterValidator(_is_services)]

_NAME: Final = "Its unique name."
_TITLE: Final = "What people read."
_OWNER: Final = "Always the organization of services."
_URL: Final = "Where it answers."
_TYPE: Final = "API, web page, and so on."
_EXTRAS: Final = f"{EXTRAS} With requires_auth the way through to it asks for a token."


class ServiceBody(Body):
    """A service that shall be registered."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    service_name: _Name = Field(description=_NAME)
    service_title: _Title = Field(description=_TITLE)
    owner_org: _Owner = Field(description=_OWNER)
    service_url: ServiceUrl = Field(description=_URL)
    service_type: _Type | None = Field(default=None, description=_TYPE)
    notes: Notes | None = Field(default=None, description=NOTES)
    extras: Extras | None = Field(default=None, description=_EXTRAS)
    health_check_url: WebUrl | None = Field(default=None, description="Where it tells its health.")
    documentation_url: WebUrl | None = Field(default=None, description="Where it is explained.")


class ServiceChangeBody(Body):
    """What shall be different about a service; what is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"service_url": "https://rain.example.org/v2"}]}
    )

    service_name: _Name | None = Field(default=None, description=_NAME)
    service_title: _Title | None = Field(default=None, description=_TITLE)
    owner_org: _Owner | None = Field(default=None, description=_OWNER)
    service_url: ServiceUrl | None = Field(default=None, description=_URL)
    service_type: _Type | None = Field(default=None, description=_TYPE)
    notes: Notes | None = Field(default=None, description=NOTES)
    extras: Extras | None = Field(default=None, description=_EXTRAS)
    health_check_url: WebUrl | None = Field(default=None, description="Where it tells its health.")
    documentation_url: WebUrl | None = Field(default=None, description="Where it is explained.")
