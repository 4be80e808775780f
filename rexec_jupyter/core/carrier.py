"""Payloads as files, between processes of one user on one machine.

The file is the whole payload. Whoever was given its name owns it and removes it. A reader gets
it privately: its arrays are writable, and what it writes is seen by nobody else.
"""

from __future__ import annotations

import mmap
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.trust import new_id, payload_digest

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MAX_BUFFERS = 512
_MAPPED = p.CHUNK  # a mapping keeps a descriptor: for small files, many would use them all up


def machine_id(directory: str | os.PathLike[str]) -> str:
    """Identify a directory on this machine, as `protocol.ServerHello.machine` does.

    Two processes get the same text if they are of the same user on the same boot of the same
    machine and the path leads both to the same directory, which a container may prevent.

    Raises
    ------
    OSError
        If there is no such directory.
    """
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        boot = socket.gethostname()[:40]
    place = Path(directory).lstat()
    return f"{boot}/{os.getuid()}/{place.st_dev:x}.{place.st_ino:x}"


def can_share(state: p.ServerState) -> bool:
    """Tell whether files can be handed to a server through its exchange directory.

    It must be the very directory that the server means, ours, and closed to everybody else.
    """
    if not state.exchange or not state.machine:
        return False
    try:
        place = Path(state.exchange).lstat()
        ours = stat.S_ISDIR(place.st_mode) and place.st_uid == os.getuid()
        private = not stat.S_IMODE(place.st_mode) & 0o077
        return ours and private and machine_id(state.exchange) == state.machine
    except (OSError, ValueError):
        return False


def write_segment(directory: str, parts: Sequence[p.Buffer]) -> str:
    """Write the concatenation of parts as a new file; return its name.

    Raises
    ------
    OSError
        If there is no room, for instance; nothing is left then.
    """
    name = new_id()
    path = Path(directory, name)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(descriptor, [memoryview(part).cast("B") for part in parts])
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return name


def _write_all(descriptor: int, views: list[memoryview]) -> None:
    views = [view for view in views if len(view)]
    at = 0
    while at < len(views):
        written = os.writev(descriptor, views[at : at + _MAX_BUFFERS])
        while at < len(views) and written >= len(views[at]):
            written -= len(views[at])
            at += 1
        if written:
            views[at] = views[at][written:]


def read_segment(directory: str, payload: p.Payload) -> tuple[memoryview, bool]:
    """Map the file that a payload names; read it if it is small.

    Returns
    -------
    buffer, authentic
        The bytes, writable, and whether their digest is the announced one.

    Raises
    ------
    OSError
        If there is no such file, or it is not what it should be.
    """
    path = Path(directory, payload.segment)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        place = os.fstat(descriptor)
        ours = stat.S_ISREG(place.st_mode) and place.st_uid == os.getuid()
        if not ours or place.st_size != payload.nbytes or not payload.segment:
            raise OSError(f"{payload.segment} is not a file of ours of {payload.nbytes} bytes")
        buffer = _content(descriptor, payload.nbytes)
    finally:
        os.close(descriptor)
    return buffer, payload_digest((buffer,)) == payload.digest


def _content(descriptor: int, nbytes: int) -> memoryview:
    if nbytes >= _MAPPED:
        access = mmap.PROT_READ | mmap.PROT_WRITE
        return memoryview(mmap.mmap(descriptor, nbytes, mmap.MAP_PRIVATE, access))
    content = bytearray(nbytes)
    if os.readv(descriptor, [content]) != nbytes:
        raise OSError("the file became shorter")
    return memoryview(content)


def drop_segment(directory: str, name: str) -> None:
    """Remove a file that nobody will use, if it is still there."""
    Path(directory, name).unlink(missing_ok=True)
