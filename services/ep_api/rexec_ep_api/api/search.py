"""Finding datasets."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response

from rexec_ep_api.asked import asked_period, asked_resources, asked_terms, keyed_terms
from rexec_ep_api.catalog import records
from rexec_ep_api.catalog.records import MOST
from rexec_ep_api.models.search import SearchBody, SearchHit, Term
from rexec_ep_api.openapi import SEARCH, answer, failures
from rexec_ep_api.servers import catalog_for
from rexec_ep_api.settings import Server
from rexec_ep_api.visibility import viewer
from rexec_jupyter.auth.dependencies import OptionalUser

router = APIRouter(tags=[SEARCH])

_HIT: Final = {
    "id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "name": "rain-gauges",
    "title": "Rain gauges",
    "owner_org": "hydrology-lab",
    "notes": "Hourly precipitation of forty gauges.",
    "resources": [
        {
            "id": "16fd2706-8baf-433b-82eb-8c7fada847da",
            "url": "https://data.example.org/rain/2026.csv",
            "name": "rain-2026",
            "description": "Hourly sums of 2026.",
            "format": "CSV",
        }
    ],
    "extras": {"station_count": 40, "project": "catchment"},
}


def _hits() -> dict[int | str, dict[str, Any]]:
    found = answer([_HIT], "What was found, the newest first.")
    found[200]["model"] = list[SearchHit]
    return found


_Limit = Annotated[int, Query(ge=0, le=MOST, description="How many to return at most.")]
_Offset = Annotated[int, Query(ge=0, lt=2**63, description="How many to leave out first.")]


@router.get(
    "/search",
    summary="Find datasets",
    response_class=Response,
    responses=_hits() | failures(400, 422, 503, 504),
)
async def search(
    *,
    request: Request,
    user: OptionalUser,
    terms: Annotated[
        list[Term], Query(min_length=1, max_length=100, description="What must occur, in any case.")
    ],
    keys: Annotated[
        list[Term] | None,
        Query(max_length=100, description="In which field each must occur; null for any."),
    ] = None,
    server: Annotated[Literal["local", "global"], Query(description="Which catalog.")] = "global",
    limit: _Limit = MOST,
    offset: _Offset = 0,
) -> Response:
    """Find the datasets in which all the terms occur, each anywhere or in one field.

    Fields are `name`, `title`, `notes`, `owner_org`, `tags`, `groups`, `id`, `res_name`,
    `res_url`, `res_format`, and the extras by their keys.
    """
    query = records.Query(
        terms=keyed_terms(terms, keys), viewer=viewer(request, user), limit=limit, offset=offset
    )
    return await _found(request, server, query)


@router.post(
    "/search",
    summary="Find datasets by what they and their resources have",
    response_class=Response,
    responses=_hits() | failures(400, 413, 422, 503, 504),
)
async def advanced_search(
    *,
    request: Request,
    user: OptionalUser,
    body: SearchBody,
    limit: _Limit = MOST,
    offset: _Offset = 0,
) -> Response:
    """Find the datasets that have everything that is asked for.

    If anything is said about a resource, one resource must have all of that, and only such
    resources are shown. With a search term, what is said about the dataset does not count.
    """
    query = records.Query(
        terms=asked_terms(body),
        resources=asked_resources(body),
        period=asked_period(body),
        viewer=viewer(request, user),
        limit=limit,
        offset=offset,
    )
    return await _found(request, body.server or "global", query)


async def _found(request: Request, server: Server, query: records.Query) -> Response:
    # The catalog keeps the hits as they are sent: nothing is parsed or built anew.
    found = await catalog_for(request, server).search_json(query)
    return Response(found, media_type="application/json")
