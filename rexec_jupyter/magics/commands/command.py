"""What a subcommand of ``%rexec`` is: its words, its help and its complaints."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

from IPython.core.error import UsageError

from rexec_jupyter.magics.grammar import Formatter, Parser, unknown_option

if TYPE_CHECKING:
    from rexec_jupyter.magics.commands.desk import Desk

Group = Literal["state", "auth", "session", "jobs", "data", "config"]
Completes = Literal["", "session", "job", "remote", "local", "setting", "topic", "path"]
"""What the words after a subcommand are."""

_OPTION = re.compile(r"--?[A-Za-z]")


class Shown(Protocol):
    """What a subcommand returns: text, HTML or JSON, as it is asked for."""

    def json(self) -> str:
        """Return it as JSON text."""


@dataclass(frozen=True)
class Argument:
    """An option or positional argument, as `argparse.ArgumentParser.add_argument` takes it."""

    flags: tuple[str, ...]
    spec: dict[str, Any]


def arg(*flags: str, **spec: Any) -> Argument:
    """Declare an option or a positional argument."""
    return Argument(flags, spec)


_EVERY = (
    arg("--json", action="store_true", help="print JSON, and return nothing"),
    arg("-h", "--help", action="store_true", help="show this help, and do nothing"),
)


@dataclass
class Command:
    """One subcommand of ``%rexec``.

    Attributes
    ----------
    name
        The word after ``%rexec``.
    group
        What it belongs to.
    summary
        What it does, in one line.
    run
        Does it.
    arguments
        What may follow.
    completes
        What its words are.
    refused
        Options that people try, with the reason why there are none.
    detail
        More help.
    """

    name: str
    group: Group
    summary: str
    run: Callable[[Desk, argparse.Namespace], Shown | None]
    arguments: tuple[Argument, ...] = ()
    completes: Completes = ""
    refused: tuple[tuple[str, str], ...] = ()
    detail: str = ""

    @cached_property
    def _parser(self) -> Parser:
        parser = Parser(
            prog=f"%rexec {self.name}",
            description=f"{self.summary[:1].upper()}{self.summary[1:]}.",
            epilog=self.detail or None,
            add_help=False,
            allow_abbrev=False,
            formatter_class=Formatter,
        )
        for argument in (*self.arguments, *_EVERY):
            parser.add_argument(*argument.flags, **argument.spec)
        return parser

    @property
    def options(self) -> dict[str, str]:
        """Each option, with its help."""
        return {
            flag: str(argument.spec.get("help", ""))
            for argument in (*self.arguments, *_EVERY)
            for flag in argument.flags
            if flag.startswith("-")
        }

    @property
    def usage(self) -> str:
        """How it is written, in one line."""
        words = " ".join(self._parser.format_usage().split())
        return words.removeprefix("usage: ").replace(" [--json] [-h]", "")

    def help(self) -> str:
        """Return all there is to say."""
        return self._parser.format_help()

    def parse(self, words: list[str]) -> argparse.Namespace:
        """Read the words after the subcommand.

        Raises
        ------
        UsageError
            In one line, whatever is wrong with them.
        """
        if {"-h", "--help"} & set(words):
            return argparse.Namespace(help=True, json=False)
        self._check_options(words)
        found, strays = self._parser.parse_known_args(words)
        if strays:
            raise UsageError(
                f"%rexec {self.name}: unexpected {strays[0]!r} (it is written: {self.usage})"
            )
        return found

    def _check_options(self, words: list[str]) -> None:
        """Complain of what is no option before argparse does, which knows no nearest one."""
        known, refused = self.options, dict(self.refused)
        for word in words:
            name = word.partition("=")[0]
            if name == "--":
                return
            if name in refused:
                raise UsageError(f"%rexec {self.name}: {name} {refused[name]}")
            if not _OPTION.match(name) or name in known:
                continue
            if not name.startswith("--") and name[:2] in known:
                continue  # its value follows without a space
            raise UsageError(unknown_option(word, self._parser))


def count(text: str) -> int:
    """Return a number that is not negative.

    Raises
    ------
    ValueError
        If it is none.
    """
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{text!r} is no number from 0 on")
    return int(text)


def names(words: Iterable[str]) -> dict[str, str]:
    """Read names separated by spaces or commas: each source by its name at the target.

    ``target=source`` renames.

    Raises
    ------
    UsageError
        If one is no name of a variable, or a target stands there twice.
    """
    found: dict[str, str] = {}
    for item in filter(None, ",".join(words).split(",")):
        target, renamed, source = (part.strip() for part in item.partition("="))
        source = source if renamed else target
        for name in (target, source):
            if not name.isidentifier():
                raise UsageError(f"%rexec: {name!r} is no name of a variable")
        if found.get(target, source) != source:
            raise UsageError(f"%rexec: there can be only one {target!r}")
        found[target] = source
    return found
