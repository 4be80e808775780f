"""The last line that each running job has shown."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from rexec_jupyter.core.client import Client
from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.happenings import Happening, TextOutput
from rexec_jupyter.core.log_reader import LogReader
from rexec_jupyter.core.protocol import JobInfo

MOST = 10
"""Jobs whose lines are read; the newest."""
_KEPT = 4096
_LONGEST = 200
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_PERCENT = re.compile(r"(?<![\d.])(\d{1,3})(?:\.\d+)?\s?%")


class Line(NamedTuple):
    """A line, and how much of the job is done if it tells; else -1."""

    text: str
    percent: int


class Tail:
    """The end of a text that grows."""

    def __init__(self) -> None:
        self._text = ""

    def take(self, happenings: Iterable[Happening]) -> None:
        """Take what came."""
        for happening in happenings:
            if isinstance(happening, TextOutput):
                self._text = (self._text + happening.text)[-_KEPT:]

    @property
    def line(self) -> Line:
        """The last line that is not empty, as it looks by now."""
        for line in reversed(self._text.split("\n")):
            # What was written over, as progress bars do, is not seen any more.
            for part in reversed(line.split("\r")):
                if shown := _ESCAPES.sub("", part).strip():
                    return Line(shown[:_LONGEST], percent(shown))
        return Line("", -1)


def percent(line: str) -> int:
    """Return the percentage that a line tells; -1 if none."""
    found = [int(match[1]) for match in _PERCENT.finditer(line)]
    return found[0] if found and found[0] <= 100 else -1  # several are no progress of one thing


class Lines:
    """Reads them. For one thread at a time."""

    def __init__(self) -> None:
        self._readers: dict[str, tuple[LogReader, Tail]] = {}

    def read(self, client: Client, running: Iterable[JobInfo], timeout: float) -> None:
        """Read what the newest of some running jobs show, within so many seconds."""
        until = time.monotonic() + timeout
        newest = {info.job: info.session for info in islice(running, MOST)}
        for job in self._readers.keys() - newest.keys():
            del self._readers[job]
        for job, session in newest.items():
            if time.monotonic() > until:
                break
            try:
                self._read(client, job, session)
            except RexecError:
                self._readers.pop(job, None)

    def _read(self, client: Client, job: str, session: str) -> None:
        reader, tail = self._readers.get(job, (None, Tail()))
        if reader is not None:
            tail.take(reader.read())
            if reader.offset >= reader.size:
                return
        # There is none yet, or far more was written than need be read.
        reader = client.log(job, session, tail=1)
        tail = Tail()
        tail.take(reader.read())
        self._readers[job] = (reader, tail)

    def line(self, job: str) -> Line:
        """Return the last line of a job, as it was read last."""
        known = self._readers.get(job)
        return known[1].line if known else Line("", -1)
