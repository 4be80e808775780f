"""How far a file is on its way: a bar that is updated in place."""

from __future__ import annotations

import html
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rexec_jupyter.widget.status import Line, Surface, duration, size
from rexec_jupyter.widget.table import Facts

_PATIENCE = 0.3
_BEAT = 0.2
_WIDTH = 24


@dataclass(frozen=True)
class Bar(Line):
    """A line with a bar in it."""

    done: int = 0
    total: int = 0

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total else float(self.sign == "✓")

    def text(self) -> str:
        """Return the line as plain text."""
        full = round(self.share * _WIDTH)
        bar = "█" * full + "░" * (_WIDTH - full)
        return " · ".join(filter(None, (f"{self.sign} {self.session} {bar}", *self.facts)))

    def markup(self, *, hint: bool = True) -> str:  # noqa: ARG002 - there is none here
        """Return the line as HTML."""
        name = html.escape(self.session)
        facts = html.escape(" · ".join(self.facts))
        return (
            '<div role="status" class="rexec-status" style="color: var(--jp-ui-font-color2, '
            "#616161); font-family: var(--jp-ui-font-family, sans-serif); font-size: "
            'var(--jp-ui-font-size1, 13px); padding: 2px 8px">'
            f'<span aria-hidden="true" style="color: {self.colour}">{self.sign}</span> '
            f'<b>{name}</b> <progress max="1" value="{self.share:.3f}" aria-label="{name}" '
            'style="vertical-align: middle; accent-color: var(--jp-brand-color1, #1976d2)">'
            f'</progress> <span aria-hidden="true">{facts}</span></div>'
        )


class Transfer:
    """Shows how far one file is. A quick one shows nothing.

    Parameters
    ----------
    surface
        Where to show it.
    verb
        What is done.
    name
        Path of the file.
    clock
        Gives monotonic seconds.
    """

    def __init__(
        self, surface: Surface, verb: str, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._surface = surface
        self._title = f"{verb} {name}"
        self._clock = clock
        self._began = clock()
        self._due = self._began + _PATIENCE
        self._shown = False
        self._seconds = 0.0
        self._done = self._total = 0
        self._moves, self._waits = False, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._seconds = self._clock() - self._began
        if not self._shown:
            return
        self._waits = ""
        if kind is None:
            self._surface.settle(self._line("✓", "var(--jp-success-color1, #388e3c)"))
        else:
            stopped = issubclass(kind, KeyboardInterrupt)
            sign, colour = ("■", "inherit") if stopped else ("✗", "var(--jp-error-color1, #d32f2f)")
            self._surface.settle(self._line(sign, colour))

    def moved(self, done: int, total: int) -> None:
        """Take note of the bytes done, and of all bytes."""
        self._done, self._total = done, total
        self._moves, self._waits = True, ""
        self._update()

    def waits(self, reason: str) -> None:
        """Tell what it waits for."""
        self._waits = reason
        self._update()

    def _update(self) -> None:
        now = self._clock()
        if now >= self._due:
            self._due = now + _BEAT
            self._shown = True
            self._seconds = now - self._began
            self._surface.show(self._line("⟳"))

    def report(self, told: str, **facts: object) -> Facts:
        """Return what there is to tell at the end."""
        seconds = self._seconds
        pace = f"{size(self._done)}, {duration(seconds)}{speed(self._done, seconds)}"
        return Facts(
            {**facts, "nbytes": self._done, "seconds": round(seconds, 3)},
            title=f"{told} ({pace}).",
            shown={},
        )

    def _line(self, sign: str, colour: str = "inherit") -> Bar:
        amount = f"{size(self._done)} of {size(self._total)}" if self._moves else ""
        waits = f"waiting: {self._waits}" if self._waits else ""
        pace = speed(self._done, self._seconds).removeprefix(", ")
        facts = tuple(filter(None, (amount, duration(self._seconds), waits or pace)))
        return Bar(sign, self._title, facts, colour=colour, done=self._done, total=self._total)


def speed(nbytes: int, seconds: float) -> str:
    """Return ", 3.1 MB/s"; nothing for what is too small to have a speed."""
    return f", {size(nbytes / seconds)}/s" if nbytes >= 1_000_000 and seconds > 0 else ""
