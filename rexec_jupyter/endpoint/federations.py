"""Pelican federations read by this process, without the endpoint.

Needs the package ``pelicanfs``: ``pip install rexec-jupyter[pelican]``.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from rexec_jupyter.endpoint.errors import (
    ConflictError,
    EndpointError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)

FEDERATIONS = {"osdf": "pelican://osg-htc.org", "path-cc": "pelican://path-cc.io"}
"""Federations by the names that people use."""
_SCHEME = "pelican"


def pelican_read(reference: str, federation: str = "osdf") -> bytes:
    """Return the content of an object.

    Parameters
    ----------
    reference
        The object: a path, ``osdf/path``, ``osdf://path`` or ``pelican://federation/path``.
    federation
        Where it is if `reference` does not tell: a name, or ``pelican://federation``.
    """
    place, path = split(reference, federation)
    filesystem = _filesystem(place)
    try:
        content = filesystem.cat_file(path)
    except Exception as error:
        raise _failed(error, "reading", place, path) from error
    return bytes(content)


def pelican_list(
    reference: str,
    federation: str = "osdf",
    detail: bool = False,  # noqa: FBT001, FBT002 - as it is known
) -> list[str] | list[dict[str, Any]]:
    """Return the objects of a namespace.

    Parameters
    ----------
    reference, federation
        The namespace, as for `pelican_read`.
    detail
        Whether to return a dictionary for each, with size and type, in place of its path.
    """
    place, path = split(reference, federation)
    filesystem = _filesystem(place)
    try:
        found: list[str] | list[dict[str, Any]] = filesystem.ls(path, detail=detail)
    except Exception as error:
        raise _failed(error, "listing", place, path) from error
    return found


def pelican_fetch(
    reference: str,
    destination: str | Path,
    federation: str = "osdf",
    overwrite: bool = False,  # noqa: FBT001, FBT002 - as it is known
) -> Path:
    """Copy an object to a file, and return the file's path.

    Parameters
    ----------
    reference, federation
        The object, as for `pelican_read`.
    destination
        The file, or a folder in which it is to have the object's name. What ends in a slash
        is a folder; folders that are missing are made.
    overwrite
        Whether the file may exist.
    """
    place, path = split(reference, federation)
    target = _target(destination, path)
    if target.exists() and not overwrite:
        raise ConflictError(
            f"Destination already exists: {target}.", hint="Pass overwrite=True to replace it."
        )
    filesystem = _filesystem(place)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        filesystem.get_file(path, str(target))
    except Exception as error:
        raise _failed(error, "downloading", place, path) from error
    return target


def split(reference: str, federation: str) -> tuple[str, str]:
    """Return the address of a federation and the path in it."""
    text = reference.strip()
    if not text:
        raise InvalidError("Pelican reference must be a non-empty string.")
    scheme, separator, rest = text.partition("://")
    if not separator:
        first, _, below = text.lstrip("/").partition("/")
        if first.lower() in FEDERATIONS:
            return FEDERATIONS[first.lower()], _clean(below)
        return _address(federation), _clean(text)
    if not rest.strip("/"):
        raise InvalidError(f"Pelican reference '{reference}' has no object path.")
    if scheme.lower() == _SCHEME:
        host, _, path = rest.partition("/")
        if not host:
            raise InvalidError(f"Pelican reference '{reference}' is missing the federation host.")
        return f"{_SCHEME}://{host}", _clean(path)
    if scheme.lower() in FEDERATIONS:
        return FEDERATIONS[scheme.lower()], _clean(rest)
    raise InvalidError(
        f"Unsupported scheme '{scheme}://' in Pelican reference '{reference}'.",
        hint="Use 'pelican://<host>/<path>', 'osdf://<path>', or a bare namespace path.",
    )


def _address(federation: str) -> str:
    name = (federation or "").strip()
    if name in FEDERATIONS:
        return FEDERATIONS[name]
    if name.startswith(f"{_SCHEME}://"):
        return name.rstrip("/")
    known = ", ".join(sorted(FEDERATIONS))
    raise InvalidError(
        f"Unknown federation '{federation}'. Known aliases: {known}.",
        hint="Or pass a full 'pelican://<host>' URL.",
    )


def _clean(path: str) -> str:
    return "/" + "/".join(filter(None, path.split("/")))


def _target(destination: str | Path, path: str) -> Path:
    target = Path(destination)
    if not (target.is_dir() or str(destination).endswith(("/", os.sep))):
        return target
    name = path.rsplit("/", 1)[-1]
    if name in ("", ".", ".."):
        raise InvalidError(
            f"Cannot derive a file name from reference path '{path}'.",
            hint="Give an explicit destination file.",
        )
    return target / name


@cache
def _filesystem(federation: str) -> Any:
    try:
        module = import_module("pelicanfs")  # an extra, and heavy
    except ImportError:
        raise UnavailableError(
            "pelicanfs is not installed.",
            hint="Install it with 'pip install rexec-jupyter[pelican]' to read Pelican objects "
            "directly.",
        ) from None
    return module.PelicanFileSystem(federation)


def _failed(error: Exception, doing: str, place: str, path: str) -> EndpointError:
    if isinstance(error, FileNotFoundError):
        what = "Namespace" if doing == "listing" else "Object"
        return NotFoundError(f"{what} not found in {place}: {path}")
    between = "in" if doing == "listing" else "from"
    return UnavailableError(f"Error {doing} {path} {between} {place}: {error}")
