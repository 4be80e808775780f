"""``%rexec login`` and ``logout``: the token is asked for, never written on a line."""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path
from typing import TYPE_CHECKING

from IPython.core.error import StdinNotImplementedError, UsageError

from rexec_jupyter.core.logins import LoginError, Logins, normal
from rexec_jupyter.magics.commands.command import Command, arg
from rexec_jupyter.widget.table import Facts

if TYPE_CHECKING:
    from rexec_jupyter.magics.commands.desk import Desk

_LOCAL = ("", "local")


def _login(desk: Desk, given: argparse.Namespace) -> Facts:
    if given.words:  # it may be the token: not told again
        raise UsageError(
            "%rexec login: nothing may follow but --url and --from-file; the token is asked for"
        )
    url = _url(given.url or desk.settings.now().url)
    token = _from_file(given.from_file) if given.from_file else _asked(url)
    logins = Logins()
    try:
        login = logins.add(url, token)
    except LoginError as error:
        raise UsageError(f"%rexec login: {error}") from None
    used = normal_or_empty(desk.settings.now().url) == login.url
    how = "" if used else f"To connect to it: %rexec config url {login.url} --save"
    return Facts(
        {"url": login.url, "path": str(logins.path)},
        title=f"Logged in at {login.url}. The token is kept in {logins.path}, for you alone.",
        note=how,
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
        "keep a token for a backend; it is asked for and never shown",
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
