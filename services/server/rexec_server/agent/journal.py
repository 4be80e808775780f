"""The journal on disk: segment files that are appended to and dropped oldest first.

A record is the lengths of body and payload, a CRC-32 of both, a MessagePack body and the
payload. Segments are allocated before they are used, with one to spare, so that a full disk
shows when a job is to be accepted and never when its end is to be written. Nothing is
dropped before everything older is: what a record says of a job holds as long as the job.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.trust import new_id, write_private
from rexec_server.agent.records import AnyRecord, Entry, StorageFullError

SEGMENT = 4 * 1024 * 1024
"""Bytes a segment file has room for."""

_HEAD = struct.Struct("<III")
_log = logging.getLogger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(AnyRecord)


class JournalBusyError(Exception):
    """Another agent has this directory."""


class _Identity(msgspec.Struct):
    journal: p.JobId
    epoch: int = 0
    boot: str = ""
    clean: bool = True


class _Segment:
    """One file. ``end`` is where the next record goes, ``pending`` what is not written yet."""

    __slots__ = ("descriptor", "end", "live", "number", "path", "pending", "room")

    def __init__(self, path: Path, number: int, *, room: int) -> None:
        self.path = path
        self.number = number
        self.room = room
        self.end = 0
        self.live = 0
        self.pending = bytearray()
        self.descriptor = -1

    def allocate(self) -> None:
        self.open()
        try:
            os.posix_fallocate(self.descriptor, 0, self.room)
        except OSError:
            self.remove()
            raise

    def open(self) -> None:
        if self.descriptor < 0:
            self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, *, sync: bool) -> None:
        self.open()
        while self.pending:
            at = self.end - len(self.pending)
            done = os.pwrite(self.descriptor, self.pending, at)
            del self.pending[:done]
        if sync:
            os.fdatasync(self.descriptor)

    def get(self, at: int, nbytes: int) -> bytes:
        written = self.end - len(self.pending)
        if at >= written:
            return bytes(self.pending[at - written : at - written + nbytes])
        return os.pread(self.descriptor, nbytes, at)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def remove(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)


class DiskJournal:
    """See `records.Journal`.

    Parameters
    ----------
    directory
        Made if need be. One agent at a time.
    fsync
        Wait for the disk at each flush: nothing is lost even if the machine loses power.

    Raises
    ------
    JournalBusyError
        If another process has the directory open.
    OSError
        If the directory cannot be used.
    """

    def __init__(self, directory: Path, *, fsync: bool = False, segment: int = SEGMENT) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _lock(directory / "lock")
        self._fsync = fsync
        self._segment = segment
        self._identity_path = directory / "identity.json"
        self._log = directory / "journal"
        self._identity = self._open_identity()
        self.id = self._identity.journal
        self.epoch = self._identity.epoch
        self.trusted = True
        self.size = 0
        self._segments: deque[_Segment] = deque()
        self._by_number: dict[int, _Segment] = {}
        self._dirty: dict[int, _Segment] = {}
        self._spare: _Segment | None = None
        self._next_number = 1
        self._failing = False
        self._was_clean = self._note_opening()

    # -------------------------------------------------------------------------- identity

    def _open_identity(self) -> _Identity:
        try:
            return msgspec.json.decode(self._identity_path.read_bytes(), type=_Identity)
        except FileNotFoundError:
            pass
        except (msgspec.MsgspecError, UnicodeDecodeError):
            _log.warning("the journal's identity is unreadable; starting a new journal")
        identity = _Identity(new_id())
        if self._log.exists():
            # Its jobs belong to a journal nobody knows the name of: kept, but not used.
            self._log.rename(self._log.with_name(f"journal-before-{identity.journal}"))
        return identity

    def _note_opening(self) -> bool:
        """Write the identity of this opening; tell whether the last one lost nothing."""
        last = self._identity
        boot = _boot()
        self._log.mkdir(mode=0o700, exist_ok=True)
        self._identity = _Identity(self.id, last.epoch + 1, boot, clean=self._fsync)
        self.epoch = self._identity.epoch
        write_private(self._identity_path, msgspec.json.encode(self._identity))
        return last.clean or last.boot == boot

    # --------------------------------------------------------------------------- opening

    def replay(self) -> Iterator[Entry]:
        """Yield every record found; what follows a bad one in its segment is left out."""
        paths = sorted(self._log.glob("*.log"))
        used = [path for path in paths if _is_used(path)]
        for path in paths:
            segment = _Segment(path, int(path.stem), room=path.stat().st_size)
            content = path.read_bytes()
            entries = list(_records(content, segment.number << 32))
            segment.end = _end_of(entries, segment.number << 32, content)
            if used:
                self._check_tail(content, segment.end, last=path is used[-1])
            self._next_number = segment.number + 1
            if not entries:
                path.unlink()
                continue
            segment.open()
            os.ftruncate(segment.descriptor, segment.end)
            segment.room = segment.end
            segment.live = len(entries)
            self._keep(segment)
            yield from entries
        self.trusted = self._was_clean and self.trusted
        self._shrink()
        self._prepare()

    def _check_tail(self, content: bytes, end: int, *, last: bool) -> None:
        """Tell a write that the end of the process cut short from a damaged file.

        The former is always last, and no command left before it was complete.
        """
        rest = content[end:].rstrip(b"\0")
        if not rest:
            return
        claimed = 0
        if len(rest) >= _HEAD.size:
            body, payload, _ = _HEAD.unpack_from(rest)
            claimed = _HEAD.size + body + payload
        if not last or 0 < claimed < len(rest):
            _log.warning("the journal is damaged; what follows the damage is ignored")
            self.trusted = False

    def _keep(self, segment: _Segment) -> None:
        self._segments.append(segment)
        self._by_number[segment.number] = segment
        self.size += segment.end

    # --------------------------------------------------------------------------- writing

    def append(
        self, record: Any, payload: p.Buffer = b"", *, must: bool = True, live: bool = True
    ) -> int:
        """See `records.Journal.append`."""
        body = _encode(record)
        nbytes = _HEAD.size + len(body) + len(payload)
        segment = self._segments[-1] if self._segments else None
        if segment is None or segment.end + nbytes > segment.room:
            segment = self._rotate(nbytes, must=must)
        elif self._spare is None and not self._prepare() and not must:
            raise StorageFullError  # what is left is for the jobs that are here
        at = segment.end
        pending = segment.pending
        pending += _HEAD.pack(len(body), len(payload), zlib.crc32(payload, zlib.crc32(body)))
        pending += body
        pending += payload
        segment.end = at + nbytes
        segment.live += live
        self.size += nbytes
        self._dirty[segment.number] = segment
        return segment.number << 32 | at

    def _rotate(self, nbytes: int, *, must: bool) -> _Segment:
        if not self._prepare() and not must:
            raise StorageFullError
        segment, self._spare = self._spare, None
        if segment is None or nbytes > segment.room:
            if segment is not None:
                segment.remove()
            segment = self._new(max(nbytes, self._segment))
            try:
                segment.allocate()
            except OSError:
                if not must:
                    raise StorageFullError from None
        if not self._prepare() and not must:
            self._spare = segment
            raise StorageFullError
        self._keep(segment)
        return segment

    def _new(self, room: int) -> _Segment:
        number, self._next_number = self._next_number, self._next_number + 1
        return _Segment(self._log / f"{number:012}.log", number, room=room)

    def _prepare(self) -> bool:
        """Have a segment to spare if the disk has room for one."""
        if self._spare is None:
            spare = self._new(self._segment)
            try:
                spare.allocate()
            except OSError:
                self._next_number -= 1
                return False
            self._spare = spare
        return True

    def flush(self) -> bool:
        """See `records.Journal.flush`."""
        try:
            for segment in self._dirty.values():
                segment.write(sync=self._fsync)
        except OSError as error:
            if not self._failing:
                _log.warning("the journal cannot be written: %s", error.strerror)
            self._failing = True
            return False
        self._failing = False
        self._dirty.clear()
        if self._segments and not self._segments[0].live:
            self._shrink()  # not before: what goes away may be named by what was just written
        return True

    def drop(self, position: int) -> None:
        """See `records.Journal.drop`."""
        segment = self._by_number.get(position >> 32)
        if segment is not None:
            segment.live -= 1

    def _shrink(self) -> None:
        while len(self._segments) > 1 and not self._segments[0].live:
            segment = self._segments.popleft()
            del self._by_number[segment.number]
            self._dirty.pop(segment.number, None)
            self.size -= segment.end
            segment.remove()

    # --------------------------------------------------------------------------- reading

    def read(self, position: int) -> tuple[Any, bytes]:
        """See `records.Journal.read`.

        Raises
        ------
        OSError
            If the file does not hold it any more.
        """
        segment = self._by_number.get(position >> 32)
        if segment is None:
            raise OSError("a part of the journal is gone")
        at = position & 0xFFFFFFFF
        head = segment.get(at, _HEAD.size)
        if len(head) < _HEAD.size:
            raise OSError("the journal ends before its record")
        body, payload, crc = _HEAD.unpack(head)
        content = segment.get(at + _HEAD.size, body + payload)
        if len(content) != body + payload or zlib.crc32(content) != crc:
            raise OSError("a record of the journal is damaged")
        try:
            return _decoder.decode(content[:body]), content[body:]
        except msgspec.MsgspecError:
            raise OSError("a record of the journal is of no kind known here") from None

    def oldest(self) -> Iterator[Entry]:
        """See `records.Journal.oldest`; nothing if there is but one segment."""
        if len(self._segments) > 1:
            segment = self._segments[0]
            content = segment.get(0, segment.end - len(segment.pending)) + segment.pending
            yield from _records(content, segment.number << 32)

    def close(self) -> None:
        """See `records.Journal.close`."""
        if self.flush():
            for segment in self._segments:
                if segment.descriptor >= 0:
                    os.fdatasync(segment.descriptor)
            self._identity.clean = True
            write_private(self._identity_path, msgspec.json.encode(self._identity))
        for segment in self._segments:
            segment.close()
        if self._spare is not None:
            self._spare.remove()
        os.close(self._lock)


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise JournalBusyError(f"another agent uses {path.parent}") from None
    return descriptor


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _is_used(path: Path) -> bool:
    with path.open("rb") as file:
        return any(file.read(_HEAD.size))


def _records(content: bytes, base: int) -> Iterator[Entry]:
    view = memoryview(content)
    at = 0
    while at + _HEAD.size <= len(view):
        body, payload, crc = _HEAD.unpack_from(view, at)
        start = at + _HEAD.size
        end = start + body + payload
        if not body or end > len(view) or zlib.crc32(view[start:end]) != crc:
            return
        try:
            record = _decoder.decode(view[start : start + body])
        except msgspec.MsgspecError:
            return
        yield Entry(base | at, record, payload)
        at = end


def _end_of(entries: list[Entry], base: int, content: bytes) -> int:
    if not entries:
        return 0
    at = entries[-1].position - base
    body, payload, _ = _HEAD.unpack_from(content, at)
    return at + _HEAD.size + int(body) + int(payload)
