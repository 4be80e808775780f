"""Files in Pelican federations: finding, downloading and registering them."""

import mimetypes
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse

from rexec_ep_api.catalog.records import DatasetChange, NewResource
from rexec_ep_api.downloads import file_response, wanted_range
from rexec_ep_api.integrations.errors import NotConfiguredError
from rexec_ep_api.integrations.pelican.addresses import (
    checked_path,
    federations,
    named,
    parsed,
)
from rexec_ep_api.integrations.pelican.federation import Pelican
from rexec_ep_api.integrations.pelican.listing import Entry
from rexec_ep_api.models.pelican import (
    Federations,
    FederationView,
    FileInfo,
    FileView,
    ImportBody,
    Imported,
    Listing,
)
from rexec_ep_api.openapi import PELICAN, answer, failures
from rexec_ep_api.servers import catalog_for
from rexec_ep_api.views import resource_view
from rexec_jupyter.auth.dependencies import User, Writer

router = APIRouter(prefix="/pelican", tags=[PELICAN])

_IMPORTED: Final = {
    "success": True,
    "resource": {
        "id": "9a0364b9-e99b-4b0d-8c1f-3fb07dbb1a52",
        "package_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "url": "osdf:///hydrology/gauges/june.csv",
        "name": "june.csv",
        "description": None,
        "format": "pelican",
        "mimetype": "text/csv",
        "size": 48213,
        "created": "2026-05-04T12:00:00",
        "last_modified": "2026-05-04T12:00:00",
    },
}
_READING: Final = failures(400, 404, 422, 503, 504)
_FILE: Final = {
    "name": "/ospool/public/rain-2026.csv",
    "size": 48213,
    "type": "file",
    "modified": "2026-05-04T12:00:00Z",
}
_CONTENT: Final = {
    "description": "What the file holds.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}
_CONTENTS: Final[dict[int | str, dict[str, Any]]] = {200: _CONTENT, 206: _CONTENT}


def _pelican(request: Request) -> Pelican:
    pelican: Pelican | None = request.app.state.pelican
    if pelican is None:
        raise NotConfiguredError("Access to Pelican federations", "PELICAN_ENABLED=true")
    return pelican


Reader = Annotated[Pelican, Depends(_pelican)]
FilePath = Annotated[
    str,
    Query(
        max_length=4096,
        description="Path in the federation.",
        examples=["/ospool/public/rain-2026.csv"],
    ),
]
FederationName = Annotated[
    str, Query(max_length=200, description="Name of the federation.", examples=["osdf"])
]


@router.get(
    "/federations",
    summary="List federations",
    responses=answer(
        {
            "success": True,
            "federations": {
                "osdf": {
                    "name": "Open Science Data Federation",
                    "url": "pelican://osg-htc.org",
                    "description": "Scientific data of many institutions.",
                }
            },
            "count": 1,
        }
    )
    | failures(503),
)
async def list_federations(request: Request, _: Reader) -> Federations:
    """List the federations that the endpoint can ask."""
    known = federations(request.app.state.settings)
    views = {name: FederationView(**one._asdict()) for name, one in known.items()}
    return Federations(federations=views, count=len(views))


@router.get(
    "/browse",
    summary="List a namespace",
    responses=answer(
        {"success": True, "path": "/ospool/public", "files": [_FILE["name"]], "count": 1}
    )
    | _READING,
)
async def browse(
    *,
    request: Request,
    pelican: Reader,
    path: FilePath,
    federation: FederationName = "osdf",
    detail: Annotated[bool, Query(description="Whether to tell sizes and times too.")] = False,
) -> Listing:
    """List what a namespace holds."""
    source = named(federation, federations(request.app.state.settings))
    found = await pelican.browse(source, checked_path(path))
    files = [_view(entry) for entry in found]
    return Listing(
        path=path, files=files if detail else [file.name for file in files], count=len(files)
    )


@router.get(
    "/info",
    summary="Read about a file",
    responses=answer({"success": True, "file": _FILE}) | _READING,
)
async def info(
    *,
    request: Request,
    pelican: Reader,
    path: FilePath,
    federation: FederationName = "osdf",
) -> FileInfo:
    """Tell what is known of a file or directory."""
    source = named(federation, federations(request.app.state.settings))
    return FileInfo(file=_view(await pelican.info(source, checked_path(path))))


@router.get(
    "/download",
    summary="Download a file",
    response_class=StreamingResponse,
    responses=_CONTENTS | _READING | failures(401),
)
async def download(
    *,
    request: Request,
    _: User,
    pelican: Reader,
    path: FilePath,
    federation: FederationName = "osdf",
    stream: Annotated[  # noqa: ARG001 - it is known
        bool, Query(description="Without effect: every file comes in pieces.")
    ] = False,
    range_: Annotated[
        str | None, Header(alias="Range", description="Which part.", examples=["bytes=0-99"])
    ] = None,
) -> StreamingResponse:
    """Return what a file holds; for everybody with a token."""
    source = named(federation, federations(request.app.state.settings))
    path = checked_path(path)
    content = await pelican.download(source, path, wanted_range(range_))
    return file_response(
        content.pieces,
        _name(path),
        media_type="application/octet-stream",
        size=content.size,
        content_range=content.content_range,
    )


@router.post(
    "/import-metadata",
    summary="Add a file to a dataset",
    responses=answer(_IMPORTED) | failures(400, 401, 403, 404, 413, 422, 503, 504),
)
async def import_metadata(
    request: Request, _: Writer, pelican: Reader, body: ImportBody
) -> Imported:
    """Make a file in a federation a resource of a dataset of this endpoint; for writers."""
    catalog = catalog_for(request, "local")
    source, path = parsed(body.pelican_url, federations(request.app.state.settings))
    await catalog.dataset(body.package_id)
    entry = await pelican.info(source, path)
    new = NewResource(
        url=body.pelican_url,
        name=body.resource_name or _name(path),
        description=body.resource_description,
        format="pelican",
        mimetype=entry.content_type or mimetypes.guess_type(path)[0],
        size=entry.size,
    )
    change = DatasetChange(resources=(new,))
    changed = await catalog.update_dataset(body.package_id, change, patch=True)
    made = next(one for one in changed.resources if one.url == new.url)
    return Imported(resource=resource_view(made))


def _view(entry: Entry) -> FileView:
    return FileView(
        name=entry.path,
        size=entry.size,
        type="directory" if entry.is_collection else "file",
        modified=entry.modified,
    )


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
