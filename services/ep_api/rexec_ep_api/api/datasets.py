"""Datasets with any number of resources: registering, reading, changing and publishing them."""

from collections.abc import Iterable

from fastapi import APIRouter, Request

from rexec_ep_api.api.common import RESOURCE, DatasetKey, WritableServer
from rexec_ep_api.attribution import creator_extras
from rexec_ep_api.catalog.errors import DuplicateError
from rexec_ep_api.catalog.records import DatasetChange, NewDataset, NewResource, Resource
from rexec_ep_api.duplicates import create_somehow, duplicate
from rexec_ep_api.extras import DATASET, own_extras
from rexec_ep_api.models.common import Message
from rexec_ep_api.models.datasets import (
    DatasetBody,
    DatasetChangeBody,
    DatasetCreated,
    DatasetPublished,
    DatasetView,
    ResourceBody,
)
from rexec_ep_api.openapi import DATASETS, answer, failures
from rexec_ep_api.servers import CatalogLike, catalog_for
from rexec_ep_api.settings import EndpointSettings
from rexec_ep_api.views import dataset_view
from rexec_ep_api.visibility import visible_dataset
from rexec_jupyter.auth.dependencies import OptionalUser, Writer

router = APIRouter(prefix="/dataset", tags=[DATASETS])

_CREATED = {
    "id": RESOURCE["package_id"],
    "name": "rain-gauges",
    "title": "Rain gauges",
    "warning": None,
}
_DATASET = {
    "id": RESOURCE["package_id"],
    "name": "rain-gauges",
    "title": "Rain gauges",
    "owner_org": "hydrology-lab",
    "notes": "Hourly precipitation of forty gauges.",
    "extras": {"station_count": 40, "project": "catchment"},
    "resources": [RESOURCE],
    "tags": ["rain", "hourly"],
    "groups": ["water"],
    "private": False,
    "license_id": "cc-by",
    "version": "1.2",
    "metadata_created": "2026-05-04T12:00:00",
    "metadata_modified": "2026-05-04T12:00:00",
}
_UPDATED = answer({"message": "Dataset updated successfully"})
_UPDATE_FAILURES = failures(400, 401, 403, 404, 409, 413, 422, 503, 504)
_SUBMITTED = {"status": "submitted"}


@router.post(
    "",
    summary="Register a dataset",
    status_code=201,
    responses=answer(_CREATED, "It exists now.", status=201)
    | failures(400, 401, 403, 409, 413, 422, 503, 504),
)
async def register_dataset(
    *, request: Request, user: Writer, body: DatasetBody, server: WritableServer = "local"
) -> DatasetCreated:
    """Register a dataset together with its resources; for writers.

    If its name is taken, the time is added to the name and title, and the answer warns of it.
    """
    new = NewDataset(
        name=body.name,
        title=body.title,
        owner_org=body.owner_org,
        notes=body.notes or "",
        extras=own_extras(body.extras, DATASET) | creator_extras(request, user),
        resources=_resources(body.resources or ()),
        tags=tuple(body.tags or ()),
        groups=tuple(body.groups or ()),
        private=bool(body.private),
        license_id=body.license_id,
        version=body.version,
        creator=user.user_id,
    )
    created, warning = await create_somehow(catalog_for(request, server), new)
    return DatasetCreated(id=created.id, name=created.name, title=created.title, warning=warning)


@router.get(
    "/{dataset}",
    summary="Read a dataset",
    responses=answer(_DATASET) | failures(400, 404, 422, 503, 504),
)
async def read_dataset(
    *, request: Request, user: OptionalUser, dataset: DatasetKey, server: WritableServer = "local"
) -> DatasetView:
    """Tell all that is known about a dataset."""
    return dataset_view(await visible_dataset(request, server, dataset, user))


@router.put("/{dataset}", summary="Change a dataset", responses=_UPDATED | _UPDATE_FAILURES)
async def update_dataset(
    *,
    request: Request,
    _: Writer,
    dataset: DatasetKey,
    body: DatasetChangeBody,
    server: WritableServer = "local",
) -> Message:
    """Change what is said and keep the rest; for writers.

    Extras are added to those there are. Tags, groups and resources take the place of those there
    are, resources only if there are any.
    """
    return await _update(catalog_for(request, server), dataset, body, patch=False)


@router.patch("/{dataset}", summary="Add to a dataset", responses=_UPDATED | _UPDATE_FAILURES)
async def patch_dataset(
    *,
    request: Request,
    _: Writer,
    dataset: DatasetKey,
    body: DatasetChangeBody,
    server: WritableServer = "local",
) -> Message:
    """Change what is said and keep the rest, other resources too; for writers.

    A resource with the url or name of one that there is takes its place; others are added.
    """
    return await _update(catalog_for(request, server), dataset, body, patch=True)


@router.post(
    "/{dataset}/publish",
    summary="Publish a dataset",
    status_code=201,
    responses=answer(
        _CREATED | {"message": "Dataset published successfully"}, "A copy exists now.", status=201
    )
    | failures(400, 401, 403, 404, 409, 422, 503, 504),
)
async def publish_dataset(
    *, request: Request, user: Writer, dataset: DatasetKey
) -> DatasetPublished:
    """Submit a copy of a dataset of this endpoint to the pre-CKAN catalog; for writers."""
    pre_ckan = catalog_for(request, "pre_ckan")
    found = await catalog_for(request, "local").dataset(dataset)
    settings: EndpointSettings = request.app.state.settings
    copy = NewDataset(
        name=found.name,
        title=found.title,
        owner_org=settings.pre_ckan_organization or found.owner_org or "",
        notes=found.notes,
        extras=dict(found.extras) | creator_extras(request, user) | _SUBMITTED,
        resources=tuple(_copied(resource) for resource in found.resources),
        tags=found.tags,
        groups=found.groups,
        private=found.private,
        license_id=found.license_id,
        version=found.version,
        creator=user.user_id,
    )
    created, warning = await create_somehow(pre_ckan, copy)
    return DatasetPublished(
        id=created.id,
        name=created.name,
        title=created.title,
        warning=warning,
        message="Dataset published successfully",
    )


async def _update(
    catalog: CatalogLike, dataset: str, body: DatasetChangeBody, *, patch: bool
) -> Message:
    change = DatasetChange(
        name=body.name,
        title=body.title,
        owner_org=body.owner_org,
        notes=body.notes,
        extras=own_extras(body.extras, DATASET),
        resources=_resources(body.resources or ()),
        tags=_words(body.tags),
        groups=_words(body.groups),
        private=body.private,
        license_id=body.license_id,
        version=body.version,
    )
    try:
        await catalog.update_dataset(dataset, change, patch=patch)
    except DuplicateError:
        raise duplicate(body.name or dataset) from None
    return Message(message="Dataset updated successfully")


def _words(words: list[str] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(words)


def _resources(bodies: Iterable[ResourceBody]) -> tuple[NewResource, ...]:
    return tuple(
        NewResource(
            url=body.url,
            name=body.name,
            description=body.description,
            format=body.format,
            mimetype=body.mimetype,
            size=body.size,
        )
        for body in bodies
    )


def _copied(resource: Resource) -> NewResource:
    return NewResource(
        name=resource.name,
        url=resource.url,
        description=resource.description,
        format=resource.format,
        mimetype=resource.mimetype,
        size=resource.size,
    )
