"""``%rexec SUBCOMMAND``: finds the subcommand, or says what was probably meant."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.settings import nearest
from rexec_jupyter.magics import secrets, tracebacks
from rexec_jupyter.magics.commands import COMMANDS
from rexec_jupyter.magics.commands.command import Command
from rexec_jupyter.magics.commands.desk import Desk
from rexec_jupyter.magics.commands.state import Help
from rexec_jupyter.magics.grammar import refuse_secrets, split

if TYPE_CHECKING:
    from rexec_jupyter.magics.cell import CellRunner

_MAGIC = "%rexec"
_LONGEST = 80
_WORD = re.compile(r"[a-z]+", re.IGNORECASE)
# What no subcommand ever begins with: an assignment, a call, an index, an attribute.
_GOES_ON_AS_CODE = re.compile(r"\s*(?:[-+*/%@&|^<>=!]?=|[.(\[]|[-+*/%@&|^<>]\s)")
_INSTEAD = "never write one here: `%rexec login` asks for the token"


def run(runner: CellRunner, arguments: str) -> Any:
    """Do what stands after ``%rexec``.

    Raises
    ------
    UsageError
        If it cannot be understood, in one line.
    """
    shell = runner.shell
    try:
        return _run(Desk(runner), arguments.strip().removesuffix(";"))
    except UsageError:
        secrets.forget(shell, secrets.given(arguments))
        raise
    except RexecError as error:
        raise tracebacks.remote(error, shell) from error.__cause__
    except (OSError, KeyboardInterrupt) as error:
        if hasattr(error, "_render_traceback_"):
            raise
        raise tracebacks.brief(error, shell) from None


def _run(desk: Desk, arguments: str) -> Any:
    command, words = _understood(desk, arguments)
    given = command.parse(words)
    if getattr(given, "help", False):
        return Help(command.help())
    answer: Any = command.run(desk, given)
    if given.json and answer is not None:
        print(answer.json())  # noqa: T201 - it is what was asked for
        return None
    return answer


def _understood(desk: Desk, arguments: str) -> tuple[Command, list[str]]:
    first = _WORD.match(arguments.lstrip())
    word = first[0] if first else ""
    rest = arguments.lstrip()[len(word) :]
    if word in COMMANDS and not _GOES_ON_AS_CODE.match(rest):
        words = split(arguments, _MAGIC)
        refuse_secrets(words, _MAGIC, _INSTEAD)
        if words[0] in COMMANDS:
            return COMMANDS[words[0]], words[1:]
    if not arguments.strip():
        return COMMANDS["status"], []
    if arguments.lstrip().startswith("-"):
        return _options_alone(arguments)
    raise UsageError(_complaint(desk, arguments))


def _options_alone(arguments: str) -> tuple[Command, list[str]]:
    """Read a line without a subcommand: help, or options for the state of things."""
    words = split(arguments, _MAGIC)
    refuse_secrets(words, _MAGIC, _INSTEAD)
    if words[0] in ("-h", "--help"):
        return COMMANDS["help"], []
    return COMMANDS["status"], words


def _complaint(desk: Desk, arguments: str) -> str:
    """Say what was probably meant; the line may hold a secret, so little of it is repeated."""
    try:
        words = split(arguments, _MAGIC)
    except UsageError:
        words = arguments.split()
    refuse_secrets(words, _MAGIC, _INSTEAD)
    word = words[0]
    meant = nearest(word, COMMANDS)
    goes_on = _GOES_ON_AS_CODE.match(arguments.lstrip()[len(word) :])
    if word.isidentifier() and meant and not goes_on:
        return f"{_MAGIC}: there is no subcommand {word!r}{meant}"
    if _is_code(desk, arguments):
        return f"{_MAGIC}: that looks like code; did you mean %rx {_shortened(arguments)}?"
    if _WORD.fullmatch(word) is None:
        return f"{_MAGIC}: a subcommand is expected; `%rexec help` lists them"
    return f"{_MAGIC}: there is no subcommand {word!r}{meant}; `%rexec help` lists them"


def _is_code(desk: Desk, arguments: str) -> bool:
    text = arguments.strip()
    if text.isidentifier():
        return text in desk.shell.user_ns or text in desk.names(desk.active)
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return bool(re.search(r"[=(\[{!%]|\b(?:import|for|def|class|print)\b", text))
    return True


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    if secrets.looks_secret(text):
        return "…"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
