"""Which catalog a request means: the endpoint's own, the global one, or that before publication.

`catalog_for` is all that routes need. What it returns is used alike, wherever the datasets are.
"""

from typing import Final, Protocol

from fastapi import HTTPException, Request

from rexec_ep_api.catalog.records import (
    Dataset,
    DatasetChange,
    FoundResource,
    NewDataset,
    NewOrganization,
    Organization,
    Query,
    Resource,
    ResourceChange,
    ResourceQuery,
)
from rexec_ep_api.settings import Server

_PRE_CKAN_OFF: Final = "Pre-CKAN is disabled and cannot be used."
_LOCAL_OFF: Final = (
    "Server is not configured: this endpoint has no catalog of its own. Its operator sets "
    "CKAN_LOCAL_ENABLED=true and a LOCAL_CATALOG_BACKEND other than none to have one."
)
_GLOBAL_OFF: Final = (
    "Server is not configured: this endpoint has neither a global catalog nor one of its own. Its "
    "operator sets CKAN_GLOBAL_URL."
)


class CatalogLike(Protocol):
    """What every catalog can be asked; each method raises `CatalogError` if it cannot be done."""

    async def ping(self) -> float:
        """Return the milliseconds that the catalog took to answer."""

    async def create_organization(self, new: NewOrganization) -> Organization:
        """Register an organization."""

    async def organization(self, id_or_name: str) -> Organization:
        """Return an organization."""

    async def organization_names(
        self, name: str | None = None, owner: str | None = None
    ) -> list[str]:
        """Return the names of organizations, those with a text in the name, or of one creator."""

    async def delete_organization(self, id_or_name: str, *, cascade: bool) -> int:
        """Delete an organization; return how many datasets went with it."""

    async def create_dataset(self, new: NewDataset) -> Dataset:
        """Register a dataset with its resources."""

    async def dataset(self, id_or_name: str) -> Dataset:
        """Return a dataset."""

    async def update_dataset(
        self, id_or_name: str, change: DatasetChange, *, patch: bool
    ) -> Dataset:
        """Change a dataset; `patch` adds resources where the other replaces them."""

    async def delete_dataset(self, id_or_name: str) -> None:
        """Delete a dataset with its resources."""

    async def resource(self, identifier: str) -> Resource:
        """Return a resource."""

    async def patch_resource(
        self, identifier: str, change: ResourceChange, dataset: str | None = None
    ) -> Resource:
        """Change a resource, which must be of a dataset if one is named."""

    async def delete_resource(self, identifier: str, dataset: str | None = None) -> None:
        """Delete a resource, which must be of a dataset if one is named."""

    async def search_resources(self, query: ResourceQuery) -> tuple[int, list[FoundResource]]:
        """Return how many resources match, and some of them."""

    async def search_json(self, query: Query) -> bytes:
        """Return the datasets that match as a JSON array of hits."""

    async def search(self, query: Query) -> list[Dataset]:
        """Return the datasets that match."""


def catalog_for(request: Request, server: Server) -> CatalogLike:
    """Return the catalog that a request names.

    Where no global catalog is configured, the endpoint's own stands in for it: clients ask for
    the global one unless told otherwise.

    Parameters
    ----------
    request
        The request.
    server
        What it names.

    Raises
    ------
    HTTPException
        If the endpoint does not have it.
    """
    state = request.app.state
    local: CatalogLike | None = state.catalog
    match server:
        case "local":
            return _present(local, 400, _LOCAL_OFF)
        case "pre_ckan":
            return _present(state.pre_ckan, 400, _PRE_CKAN_OFF)
        case "global":
            return _present(state.global_ckan or local, 503, _GLOBAL_OFF)


def _present(catalog: CatalogLike | None, status: int, detail: str) -> CatalogLike:
    if catalog is None:
        raise HTTPException(status, detail)
    return catalog
