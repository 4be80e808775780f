"""How much of what a cell shows fits into it; the rest stays in the job's log."""

from __future__ import annotations

from rexec_jupyter.core.happenings import (
    ClearOutput,
    Display,
    Happening,
    TextOutput,
)

MAX_SHOWN = 1_000_000
"""Characters of text shown in one cell."""
# Displays come one at a time, as figures of some size; text comes as a flood.
_DISPLAYS = 10
_DISPLAY_OVERHEAD = 2_000


class Excerpt:
    """Lets through what fits and counts what does not.

    Parameters
    ----------
    limit
        Characters of text; displays may take ten times as much together.
    """

    def __init__(self, limit: int = MAX_SHOWN) -> None:
        self.hidden = 0
        """Bytes that were not let through since the output was last cleared."""
        self._limit = limit
        self._clear()

    def _clear(self) -> None:
        self.hidden = 0
        self._full = False
        self._text = 0
        self._line = 0
        self._displays: dict[object, int] = {}
        self._displayed = 0

    def admit(self, happening: Happening) -> Happening | None:
        """Return what of it is to be shown: all, a part, or nothing."""
        match happening:
            case ClearOutput():
                self._clear()
            case TextOutput(stream) if stream != "note":
                return self._admit_text(happening)
            case Display(kind) if kind != "result":
                return self._admit_display(happening)
        return happening

    def _admit_text(self, happening: TextOutput) -> TextOutput | None:
        text = happening.text
        if self._full:
            self.hidden += len(text)
            return None
        # What a line shows after it was written over counts once.
        *whole, rest = text.split("\n")
        room = self._limit - self._text
        if self._line + len(text) > room and "\x1b[A" not in text:
            for index, line in enumerate([*whole, rest]):
                room -= (0 if index else self._line) + _width(line) + 1
                if room < 0:
                    return self._cut(happening, whole, index)
        if "\x1b[A" not in text:
            if whole:
                self._text += self._line + sum(_width(line) + 1 for line in whole)
                self._line = 0
            self._line = max(self._line, _width(rest)) if "\r" in rest else self._line + len(rest)
        return happening

    def _cut(self, happening: TextOutput, whole: list[str], fitting: int) -> TextOutput | None:
        shown = "".join(f"{line}\n" for line in whole[:fitting])
        if not fitting and not self._text:  # one line longer than all there is room for
            shown = happening.text[: max(0, self._limit - self._line)]
        self._full = True
        self.hidden += len(happening.text) - len(shown)
        return TextOutput(happening.stream, shown) if shown else None

    def _admit_display(self, display: Display) -> Display | None:
        size = size_of(display)
        key = display.transient.get("display_id") or object()
        former = self._displays.get(key, 0) if display.kind == "update" else 0
        if self._displayed + size - former > self._limit * _DISPLAYS:
            self.hidden += size
            return None
        if display.kind == "display" or former:
            self._displays[key] = size
            self._displayed += size - former
        return display


def _width(line: str) -> int:
    return max(map(len, line.split("\r"))) if "\r" in line else len(line)


def size_of(happening: Happening) -> int:
    """Return about how many bytes of a notebook something takes."""
    match happening:
        case TextOutput(_, text):
            return len(text)
        case Display(_, data):
            return _DISPLAY_OVERHEAD + sum(_size(value) for value in data.values())
    return 0


def _size(value: object) -> int:
    match value:
        case str() | bytes():
            return len(value)
        case dict():
            return sum(_size(item) for item in value.values())
        case list():
            return sum(_size(item) for item in value)
    return 8
