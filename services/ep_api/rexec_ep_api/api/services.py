"""Services: registering and changing them."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from rexec_ep_api.api.common import (
    CHANGE_FAILURES,
    REGISTERED,
    REGISTRATION_FAILURES,
    WritableServer,
)
from rexec_ep_api.attribution import creator_extras
from rexec_ep_api.catalog.records import SERVICES, DatasetChange, NewDataset, NewResource
from rexec_ep_api.duplicates import create_once
from rexec_ep_api.extras import own_extras
from rexec_ep_api.models.common import Message
from rexec_ep_api.models.fields import Created, said
from rexec_ep_api.models.services import ServiceBody, ServiceChangeBody
from rexec_ep_api.openapi import SERVICES as TAG
from rexec_ep_api.openapi import answer
from rexec_ep_api.registering import SERVICE, change, find
from rexec_ep_api.servers import catalog_for
from rexec_jupyter.auth.dependencies import Writer

router = APIRouter(prefix="/services", tags=[TAG])

_UPDATED = answer({"message": "Service updated successfully"})
_Service = Annotated[str, Path(description="Identifier or name of the service.")]


@router.post(
    "",
    summary="Register a service",
    status_code=201,
    responses=REGISTERED | REGISTRATION_FAILURES,
)
async def register_service(
    *, request: Request, user: Writer, body: ServiceBody, server: WritableServer = "local"
) -> Created:
    """Register a service, which can be called through this endpoint from then on; for writers."""
    new = NewDataset(
        name=body.service_name,
        title=body.service_title,
        owner_org=SERVICES,
        notes=body.notes or f"Service: {body.service_title}",
        extras=_extras(body) | creator_extras(request, user),
        resources=(
            NewResource(url=body.service_url, name=body.service_name, format=SERVICE.format),
        ),
        creator=user.user_id,
    )
    return Created(id=(await create_once(catalog_for(request, server), new, SERVICE.called)).id)


@router.put("/{service}", summary="Change a service", responses=_UPDATED | CHANGE_FAILURES)
async def update_service(
    *,
    request: Request,
    _: Writer,
    service: _Service,
    body: ServiceChangeBody,
    server: WritableServer = "local",
) -> Message:
    """Change what is said about a service and keep the rest; for writers."""
    catalog = catalog_for(request, server)
    await change(
        catalog,
        await find(catalog, service, SERVICE),
        SERVICE,
        DatasetChange(
            name=body.service_name,
            title=body.service_title,
            notes=body.notes,
            extras=_extras(body),
        ),
        {"url": body.service_url, "name": body.service_name},
    )
    return Message(message="Service updated successfully")


router.patch(
    "/{service}",
    name="patch_service",
    summary="Change a service in part",
    responses=_UPDATED | CHANGE_FAILURES,
)(update_service)


def _extras(body: ServiceBody | ServiceChangeBody) -> dict[str, Any]:
    return own_extras(body.extras, SERVICE.reserved) | said(
        service_type=body.service_type,
        health_check_url=body.health_check_url,
        documentation_url=body.documentation_url,
    )
