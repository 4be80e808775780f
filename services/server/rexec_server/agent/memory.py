"""Journal, spool and logs that live in memory, for machines that are driven without any disk.

They outlive the machine that uses them: `MemoryJournal.reopen` is what a restart of the
agent does, and forgets what was not flushed.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import msgspec

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.trust import new_id
from rexec_server.agent.log_files import Found
from rexec_server.agent.records import AnyRecord, Entry, StorageFullError

_KEPT = 64
_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(AnyRecord)


class MemoryJournal:
    """See `records.Journal`. ``full`` makes it refuse what need not be kept.

    ``broken`` makes `flush` fail, as a disk does that takes nothing at all.
    """

    def __init__(self, journal: str = "") -> None:
        self.id = journal or new_id()
        self.epoch = 1
        self.trusted = True
        self.size = 0
        self.full = False
        self.broken = False
        self._records: dict[int, tuple[bytes, bytes]] = {}
        self._dropped: list[int] = []
        self._dead: set[int] = set()
        self._flushed = 0
        self._next = 1

    def reopen(self) -> None:
        """Go through what a restart of the agent does to the journal."""
        self.epoch += 1
        self._dropped.clear()
        self._dead.clear()
        for position in [at for at in self._records if at >= self._flushed]:
            self._forget(position)
        self._next = max(self._flushed, 1)

    def lose(self, position: int) -> None:
        """Damage a record, as a disk may."""
        self._records[position] = b"", b""

    def append(
        self, record: Any, payload: p.Buffer = b"", *, must: bool = True, live: bool = True
    ) -> int:
        """See `records.Journal.append`."""
        if self.full and not must:
            raise StorageFullError
        position = self._next
        self._next += 1
        self._records[position] = body, content = _encode(record), bytes(payload)
        self.size += len(body) + len(content)
        if not live:
            self.drop(position)
        return position

    def flush(self) -> bool:
        """See `records.Journal.flush`."""
        if self.broken:
            return False
        self._flushed = self._next
        self._dead.update(self._dropped)
        self._dropped.clear()
        # Nothing goes before what is older, nor the end of the log: see `journal`.
        while len(self._records) > _KEPT and (oldest := next(iter(self._records))) in self._dead:
            self._forget(oldest)
        return True

    def read(self, position: int) -> tuple[Any, bytes]:
        """See `records.Journal.read`."""
        body, payload = self._records[position]
        if not body:
            raise OSError("damaged")
        return _decoder.decode(body), payload

    def drop(self, position: int) -> None:
        """See `records.Journal.drop`."""
        self._dropped.append(position)

    def _forget(self, position: int) -> None:
        self._dead.discard(position)
        body, payload = self._records.pop(position)
        self.size -= len(body) + len(payload)

    def replay(self) -> Iterator[Entry]:
        """See `records.Journal.replay`."""
        for position, (body, payload) in sorted(self._records.items()):
            yield Entry(position, _decoder.decode(body), len(payload))

    def oldest(self) -> Iterator[Entry]:
        """See `records.Journal.oldest`."""
        return iter(())

    def close(self) -> None:
        """See `records.Journal.close`."""
        self.flush()


class MemorySpool:
    """See `spool.Spool`. ``files`` are the files; ``full`` makes it refuse to write."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.full = False

    def create(self) -> str:
        """See `spool.Spool.create`."""
        return "a-" + new_id()

    def write(self, name: str, offset: int, data: p.Buffer) -> None:
        """See `spool.Spool.write`."""
        if self.full:
            raise StorageFullError
        self.files.setdefault(name, bytearray())[offset : offset + len(data)] = data

    def read(self, name: str, offset: int, nbytes: int) -> bytes:
        """See `spool.Spool.read`."""
        try:
            data = bytes(self.files[name][offset : offset + nbytes])
        except KeyError:
            raise FileNotFoundError(name) from None
        if len(data) != nbytes:
            raise OSError("too short")
        return data

    def check(self, name: str, nbytes: int, *, foreign: bool) -> str:
        """See `spool.Spool.check`."""
        del foreign
        if name not in self.files:
            return "it cannot be found"
        return "" if len(self.files[name]) == nbytes else "it has another length"

    def remove(self, name: str) -> None:
        """See `spool.Spool.remove`."""
        self.files.pop(name, None)

    def sweep(self, known: set[str]) -> None:
        """See `spool.Spool.sweep`."""
        for name in set(self.files) - known:
            if name.startswith("a-"):
                del self.files[name]


class MemoryLogFiles:
    """See `log_files.LogFiles`. ``files`` are the files; ``full`` makes it refuse to write."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.full = False

    def scan(self) -> list[Found]:
        """See `log_files.LogFiles.scan`."""
        return [Found(job, len(content), float("inf")) for job, content in self.files.items()]

    def write(self, job: str, at: int, data: p.Buffer) -> None:
        """See `log_files.LogFiles.write`."""
        content = self.files.setdefault(job, bytearray())
        if self.full:
            content[at:] = bytes(data)[: len(data) // 2]
            raise OSError(errno.ENOSPC, "the disk is full")
        content[at : at + len(data)] = data

    def read(self, job: str, at: int, nbytes: int) -> bytes:
        """See `log_files.LogFiles.read`."""
        if job not in self.files:
            raise FileNotFoundError(job)
        return bytes(self.files[job][at : at + nbytes])

    def release(self, job: str) -> None:
        """See `log_files.LogFiles.release`."""

    def remove(self, job: str) -> None:
        """See `log_files.LogFiles.remove`."""
        self.files.pop(job, None)
