"""What the user's files say: which backend is used, and where there is a login."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from rexec_jupyter.core.errors import AuthenticationError, NotConfiguredError, RexecError
from rexec_jupyter.core.logins import LoginError, Logins, normal
from rexec_jupyter.core.settings import current
from rexec_jupyter.labapp.messages import Alert


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
    """

    target: str = ""
    trouble: RexecError | None = field(default=None, compare=False)
    logins: list[str] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    changed: int = 0

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
        return cls(target, trouble, logins, alerts, _changed())


def _target() -> str:
    url = current().now().url
    if url in ("", "local"):
        return "local"
    try:
        return normal(url)
    except LoginError as error:
        raise NotConfiguredError(
            f"The address of the endpoint cannot be used: {error}.",
            hint="Correct it, or choose the backend of this computer.",
        ) from None


def _changed() -> int:
    try:
        return Logins().path.stat().st_mtime_ns
    except OSError:
        return 0
