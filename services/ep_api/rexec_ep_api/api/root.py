"""The root: the catalog for people with a browser, and that the API runs for programs."""

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from rexec_ep_api.openapi import HEALTH, answer
from rexec_ep_api.pages.router import catalog_page, wants_page

router = APIRouter(tags=[HEALTH])

_RUNNING = "API is running successfully."


@router.get("/", summary="Whether the API runs", response_model=str, responses=answer(_RUNNING))
async def root(request: Request) -> Response:
    """Say that the API runs. A browser, which prefers HTML, is shown the catalog."""
    if wants_page(request):
        return catalog_page(request)
    return JSONResponse(_RUNNING, headers={"Vary": "Accept"})
