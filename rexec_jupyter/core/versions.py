"""Versions of Python as far as they matter: code objects differ between minor ones."""

from __future__ import annotations

import sys


def minor(version: str) -> str:
    """Return a version of Python without its last number, such as ``3.11``."""
    return ".".join(version.split(".", 2)[:2])


PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""This Python's version, as in `protocol.Submit`."""
