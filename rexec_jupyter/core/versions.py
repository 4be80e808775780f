"""Versions of Python as far as they matter: code objects differ between minor ones."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import metadata, util


def minor(version: str) -> str:
    """Return a version of Python without its last number, such as ``3.11``."""
    return ".".join(version.split(".", 2)[:2])


PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""This Python's version, as in `protocol.Submit`."""


def installed(packages: Iterable[str]) -> dict[str, str | None]:
    """Return the versions of packages here: "" if it has none that is known, None if missing."""
    return {package: _version(package) for package in packages}


def _version(package: str) -> str | None:
    version = getattr(sys.modules.get(package), "__version__", None)
    if isinstance(version, str):
        return version
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        pass
    try:
        known = package in sys.modules or util.find_spec(package) is not None
    except (ImportError, ValueError):
        known = False
    return "" if known else None
