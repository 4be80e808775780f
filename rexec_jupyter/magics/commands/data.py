"""``%rexec push``, ``pull``, ``who``, ``whos``, ``del``, ``reset``, ``put``, ``get`` and ``ls``."""

from __future__ import annotations

import argparse
import shlex
import textwrap
import time
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from rexec_jupyter import reports
from rexec_jupyter.core.defaults import session_name
from rexec_jupyter.magics.commands.command import Command, arg, names
from rexec_jupyter.magics.commands.progress import Transfer, speed
from rexec_jupyter.magics.grammar import typed
from rexec_jupyter.widget.status import duration, size
from rexec_jupyter.widget.table import Column, Facts, Table, paragraph

if TYPE_CHECKING:
    from rexec_jupyter.magics.commands.desk import Desk

_WIDTH = 79


def _push(desk: Desk, given: argparse.Namespace) -> Facts:
    wanted = names(given.names)
    name = given.session or desk.active
    began = time.monotonic()
    nbytes = desk.push(name, wanted)
    facts = {"session": name, "names": list(wanted), "nbytes": nbytes}
    return _moved("Pushed", "to", facts, time.monotonic() - began)


def _pull(desk: Desk, given: argparse.Namespace) -> Facts:
    wanted = names(given.names)
    name = given.session or desk.active
    began = time.monotonic()
    values, nbytes = desk.pull(name, list(dict.fromkeys(wanted.values())))
    desk.assign({here: values[there] for here, there in wanted.items()})
    facts = {"session": name, "names": list(wanted), "nbytes": nbytes}
    return _moved("Pulled", "from", facts, time.monotonic() - began)


def _moved(verb: str, way: str, facts: dict[str, object], seconds: float) -> Facts:
    moved = facts["names"]
    nbytes = facts["nbytes"]
    assert isinstance(moved, list)  # noqa: S101 - for mypy
    assert isinstance(nbytes, int)  # noqa: S101 - for mypy
    told = f"{verb} {', '.join(moved)} {way} session {facts['session']}"
    told += f" ({size(nbytes)}, {duration(seconds)}{speed(nbytes, seconds)})."
    return Facts({**facts, "seconds": round(seconds, 3)}, title=told, shown={})


def _who(desk: Desk, given: argparse.Namespace) -> Table:
    table = _whos(desk, given)
    table.columns = [Column("name", "name")]
    return Names(table)


class Names(Table):
    """The names alone, as ``%who`` shows them."""

    def __init__(self, table: Table) -> None:
        super().__init__(table, table.columns, empty=table.empty, note=table.note)

    def _line(self) -> str:
        return "  ".join(row["name"] for row in self) or self.empty

    def __repr__(self) -> str:
        line = textwrap.fill(self._line(), _WIDTH, break_long_words=False, break_on_hyphens=False)
        return "\n".join(filter(None, (line, self.note)))

    def _repr_html_(self) -> str:
        names = paragraph(self._line(), main=True)
        return names + (paragraph(self.note) if self.note else "")


def _whos(desk: Desk, given: argparse.Namespace) -> Table:
    name = given.name or desk.active
    listing, note = desk.listing(name)
    table = reports.names(listing, name)
    if not listing and note:
        table.empty = f"Session {name} is busy, and what it had before is not known here."
    else:
        table.note = note
    return table


def _del(desk: Desk, given: argparse.Namespace) -> Facts:
    wanted = list(names(given.names))
    name = given.session or desk.active
    try:
        desk.session(name).delete(*wanted)
    except NameError as error:
        raise UsageError(f"%rexec del: {error}") from None
    desk.forget(name, wanted)
    told = f"Deleted in session {name}: {', '.join(wanted)}."
    return Facts({"session": name, "names": wanted}, title=told, shown={})


def _reset(desk: Desk, given: argparse.Namespace) -> Facts:
    name = given.name or desk.active
    info = desk.info(name)
    if info is None or info.state == "stopped":
        return Facts({"session": name}, title=f"Session {name} has no variables.", shown={})
    if not given.force and (losses := desk.losses(name, info)):
        raise UsageError(
            f"%rexec reset: session {name} would lose {losses}; "
            f"%rexec reset {shlex.quote(name)} -f does it all the same"
        )
    desk.session(name).reset(if_busy="interrupt")
    desk.lost(name)
    return Facts(
        {"session": name},
        title=f"Session {name} has no variables any more; its interpreter goes on.",
        shown={},
    )


def _put(desk: Desk, given: argparse.Namespace) -> Facts:
    with Transfer(desk.surface(), "put", given.src) as transfer:
        target = desk.session(given.session).put(
            given.src, given.dst or None, progress=transfer.moved, on_wait=transfer.waits
        )
    return transfer.report(f"{given.src} is {target} there now", source=given.src, target=target)


def _get(desk: Desk, given: argparse.Namespace) -> Facts:
    with Transfer(desk.surface(), "get", given.src) as transfer:
        target = desk.session(given.session).get(
            given.src, given.dst or None, progress=transfer.moved, on_wait=transfer.waits
        )
    return transfer.report(
        f"{given.src} is {target} here now", source=given.src, target=str(target)
    )


def _ls(desk: Desk, given: argparse.Namespace) -> Table:
    return reports.files(
        (entry._asdict() for entry in desk.session(given.session).ls(given.path)), given.path
    )


_SESSION = arg(
    *("-s", "--session"),
    type=typed(session_name),
    metavar="NAME",
    help="the session (default: the active one)",
)
_NAME = arg(
    "name",
    nargs="?",
    type=typed(session_name),
    metavar="NAME",
    help="the session (default: the active one)",
)

COMMANDS = (
    Command(
        "push",
        "data",
        "set variables of a session to values of this notebook",
        _push,
        (arg("names", nargs="+", metavar="NAMES", help="remote=local renames"), _SESSION),
        completes="local",
    ),
    Command(
        "pull",
        "data",
        "bring variables of a session here: all of them, or none",
        _pull,
        (arg("names", nargs="+", metavar="NAMES", help="local=remote renames"), _SESSION),
        completes="remote",
    ),
    Command("who", "data", "list the variables of a session", _who, (_NAME,), completes="session"),
    Command(
        "whos",
        "data",
        "list the variables of a session with their types and sizes",
        _whos,
        (_NAME,),
        completes="session",
    ),
    Command(
        "del",
        "data",
        "delete variables of a session: all of them, or none",
        _del,
        (arg("names", nargs="+", metavar="NAMES", help="what to delete"), _SESSION),
        completes="remote",
    ),
    Command(
        "reset",
        "data",
        "delete all variables of a session; its interpreter goes on",
        _reset,
        (
            _NAME,
            arg("-f", "--force", action="store_true", help="even if something would be lost"),
        ),
        completes="session",
    ),
    Command(
        "put",
        "data",
        "copy a file of this computer to the server",
        _put,
        (
            arg("src", metavar="SRC", help="file here"),
            arg("dst", nargs="?", default="", metavar="DST", help="file or directory there"),
            _SESSION,
        ),
        completes="path",
    ),
    Command(
        "get",
        "data",
        "copy a file of the server to this computer",
        _get,
        (
            arg("src", metavar="SRC", help="file there"),
            arg("dst", nargs="?", default="", metavar="DST", help="file or directory here"),
            _SESSION,
        ),
    ),
    Command(
        "ls",
        "data",
        "list a directory of the server",
        _ls,
        (
            arg("path", nargs="?", default=".", metavar="PATH", help="the directory"),
            _SESSION,
        ),
    ),
)
