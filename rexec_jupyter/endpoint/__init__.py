"""Endpoints: their catalogs, their storage, and the remote execution that they lead to.

Everything is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rexec_jupyter.endpoint.client import APIClient as APIClient
    from rexec_jupyter.endpoint.client import AsyncEndpointClient as AsyncEndpointClient
    from rexec_jupyter.endpoint.client import EndpointClient as EndpointClient
    from rexec_jupyter.endpoint.errors import EndpointError as EndpointError

_HOME = {
    "APIClient": "rexec_jupyter.endpoint.client",
    "AsyncEndpointClient": "rexec_jupyter.endpoint.client",
    "EndpointClient": "rexec_jupyter.endpoint.client",
    "EndpointError": "rexec_jupyter.endpoint.errors",
}

__all__ = ["APIClient", "AsyncEndpointClient", "EndpointClient", "EndpointError"]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
