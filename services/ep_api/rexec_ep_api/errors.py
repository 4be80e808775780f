"""How what the catalog refuses is told."""

import logging

from starlette.requests import Request
from starlette.responses import Response

from rexec_ep_api.catalog import errors as catalog
from rexec_jupyter.web.errors import answer

_log = logging.getLogger(__name__)


async def on_catalog(request: Request, error: catalog.CatalogError) -> Response:
    """Answer."""
    headers = None
    if isinstance(error, catalog.UnavailableError):
        _log.error("%s The cause: %s", error, error.__cause__)
        headers = {"Retry-After": "5"}
    return answer(request, _catalog_status(error), str(error), headers=headers)


def _catalog_status(error: catalog.CatalogError) -> int:
    match error:
        case catalog.NotFoundError():
            return 404
        case catalog.DuplicateError() | catalog.OccupiedError():
            return 409
        case catalog.UnavailableError():
            return 503
        case _:
            return 400
