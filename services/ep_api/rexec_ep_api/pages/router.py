"""What people with a browser see: the catalog, and the API's interactive description.

Everything comes from this endpoint itself, from these files and from a package that holds Swagger
UI and Redoc. All links are relative, so it works under any prefix.
"""

import html
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from rexec_ep_api.api.common import DatasetKey
from rexec_ep_api.models.fields import LONGEST_URL
from rexec_ep_api.settings import EndpointSettings
from rexec_ep_api.views import dataset_view
from rexec_ep_api.visibility import visible_dataset
from rexec_jupyter.auth.dependencies import OptionalUser
from rexec_jupyter.endpoint.snippets import by_address, through_client

router = APIRouter(include_in_schema=False)

_HERE: Final = Path(__file__).parent
_OWN: Final = StaticFiles(directory=_HERE / "static")

_SELF: Final = "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'"
_COMMON: Final = "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_STRICT: Final = f"{_SELF}; img-src 'self'; {_COMMON}"
# Both of these viewers style elements one by one, and draw with pictures that they hold.
_VIEWER: Final = f"{_SELF} 'unsafe-inline'; img-src 'self' data:; worker-src blob:; {_COMMON}"


def wants_page(request: Request) -> bool:
    """Tell whether a browser asks that would rather show a page than data."""
    return request.headers.get("accept", "").lower().lstrip().startswith("text/html")


def catalog_page(request: Request) -> Response:
    """Return the page to search the catalog and look at a dataset."""
    return _page(request, "catalog.html", _STRICT)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Show the API with Swagger UI, to try it out."""
    return _page(request, "docs.html", _VIEWER)


@router.get("/redoc")
async def redoc(request: Request) -> Response:
    """Show the API with Redoc, to read it."""
    return _page(request, "redoc.html", _VIEWER)


@router.get("/pages/{name}")
async def page_file(request: Request, name: str) -> Response:
    """Return what a page is made of."""
    return await _file(_OWN, name, request)


@router.get("/pages/viewers/{name}")
async def viewer_file(request: Request, name: str) -> Response:
    """Return a file of Swagger UI or Redoc."""
    return await _file(_viewers(), name, request)


@router.get("/pages/code/{dataset}")
async def code(
    *,
    request: Request,
    user: OptionalUser,
    dataset: DatasetKey,
    base: Annotated[str, Query(max_length=LONGEST_URL)],
) -> dict[str, list[dict[str, Any]]]:
    """Tell the ways to load each resource of a dataset, by its identifier.

    The page says what it calls this endpoint: behind a proxy only it knows.
    """
    found = dataset_view(await visible_dataset(request, "local", dataset, user)).model_dump()
    return {
        resource["id"]: [
            {"title": way.title, "code": way.line, "packages": way.packages}
            for way in (by_address(found, resource), through_client(found, resource, base))
            if way is not None
        ]
        for resource in found["resources"]
    }


async def _file(files: StaticFiles, name: str, request: Request) -> Response:
    response = await files.get_response(name, request.scope)
    # They are asked for again each time, and sent again only if they changed.
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _page(request: Request, name: str, policy: str) -> Response:
    settings: EndpointSettings = request.app.state.settings
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept",
        "X-Content-Type-Options": "nosniff",
    }
    text = _template(name).substitute(
        title=html.escape(settings.swagger_title),
        name=html.escape(_own_name(settings)),
    )
    return HTMLResponse(text, headers=headers)


def _own_name(settings: EndpointSettings) -> str:
    """Return what the endpoint is called, as far as its operator said so."""
    said = settings.model_fields_set
    names = [getattr(settings, field) for field in ("ep_name", "organization") if field in said]
    return " · ".join(filter(None, names)) or settings.swagger_title


@cache
def _template(name: str) -> Template:
    return Template((_HERE / name).read_text(encoding="utf-8"))


@cache
def _viewers() -> StaticFiles:
    return StaticFiles(directory=_viewer_directory())


def _viewer_directory() -> Path:
    # Where its files are is all that is used of it: its code is not imported.
    spec = find_spec("fastapi_offline")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("fastapi_offline, which holds the viewers of the API")
    return Path(spec.submodule_search_locations[0]) / "static"
