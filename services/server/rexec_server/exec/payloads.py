"""Values as the processes that run user code receive and return them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from blake3 import blake3

from rexec_jupyter.core import carrier, values
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.trust import payload_digest
from rexec_server import handoff as h


class DamagedError(Exception):
    """A payload is not what was sent."""


def read(files: Path, where: h.Where, digest: bytes, payload: bytes) -> list[p.Buffer]:
    """Return the parts of a value that came along with a message, or lies in a file.

    Arrays made from them are writable. A file is mapped, not read.

    Raises
    ------
    DamagedError
        If it is not the value that was sent.
    """
    if not where.file:
        # Arrays made from bytes would be read-only.
        data: p.Buffer = bytearray(payload) if len(where.sizes) > 1 else payload
        return values.split(data, where.sizes)
    described = p.Payload(where.sizes, digest, "segment", where.file)
    try:
        mapped, authentic = carrier.read_segment(str(files), described)
    except OSError as error:
        raise DamagedError(f"it cannot be read: {error}") from error
    if not authentic:
        raise DamagedError("it is not what was sent: its digest differs")
    return values.split(mapped, where.sizes)


def store(files: Path, parts: Sequence[p.Buffer]) -> tuple[h.Result, bytes]:
    """Prepare parts for a message: the payload that goes along, or a new file.

    Returns
    -------
    result, payload
        The payload is empty if there is a file.

    Raises
    ------
    OSError
        If there is no room for the file; nothing of it is left.
    """
    sizes = [len(part) for part in parts]
    if sum(sizes) <= p.INLINE:
        payload = bytes(values.join(parts))
        return h.Result(h.Where(sizes), blake3(payload).digest()), payload
    # Hashing and writing both release the GIL, and each takes about as long as the other.
    digests: list[bytes] = []
    hashing = threading.Thread(target=lambda: digests.append(payload_digest(parts)))
    hashing.start()
    try:
        name = carrier.write_segment(str(files), parts)
    finally:
        hashing.join()
    return h.Result(h.Where(sizes, name), digests[0]), b""
