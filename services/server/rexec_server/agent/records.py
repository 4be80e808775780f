"""What the journal holds, and what a journal is.

Besides the records below, the journal holds the events of jobs as they are on the wire,
each with its payload; a payload in a file has the carrier ``segment``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Protocol

from msgspec import Struct

from rexec_jupyter.core import protocol as p


class StorageFullError(Exception):
    """There is no room for what need not be kept."""


class Record(Struct, array_like=True, frozen=True, tag=str.lower):
    """Base of the journal's own records. Instants are on the machine's clock."""

    job: p.JobId


class Accepted(Record, frozen=True):
    """A job came into custody. Payload: its payload, unless in `file`.

    Written again when the log is compacted, with what was told of the job since: then
    `started`, and how many events, how many of them items, and how many bytes of output
    were acknowledged.
    """

    submit: p.Submit
    at: float
    file: str = ""
    started: bool = False
    acked: int = 0
    acked_items: int = 0
    acked_output: int = 0


class Begun(Record, frozen=True):
    """A cell is about to be handed to exec: from here on it may have run."""


class Forgotten(Record, frozen=True):
    """The end of the job was acknowledged. What remains is this line of history."""

    session: str
    kind: Literal["call", "cell"]
    label: str
    state: str
    at: float
    started: float
    duration: float
    hidden: bool = False


AnyRecord = Accepted | Begun | Forgotten | p.JobEvent
"""Everything a journal can hold."""


class Entry(NamedTuple):
    """A record as it is found in the journal. ``nbytes`` is the length of its payload."""

    position: int
    record: Any
    nbytes: int


class Journal(Protocol):
    """An append-only log of records, parts of which go away when nobody needs them.

    A record is known by its position. ``id`` names the log, ``epoch`` counts its openings.
    ``trusted`` is false if records may be missing from its end, so that a job without a
    start in it may have been started all the same. ``size`` is what it takes on disk.
    """

    id: str
    epoch: int
    trusted: bool
    size: int

    def append(
        self, record: Any, payload: p.Buffer = b"", *, must: bool = True, live: bool = True
    ) -> int:
        """Add a record; return its position. It is on disk after `flush`.

        Parameters
        ----------
        must
            Take it even where the disk is full (there is a reserve).
        live
            Whether it is needed until `drop`. What is not live goes with its surroundings.

        Raises
        ------
        StorageFullError
            Only if not `must`.
        """

    def flush(self) -> bool:
        """Write what was appended. False if the disk does not take it; it is not lost then."""

    def read(self, position: int) -> tuple[Any, bytes]:
        """Return a live record and its payload."""

    def drop(self, position: int) -> None:
        """Say that a live record is not needed any more."""

    def replay(self) -> Iterator[Entry]:
        """Yield all records, each live, once and before anything is appended."""

    def oldest(self) -> Iterator[Entry]:
        """Yield the records of the oldest part of the log, dead ones too."""

    def close(self) -> None:
        """Flush and close."""
