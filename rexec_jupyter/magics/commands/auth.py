"""``%rexec login`` and ``logout``: the token is asked for, never written on a line."""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path
from typing import TYPE_CHECKING

from IPython.core.error import StdinNotImplementedError, UsageError

from rexec_jupyter.core.logins import LoginError, Logins, checked, normal
from rexec_jupyter.magics.commands.command import Command, arg
from rexec_jupyter.widget.table import Facts

if TYPE_CHECKING:
    from rexec_jupyter.magics.commands.desk import Desk

_LOCAL = ("", "local")
_CANNOT_RUN = ("viewer", "none")


def _login(desk: Desk, given: argparse.Namespace) -> Facts:
    from rexec_jupyter.endpoint.verification import verify  # noqa: PLC0415 - seldom used, and heavy

    if given.words:  # it may be the token: not told again
        raise UsageError(
            "%rexec login: nothing may follow but --url and --from-file; the token is asked for"
        )
    url = _url(given.url or desk.settings.now().url)
    token = _from_file(given.from_file) if given.from_file else _asked(url)
    try:
        token = checked(token)
    except LoginError as error:
        raise UsageError(f"%rexec login: {error}") from None
    user = verify(url, token)
    logins = Logins()
    login = logins.add(url, token)
    name = user.get("username") or user.get("sub") or ""
    role = user.get("effective_role", "")
    who = f" as {name}" if name else ""
    used = normal_or_empty(desk.settings.now().url) == login.url
    notes = [] if used else [f"To connect to it: %rexec config url {login.url} --save"]
    if role in _CANNOT_RUN:
        notes.append(f"To run code there takes the role writer; yours is {role}.")
    return Facts(
        {"url": login.url, "path": str(logins.path), "user": name, "role": role},
        title=f"Logged in at {login.url}{who}. The token is kept in {logins.path}, for you alone.",
        note=" ".join(notes),
        shown={},
    )


def _url(text: str) -> str:
    if text in _LOCAL:
        raise UsageError("%rexec login: tell where: %rexec login --url https://…")
    try:
        return normal(text)
    except LoginError as error:
        raise UsageError(f"%rexec login: {error}") from None


def normal_or_empty(url: str) -> str:
    """Return an address as it is compared; "" for the embedded backend and for nonsense."""
    try:
        return "" if url in _LOCAL else normal(url)
    except LoginError:
        return ""


def _asked(url: str) -> str:
    try:
        return getpass.getpass(f"Token for {url}: ")
    except (EOFError, StdinNotImplementedError):
        raise UsageError(
            "%rexec login: nobody can be asked for the token here; "
            "write it to a file and use --from-file PATH"
        ) from None


def _from_file(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"%rexec login: {path} cannot be read: {reason}") from None


def _logout(_desk: Desk, given: argparse.Namespace) -> Facts:
    try:
        gone = Logins().remove(given.url)
    except LoginError as error:
        raise UsageError(f"%rexec logout: {error}") from None
    told = f"Logged out at {', '.join(gone)}." if gone else "There was no login."
    return Facts({"removed": gone}, title=told, shown={})


COMMANDS = (
    Command(
        "login",
        "auth",
        "keep a token for an endpoint; it is asked for, tried and never shown",
        _login,
        (
            arg("--url", default="", metavar="URL", help="the backend (default: the setting url)"),
            arg(
                "--from-file",
                default="",
                metavar="PATH",
                help="read the token from this file instead of asking for it",
            ),
            arg("words", nargs="*", help=argparse.SUPPRESS),
        ),
        detail="No secret may stand on the line: it would be saved with the notebook.",
    ),
    Command(
        "logout",
        "auth",
        "forget the token of a backend, or of all",
        _logout,
        (arg("--url", default="", metavar="URL", help="the backend (default: every one)"),),
    ),
)
