"""Makes less of what a cell shows in a short time, without changing what is to be seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from rexec_jupyter.core.happenings import ClearOutput, Comm, Display, Happening, TextOutput

_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_RESET = re.compile(r"\x1b\[0*m")
# What moves the cursor other than by writing; all else stays as it is.
_TOKEN = re.compile(r"[\r\n]|\x1b\[\d*A|(?:[^\r\n\x1b]+|\x1b\[[\d;]*m)+|.", re.DOTALL)
_UP = re.compile(r"\x1b\[(\d*)A")
_AT_LEFT = re.compile(r"[\r\n]|\x1b\[\d*A|\Z")
# Text that goes to and fro between both streams more often than that is put together.
_TURNS = 40


def condense(happenings: Sequence[Happening]) -> list[Happening]:
    """Return what a frontend needs to be told so that the same is to be seen in the end."""
    return _joined(_merged(_last_updates(_since_clear(happenings))))


def _since_clear(happenings: Sequence[Happening]) -> Iterable[Happening]:
    """Leave out what was cleared right away."""
    clear = max((i for i, h in enumerate(happenings) if isinstance(h, ClearOutput)), default=0)
    for index, happening in enumerate(happenings):
        if index >= clear or not _clearable(happening):
            yield happening


def _clearable(happening: Happening) -> bool:
    match happening:
        case TextOutput(stream):
            return stream != "note"
        case Display(kind):
            return kind != "result"
        case ClearOutput():
            return True
    return False


def _last_updates(happenings: Iterable[Happening]) -> Iterable[Happening]:
    """Leave out updates of a display that another one follows."""
    kept: list[Happening] = []
    seen: set[str] = set()
    for happening in reversed(list(happenings)):
        if isinstance(happening, Display) and happening.kind == "update":
            display_id = str(happening.transient.get("display_id"))
            if display_id in seen:
                continue
            seen.add(display_id)
        kept.append(happening)
    return reversed(kept)


def _merged(happenings: Iterable[Happening]) -> Iterable[Happening]:
    """Put successive changes of the same widget together."""
    pending: dict[str, Comm] = {}
    for happening in happenings:
        if isinstance(happening, Comm) and is_state(happening):
            comm_id = happening.content["comm_id"]
            former = pending.get(comm_id)
            pending[comm_id] = happening if former is None else merge(former, happening)
            continue
        yield from pending.values()
        pending.clear()
        yield happening
    yield from pending.values()


def is_state(comm: Comm) -> bool:
    """Tell whether it changes the plain state of a widget, and so may be merged with another."""
    data = comm.content.get("data")
    return (
        comm.kind == "comm_msg"
        and not comm.buffers
        and isinstance(data, dict)
        and data.get("method") == "update"
        and isinstance(data.get("state"), dict)
        and "comm_id" in comm.content
        # Where output is to go is said in between other output.
        and "msg_id" not in data["state"]
    )


def merge(first: Comm, then: Comm) -> Comm:
    """Return one change for two of the same widget, both as `is_state` tells."""
    data = then.content["data"]
    state = first.content["data"]["state"] | data["state"]
    return Comm(then.kind, then.content | {"data": data | {"state": state}}, then.metadata)


def _joined(happenings: Iterable[Happening]) -> list[Happening]:
    """Put text of the same stream together, and collapse what it wrote over itself."""
    joined: list[Happening] = []
    run: list[TextOutput] = []
    for happening in happenings:
        if isinstance(happening, TextOutput):
            run.append(happening)
            continue
        joined += _run(run)
        run = []
        joined.append(happening)
    return joined + _run(run)


def _run(texts: list[TextOutput]) -> list[Happening]:
    turns = sum(one.stream != other.stream for one, other in pairwise(texts))
    if turns > _TURNS:
        texts = sorted(texts, key=lambda text: text.stream)
    joined: list[Happening] = []
    at = 0
    while at < len(texts):
        stream = texts[at].stream
        end = at
        while end < len(texts) and texts[end].stream == stream:
            end += 1
        joined.append(TextOutput(stream, collapse("".join(t.text for t in texts[at:end]))))
        at = end
    return joined


def collapse(text: str) -> str:
    r"""Leave out what was overwritten after ``\r``, as on a terminal; also below, as by tqdm.

    What the text means depends on the line it continues, of which nothing is known here: so
    its own first piece is never left out.
    """
    if "\r" not in text:
        return text
    text = text.replace("\r\n", "\n")
    if "\r" not in text or "\b" in text:
        return text
    lines: dict[int, list[str]] = {0: []}
    row = 0
    for match in _TOKEN.finditer(text):
        piece = match[0]
        if piece == "\n":
            row += 1
            # Down from a line that is there: whatever comes begins at its left.
            lines.setdefault(row, [])
            lines[row].append("")
        elif piece == "\r":
            lines[row].append("")
        elif up := _UP.fullmatch(piece):
            row -= int(up[1] or 1)
            # Only what begins at the left again is understood.
            if row < 0 or not _AT_LEFT.match(text, match.end()):
                return text
        elif piece == "\x1b":
            return text  # another movement
        elif lines[row]:
            lines[row][-1] += piece
        else:
            lines[row].append(piece)
    return _painted(lines, row, first_is_open=not text.startswith(("\r", "\n")))


def _painted(lines: dict[int, list[str]], row: int, *, first_is_open: bool) -> str:
    last = max(lines)
    painted = []
    for number in range(last + 1):
        pieces = lines[number]
        fixed = number == 0 and (first_is_open or not pieces)
        head = [pieces[0] if pieces else ""] if fixed else []
        kept = _visible(pieces[1:] if fixed else pieces)
        # A line that a line feed leads to begins at the left by itself.
        lead = "" if number else "\r"
        painted.append("".join(head) + (lead + "\r".join(kept) if kept else ""))
    return "\n".join(painted) + "\x1b[A" * (last - row)


def _visible(pieces: list[str]) -> list[str]:
    """Return what is not covered by a later piece."""
    kept: list[str] = []
    longest = 0
    for piece in reversed(pieces):
        length = len(_COLOUR.sub("", piece))
        if length > longest or not kept or not _is_closed(piece):
            kept.append(piece)
            longest = max(longest, length)
    return kept[::-1]


def _is_closed(piece: str) -> bool:
    """Tell whether no colour goes on after a piece of text."""
    colours = _COLOUR.findall(piece)
    return not colours or bool(_RESET.fullmatch(colours[-1]))
