"""The server's end of file transfers: these functions are called in its worker processes.

Each may be called again after it was cut short or its answer was lost, to the same effect.
Relative paths are relative to the working directory of the sessions. Errors are `OSError`
of the kind that Python raises for local files, in words that name the server.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path
from pickle import PickleBuffer
from typing import NamedTuple

from blake3 import blake3

BLOCK = 8 * 1024 * 1024
"""Bytes that are read at once to make a digest."""
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
_STALE = 24 * 3600.0
"""Seconds after which an unfinished file that nobody wrote to is one that was given up."""
_TEMPORARY = re.compile(r"\.rexec-[0-9a-f]{32}\.part")
_UNFINISHED = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class Entry(NamedTuple):
    """A file, or an entry of a directory.

    Attributes
    ----------
    name
        Of an entry, its name; of a file that was asked for, its absolute path.
    kind
        ``file``, ``directory``, ``link`` or ``other``.
    size
        In bytes.
    modified
        As `time.time`.
    mode
        Permission bits.
    """

    name: str
    kind: str
    size: int
    modified: float
    mode: int


class Place(NamedTuple):
    """Where a file is to be, and where it is until it is complete."""

    target: str
    temporary: str


def _error(number: int, text: str, path: str | Path) -> OSError:
    return OSError(number, text, str(path))  # of the subclass that belongs to the number


def is_directory(path: str | Path) -> OSError:
    """Return the error for a directory where a file is wanted."""
    return _error(errno.EISDIR, "This is a directory; pack it into one file first (tar)", path)


def no_file(path: str | Path) -> OSError:
    """Return the error for what has no definite content."""
    return _error(errno.EINVAL, "This is no regular file", path)


def no_space(path: str | Path, free: int, size: int) -> OSError:
    """Return the error for a file that does not fit."""
    text = f"No space: the file has {size:,} bytes, and {free:,} are free"
    return _error(errno.ENOSPC, text, path)


def describe(path: str) -> Entry:
    """Return what is known of a regular file that can be read."""
    found = Path(path).expanduser().absolute()
    try:
        info = found.stat()
    except FileNotFoundError:
        raise _error(errno.ENOENT, "There is no such file on the server", found) from None
    except PermissionError:
        raise _error(errno.EACCES, "No permission on the server", found) from None
    if stat.S_ISDIR(info.st_mode):
        raise is_directory(found)
    if not stat.S_ISREG(info.st_mode):
        raise no_file(found)
    if not os.access(found, os.R_OK):
        raise _error(errno.EACCES, "No permission on the server to read", found)
    return _entry(str(found), info)


def _entry(name: str, info: os.stat_result) -> Entry:
    kind = _KINDS.get(stat.S_IFMT(info.st_mode), "other")
    return Entry(name, kind, info.st_size, info.st_mtime, stat.S_IMODE(info.st_mode))


def listing(path: str) -> list[Entry]:
    """Return the entries of a directory by name; of a file, itself."""
    found = Path(path).expanduser().absolute()
    try:
        if not found.is_dir():
            return [_entry(str(found), found.lstat())]
        with os.scandir(found) as entries:
            told = [_entry(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except FileNotFoundError:
        raise _error(errno.ENOENT, "There is no such directory on the server", found) from None
    except PermissionError:
        raise _error(errno.EACCES, "No permission on the server", found) from None
    return sorted(told)


def read(path: str, offset: int, length: int) -> PickleBuffer:
    """Return a piece of a file; less where it ends."""
    with Path(path).open("rb", buffering=0) as file:
        return PickleBuffer(read_fully(file.fileno(), offset, length))


def read_fully(descriptor: int, offset: int, length: int) -> bytearray:
    """Return a piece of an open file; less where it ends."""
    buffer = bytearray(length)
    view = memoryview(buffer)
    done = 0
    while done < length:
        count = os.preadv(descriptor, [view[done:]], offset + done)
        if not count:
            break
        done += count
    view.release()
    del buffer[done:]
    return buffer


def write_fully(descriptor: int, offset: int, data: bytes | bytearray | memoryview) -> None:
    """Write a piece of an open file."""
    view = memoryview(data).cast("B")
    done = 0
    while done < len(view):
        done += os.pwrite(descriptor, view[done:], offset + done)


def prepare(destination: str, name: str, size: int, token: str) -> Place:
    """Make the temporary file for one that is to come.

    Parameters
    ----------
    destination
        Path of the file, or a directory to put it in.
    name
        What to call it there.
    size
        Bytes it will have.
    token
        Sets the temporary file apart from others.
    """
    path = Path(destination).expanduser().absolute()
    if destination.endswith("/") or path.is_dir():
        path /= name
    path = path.resolve()
    if path.is_dir():
        raise is_directory(path)
    if path.exists() and not path.is_file():
        raise no_file(path)
    if not path.parent.is_dir():
        raise _error(errno.ENOENT, "There is no such directory on the server", path.parent)
    sweep(path.parent)
    room = os.statvfs(path.parent)
    if size > (free := room.f_bavail * room.f_frsize):
        raise no_space(path, free, size)
    temporary = path.with_name(f".rexec-{token}.part")
    try:
        os.close(os.open(temporary, _UNFINISHED | os.O_CREAT, 0o600))
    except PermissionError:
        text = "No permission on the server to write to this directory"
        raise _error(errno.EACCES, text, path.parent) from None
    return Place(str(path), str(temporary))


def sweep(directory: str | Path) -> None:
    """Remove unfinished files of transfers that were killed a day ago or earlier."""
    long_ago = time.time() - _STALE
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if not _TEMPORARY.fullmatch(entry.name):
                continue
            with suppress(OSError):  # of somebody else, or gone
                if entry.stat(follow_symlinks=False).st_mtime < long_ago:
                    Path(entry.path).unlink()


def write(temporary: str, offset: int, data: memoryview) -> None:
    """Write a piece of a file that is not complete."""
    descriptor = os.open(temporary, _UNFINISHED)
    try:
        write_fully(descriptor, offset, data)
    finally:
        os.close(descriptor)


def digest(path: str) -> bytes:
    """Return the BLAKE3-256 of a file."""
    with Path(path).open("rb", buffering=0) as file:
        return digest_of(file.fileno())


def digest_of(descriptor: int) -> bytes:
    """Return the BLAKE3-256 of an open file."""
    # Not by way of a mapping: a file that another process shortens would end this one.
    hasher = blake3(max_threads=blake3.AUTO)
    at = 0
    while block := read_fully(descriptor, at, BLOCK):
        hasher.update(block)
        at += len(block)
    return hasher.digest()


def commit(temporary: str, target: str, mode: int, expected: bytes) -> None:
    """Put a complete file in its place."""
    try:
        finish(temporary, target, mode)
    except FileNotFoundError:
        # Was it done before, and only the answer got lost?
        if not os.path.exists(target) or digest(target) != expected:  # noqa: PTH110
            raise


def finish(temporary: str | Path, target: str | Path, mode: int) -> None:
    """Give a file its mode and its name, for good."""
    descriptor = os.open(temporary, _UNFINISHED)
    try:
        os.fsync(descriptor)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
    Path(temporary).replace(target)


def withdraw(destination: str, name: str, token: str) -> None:
    """Remove what `prepare` made for the same, if it did."""
    path = Path(destination).expanduser().absolute()
    for target in (path / name, path):
        with suppress(OSError):
            target.resolve().with_name(f".rexec-{token}.part").unlink()


def discard(temporary: str) -> None:
    """Remove a file that will not be completed."""
    Path(temporary).unlink(missing_ok=True)
