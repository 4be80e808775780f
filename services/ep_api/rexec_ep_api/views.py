"""How records of the catalog are shown to callers."""

from typing import Any

from rexec_ep_api.catalog.records import Dataset, FoundResource, Resource
from rexec_ep_api.models.datasets import DatasetView, ResourceView
from rexec_ep_api.models.resources import FoundResourceView


def dataset_view(dataset: Dataset) -> DatasetView:
    """Return a dataset as callers see it."""
    return DatasetView(
        id=dataset.id,
        name=dataset.name,
        title=dataset.title,
        owner_org=dataset.owner_org,
        notes=dataset.notes,
        extras=dict(dataset.extras),
        resources=[resource_view(resource) for resource in dataset.resources],
        tags=list(dataset.tags),
        groups=list(dataset.groups),
        private=dataset.private,
        license_id=dataset.license_id,
        version=dataset.version,
        metadata_created=dataset.created,
        metadata_modified=dataset.modified,
    )


def resource_view(resource: Resource) -> ResourceView:
    """Return a resource as callers see it."""
    return ResourceView(**_fields(resource))


def found_resource_view(found: FoundResource) -> FoundResourceView:
    """Return a resource that was found, with the dataset that it belongs to."""
    return FoundResourceView(
        **_fields(found.resource),
        dataset_id=found.resource.dataset_id,
        dataset_name=found.dataset_name,
        dataset_title=found.dataset_title,
    )


def _fields(resource: Resource) -> dict[str, Any]:
    return {
        "id": resource.id,
        "package_id": resource.dataset_id,
        "name": resource.name,
        "url": resource.url,
        "description": resource.description,
        "format": resource.format,
        "mimetype": resource.mimetype,
        "size": resource.size,
        "created": resource.created,
        "last_modified": resource.modified,
    }
