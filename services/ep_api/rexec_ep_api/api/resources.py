"""Resources, the parts of datasets: reading, finding, changing and deleting them."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request

from rexec_ep_api.api.common import RESOURCE, DatasetKey, ResourceKey, WritableServer
from rexec_ep_api.catalog.errors import NotFoundError, no_resource
from rexec_ep_api.catalog.records import ResourceChange, ResourceQuery
from rexec_ep_api.models.common import Message
from rexec_ep_api.models.datasets import ResourceView
from rexec_ep_api.models.resources import FoundResources, ResourceChangeBody, ResourceSearch
from rexec_ep_api.openapi import RESOURCES, answer, failures
from rexec_ep_api.servers import CatalogLike, catalog_for
from rexec_ep_api.views import found_resource_view, resource_view
from rexec_ep_api.visibility import viewer, visible_dataset
from rexec_jupyter.auth.dependencies import OptionalUser, Writer

router = APIRouter(tags=[RESOURCES])

_FOUND = RESOURCE | {
    "dataset_id": RESOURCE["package_id"],
    "dataset_name": "rain-gauges",
    "dataset_title": "Rain gauges",
}
_DELETED = answer({"message": "Resource deleted successfully"})
_CHANGE_FAILURES = failures(400, 401, 403, 404, 413, 422, 503, 504)
_DELETE_FAILURES = failures(400, 401, 403, 404, 422, 503, 504)


@router.get(
    "/resources/search",
    summary="Find resources",
    responses=answer({"count": 1, "results": [_FOUND]}) | failures(400, 422, 503, 504),
)
async def search_resources(
    *,
    request: Request,
    user: OptionalUser,
    wanted: Annotated[ResourceSearch, Query()],
) -> FoundResources:
    """Find resources by parts of what is said about them, in any case, all together."""
    query = ResourceQuery(
        q=wanted.q,
        name=wanted.name,
        url=wanted.url,
        format=wanted.format,
        description=wanted.description,
        limit=wanted.limit,
        offset=wanted.offset,
        viewer=viewer(request, user),
    )
    count, found = await catalog_for(request, wanted.server).search_resources(query)
    return FoundResources(count=count, results=[found_resource_view(item) for item in found])


@router.get(
    "/resource/{resource}",
    summary="Read a resource",
    responses=answer(RESOURCE) | failures(400, 404, 422, 503, 504),
)
async def read_resource(
    *, request: Request, user: OptionalUser, resource: ResourceKey, server: WritableServer = "local"
) -> ResourceView:
    """Tell all that is known about a resource."""
    try:
        found = await catalog_for(request, server).resource(resource)
        await visible_dataset(request, server, found.dataset_id, user)
    except NotFoundError:
        # Nobody learns whether there is one that they may not see.
        raise no_resource(resource) from None
    return resource_view(found)


@router.patch(
    "/resource/{resource}",
    summary="Change a resource",
    responses=answer(RESOURCE) | _CHANGE_FAILURES,
)
async def patch_resource(
    *,
    request: Request,
    _: Writer,
    resource: ResourceKey,
    body: ResourceChangeBody,
    server: WritableServer = "local",
) -> ResourceView:
    """Change what is said and keep the rest; for writers."""
    change = _change(body)
    return resource_view(await catalog_for(request, server).patch_resource(resource, change))


@router.delete(
    "/resource/{resource}",
    summary="Delete a resource, or a dataset by its name",
    responses=_DELETED | _DELETE_FAILURES,
)
async def delete_resource(
    *, request: Request, _: Writer, resource: ResourceKey, server: WritableServer = "local"
) -> Message:
    """Delete the resource with this identifier; for writers.

    If there is none, the dataset with this identifier or name is deleted.
    """
    catalog = catalog_for(request, server)
    try:
        await catalog.delete_resource(resource)
    except NotFoundError:
        await _delete_dataset(catalog, resource)
    return Message(message=f"{resource} deleted successfully")


@router.delete(
    "/resource",
    summary="Delete a dataset by its identifier",
    responses=answer({"message": "rain-gauges deleted successfully"}) | _DELETE_FAILURES,
)
async def delete_dataset(
    *,
    request: Request,
    _: Writer,
    resource_id: Annotated[str, Query(description="Identifier or name of the dataset.")],
    server: WritableServer = "local",
) -> Message:
    """Delete the dataset with this identifier or name; for writers.

    If there is none, the resource with this identifier is deleted.
    """
    catalog = catalog_for(request, server)
    try:
        await catalog.delete_dataset(resource_id)
    except NotFoundError:
        await catalog.delete_resource(resource_id)
    return Message(message=f"{resource_id} deleted successfully")


@router.patch(
    "/dataset/{dataset}/resource/{resource}",
    summary="Change a resource of a dataset",
    responses=answer(RESOURCE) | _CHANGE_FAILURES,
)
async def patch_dataset_resource(
    *,
    request: Request,
    _: Writer,
    dataset: DatasetKey,
    resource: ResourceKey,
    body: ResourceChangeBody,
    server: WritableServer = "local",
) -> ResourceView:
    """Change what is said about a resource of this dataset and keep the rest; for writers."""
    change = _change(body)
    catalog = catalog_for(request, server)
    return resource_view(await catalog.patch_resource(resource, change, dataset))


@router.delete(
    "/dataset/{dataset}/resource/{resource}",
    summary="Delete a resource of a dataset",
    responses=_DELETED | _DELETE_FAILURES,
)
async def delete_dataset_resource(
    *,
    request: Request,
    _: Writer,
    dataset: DatasetKey,
    resource: ResourceKey,
    server: WritableServer = "local",
) -> Message:
    """Delete a resource of this dataset; for writers."""
    await catalog_for(request, server).delete_resource(resource, dataset)
    return Message(message="Resource deleted successfully")


def _change(body: ResourceChangeBody) -> ResourceChange:
    return ResourceChange(
        name=body.name, url=body.url, description=body.description, format=body.format
    )


async def _delete_dataset(catalog: CatalogLike, id_or_name: str) -> None:
    try:
        await catalog.delete_dataset(id_or_name)
    except NotFoundError:
        raise HTTPException(
            404, f"Resource not found: there is neither a resource nor a dataset {id_or_name!r}."
        ) from None
