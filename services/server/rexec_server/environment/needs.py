"""What the server needs of the environment that the user's code runs in."""

from __future__ import annotations

import hashlib
import platform
import site
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

OURS = "rexec-jupyter"
"""The distribution that this is part of."""

_IMPORTED = (
    "blake3",
    "click",
    "cloudpickle",
    "ipykernel",
    "ipython",
    "ipywidgets",
    "jupyter-client",
    "msgspec",
    "packaging",
    "psutil",
    "pyzmq",
)
"""What exec imports beside the user's code; what they need themselves is found out."""


def needs() -> dict[str, str]:
    """Return the versions that the server works with, by the packages' names.

    Whichever of them the user's own packages bring along is what the server gets to see.
    """
    ranges: dict[str, SpecifierSet] = {}
    todo = [OURS]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for requirement in _requirements(name):
            needed = canonicalize_name(requirement.name)
            if name == OURS and needed not in _IMPORTED:
                continue
            ranges[needed] = ranges.get(needed, SpecifierSet()) & requirement.specifier
            todo.append(needed)
    return {name: _written(ranges[name]) for name in sorted(ranges)}


def fingerprint(needed: dict[str, str]) -> str:
    """Name this installation: what is made for one may not fit another."""
    here = {name: _version(name) for name in (OURS, *needed)}
    parts = (sys.version, platform.machine(), platform.libc_ver(), sys.base_prefix)
    told = repr((parts, [str(place) for place in packages()], sorted(here.items()), needed))
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def packages() -> list[Path]:
    """Return the directories in which this installation's packages are."""
    return [Path(place) for place in site.getsitepackages() if Path(place).is_dir()]


def base() -> Path:
    """Return the Python that this one, if it is that of a virtual environment, is made from."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for name in (f"python{version}", "python3"):
        found = Path(sys.base_prefix, "bin", name)
        if found.exists():
            return found
    return Path(sys.executable)


def _written(versions: SpecifierSet) -> str:
    """Write a range as briefly as it can be: people get to see it."""
    least = [item for item in versions if item.operator == ">="]
    kept = {str(item) for item in versions if item.operator != ">="}
    if least:
        kept.add(str(max(least, key=lambda item: Version(item.version))))
    return ",".join(sorted(kept, reverse=True))


def _requirements(name: str) -> list[Requirement]:
    try:
        found = metadata.requires(name) or []
    except metadata.PackageNotFoundError:  # one that the image does without
        return []
    requirements = map(Requirement, found)
    return [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
