"""`CkanCatalog`: a CKAN as the endpoint uses it."""

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from pydantic import SecretStr

from rexec_ep_api.catalog.datasets import changed_parts
from rexec_ep_api.catalog.errors import InvalidError, NotFoundError
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
    Viewer,
)
from rexec_ep_api.catalog.search import hit_of_parts
from rexec_ep_api.catalog.texts import dump, fold, hit
from rexec_ep_api.integrations.ckan import translation
from rexec_ep_api.integrations.ckan.action import ActionApi, RefusedError
from rexec_ep_api.integrations.ckan.narrowing import (
    has_part,
    in_order,
    matches,
    narrowed,
    narrowed_resources,
    resource_matches,
    visible,
)

_PAGE: Final = 500
# Datasets that one search looks through, however many CKAN believes are meant.
_MOST_SEEN: Final = 10_000
_NEWEST_FIRST: Final = "metadata_created desc, id asc"


class CkanCatalog:
    """A catalog that a CKAN keeps.

    Parameters
    ----------
    url
        Where the CKAN is.
    what
        What it is called in messages, at the beginning of a sentence.
    patience
        Seconds that it has to answer.
    key
        API key or token; None or empty for a catalog that is only read.
    verify
        Whether its certificate is checked.
    """

    def __init__(
        self,
        url: str,
        what: str,
        patience: float,
        key: SecretStr | None = None,
        *,
        verify: bool = True,
    ) -> None:
        key = key or SecretStr("")
        self._ckan = ActionApi(url, what, key, patience, verify=verify)
        self._writable = bool(key.get_secret_value())

    async def close(self) -> None:
        """Close all connections."""
        await self._ckan.close()

    async def ping(self) -> float:
        """Return the milliseconds that the CKAN took to answer."""
        began = time.perf_counter()
        await self._ckan.call("status_show")
        return (time.perf_counter() - began) * 1000

    # ------------------------------------------------------------------- organizations

    async def create_organization(self, new: NewOrganization) -> Organization:
        """Register an organization; see `Catalog.create_organization`."""
        creator = {translation.CREATOR: new.creator, translation.CREATOR_MD5: new.creator_md5}
        made = await self._write(
            "organization_create",
            name=new.name,
            title=new.title,
            description=new.description,
            extras=translation.extra_list({key: text for key, text in creator.items() if text}),
        )
        return translation.organization(made)

    async def organization(self, id_or_name: str) -> Organization:
        """Return an organization; see `Catalog.organization`."""
        found = await self._read("Organization", "organization_show", id_or_name)
        return translation.organization(found)

    async def organization_names(
        self, name: str | None = None, owner: str | None = None
    ) -> list[str]:
        """Return the names of organizations; see `Catalog.organization_names`."""
        wanted = fold(name or "")
        # Only with all that is known of them, and in smaller pages, it says who made them.
        more = {} if owner is None else {"all_fields": True, "include_extras": True}
        names: dict[str, None] = {}
        while len(names) < _MOST_SEEN:
            page = await self._ckan.call("organization_list", offset=len(names), **more)
            before = len(names)
            for one in _objects(page) if more else _texts(page):
                known = translation.organization(one if isinstance(one, dict) else {"name": one})
                names[known.name if owner in {None, known.creator} else f"\0{known.name}"] = None
            if len(names) == before:
                break  # that was all, or it knows no pages and gave the first one again
        return sorted(one for one in names if not one.startswith("\0") and wanted in fold(one))

    async def delete_organization(self, id_or_name: str, *, cascade: bool) -> int:
        """Refuse to delete an organization with datasets of others."""
        del cascade
        raise InvalidError(
            f"{self._ckan.what} deletes no organizations through an endpoint; delete "
            f"{id_or_name!r} there."
        )

    # ------------------------------------------------------------------------ datasets

    async def create_dataset(self, new: NewDataset) -> Dataset:
        """Register a dataset; see `Catalog.create_dataset`."""
        return translation.dataset(await self._write("package_create", **translation.package(new)))

    async def dataset(self, id_or_name: str) -> Dataset:
        """Return a dataset; see `Catalog.dataset`."""
        return translation.dataset(await self._read("Dataset", "package_show", id_or_name))

    async def update_dataset(
        self, id_or_name: str, change: DatasetChange, *, patch: bool
    ) -> Dataset:
        """Change a dataset; see `Catalog.update_dataset`."""
        package = await self._read("Dataset", "package_show", id_or_name)
        old = translation.dataset(package)
        values: dict[str, Any] = {
            name: value
            for name in ("name", "title", "owner_org", "notes", "private", "license_id", "version")
            if (value := getattr(change, name)) is not None
        }
        if change.extras is not None:
            values["extras"] = translation.extra_list({**old.extras, **change.extras})
        if change.tags is not None:
            values["tags"] = translation.name_list(change.tags)
        if change.groups is not None:
            values["groups"] = translation.name_list(change.groups)
        if change.resources:
            new = changed_parts(old, change.resources, patch=patch)
            values["resources"] = _with_what_else_is_known(new, package)
        changed = await self._write("package_patch", id=old.id, **values)
        return translation.dataset(changed)

    async def delete_dataset(self, id_or_name: str) -> None:
        """Delete a dataset; see `Catalog.delete_dataset`."""
        old = await self.dataset(id_or_name)
        try:
            await self._do("dataset_purge", id=old.id)
        except RefusedError:
            # Only administrators of a CKAN remove for good.
            await self._do("package_delete", id=old.id)

    # ----------------------------------------------------------------------- resources

    async def resource(self, identifier: str) -> Resource:
        """Return a resource; see `Catalog.resource`."""
        return translation.resource(await self._read("Resource", "resource_show", identifier))

    async def patch_resource(
        self, identifier: str, change: ResourceChange, dataset: str | None = None
    ) -> Resource:
        """Change a resource; see `Catalog.patch_resource`."""
        await self._check_belongs(identifier, dataset)
        values = {
            name: value
            for name in ResourceChange.__slots__
            if (value := getattr(change, name)) is not None
        }
        changed = await self._write("resource_patch", id=identifier, **values)
        return translation.resource(changed)

    async def delete_resource(self, identifier: str, dataset: str | None = None) -> None:
        """Delete a resource; see `Catalog.delete_resource`."""
        await self._check_belongs(identifier, dataset)
        await self._do("resource_delete", id=identifier)

    async def _check_belongs(self, identifier: str, dataset: str | None) -> None:
        found = await self.resource(identifier)
        if dataset is not None and dataset != found.dataset_id:
            owner = await self.dataset(dataset)
            if owner.id != found.dataset_id:
                raise NotFoundError(
                    f"Resource not found: {identifier!r} does not belong to {dataset!r}."
                )

    # ------------------------------------------------------------------------- finding

    async def search_resources(self, query: ResourceQuery) -> tuple[int, list[FoundResource]]:
        """Find resources; see `Catalog.search_resources`."""
        found = [
            FoundResource(one, dataset.name, dataset.title)
            async for dataset in self._packages(narrowed_resources(query), query.viewer)
            if visible(dataset, query.viewer)
            for one in dataset.resources
            if resource_matches(one, query)
        ]
        found.sort(key=lambda one: one.resource.modified, reverse=True)
        return len(found), found[query.offset : query.offset + query.limit]

    async def search_json(self, query: Query) -> bytes:
        """Find datasets; see `Catalog.search_json`."""
        wanted = query.resources
        found = await self.search(query)
        hits = [hit_of_parts(one, wanted) if wanted else hit(one) for one in found]
        return dump(hits).encode()

    async def search(self, query: Query) -> list[Dataset]:
        """Find datasets; see `Catalog.search`."""
        found: list[Dataset] = []
        # A period changes the order, so all that lie in it have to be known.
        enough = None if query.period else query.offset + query.limit
        async for dataset in self._packages(narrowed(query), query.viewer, enough):
            if matches(dataset, query) and has_part(dataset, query.resources):
                found.append(dataset)
            if len(found) == enough:
                break
        return in_order(found, query)

    async def _packages(
        self, wanted: str, viewer: Viewer, enough: int | None = None
    ) -> AsyncIterator[Dataset]:
        """Yield what CKAN finds, page by page."""
        rows = _PAGE if enough is None else max(1, min(_PAGE, enough))
        private = {"include_private": True} if self._writable and viewer != Viewer() else {}
        start = 0
        while start < _MOST_SEEN:
            answer = await self._ckan.call(
                "package_search",
                q=wanted,
                rows=rows,
                start=start,
                sort=_NEWEST_FIRST,
                **private,
            )
            page = _objects(answer.get("results") if isinstance(answer, dict) else None)
            for package in page:
                yield translation.dataset(package)
            start += len(page)
            if len(page) < rows:
                return
            rows = _PAGE  # the first page was not enough

    # -------------------------------------------------------------------------- asking

    async def _read(self, kind: str, action: str, identifier: str) -> dict[str, Any]:
        """Return the one thing of a name or identifier."""
        try:
            return await self._ckan.object(action, id=identifier)
        except NotFoundError:
            raise NotFoundError(
                f"{kind} not found: {self._ckan.what} has none with the name or identifier "
                f"{identifier!r}."
            ) from None
        except RefusedError:
            if self._writable:
                raise
            # To nobody in particular, what is hidden is not there.
            raise NotFoundError(f"{kind} not found: {identifier!r}") from None

    async def _write(self, action: str, **values: Any) -> dict[str, Any]:
        """Have CKAN change something, and return what it is now."""
        self._check_writable()
        return await self._ckan.object(action, **values)

    async def _do(self, action: str, **values: Any) -> None:
        """Have CKAN do something of which nothing is left to tell."""
        self._check_writable()
        await self._ckan.call(action, **values)

    def _check_writable(self) -> None:
        if not self._writable:
            raise InvalidError(f"{self._ckan.what} is only read by this endpoint.")


def _objects(result: Any) -> list[dict[str, Any]]:
    return [one for one in result if isinstance(one, dict)] if isinstance(result, list) else []


def _texts(result: Any) -> list[str]:
    return [one for one in result if isinstance(one, str)] if isinstance(result, list) else []


def _with_what_else_is_known(
    resources: tuple[Resource, ...], package: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return resources for CKAN, with what it knows of those that it has and nobody else does."""
    known = {one.get("id"): one for one in _objects(package.get("resources"))}
    return [{**known.get(one.id, {}), **translation.resource_fields(one)} for one in resources]
