"""The options line of ``%%rexec``: its grammar, its help and its complaints."""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from IPython.core.error import UsageError

_SESSION_SETTINGS = frozenset(
    ("--cpu", "--mem", "--gpu", "--image", "--requirements", "--idle-timeout", "--profile")
)
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([smhd]?)", re.ASCII)

_DESCRIPTION = """\
Run the cell in a session on the server as if it ran here. Local variables that the code
mentions go along by themselves; what it assigns stays in the session for the next cell.
The last expression is the cell's result, and the stop button stops the code."""
_EPILOG = """\
NAMES are separated by commas, and the option may be repeated: -i a,b -i c. A value with
spaces needs quotes. {expression} and $name are filled in on this line, never in the code."""


@dataclass(frozen=True, slots=True)
class CellOptions:
    """What the options line asks for.

    Attributes
    ----------
    session
        Where to run; empty means the active session.
    send
        Local names to send whatever the session holds, by their remote name.
    fetch
        Remote names to bring back, by the local name they get.
    label
        For people; empty means the first line of code.
    quiet
        Show no status line.
    timeout
        Seconds the code may run, or None.
    block
        Wait for the end.
    help
        Show the help instead of running anything.
    """

    session: str = ""
    send: dict[str, str] = field(default_factory=dict)
    fetch: dict[str, str] = field(default_factory=dict)
    label: str = ""
    quiet: bool = False
    timeout: float | None = None
    block: bool = True
    help: bool = False


def parse(line: str) -> CellOptions:
    """Read an options line.

    Raises
    ------
    UsageError
        In one line, whatever is wrong with it.
    """
    found, strays = _parser.parse_known_args(_words(line))
    if strays and strays != ["--"]:
        raise UsageError(_complaint(strays[0]))
    return CellOptions(
        session=found.session or "",
        send=found.send,
        fetch=found.fetch,
        label=found.name,
        quiet=found.quiet,
        timeout=found.timeout,
        block=not found.noblock,
        help=found.help,
    )


def usage() -> str:
    """Return the help text that ``%%rexec?`` shows."""
    return _parser.format_help()


def nearest(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" with the known word most like this one, or nothing."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]}?" if matches else ""


def duration(text: str) -> float:
    """Return the seconds in ``30``, ``30s``, ``5m``, ``2h`` or ``1d``.

    Raises
    ------
    ValueError
        If it is none of these, or not more than 0.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or not float(match[1]):
        raise ValueError(text)
    return float(match[1]) * _UNITS[match[2]]


class _Parser(argparse.ArgumentParser):
    """Complains in one line, and never ends the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"%%rexec: {message}")


class _Names(argparse.Action):
    """Collects names from repeated, comma-separated lists, with renames."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        names = dict(getattr(namespace, self.dest))
        for item in str(values).split(","):
            target, renamed, source = (part.strip() for part in item.partition("="))
            source = source if renamed else target
            for name in (target, source):
                if not name.isidentifier():
                    parser.error(f"{option_string}: {name!r} is no name of a variable")
            names[target] = source
        setattr(namespace, self.dest, names)


def _seconds(text: str) -> float:
    try:
        return duration(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no duration; write 30, 30s, 5m or 2h"
        ) from None


def _session(text: str) -> str:
    if not 1 <= len(text) <= 64:
        raise argparse.ArgumentTypeError("the name of a session has 1 to 64 characters")
    return text


def _build() -> _Parser:
    parser = _Parser(
        prog="%%rexec",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        add_help=False,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        *("-s", "--session"),
        metavar="NAME",
        type=_session,
        help="run in this session, which has variables of its own (default: the active session)",
    )
    add(
        *("-i", "--in"),
        dest="send",
        metavar="NAMES",
        action=_Names,
        default={},
        help="send these local variables, even if the session has its own; remote=local renames",
    )
    add(
        *("-o", "--out"),
        dest="fetch",
        metavar="NAMES",
        action=_Names,
        default={},
        help="afterwards bring these remote variables here; local=remote renames",
    )
    add(
        *("-n", "--name"),
        metavar="LABEL",
        default="",
        help="what to call the cell in lists (default: its first line of code)",
    )
    add(
        *("-t", "--timeout"),
        metavar="TIME",
        type=_seconds,
        help="stop the code after this time: 30, 30s, 5m, 2h (default: no limit)",
    )
    add("-q", "--quiet", action="store_true", help="show no status line")
    add(
        *("-a", "--noblock", "--bg"),
        action="store_true",
        help="do not wait: the result is a job, and output keeps coming below the cell",
    )
    add(
        *("-b", "--block"),
        dest="noblock",
        action="store_false",
        default=False,
        help="wait for the end (default)",
    )
    add("-h", "--help", action="store_true", help="show this help and run nothing")
    return parser


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        raise UsageError("%%rexec: a quotation mark is not closed on the options line") from None


def _complaint(word: str) -> str:
    name = word.partition("=")[0]
    if name == "--":
        return "%%rexec: nothing may follow the options; the code begins on the next line"
    if name in _SESSION_SETTINGS or name == "-p":
        return (
            f"%%rexec: {name} is a setting of the session, fixed when it starts, "
            "and cannot be given for a cell"
        )
    if word.startswith("-") and word != "-":
        known = [option for action in _parser._actions for option in action.option_strings]  # noqa: SLF001 - argparse has no public list
        return f"%%rexec: unknown option {name}{nearest(name, known)}"
    return (
        f"%%rexec: unexpected {word!r}; code begins on the next line, "
        "and names in a list are separated by commas"
    )


_parser = _build()
