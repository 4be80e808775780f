"""The options line of ``%%rexec``: what it can say, its help and its complaints."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from IPython.core.error import UsageError

from rexec_jupyter.core import defaults as d
from rexec_jupyter.core.defaults import SETTINGS, Defaults
from rexec_jupyter.magics.grammar import (
    Environment,
    Formatter,
    Names,
    Parser,
    PlainNames,
    identifier,
    refuse_secrets,
    split,
    typed,
    unknown_option,
)
from rexec_jupyter.magics.secrets import looks_secret

_MAGIC = "%%rexec"
_SESSION_SETTINGS = {
    "--cpu": "4",
    "--mem": "8G",
    "--gpu": "1",
    "--image": "IMAGE",
    "--requirements": "FILE",
    "--idle-timeout": "2h",
    "--orphan-timeout": "2h",
    "--max-lifetime": "8h",
}

_DESCRIPTION = """\
Run the cell in a session on the server as if it ran here. Local variables that the code
mentions go along by themselves; what it assigns stays in the session for the next cell.
The last expression is the cell's result, and the stop button stops the code."""
_EPILOG = """\
NAMES are separated by commas, and the option may be repeated: -i a,b -i c. A value with
spaces needs quotes. {expression} and $name are filled in on this line, never in the code.
TIME is 30, 30s, 5m or 2h; SIZE is 100MB or 1 GiB. `%rexec config` shows and sets defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOptions:
    """What the options line asks for; where it says nothing, what the settings say.

    Each is a keyword of the same name of `rexec_jupyter.run`, and in the help.

    Attributes
    ----------
    in_
        Local names to send whatever the session holds, by their remote name.
    out
        Remote names to bring back, by the local name they get.
    job
        Name that the job is bound to; empty for none.
    name
        For people; empty means the first line of code.
    timeout
        Seconds the code may run, or None.
    env
        Values of environment variables; never shown.
    """

    session: str = "default"
    profile: str = ""
    fresh: bool = False
    in_: dict[str, str] = field(default_factory=dict)
    out: dict[str, str] = field(default_factory=dict)
    exclude: frozenset[str] = frozenset()
    capture: d.Capture = "auto"
    block: bool = True
    job: str = ""
    name: str = ""
    timeout: float | None = None
    wait_start: float = 300.0
    if_busy: d.IfBusy = "queue"
    on_interrupt: d.OnInterrupt = "cancel"
    return_: d.Return = "auto"
    stream: bool = True
    quiet: bool = False
    progress: bool = True
    progress_after: float = 1.0
    max_send: int = 100_000_000
    max_recv: int = 100_000_000
    env: dict[str, str] = field(default_factory=dict, repr=False)
    explain: bool = False
    local: bool = False
    help: bool = False

    @property
    def secrets(self) -> list[str]:
        """Values of environment variables that look like secrets."""
        return [value for name, value in self.env.items() if looks_secret(name)]


def parse(line: str, defaults: Defaults | None = None) -> CellOptions:
    """Read an options line.

    Parameters
    ----------
    line
        What stands behind ``%%rexec``.
    defaults
        What holds where the line says nothing; by default what is built in.

    Raises
    ------
    UsageError
        In one line, whatever is wrong with it.
    """
    words = split(line, _MAGIC)
    refuse_secrets(words, _MAGIC)
    found, strays = _parser.parse_known_args(words)
    if strays and strays != ["--"]:
        raise UsageError(_complaint(strays))
    chosen = {name: value for name, value in vars(found).items() if value is not None}
    if "exclude" in chosen:
        chosen["exclude"] = frozenset(chosen["exclude"])
    if chosen.get("timeout") == _NO_LIMIT:
        chosen["timeout"] = None
    return CellOptions(**_of_settings(defaults or Defaults()) | chosen)


def usage() -> str:
    """Return the help text that ``%%rexec?`` shows."""
    return _parser.format_help()


def actions() -> list[argparse.Action]:
    """Return every option, for completion."""
    return list(_parser._actions)  # noqa: SLF001 - argparse has no public list


_NO_LIMIT = "none"


def _of_settings(defaults: Defaults) -> dict[str, Any]:
    fields = CellOptions.__dataclass_fields__
    return {
        setting.attribute: getattr(defaults, setting.attribute)
        for setting in SETTINGS.values()
        if setting.attribute in fields
    }


def _time_limit(text: str) -> object:
    seconds = SETTINGS["timeout"].read(text)
    return _NO_LIMIT if seconds is None else seconds


def _build() -> Parser:
    parser = Parser(
        prog=_MAGIC,
        usage="%%%%rexec [options]\n       code ...",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        add_help=False,
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    add = parser.add_argument_group("where it runs").add_argument
    add(
        *("-s", "--session"),
        metavar="NAME",
        type=typed(d.session_name),
        help="run in this session, which has variables of its own (default: the active session)",
    )
    add("-p", "--profile", metavar="NAME", help="create the session with this profile, if need be")
    add(
        "--fresh",
        action="store_true",
        help="run in a new process without variables, which ends with the cell",
    )
    add("--local", action="store_true", help="run the code here, after the same checks")
    add(
        "--explain",
        action="store_true",
        help="run nothing; show where it would run and what would be sent",
    )

    add = parser.add_argument_group("what goes along and comes back").add_argument
    add(
        *("-i", "--in"),
        dest="in_",
        metavar="NAMES",
        action=Names,
        default={},
        help="send these local variables, even if the session has its own; remote=local renames",
    )
    add(
        *("-o", "--out"),
        metavar="NAMES",
        action=Names,
        default={},
        help="afterwards bring these remote variables here, all or none; local=remote renames",
    )
    add(
        *("-x", "--exclude"),
        metavar="NAMES",
        action=PlainNames,
        default={},
        help="never send these local variables",
    )
    add(
        "--capture",
        metavar="HOW",
        type=typed(d.choice(d.Capture)),
        help="which local variables go along: auto, those that the code needs; none, only those "
        "of -i; strict, as auto, and refuse to run if one is doubtful",
    )
    add(
        "--return",
        dest="return_",
        metavar="HOW",
        type=typed(d.choice(d.Return)),
        help="how the last expression comes here: auto, as value if it is small; value, always; "
        "ref, as a reference; none, not at all",
    )
    add(
        "--max-send",
        metavar="SIZE",
        type=typed(SETTINGS["max_send"].read),
        help="send at most this much (default: 100MB; 0: no limit)",
    )
    add(
        "--max-recv",
        metavar="SIZE",
        type=typed(SETTINGS["max_recv"].read),
        help="bring back at most this much (default: 100MB; 0: no limit)",
    )
    add(
        "--env",
        metavar="NAME[=VALUE]",
        action=Environment,
        default={},
        help="set an environment variable for this cell; NAME alone copies the one here",
    )

    add = parser.add_argument_group("waiting and stopping").add_argument
    add(
        *("-b", "--block"),
        action="store_true",
        default=True,
        help="wait for the end (default)",
    )
    add(
        *("-a", "--noblock", "--bg"),
        dest="block",
        action="store_false",
        help="do not wait: the result is a job, and output keeps coming below the cell",
    )
    add("-j", "--job", metavar="NAME", type=typed(identifier), help="assign the job to this name")
    add(
        *("-t", "--timeout"),
        metavar="TIME",
        type=typed(_time_limit),
        help="stop the code after it ran this long (default: none)",
    )
    add(
        "--wait-start",
        metavar="TIME",
        type=typed(SETTINGS["wait_start"].read),
        help="give up if the session is not ready by then (default: 5m)",
    )
    add(
        "--if-busy",
        metavar="HOW",
        type=typed(d.choice(d.IfBusy)),
        help="if the session is busy: queue (default), fail, or interrupt what runs there",
    )
    add(
        "--on-interrupt",
        metavar="HOW",
        type=typed(d.choice(d.OnInterrupt)),
        help="what the stop button does: cancel (default), or detach and leave it running",
    )

    add = parser.add_argument_group("what is shown").add_argument
    add(
        *("-n", "--name"),
        metavar="LABEL",
        help="what to call the cell in lists (default: its first line of code)",
    )
    add("--stream", action="store_true", default=None, help="show output as it comes (default)")
    add(
        "--no-stream",
        dest="stream",
        action="store_false",
        default=None,
        help="show output once, at the end",
    )
    add("-q", "--quiet", action="store_true", default=None, help="show no status line")
    add("--progress", action="store_true", default=None, help="show a status line (default)")
    add(
        "--no-progress",
        dest="progress",
        action="store_false",
        default=None,
        help="show the status line at the end only",
    )
    add(
        "--progress-after",
        metavar="TIME",
        type=typed(SETTINGS["progress_after"].read),
        help="show the status line if the cell takes longer than this (default: 1s)",
    )
    add("-h", "--help", action="store_true", help="show this help and run nothing")
    return parser


def _complaint(strays: Sequence[str]) -> str:
    word = strays[0]
    name = word.partition("=")[0]
    if name == "--":
        return f"{_MAGIC}: nothing may follow the options; the code begins on the next line"
    if name in _SESSION_SETTINGS:
        return (
            f"{_MAGIC}: session settings are fixed at start: "
            f"use `%rexec start NAME {name} {_SESSION_SETTINGS[name]}`"
        )
    if word.startswith("-") and word != "-":
        return unknown_option(word, _parser)
    return (
        f"{_MAGIC}: unexpected {word!r}; code begins on the next line, "
        "and names in a list are separated by commas"
    )


_parser = _build()
