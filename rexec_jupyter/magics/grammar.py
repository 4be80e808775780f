"""How options are written: POSIX quoting, lists of names, and complaints in one line."""

from __future__ import annotations

import argparse
import keyword
import os
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from IPython.core.error import UsageError

from rexec_jupyter.core.settings import nearest
from rexec_jupyter.magics.secrets import looks_secret

_RESERVED = frozenset(("In", "Out", "get_ipython", "exit", "quit"))
_HISTORY = re.compile(r"_i*h|_oh|_dh|_i+\d*|__\w+__")
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help that looks the same on every version of Python and in every window."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=96)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        words = ", ".join(action.option_strings)
        return f"{words} {action.metavar}" if action.nargs != 0 else words


class Parser(argparse.ArgumentParser):
    """Complains in one line that names the magic, and never ends the process."""

    def error(self, message: str) -> NoReturn:
        """Complain."""
        raise UsageError(f"{self.prog}: {message}")


class Names(argparse.Action):
    """Collects names from repeated, comma-separated lists, with renames."""

    renames = True

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        """Take one list."""
        names = dict(getattr(namespace, self.dest))
        for item in str(values).split(","):
            target, renamed, source = (part.strip() for part in item.partition("="))
            if renamed and not self.renames:
                parser.error(f"{option_string}: there is nothing to rename in {item!r}")
            source = source if renamed else target
            try:
                identifier(target)
            except ValueError as error:
                parser.error(f"{option_string}: {error}")
            if not source.isidentifier():
                parser.error(f"{option_string}: {source!r} is no name of a variable")
            names[target] = source
        setattr(namespace, self.dest, names)


class PlainNames(Names):
    """Collects names that cannot be renamed."""

    renames = False


class Environment(argparse.Action):
    """Collects environment variables; a name alone copies the one here.

    What it complains of never contains a value.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        """Take one variable."""
        name, given, value = str(values).partition("=")
        if not _VARIABLE.fullmatch(name) or "\0" in value:
            parser.error(
                f"{option_string} is written {option_string} NAME=VALUE, "
                f"or {option_string} NAME to copy the variable from here"
            )
        if not given:
            if name not in os.environ:
                parser.error(f"{option_string}: the variable {name} is not set here")
            value = os.environ[name]
        setattr(namespace, self.dest, getattr(namespace, self.dest) | {name: value})


def typed(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Make argparse show the reasons of a function that raises ValueError."""

    def typed_read(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return typed_read


def identifier(text: str) -> str:
    """Return the name of a variable that may be assigned.

    Raises
    ------
    ValueError
        If it cannot be one, or IPython needs it for itself.
    """
    if not text.isidentifier() or keyword.iskeyword(text):
        raise ValueError(f"{text!r} is no name of a variable")
    if text in _RESERVED or _HISTORY.fullmatch(text):
        raise ValueError(f"{text!r} belongs to IPython")
    return text


def split(line: str, magic: str) -> list[str]:
    """Cut a line into words, quoted as in a POSIX shell on every system.

    Raises
    ------
    UsageError
        If a quotation mark is not closed.
    """
    try:
        return shlex.split(line)
    except ValueError:
        raise UsageError(f"{magic}: a quotation mark is not closed on the options line") from None


def refuse_secrets(
    words: Sequence[str],
    magic: str,
    instead: str = "use --env NAME, which copies a variable from the environment",
) -> None:
    """Refuse options for passwords and the like, without repeating what was given.

    Raises
    ------
    UsageError
        If there is one.
    """
    for word in words:
        option = word.partition("=")[0]
        if option == "--":
            return
        if option.startswith("--") and looks_secret(option):
            raise UsageError(
                f"{magic}: no option takes a secret, since the notebook keeps what you typed. "
                f"Take {option} and its value out of the cell (a shared one is no secret any "
                f"more), and {instead}"
            )


def unknown_option(word: str, parser: argparse.ArgumentParser) -> str:
    """Return what to say of an option that does not exist."""
    known = [option for action in parser._actions for option in action.option_strings]  # noqa: SLF001 - argparse has no public list
    name = word.partition("=")[0]
    return f"{parser.prog}: unknown option {name}{nearest(name, known)}"
