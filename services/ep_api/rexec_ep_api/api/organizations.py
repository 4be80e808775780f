"""Organizations: listing, registering and deleting them."""

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request

from rexec_ep_api.catalog.errors import DuplicateError
from rexec_ep_api.catalog.records import SERVICES, NewOrganization
from rexec_ep_api.models.common import Message
from rexec_ep_api.models.organizations import OrganizationCreated, OrganizationRequest
from rexec_ep_api.openapi import ORGANIZATIONS, answer, failures
from rexec_ep_api.servers import catalog_for
from rexec_ep_api.settings import Server
from rexec_jupyter.auth.dependencies import BearerToken, Writer, user_of

router = APIRouter(tags=[ORGANIZATIONS])


@router.get(
    "/organization",
    summary="List organizations",
    responses=answer(["hydrology-lab", "services"]) | failures(400, 401, 422, 503, 504),
)
async def organizations(
    *,
    request: Request,
    token: BearerToken,
    name: Annotated[
        str | None, Query(max_length=1000, description="Only those with this in their name.")
    ] = None,
    mine: Annotated[bool, Query(description="Only those that the caller registered.")] = False,
    server: Annotated[Server, Query(description="Which catalog.")] = "global",
) -> list[str]:
    """List the names of the organizations that can own datasets."""
    owner = (await user_of(request, token)).user_id if mine else None
    catalog = catalog_for(request, server)
    return await catalog.organization_names(name=name, owner=owner)


@router.post(
    "/organization",
    summary="Register an organization",
    status_code=201,
    responses=answer(
        {
            "id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
            "message": "Organization created successfully",
        },
        "It exists now.",
        status=201,
    )
    | failures(400, 401, 403, 413, 422, 503),
)
async def register_organization(
    *,
    request: Request,
    user: Writer,
    organization: OrganizationRequest,
    server: Annotated[Literal["local", "pre_ckan"], Query(description="Which catalog.")] = "local",
) -> OrganizationCreated:
    """Register an organization, which can own datasets from then on; for writers."""
    new = NewOrganization(
        name=organization.name,
        title=organization.title,
        description=organization.description or "",
        creator=user.user_id,
        creator_md5=user.creator_md5,
    )
    try:
        created = await catalog_for(request, server).create_organization(new)
    except DuplicateError:
        raise HTTPException(
            400,
            f"Group name already exists in database: there is an organization "
            f"{organization.name!r} already. Use it, or choose another name.",
        ) from None
    return OrganizationCreated(id=created.id, message="Organization created successfully")


@router.delete(
    "/organization/{organization_name}",
    summary="Delete an organization",
    responses=answer({"message": "Organization deleted successfully"})
    | failures(400, 401, 403, 404, 409, 422, 503),
)
async def delete_organization(
    *,
    request: Request,
    _: Writer,
    organization_name: Annotated[str, Path(description="Its name or identifier.")],
    cascade: Annotated[bool, Query(description="With all of its datasets.")] = True,
    server: Annotated[Literal["local"], Query(description="Which catalog.")] = "local",
) -> Message:
    """Delete an organization and, unless told otherwise, its datasets; for writers."""
    catalog = catalog_for(request, server)
    if (await catalog.organization(organization_name)).name == SERVICES:
        raise HTTPException(
            400, f"The organization {SERVICES!r} belongs to the endpoint and cannot be deleted."
        )
    count = await catalog.delete_organization(organization_name, cascade=cascade)
    datasets = f" together with {count} datasets" if count else ""
    return Message(message=f"Organization deleted successfully{datasets}")
