"""Run notebook cells and Python functions on remote compute as if they were local.

Everything is loaded when it is first used: importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rexec_jupyter._version import __version__

if TYPE_CHECKING:
    from rexec_jupyter._api import Executor as Executor
    from rexec_jupyter._api import Session as Session
    from rexec_jupyter._api import default_client as default_client
    from rexec_jupyter._api import run as run
    from rexec_jupyter._connect import connect as connect
    from rexec_jupyter._remote import RemoteFunction as RemoteFunction
    from rexec_jupyter._remote import remote as remote
    from rexec_jupyter.core.client import Client as Client
    from rexec_jupyter.core.errors import AuthenticationError as AuthenticationError
    from rexec_jupyter.core.errors import CaptureError as CaptureError
    from rexec_jupyter.core.errors import ConnectionLostError as ConnectionLostError
    from rexec_jupyter.core.errors import JobTimeoutError as JobTimeoutError
    from rexec_jupyter.core.errors import NestedMagicError as NestedMagicError
    from rexec_jupyter.core.errors import NoSessionError as NoSessionError
    from rexec_jupyter.core.errors import NotConfiguredError as NotConfiguredError
    from rexec_jupyter.core.errors import PullError as PullError
    from rexec_jupyter.core.errors import QuotaError as QuotaError
    from rexec_jupyter.core.errors import RemoteError as RemoteError
    from rexec_jupyter.core.errors import RemoteTraceback as RemoteTraceback
    from rexec_jupyter.core.errors import RexecError as RexecError
    from rexec_jupyter.core.errors import SessionBusyError as SessionBusyError
    from rexec_jupyter.core.errors import SessionMismatchError as SessionMismatchError
    from rexec_jupyter.core.errors import StartError as StartError
    from rexec_jupyter.core.errors import VersionMismatchError as VersionMismatchError
    from rexec_jupyter.core.errors import WorkerLostError as WorkerLostError
    from rexec_jupyter.core.job import Job as Job
    from rexec_jupyter.core.outcomes import CellResult as CellResult
    from rexec_jupyter.core.refs import RemoteRef as RemoteRef
    from rexec_jupyter.core.standing import Status as Status

_CORE = "rexec_jupyter.core"
_HOME = {
    "connect": "rexec_jupyter._connect",
    # Not from the core: there they do not know how to connect.
    "Executor": "rexec_jupyter._api",
    "Session": "rexec_jupyter._api",
    "default_client": "rexec_jupyter._api",
    "run": "rexec_jupyter._api",
    "remote": "rexec_jupyter._remote",
    "RemoteFunction": "rexec_jupyter._remote",
    "Client": f"{_CORE}.client",
    "Status": f"{_CORE}.standing",
    "Job": f"{_CORE}.job",
    "CellResult": f"{_CORE}.outcomes",
    "RemoteRef": f"{_CORE}.refs",
} | dict.fromkeys(
    (
        "AuthenticationError",
        "CaptureError",
        "ConnectionLostError",
        "JobTimeoutError",
        "NestedMagicError",
        "NoSessionError",
        "NotConfiguredError",
        "PullError",
        "QuotaError",
        "RemoteError",
        "RemoteTraceback",
        "RexecError",
        "SessionBusyError",
        "SessionMismatchError",
        "StartError",
        "VersionMismatchError",
        "WorkerLostError",
    ),
    f"{_CORE}.errors",
)

__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604 - they are strings


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


def load_ipython_extension(shell: Any) -> None:
    """Do what ``%load_ext rexec_jupyter`` asks for: define ``%%rexec`` and the rest."""
    import_module("rexec_jupyter.magics").load_ipython_extension(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Undo `load_ipython_extension`."""
    import_module("rexec_jupyter.magics").unload_ipython_extension(shell)
