"""What files of the user say: which backend is used, where, and where there is a login."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from rexec_jupyter.core.errors import AuthenticationError, RexecError
from rexec_jupyter.core.kernels import LOCAL, UNUSABLE, kernels
from rexec_jupyter.core.logins import Logins, endpoint_address
from rexec_jupyter.core.settings import current
from rexec_jupyter.labapp.messages import Alert, Elsewhere


@dataclass(frozen=True)
class Files:
    """What they say at a moment.

    Attributes
    ----------
    target
        Address of the endpoint that the settings name, or ``local``; empty if that is none.
    trouble
        Why it is empty.
    logins
        Endpoints for which there is a token.
    alerts
        What is wrong with the file of logins.
    changed
        When that was changed last.
    elsewhere
        Kernels that use another backend.
    """

    target: str = ""
    trouble: RexecError | None = field(default=None, compare=False)
    logins: list[str] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    changed: int = 0
    elsewhere: list[Elsewhere] = field(default_factory=list, compare=False)

    @classmethod
    def read(cls) -> Self:
        """Read them. They are small, and read again only where they changed."""
        target, trouble = "", None
        try:
            target = _target()
        except RexecError as error:
            trouble = error
        logins, alerts = [], []
        try:
            logins = sorted(login.url for login in Logins().all())
        except AuthenticationError as error:
            alerts.append(
                Alert(key="logins", cause=error.message, hint=error.hint, code=error.code)
            )
        return cls(target, trouble, logins, alerts, _changed(), _elsewhere(target))


def _target() -> str:
    url = current().now().url
    return LOCAL if url in ("", LOCAL) else endpoint_address(url)


def _elsewhere(target: str) -> list[Elsewhere]:
    shown = target or UNUSABLE
    return [
        Elsewhere(kernel=kernel.id, url="" if backend == UNUSABLE else backend)
        for kernel in kernels()
        if (backend := kernel.backend) != shown
    ]


def _changed() -> int:
    try:
        return Logins().path.stat().st_mtime_ns
    except OSError:
        return 0
