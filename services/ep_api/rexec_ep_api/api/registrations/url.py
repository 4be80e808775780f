"""Things on the web: registering and changing them."""

import dataclasses
from typing import Any, Final

from fastapi import APIRouter, Request

from rexec_ep_api.api.common import (
    CHANGE_FAILURES,
    REGISTERED,
    REGISTRATION_FAILURES,
    DatasetKey,
    WritableServer,
)
from rexec_ep_api.attribution import creator_extras
from rexec_ep_api.catalog.records import DatasetChange, NewDataset, NewResource
from rexec_ep_api.duplicates import create_once
from rexec_ep_api.extras import own_extras
from rexec_ep_api.models.common import Message
from rexec_ep_api.models.fields import Created, said
from rexec_ep_api.models.registrations import UrlBody, UrlChangeBody
from rexec_ep_api.openapi import REGISTRATIONS, answer
from rexec_ep_api.processing import check_processing
from rexec_ep_api.registering import URL, Kind, change, find
from rexec_ep_api.servers import CatalogLike, catalog_for
from rexec_jupyter.auth.dependencies import Writer

router = APIRouter(prefix="/url", tags=[REGISTRATIONS])

_UPDATED = answer({"message": "Resource updated successfully"})
# Clients look for other words after a PUT than after a PATCH.
_PUT: Final = dataclasses.replace(URL, missing="Resource not found")


@router.post(
    "",
    summary="Register something on the web",
    status_code=201,
    responses=REGISTERED | REGISTRATION_FAILURES,
)
async def register_url(
    *, request: Request, user: Writer, body: UrlBody, server: WritableServer = "local"
) -> Created:
    """Register a dataset that is one address on the web; for writers."""
    check_processing(body.file_type, body.processing)
    new = NewDataset(
        name=body.resource_name,
        title=body.resource_title,
        owner_org=body.owner_org,
        notes=body.notes or "",
        extras=_extras(body) | creator_extras(request, user),
        resources=(NewResource(url=body.resource_url, name=body.resource_name, format=URL.format),),
        creator=user.user_id,
    )
    return Created(id=(await create_once(catalog_for(request, server), new)).id)


@router.put("/{dataset}", summary="Change a registered URL", responses=_UPDATED | CHANGE_FAILURES)
async def update_url(
    *,
    request: Request,
    _: Writer,
    dataset: DatasetKey,
    body: UrlChangeBody,
    server: WritableServer = "local",
) -> Message:
    """Change what is said and keep the rest; for writers."""
    return await _change(catalog_for(request, server), dataset, body, _PUT)


@router.patch(
    "/{dataset}", summary="Change a registered URL in part", responses=_UPDATED | CHANGE_FAILURES
)
async def patch_url(
    *,
    request: Request,
    _: Writer,
    dataset: DatasetKey,
    body: UrlChangeBody,
    server: WritableServer = "local",
) -> Message:
    """Change what is said and keep the rest; for writers."""
    return await _change(catalog_for(request, server), dataset, body, URL)


async def _change(catalog: CatalogLike, dataset: str, body: UrlChangeBody, kind: Kind) -> Message:
    found = await find(catalog, dataset, kind)
    file_type = body.file_type or found.extras.get("file_type")
    check_processing(file_type, body.processing, complete=True)
    await change(
        catalog,
        found,
        kind,
        DatasetChange(
            name=body.resource_name,
            title=body.resource_title,
            owner_org=body.owner_org,
            notes=body.notes,
            extras=_extras(body),
        ),
        {"url": body.resource_url, "name": body.resource_name},
    )
    return Message(message="Resource updated successfully")


def _extras(body: UrlBody | UrlChangeBody) -> dict[str, Any]:
    return own_extras(body.extras, URL.reserved) | said(
        file_type=body.file_type, mapping=body.mapping, processing=body.processing
    )
