"""The log of a job, as a client reads it: from the first line, or the last ones, and on."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from rexec_jupyter.core import logs
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.errors import ConnectionLostError
from rexec_jupyter.core.happenings import Display, Happening, OutputReader, TextOutput
from rexec_jupyter.core.trust import new_id

if TYPE_CHECKING:
    from rexec_jupyter.core.link import Link

WAIT = 30.0
"""Longest time for which the server is asked to hold back an answer."""
ANSWER = 10.0
"""Seconds that an answer may take on its way before it is asked for again."""

_LINE = re.compile(r"[^\n]*\n?")
_end = msgspec.msgpack.Decoder(logs.End)


class LogReader:
    """What a job has shown, whoever submitted it. Made by `Client.log`.

    Reading disturbs nobody who follows the job. One thread at a time.

    Parameters
    ----------
    tail
        Begin with the last so many lines, as far as the server finds them in the last
        megabytes; 0: at `offset`.
    offset
        Begin there: `offset` of an earlier reader, or 0 for the first line.

    Attributes
    ----------
    known
        Whether there is such a log.
    source
        Source of a cell once it was read; empty before, and where `tail` left it out.
    end
        How the job ended, once that came; None before, and if nobody can tell.
    size
        Bytes in the log so far.
    start, offset
        Where it began to read, and where it goes on, in bytes of the log.
    """

    def __init__(
        self, link: Link, job_id: str, session: str, *, tail: int = 0, offset: int = 0
    ) -> None:
        self.job = job_id
        self.session = session
        self.known = True
        self.source = ""
        self.end: logs.End | None = None
        self.size = 0
        self._over = False
        self._link = link
        self.start = self.offset = offset
        self._output = OutputReader()
        self._ready: list[Happening] = []
        self._heard = time.monotonic()
        self._begin(tail)

    def __repr__(self) -> str:
        return f"<LogReader of job {self.job[:8]}…, {self.state}, {self.offset:,} bytes read>"

    @property
    def ended(self) -> bool:
        """Whether `read` has returned everything, and nothing more can come."""
        return self._over and not self._ready

    @property
    def state(self) -> str:
        """`Job.state` after its end; ``running`` before, ``unknown`` if nobody can tell."""
        if self.end is not None:
            return self.end.state
        return "unknown" if self._over or not self.known else "running"

    def read(self, wait: float = 0.0) -> list[Happening]:
        """Return what comes next, as much as is there.

        Parameters
        ----------
        wait
            If there is nothing: seconds to wait for it.

        Returns
        -------
        list of Happening
            Empty if there is nothing new; with `ended` there never will be.

        Raises
        ------
        ConnectionLostError
            If the server has not answered for as long as it takes to give it up.
        """
        happenings, self._ready = self._ready, []
        while not happenings and self.known and not self._over:
            # With `wait` one question at most is without an answer that says something.
            if not self._page(happenings, min(wait, WAIT)):
                break
        return happenings

    def _begin(self, tail: int) -> None:
        happenings: list[Happening] = []
        self._page(happenings, 0.0, tail=tail)
        size = self.size
        while tail and self.offset < size and not self._over:
            self._page(happenings, 0.0)
        self._ready = last_lines(happenings, tail) if tail else happenings

    def _page(self, happenings: list[Happening], wait: float, *, tail: int = 0) -> bool:
        """Ask for the next piece; return whether there is more behind it right now."""
        question = p.ReadLog(
            request=new_id(),
            session=self.session,
            job=self.job,
            offset=self.offset,
            tail=tail,
            wait=wait,
        )
        try:
            message, frame = self._link.request(question, wait + ANSWER)
        except ConnectionLostError:
            self._link.check()
            if not self.size or time.monotonic() - self._heard > p.LOST:
                raise
            return False
        self._heard = time.monotonic()
        self._take(message, b"" if frame is None else frame, happenings)
        return self.offset < self.size

    def _take(self, page: Any, frame: p.Buffer, happenings: list[Happening]) -> None:
        self.known = page.known
        self.size = page.size
        if self.offset == self.start:
            self.start = page.offset
        self.offset = page.next
        for kind, content, more in logs.unpack(frame):
            if kind == "source":
                self.source = bytes(content).decode(errors="replace")
            elif kind == "end":
                self.end = _end.decode(content)
                self._over = True
            elif happening := self._output.take(kind, content, more=more):  # type: ignore[arg-type]
                happenings.append(happening)
        if page.ended and self.offset >= self.size:
            self._over = True


def last_lines(happenings: Sequence[Happening], lines: int) -> list[Happening]:
    """Return the last so many lines of what was shown; a display counts as one."""
    kept: list[Happening] = []
    continued = False  # whether a line may begin before what was looked at last
    for happening in reversed(happenings):
        if isinstance(happening, TextOutput) and happening.text:
            pieces = [piece for piece in _LINE.findall(happening.text) if piece]
            joined = continued and not pieces[-1].endswith("\n")
            if len(pieces) - joined > lines:
                if rest := "".join(pieces[len(pieces) - joined - lines :]):
                    kept.append(TextOutput(happening.stream, rest))
                break
            lines -= len(pieces) - joined
            continued = True
        elif isinstance(happening, Display) and happening.kind != "update":
            if not lines:
                break
            lines -= 1
            continued = False
        elif not lines:
            continue
        kept.append(happening)
    return kept[::-1]
