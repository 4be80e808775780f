"""What routes of the catalog take and answer alike."""

from typing import Annotated, Literal

from fastapi import Path, Query

from rexec_ep_api.openapi import answer, failures

WritableServer = Annotated[Literal["local", "pre_ckan"], Query(description="Which catalog.")]
DatasetKey = Annotated[str, Path(description="Identifier or name of the dataset.")]
ResourceKey = Annotated[str, Path(description="Identifier of the resource.")]

RESOURCE = {
    "id": "16fd2706-8baf-433b-82eb-8c7fada847da",
    "package_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "name": "rain-2026",
    "url": "https://data.example.org/rain/2026.csv",
    "description": "Hourly sums of 2026.",
    "format": "CSV",
    "mimetype": "text/csv",
    "size": 48213,
    "created": "2026-05-04T12:00:00",
    "last_modified": "2026-05-04T12:00:00",
}

REGISTERED = answer({"id": RESOURCE["package_id"]}, "It exists now.", status=201)
REGISTRATION_FAILURES = failures(400, 401, 403, 409, 413, 422, 503, 504)
CHANGE_FAILURES = failures(400, 401, 403, 404, 409, 413, 422, 503, 504)
