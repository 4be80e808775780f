"""What the OpenAPI document says alike of every route."""

from typing import Any

from rexec_jupyter.web.bodies import ErrorBody, InvalidBody

HEALTH = "Health and status"
USERS = "Users"
ORGANIZATIONS = "Organizations"
DATASETS = "Datasets"
RESOURCES = "Resources"
SEARCH = "Search"
REGISTRATIONS = "Registrations"
SERVICES = "Services"
STORAGE = "Object storage"
PELICAN = "Pelican"

TAGS: list[dict[str, Any]] = [
    {"name": HEALTH, "description": "Whether the endpoint runs, and what it offers."},
    {"name": USERS, "description": "Logging in, who somebody is, and asking for access."},
    {"name": SEARCH, "description": "Finding datasets and resources."},
    {"name": ORGANIZATIONS, "description": "Who datasets belong to."},
    {"name": DATASETS, "description": "Datasets with any number of resources."},
    {"name": RESOURCES, "description": "The parts of datasets."},
    {
        "name": REGISTRATIONS,
        "description": "Datasets with one resource of a known kind: a URL, an S3 object, a topic.",
    },
    {"name": SERVICES, "description": "Services that are registered, and the way through to them."},
    {"name": STORAGE, "description": "Buckets and objects of an S3-compatible store."},
    {"name": PELICAN, "description": "Files in Pelican federations."},
]

_MEANINGS = {
    400: ("BadRequest", "What was asked for cannot be done.", "Organization does not exist"),
    401: ("Unauthorized", "There is no valid token.", "Not authenticated"),
    403: (
        "Forbidden",
        "The user may not do this.",
        "Administrator role required.",
    ),
    404: ("NotFound", "There is no such thing.", "Dataset not found"),
    409: ("Conflict", "It conflicts with what there is.", "Duplicate Dataset"),
    413: (
        "ContentTooLarge",
        "More was sent than the endpoint takes.",
        "The body of the request is larger than the 16 MiB that are taken here.",
    ),
    422: ("ValidationError", "The request is not as it should be.", "name: Field required"),
    429: ("TooManyRequests", "It was tried too often.", "Too many logins. Try again later."),
    502: ("BadGateway", "What stands behind the endpoint failed.", "The service did not answer."),
    503: (
        "ServiceUnavailable",
        "It is not configured, or what it needs does not answer.",
        "Authentication service is unavailable.",
    ),
    504: ("GatewayTimeout", "What stands behind the endpoint took too long.", "It timed out."),
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what ``responses=`` of a route says of its errors."""
    return {status: _failure(status) for status in statuses}


def answer(
    example: object, description: str = "As asked.", *, status: int = 200
) -> dict[int | str, dict[str, Any]]:
    """Return what ``responses=`` of a route says of its answer when all went well."""
    content = {"application/json": {"example": example}}
    return {status: {"description": description, "content": content}}


def _failure(status: int) -> dict[str, Any]:
    name, description, detail = _MEANINGS[status]
    example: dict[str, object] = {
        "error": name,
        "detail": detail,
        "correlation_id": "8f14e45fceea167a5a36dedd4bea2543",
        "timestamp": "2026-05-04T12:00:00+00:00",
        "path": "/dataset/rain-gauges",
    }
    if status == 422:
        missing = {"loc": ["body", "name"], "msg": "Field required", "type": "missing"}
        example["errors"] = [missing]
    return {
        "model": InvalidBody if status == 422 else ErrorBody,
        "description": description,
        "content": {"application/json": {"example": example}},
    }
