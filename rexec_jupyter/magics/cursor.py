"""Where in a cell the cursor stands, as far as rexec is concerned."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

_CELL = re.compile(r"%%(\w+)(?:[ \t]+(.*))?$")
_LINE = re.compile(r"\s*(?:[\w.,\[\] ]+=\s*)?%(\w+)[ \t]+(.*)$")


@dataclass(frozen=True, slots=True)
class Options:
    """On the options line of ``%%rexec``.

    Attributes
    ----------
    before
        The line from behind the magic to the cursor.
    body
        The code below.
    """

    before: str
    body: str


@dataclass(frozen=True, slots=True)
class Subcommand:
    """On a line with ``%rexec``; `before` is what stands between it and the cursor."""

    before: str


@dataclass(frozen=True, slots=True)
class Code:
    """In code that runs remotely.

    Attributes
    ----------
    before
        Its line up to the cursor.
    options
        The options line; empty for ``%rx``.
    """

    before: str
    options: str = ""


def locate(
    text: str, line: int, column: int, aliases: Collection[str] = ("rx",)
) -> Options | Subcommand | Code | None:
    """Tell where the cursor is; None if that does not concern rexec.

    Parameters
    ----------
    text
        The cell.
    line, column
        The cursor, both from 0.
    aliases
        Names other than ``rexec`` of the cell magic, and of the one for lines of code.
    """
    lines = text.split("\n")
    if line >= len(lines):
        return None
    before = lines[line][:column]
    for number, head in enumerate(lines):
        magic = _CELL.match(head)
        if magic is None:
            if head.strip():
                break
        elif magic[1] == "rexec" or magic[1] in aliases:
            if line > number:
                return Code(before, magic[2] or "")
            here = _CELL.match(before)
            typing = line == number and here is not None and here[2] is not None
            return Options(here[2], "\n".join(lines[number + 1 :])) if here and typing else None
    there = _LINE.match(before)
    if there is None:
        return None
    if there[1] == "rexec":
        return Subcommand(there[2])
    return Code(there[2]) if there[1] in aliases else None
