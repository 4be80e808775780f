"""Objects of S3 stores: registering and changing them."""

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
from rexec_ep_api.models.fields import Created
from rexec_ep_api.models.registrations import S3Body, S3ChangeBody
from rexec_ep_api.openapi import REGISTRATIONS, answer
from rexec_ep_api.registering import S3, change, find
from rexec_ep_api.servers import catalog_for
from rexec_jupyter.auth.dependencies import Writer

router = APIRouter(prefix="/s3", tags=[REGISTRATIONS])

_UPDATED = answer({"message": "S3 resource updated successfully"})


@router.post(
    "",
    summary="Register an object of an S3 store",
    status_code=201,
    responses=REGISTERED | REGISTRATION_FAILURES,
)
async def register_s3(
    *, request: Request, user: Writer, body: S3Body, server: WritableServer = "local"
) -> Created:
    """Register a dataset that is one object of an S3 store; for writers."""
    new = NewDataset(
        name=body.resource_name,
        title=body.resource_title,
        owner_org=body.owner_org,
        notes=body.notes or "",
        extras=own_extras(body.extras, S3.reserved) | creator_extras(request, user),
        resources=(NewResource(url=body.resource_s3, name=body.resource_name, format=S3.format),),
        creator=user.user_id,
    )
    return Created(id=(await create_once(catalog_for(request, server), new)).id)


@router.put(
    "/{dataset}", summary="Change a registered object", responses=_UPDATED | CHANGE_FAILURES
)
async def update_s3(
    *,
    request: Request,
    _: Writer,
    dataset: DatasetKey,
    body: S3ChangeBody,
    server: WritableServer = "local",
) -> Message:
    """Change what is said and keep the rest; for writers."""
    catalog = catalog_for(request, server)
    await change(
        catalog,
        await find(catalog, dataset, S3),
        S3,
        DatasetChange(
            name=body.resource_name,
            title=body.resource_title,
            owner_org=body.owner_org,
            notes=body.notes,
            extras=own_extras(body.extras, S3.reserved),
        ),
        {"url": body.resource_s3, "name": body.resource_name},
    )
    return Message(message="S3 resource updated successfully")


router.patch(
    "/{dataset}",
    name="patch_s3",
    summary="Change a registered object in part",
    responses=_UPDATED | CHANGE_FAILURES,
)(update_s3)
