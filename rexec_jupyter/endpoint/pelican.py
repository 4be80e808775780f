"""Pelican federations through the endpoint. See `federations` for those that it is not asked."""

from __future__ import annotations

from rexec_jupyter.endpoint import models as m
from rexec_jupyter.endpoint.asking import ask, explained, reach
from rexec_jupyter.endpoint.errors import InvalidError
from rexec_jupyter.endpoint.exchange import Request, Steps
from rexec_jupyter.endpoint.transport import Chunks


def list_federations() -> Steps[m.Federations]:
    """Return the federations that the endpoint knows."""
    request = Request("GET", "/pelican/federations")
    found: m.Federations = yield from ask(request, "Error listing federations")
    return found


def browse_pelican(
    path: str,
    federation: str = "osdf",
    detail: bool = False,  # noqa: FBT001, FBT002 - as it is known
) -> Steps[m.Listing]:
    """Return what a namespace holds.

    Parameters
    ----------
    path
        The namespace.
    federation
        Its federation.
    detail
        Whether sizes and times are told too.
    """
    query = {"path": path, "federation": federation, "detail": _switch(detail)}
    request = Request("GET", "/pelican/browse", query)
    missing = f"Path not found: {path}"
    found: m.Listing = yield from ask(request, "Error browsing Pelican", missing=missing)
    return found


def get_pelican_info(path: str, federation: str = "osdf") -> Steps[m.FileInfo]:
    """Return what is known of a file.

    Parameters
    ----------
    path
        The file.
    federation
        Its federation.
    """
    request = Request("GET", "/pelican/info", {"path": path, "federation": federation})
    missing = f"File not found: {path}"
    found: m.FileInfo = yield from ask(request, "Error getting Pelican info", missing=missing)
    return found


def download_pelican(
    path: str,
    federation: str = "osdf",
    stream: bool = False,  # noqa: FBT001, FBT002 - as it is known
) -> Steps[bytes | Chunks]:
    """Return the content of a file.

    Parameters
    ----------
    path
        The file.
    federation
        Its federation.
    stream
        Whether to return it in pieces, as they come.
    """
    failing = "Error downloading from Pelican"
    query = {"path": path, "federation": federation, "stream": _switch(stream)}
    request = Request("GET", "/pelican/download", query, streamed=stream, slow=True)
    answer = yield from reach(request, failing)
    if not answer.ok:
        raise explained(answer, failing)
    return answer.content if answer.chunks is None else answer.chunks


def import_pelican_metadata(
    pelican_url: str,
    package_id: str,
    resource_name: str | None = None,
    resource_description: str | None = None,
) -> Steps[m.ImportedResource]:
    """Add a file to a dataset as a resource.

    Parameters
    ----------
    pelican_url
        The file: ``pelican://federation/path``.
    package_id
        Id or name of the dataset.
    resource_name, resource_description
        Of the resource; taken from the file if None.
    """
    if not pelican_url.startswith("pelican://"):
        raise InvalidError("URL must start with pelican://", hint=f"It is {pelican_url!r}.")
    given = {"resource_name": resource_name, "resource_description": resource_description}
    data = {"pelican_url": pelican_url, "package_id": package_id}
    data |= {name: text for name, text in given.items() if text is not None}
    request = Request("POST", "/pelican/import-metadata", json=data)
    made: m.ImportedResource = yield from ask(request, "Error importing Pelican metadata")
    return made


def _switch(value: bool) -> str:  # noqa: FBT001 - it is what is written
    return "true" if value else "false"
