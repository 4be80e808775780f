"""Remote tracebacks, frame by frame: cells by their numbers here, functions with their source.

The session knows neither how this notebook counts its cells nor the source of functions that
were sent to it; here both are known.
"""

from __future__ import annotations

import itertools
import linecache
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

ANSI = re.compile(r"\x1b\[[0-9;]*m")
_COLOUR = r"(?:\x1b\[[0-9;]*m)*"
_CELL = re.compile(rf"(Cell{_COLOUR} {_COLOUR}In\[)(\d+)(\])")
# cloudpickle gives this name to all code from notebooks.
_SENT = re.compile(r"File <dynamic-code>:(\d+), in ([\w.<>]+)(.*)")
# What `%%time` runs has this name, below the frame that calls the magic.
_TIMED = re.compile(r"File <timed exec>:(\d+)")
_ABOVE = re.compile(r"\s+(\d+) (#.*)")
_LEFT_OUT = re.compile(r"… [\d,]+ lines left out …")
_CONTEXT = 2
_REPEATS = 3
_FIRST, _LAST = 12, 24
"""Frames of a traceback that are shown at most."""
_CYAN, _GREEN, _PLAIN = "\x1b[36m", "\x1b[32m", "\x1b[39m"


def localised(
    traceback: Sequence[str],
    shell: InteractiveShell,
    session: str,
    ran: Sequence[int],
    own: int,
) -> list[str]:
    """Make a remote traceback speak of this notebook.

    Parameters
    ----------
    traceback
        Lines as IPython rendered them in the session.
    session
        Its name.
    ran
        Numbers here of the cells that ran there, in order.
    own
        Number here of the cell that failed; 0 if that is not known.
    """
    here = _numbers(traceback, ran, own)
    blocks: list[list[str]] = []
    caller = 0
    for frame in _frames(traceback):
        head = _plain(frame[0])
        # The first one stands below a line that heads it all.
        cell = next(filter(None, map(_CELL.match, map(_plain, frame))), None)
        number = here.get(int(cell[2]), 0) if cell else 0
        lines = _cell_lines(shell, number)
        if sent := _SENT.match(head):
            source = _with_source(shell, int(sent[1]), sent[2], sent[3])
        elif (timed := _TIMED.fullmatch(head)) and caller:
            line, lines = int(timed[1]), _cell_lines(shell, caller)
            place = f"{_CYAN}Cell {_GREEN}In[{caller}] (rexec:{session}), line {line}{_PLAIN}"
            above = itertools.takewhile(lambda text: not _CELL.match(_plain(text)), blocks.pop())
            source = [*above, place, *_excerpt(lines, line), ""]
        else:
            named = (_renamed(line, session, here) for line in frame)
            source = [_with_own(line, lines) for line in named]
        blocks.append(source or frame)
        caller = number if any("run_cell_magic(" in _plain(line) for line in frame) else 0
    return [line for block in _shortened(blocks) for line in block]


def _plain(line: str) -> str:
    return ANSI.sub("", line)


def _cell_lines(shell: InteractiveShell, number: int) -> list[str]:
    """Return the lines of a cell of this notebook as they stand there, as far as known."""
    history = shell.history_manager
    cells = history.input_hist_raw if history is not None else []
    return cells[number].splitlines() if 0 < number < len(cells) else []


def _with_own(line: str, lines: Sequence[str]) -> str:
    """Show a line above the code, which was sent as a comment, as it stands in the notebook."""
    sent = _ABOVE.fullmatch(_plain(line))
    number = int(sent[1]) if sent else 0
    if sent is None or not 0 < number <= len(lines):
        return line
    own = lines[number - 1]
    return _numbered(number, 0, own) if sent[2].rstrip() == commented(own) else line


def commented(line: str) -> str:
    """Return what is sent in place of a line above the code."""
    # Not as it stands there: an option may hold what nobody else is to know.
    return f"# {''.join(line.split()[:1])}".rstrip()


def _shortened(blocks: list[list[str]]) -> list[list[str]]:
    """Return a long traceback without its middle, and equal frames that follow each other once."""
    kept: list[list[str]] = []
    for block, repeats in ((block, len(list(same))) for block, same in itertools.groupby(blocks)):
        kept.append(block)
        if repeats > _REPEATS:
            kept.append([f"… the frame above {repeats - 1:,} times more …", ""])
        else:
            kept += [block] * (repeats - 1)
    if len(kept) <= _FIRST + _LAST:
        return kept
    gap = f"… {len(kept) - _FIRST - _LAST:,} frames left out; the exception has .remote_traceback …"
    return [*kept[:_FIRST], [gap, ""], *kept[-_LAST:]]


def _numbers(traceback: Sequence[str], ran: Sequence[int], own: int) -> dict[int, int]:
    """Return the numbers that cells have here by those they have there, as far as known."""
    # A session counts the cells it ran, whoever sent them. Where it counts as this notebook
    # does, all of them were this notebook's.
    first = next((match for line in traceback for match in _CELL.finditer(line)), None)
    there = int(first[2]) if first else 0
    known = {there: own} if own else {}
    if 0 < there <= len(ran) and ran[there - 1] == own:
        known |= dict(enumerate(ran, 1))
    return known


def _renamed(line: str, session: str, here: Mapping[int, int]) -> str:
    """Give cells in a line the numbers they have here."""

    def name(match: re.Match[str]) -> str:
        return f"{match[1]}{here.get(int(match[2]), '?')}{match[3]} (rexec:{session})"

    return _CELL.sub(name, line)


def _frames(traceback: Sequence[str]) -> Iterator[list[str]]:
    """Yield the blocks of a traceback: header, frames, message; each ends with a blank line."""
    block: list[str] = []
    for line in traceback:
        block.append(line)
        if not line.strip() or _LEFT_OUT.fullmatch(line):
            yield block
            block = []
    if block:
        yield block


def _with_source(shell: InteractiveShell, line: int, name: str, signature: str) -> list[str]:
    """Render the frame of a function of this notebook; nothing if it is not found."""
    for code in _codes(shell.user_ns, name.rpartition(".")[2]):
        if not code.co_firstlineno <= line <= max(n or 0 for _, _, n in code.co_lines()):
            continue
        source = linecache.getlines(code.co_filename)
        place = shell.compile.format_code_name(code.co_filename)
        if not source or place is None:
            continue
        where = f"{_CYAN}{place[0]} {_GREEN}{place[1]}, line {line}{_PLAIN}"
        return [
            f"{where}, in {_CYAN}{name}{_PLAIN}{signature}",
            *_excerpt([text.rstrip("\n") for text in source], line),
            "",
        ]
    return []


def _excerpt(source: Sequence[str], line: int) -> Iterator[str]:
    for number in range(max(1, line - _CONTEXT), min(len(source), line + _CONTEXT) + 1):
        yield _numbered(number, line, source[number - 1])


def _numbered(number: int, current: int, text: str) -> str:
    if number == current:
        arrow = "-" * max(0, 5 - len(str(number))) + "> "
        return f"{_GREEN}{arrow}{number}{_PLAIN} {text}"
    return f"{_GREEN}{number:>7}{_PLAIN} {text}"


def _codes(namespace: Mapping[str, Any], name: str) -> Iterator[types.CodeType]:
    """Yield the code of all functions of that name, within others and classes too."""
    for value in list(namespace.values()):
        functions = [value, *vars(value).values()] if isinstance(value, type) else [value]
        for function in functions:
            code = getattr(function, "__code__", None)
            if isinstance(code, types.CodeType):
                yield from _inner(code, name)


def _inner(code: types.CodeType, name: str) -> Iterator[types.CodeType]:
    if code.co_name == name:
        yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _inner(constant, name)
