"""Organizations, datasets and resources: what is asked of the catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rexec_jupyter.endpoint import models as m
from rexec_jupyter.endpoint.asking import NOT_FOUND, ask, segment, written
from rexec_jupyter.endpoint.errors import InvalidError
from rexec_jupyter.endpoint.exchange import Method, Request, Steps

Data = Mapping[str, Any]

# ----------------------------------------------------------------------- organizations


def list_organizations(name: str | None = None, server: str = "global") -> Steps[list[str]]:
    """Return the names of organizations.

    Parameters
    ----------
    name
        Only those with this in their names.
    server
        The catalog: ``local``, ``global`` or ``pre_ckan``.
    """
    request = Request("GET", "/organization", _at(server, name=name or None))
    found: list[str] = yield from ask(request, "Error listing organizations", kind=list)
    return found


def register_organization(data: Data, server: str = "local") -> Steps[m.OrganizationCreated]:
    """Make an organization.

    Parameters
    ----------
    data
        Its ``name`` and ``title``, and maybe a ``description``.
    server
        The catalog: ``local`` or ``pre_ckan``.
    """
    failing = "Error creating organization"
    known = {
        "Group name already exists in database": f"{failing}: Organization name already exists"
    }
    request = Request("POST", "/organization", _at(server), json=data)
    made: m.OrganizationCreated = yield from ask(request, failing, known)
    return made


def delete_organization(organization_name: str, server: str = "local") -> Steps[m.Message]:
    """Delete an organization with all its datasets.

    Parameters
    ----------
    organization_name
        Its name.
    server
        The catalog.
    """
    failing = "Error deleting organization"
    known = {"Organization not found": f"{failing}: Not found"}
    request = Request("DELETE", f"/organization/{segment(organization_name)}", _at(server))
    done: m.Message = yield from ask(request, failing, known)
    return done


# ----------------------------------------------------------------------------- datasets


def register_general_dataset(data: Data, server: str = "local") -> Steps[m.DatasetCreated]:
    """Make a dataset.

    Parameters
    ----------
    data
        Its ``name``, ``title`` and ``owner_org``; and what there is of ``notes``, ``tags``,
        ``groups``, ``extras``, ``resources``, ``private``, ``license_id`` and ``version``.
    server
        The catalog: ``local`` or ``pre_ckan``.
    """
    failing = "Error creating dataset"
    known = {
        "Server is not configured": f"{failing}: Server is not configured or unreachable",
        "Duplicate Dataset": f"{failing}: A dataset with the given name already exists",
    }
    request = Request("POST", "/dataset", _at(server), json=data)
    made: m.DatasetCreated = yield from ask(request, failing, known)
    return made


def update_general_dataset(dataset_id: str, data: Data, server: str = "local") -> Steps[m.Message]:
    """Change a dataset: what is given replaces what it had, extras are merged.

    Parameters
    ----------
    dataset_id
        Its id or name.
    data
        As for `register_general_dataset`, all of it optional.
    server
        The catalog.
    """
    return (yield from _change_dataset("PUT", dataset_id, data, server))


def patch_general_dataset(dataset_id: str, data: Data, server: str = "local") -> Steps[m.Message]:
    """Change a dataset: resources are added, or changed if they have the same URL or name.

    Parameters
    ----------
    dataset_id
        Its id or name.
    data
        As for `register_general_dataset`, all of it optional.
    server
        The catalog.
    """
    return (yield from _change_dataset("PATCH", dataset_id, data, server))


def _change_dataset(method: Method, dataset: str, data: Data, server: str) -> Steps[m.Message]:
    failing = "Error updating dataset"
    known = {"Dataset not found": f"{failing}: Not found"}
    request = Request(method, f"/dataset/{segment(dataset)}", _at(server), json=data)
    done: m.Message = yield from ask(request, failing, known)
    return done


def get_dataset(dataset_id: str, server: str = "local") -> Steps[m.Dataset]:
    """Return a dataset. Not every endpoint can: others are only searched.

    Parameters
    ----------
    dataset_id
        Its id or name.
    server
        The catalog.
    """
    missing = f"Dataset {dataset_id!r} not found"
    request = Request("GET", f"/dataset/{segment(dataset_id)}", _at(server))
    found: m.Dataset = yield from ask(request, "Error getting dataset", missing=missing)
    return found


def publish_dataset(dataset_id: str) -> Steps[m.DatasetCreated]:
    """Submit a dataset of the local catalog to the catalog that others see.

    Parameters
    ----------
    dataset_id
        Its id or name.
    """
    failing = "Error publishing dataset"
    known = {"Dataset not found": f"{failing}: Not found"}
    request = Request("POST", f"/dataset/{segment(dataset_id)}/publish")
    made: m.DatasetCreated = yield from ask(request, failing, known)
    return made


# --------------------------------------------------------------------------------- search


def search_datasets(
    terms: Sequence[str], keys: Sequence[str | None] | None = None, server: str = "global"
) -> Steps[list[m.Dataset]]:
    """Return the datasets in which all terms occur.

    Parameters
    ----------
    terms
        What to look for, in capitals or not; text alone is one term.
    keys
        For each term the field it must be in; None for any.
    server
        The catalog: ``local`` or ``global``.
    """
    return (yield from datasets_page(terms, keys, server))


def datasets_page(
    terms: Sequence[str],
    keys: Sequence[str | None] | None = None,
    server: str = "global",
    *,
    limit: int | None = None,
    offset: int | None = None,
) -> Steps[list[m.Dataset]]:
    """Return some of the datasets that `search_datasets` finds; all if there is no limit."""
    terms = [terms] if isinstance(terms, str) else list(terms)
    if keys is not None and len(keys) != len(terms):
        raise InvalidError(
            "The number of terms must match the number of keys, or keys must be omitted.",
            hint=f"There are {len(terms)} terms and {len(keys)} keys.",
        )
    named = ["null" if key is None else key for key in keys] if keys else None
    query = _at(server, terms=terms, keys=named, limit=limit, offset=offset)
    request = Request("GET", "/search", query)
    found: list[m.Dataset] = yield from ask(request, "Error searching for datasets", kind=list)
    return found


def advanced_search(search_data: Data) -> Steps[list[m.Dataset]]:
    """Return the datasets that have all that is asked for.

    Parameters
    ----------
    search_data
        Any of ``dataset_name``, ``dataset_title``, ``owner_org``, ``resource_url``,
        ``resource_name``, ``dataset_description``, ``resource_description``,
        ``resource_format``, ``search_term``, ``filter_list``, ``timestamp`` and ``server``.
    """
    request = Request("POST", "/search", json=search_data, repeatable=True)
    found: list[m.Dataset] = yield from ask(request, "Error in advanced search", kind=list)
    return found


def search_resources(
    q: str | None = None,
    name: str | None = None,
    url: str | None = None,
    format: str | None = None,  # noqa: A002 - as it is known
    description: str | None = None,
    limit: int = 100,
    offset: int = 0,
    server: str = "local",
) -> Steps[m.ResourceSearch]:
    """Return resources, and how many there are in all.

    Parameters
    ----------
    q
        What occurs in their name, URL or description.
    name, url, description
        What occurs there.
    format
        What it is.
    limit, offset
        How many to return, and how many to leave out before.
    server
        The catalog.
    """
    given = {"q": q, "name": name, "url": url, "format": format, "description": description}
    query = _at(server, limit=limit, offset=offset, **given)
    request = Request("GET", "/resources/search", query)
    found: m.ResourceSearch = yield from ask(request, "Error searching resources")
    return found


# ------------------------------------------------------------------------------ resources


def get_resource(resource_id: str, server: str = "local") -> Steps[m.Resource]:
    """Return a resource.

    Parameters
    ----------
    resource_id
        Its id.
    server
        The catalog.
    """
    request = Request("GET", f"/resource/{segment(resource_id)}", _at(server))
    found: m.Resource = yield from _of_resource(request, resource_id, "Error getting resource")
    return found


def patch_resource(
    resource_id: str,
    name: str | None = None,
    url: str | None = None,
    description: str | None = None,
    format: str | None = None,  # noqa: A002 - as it is known
    server: str = "local",
) -> Steps[m.Resource]:
    """Change a resource; what is None stays.

    Parameters
    ----------
    resource_id
        Its id.
    name, url, description, format
        What it is to have.
    server
        The catalog.
    """
    given = {"name": name, "url": url, "description": description, "format": format}
    data = {field: value for field, value in given.items() if value is not None}
    request = Request("PATCH", f"/resource/{segment(resource_id)}", _at(server), json=data)
    found: m.Resource = yield from _of_resource(request, resource_id, "Error updating resource")
    return found


def delete_resource(resource_id: str, server: str = "local") -> Steps[m.Message]:
    """Delete a resource.

    Parameters
    ----------
    resource_id
        Its id. Endpoints also take the id or name of a dataset, and delete that.
    server
        The catalog.
    """
    request = Request("DELETE", f"/resource/{segment(resource_id)}", _at(server))
    done: m.Message = yield from _of_resource(request, resource_id, "Error deleting resource")
    return done


def _of_resource(request: Request, resource: str, failing: str) -> Steps[Any]:
    return (yield from ask(request, failing, {NOT_FOUND: f"Resource '{resource}' not found"}))


def delete_resource_by_id(resource_id: str, server: str = "local") -> Steps[m.Message]:
    """Delete a dataset with all its resources.

    Parameters
    ----------
    resource_id
        Id or name of the dataset, whatever the parameter is called.
    server
        The catalog.
    """
    request = Request("DELETE", "/resource", _at(server, resource_id=resource_id))
    return (yield from _delete_by(request))


def delete_resource_by_name(resource_name: str, server: str = "local") -> Steps[m.Message]:
    """Delete a dataset with all its resources.

    Parameters
    ----------
    resource_name
        Name of the dataset, whatever the parameter is called.
    server
        The catalog.
    """
    request = Request("DELETE", f"/resource/{segment(resource_name)}", _at(server))
    return (yield from _delete_by(request))


def _delete_by(request: Request) -> Steps[m.Message]:
    failing = "Error deleting resource"
    known = {"Resource not found": f"{failing}: Not found"}
    done: m.Message = yield from ask(request, failing, known)
    return done


def patch_dataset_resource(
    dataset_id: str, resource_id: str, data: Data, server: str = "local"
) -> Steps[m.Resource]:
    """Change a resource of a dataset.

    Parameters
    ----------
    dataset_id, resource_id
        Their ids.
    data
        Any of ``name``, ``url``, ``description`` and ``format``.
    server
        The catalog.
    """
    failing = "Error updating resource"
    path = f"/dataset/{segment(dataset_id)}/resource/{segment(resource_id)}"
    request = Request("PATCH", path, _at(server), json=data)
    found: m.Resource = yield from ask(request, failing, {NOT_FOUND: f"{failing}: Not found"})
    return found


def delete_dataset_resource(
    dataset_id: str, resource_id: str, server: str = "local"
) -> Steps[m.Message]:
    """Delete a resource of a dataset.

    Parameters
    ----------
    dataset_id, resource_id
        Their ids.
    server
        The catalog.
    """
    failing = "Error deleting resource"
    path = f"/dataset/{segment(dataset_id)}/resource/{segment(resource_id)}"
    request = Request("DELETE", path, _at(server))
    done: m.Message = yield from ask(request, failing, {NOT_FOUND: f"{failing}: Not found"})
    return done


def _at(server: str, /, **others: Any) -> dict[str, Any]:
    return {"server": written(server), **others}
