"""The one line that tells how a remote cell fares, live and in the saved notebook."""

from __future__ import annotations

import html
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

PATIENCE = 1.0
"""Seconds after which the line appears; quick cells stay clean."""
DISPLAY_ID = "rexec-status-"
"""How the display ids of status lines begin."""
_BEAT = 1.0

Ending = Literal["done", "failed", "stopped", "detached"]

_SIGNS = {"done": "✓", "failed": "✗", "stopped": "■", "detached": "⇢"}
_COLOURS = {
    "done": "var(--jp-success-color1, #388e3c)",
    "failed": "var(--jp-error-color1, #d32f2f)",
}
_PROGRESS = (
    # It moves without end, which some people cannot bear to have in sight.
    "<style>@media (prefers-reduced-motion: reduce)"
    "{.rexec-status progress{display:none}}</style>"
    '<progress aria-label="running remotely" '
    'style="width: 4em; height: 0.7em; margin-left: 8px; accent-color: '
    'var(--jp-brand-color1, #1976d2)"></progress>'
)
STOP, STOP_WAITING = "Stop", "Stop waiting"
_HINT = "Stop: ■ button"
_STYLE = (
    "color: var(--jp-ui-font-color2, #616161); "
    "font-family: var(--jp-ui-font-family, sans-serif); "
    # As a widget and as HTML it takes the same room, so that nothing jumps at the end.
    "font-size: var(--jp-ui-font-size1, 13px); line-height: 1.6; padding: 2px 8px; margin: 0"
)


@dataclass(frozen=True, slots=True)
class Line:
    """What the line says.

    Attributes
    ----------
    sign
        One character.
    session
        Name of the session.
    facts
        The rest, in order.
    elapsed
        Running time as text, behind the last fact.
    counts
        What else changes all the time. That is not read out to screen readers.
    hint
        How to stop it, where the line has no button.
    stop
        What a stop button would do now; empty if nothing.
    colour
        CSS colour of the sign.
    live
        More is to come.
    """

    sign: str
    session: str
    facts: tuple[str, ...]
    elapsed: str = ""
    counts: tuple[str, ...] = ()
    hint: str = ""
    stop: str = ""
    colour: str = "inherit"
    live: bool = False

    def text(self) -> str:
        """Return the line as plain text."""
        facts = " · ".join((f"{self.sign} {self.session}", *self.facts))
        facts += f" {self.elapsed}" if self.elapsed else ""
        return " · ".join(filter(None, (facts, *self.counts, self.hint)))

    def markup(self, *, hint: bool = True) -> str:
        """Return the line as HTML, with or without the hint."""
        parts = [f"<b>{html.escape(self.session)}</b>", *map(html.escape, self.facts)]
        if self.elapsed:
            parts[-1] += f" {_unread(self.elapsed)}"
        parts += map(_unread, self.counts)
        if hint and self.hint:
            parts.append(html.escape(self.hint))
        sign = f'<span aria-hidden="true" style="color: {self.colour}">{self.sign}</span>'
        return (
            f'<div role="status" aria-live="polite" class="rexec-status" style="{_STYLE}">'
            f"{sign} {' · '.join(parts)}{_PROGRESS if self.live else ''}</div>"
        )


def _unread(text: str) -> str:
    return f'<span aria-hidden="true">{html.escape(text)}</span>'


class Surface(Protocol):
    """Where the line is shown."""

    def show(self, line: Line) -> None:
        """Show the line in place of the one before."""

    def aside(self) -> None:
        """Make room: something else is about to be written."""

    def cleared(self) -> None:
        """Know that the output was cleared, and the line with it."""

    def settle(self, line: Line) -> None:
        """Show the last line, which stays."""


class Nowhere:
    """Shows nothing."""

    def show(self, line: Line) -> None:
        """Show nothing."""

    def aside(self) -> None:
        """Make no room."""

    def cleared(self) -> None:
        """Do nothing."""

    def settle(self, line: Line) -> None:
        """Show nothing."""


class Notebook:
    """Shows the line as an output of the cell, updated in place.

    It stands above all other output: in its midst it would tear text and progress bars apart.

    Parameters
    ----------
    publish
        The display publisher's method of this name.
    html
        Show it as HTML where that can be shown.
    """

    def __init__(self, publish: Callable[..., Any], *, html: bool = True) -> None:
        self._publish = publish
        self._html = html
        self._transient = {"display_id": f"{DISPLAY_ID}{uuid.uuid4().hex}"}
        self._data: dict[str, Any] = {}
        self._there = False

    def show(self, line: Line) -> None:
        """Show the line in place of the one before."""
        self.put(self.bundle(line))

    @property
    def there(self) -> bool:
        """Whether there is such an output now."""
        return self._there

    def bundle(self, line: Line) -> dict[str, Any]:
        """Return the line in all forms it is shown in."""
        markup = {"text/html": line.markup()} if self._html else {}
        return {**markup, "text/plain": line.text()}

    def put(self, data: dict[str, Any]) -> None:
        """Show data of any kind in the line's place."""
        self._data = data
        self._put()

    def aside(self) -> None:
        """Keep the place above the output that is about to be written."""
        if not self._there:
            self._put()  # without data no frontend shows anything

    def cleared(self) -> None:
        """Show the line anew next time."""
        self._there = False

    settle = show

    def _put(self) -> None:
        self._publish(data=self._data, metadata={}, transient=self._transient, update=self._there)
        self._there = True


class Terminal:
    """Shows the line at the bottom of a terminal, through stderr."""

    def __init__(self) -> None:
        self._there = False

    def show(self, line: Line) -> None:
        """Show the line in place of the one before."""
        self._write(line.text())
        self._there = True

    def aside(self) -> None:
        """Wipe the line; it comes back with the next beat."""
        if self._there:
            self._write("")
            self._there = False

    def cleared(self) -> None:
        """Do nothing: nothing is cleared here."""

    def settle(self, line: Line) -> None:
        """Show the last line, which stays."""
        self._write(f"{line.text()}\n")

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(f"\r\x1b[2K{text}")
        sys.stderr.flush()


@dataclass(slots=True)
class StatusLine:
    """Follows one cell from its submission to its end.

    Parameters
    ----------
    surface
        Where to show it.
    session
        Name of the session.
    clock
        Gives monotonic seconds.
    always
        Show it from the start, however quick the cell is.
    profile
        Name of the session's profile; may be empty.
    progress
        Show it before the end.
    progress_after
        Seconds after which it is shown.

    Attributes
    ----------
    received
        Bytes of output that came so far.
    stop
        What another press of a stop button would do; empty if nothing.
    armed
        The notebook's stop button reaches the cell.
    notes
        Facts to be told until the end.
    telling
        There will be something to say at the end of what goes well.
    """

    surface: Surface
    session: str
    clock: Callable[[], float] = time.monotonic
    always: bool = False
    profile: str = ""
    progress: bool = True
    progress_after: float = PATIENCE
    phase: str = "starting"
    detail: str = ""
    received: int = 0
    stop: str = ""
    armed: bool = False
    notes: list[str] = field(default_factory=list)
    telling: bool = False
    _began: float = field(init=False)
    _shown: bool = field(init=False, default=False)
    _next: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()
        self._next = self._began + (0.0 if self.always else self.progress_after)

    @property
    def elapsed(self) -> float:
        """Seconds since the cell began."""
        return self.clock() - self._began

    @property
    def silent(self) -> bool:
        """Whether there is no line, whatever happens."""
        return isinstance(self.surface, Nowhere)

    @property
    def expected(self) -> bool:
        """Whether there will surely be a line, unless the code fails."""
        return self.always or self.telling or bool(self.notes)

    def note(self, text: str) -> None:
        """Tell a fact until the end; where there is no line it is printed."""
        if self.silent:
            sys.stderr.write(f"{text}\n")
        else:
            self.notes.append(text)

    def enter(self, phase: str, detail: str = "", *, at_once: bool = False) -> None:
        """Enter another phase; it is shown with the next beat, or at once."""
        if (phase, detail) == (self.phase, self.detail):
            return
        self.phase, self.detail = phase, detail
        if at_once or self._shown:
            self._next = self.clock()
            self.beat()

    def beat(self) -> None:
        """Show the line if it is time to."""
        now = self.clock()
        if self.progress and now >= self._next:
            self._next = now + _BEAT
            self._shown = True
            self.surface.show(self._running())

    def aside(self) -> None:
        """Make room for other output."""
        self.surface.aside()

    def cleared(self) -> None:
        """Know that the cell's output was cleared."""
        self.surface.cleared()

    def end(self, ending: Ending, facts: Sequence[str] = ()) -> None:
        """Show how it ended. A quick cell about which there is nothing to say shows nothing.

        Parameters
        ----------
        ending
            How; what else there is to say of it follows in `facts`.
        facts
            In the order to be told. The first of a failure, its kind, comes before the time.
        """
        took = self.elapsed
        notable = self.always or self.notes or (facts and ending == "done")
        notable = notable or ending in ("stopped", "detached")
        slow = self.progress and took >= self.progress_after
        if not (self._shown or notable or slow):
            return
        told = [*facts, *self.notes]
        kind = [ending] if ending in ("stopped", "detached") else told[: ending == "failed"]
        rest = told[ending == "failed" :]
        line = Line(
            _SIGNS[ending],
            self.session,
            (*kind, duration(took), *rest),
            colour=_COLOURS.get(ending, "inherit"),
        )
        self.surface.settle(line)
        self._shown = True

    def _running(self) -> Line:
        phase = self.phase + (f" ({self.detail})" if self.detail else "")
        profile = (self.profile,) if self.profile else ()
        elapsed = clock_time(self.elapsed)
        counts = (f"out {size(self.received)}",) if self.received else ()
        if "…" in phase:  # the time does not belong to it
            elapsed, counts = "", (elapsed, *counts)
        return Line(
            "⟳",
            self.session,
            (*profile, *self.notes, phase),
            elapsed,
            counts=counts,
            hint=_HINT if self.armed and self.stop == STOP else "",
            stop=self.stop,
            live=True,
        )


def duration(seconds: float) -> str:
    """Return a time span as people write it: ``12 ms``, ``42.7 s``, ``03:07``, ``1:02:03``."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 99.95 else clock_time(seconds)


def clock_time(seconds: float) -> str:
    """Return a time span as a clock shows it: ``00:42``, ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def size(nbytes: float) -> str:
    """Return a number of bytes as people write it: ``340 B``, ``34 kB``, ``1.2 MB``."""
    for unit in ("B", "kB", "MB"):
        if nbytes < 999.5:
            digits = 0 if unit == "B" or nbytes >= 9.95 else 1
            return f"{nbytes:.{digits}f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} GB"


def is_terminal() -> bool:
    """Tell whether stderr is a terminal that shows a line in place of another."""
    return sys.stderr.isatty()
