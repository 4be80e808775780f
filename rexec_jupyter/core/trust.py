"""Keys, digests and message authentication codes; cheap to import.

The signed statements (tickets and certificates) are in `rexec_jupyter.core.credentials`.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import zmq
from blake3 import blake3

from rexec_jupyter.core import protocol as p

_LARGE = 8 * 1024 * 1024  # bytes from which on threads are faster


class KeyPair(NamedTuple):
    """A CURVE key pair, each half as 40 Z85 characters."""

    public: bytes
    secret: bytes


def new_keypair() -> KeyPair:
    """Make a CURVE key pair."""
    return KeyPair(*zmq.curve_keypair())


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, all of it or nothing."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)


def write_keypair(path: Path, pair: KeyPair) -> None:
    """Keep a key pair in a file that only its owner may read."""
    write_private(path, b"\n".join([pair.public, pair.secret, b""]))


def read_keypair(path: Path) -> KeyPair:
    """Read what `write_keypair` wrote.

    Raises
    ------
    ValueError
        If the file holds no key pair, or halves that do not belong together.
    """
    lines = path.read_bytes().split()
    if len(lines) != len(KeyPair._fields) or any(len(line) != 40 for line in lines):
        raise ValueError(f"{path} holds no CURVE key pair: two lines of 40 characters")
    pair = KeyPair(*lines)
    if zmq.curve_public(pair.secret) != pair.public:
        raise ValueError(f"the two keys in {path} do not belong together")
    return pair


def new_id() -> str:
    """Return 128 random bits in hexadecimal, as `protocol.JobId`."""
    return secrets.token_hex(16)


def payload_digest(parts: Sequence[p.Buffer]) -> bytes:
    """Return the BLAKE3-256 digest of the concatenation of the parts."""
    # Not blake3's own threads for all: a forked child would wait for them in vain.
    large = sum(map(len, parts)) >= _LARGE
    hasher = blake3(max_threads=min(os.cpu_count() or 1, 4)) if large else blake3()
    for part in parts:
        hasher.update(part)
    return hasher.digest()


def job_key(secret: bytes, job: str) -> bytes:
    """Derive the 32-byte key of one job from a user's secret of 32 bytes.

    Deriving it lets another process of the same user read results of a job it did not submit.
    """
    return blake3(job.encode(), key=secret).digest()


def result_mac(key: bytes, job: str, seq: int, payload: p.Payload) -> bytes:
    """Return the code that binds a payload to its job and event.

    Parameters
    ----------
    key
        The job's 32-byte key.
    seq
        Number of the event that carries the payload.
    payload
        Its sizes and digest are covered, its carrier is not.
    """
    sizes = ",".join(map(str, payload.sizes))
    return blake3(f"{job}/{seq}/{sizes}/".encode() + payload.digest, key=key).digest()


def mac_matches(key: bytes, job: str, seq: int, payload: p.Payload, mac: bytes) -> bool:
    """Tell, in constant time, whether `mac` is what `result_mac` makes."""
    return hmac.compare_digest(result_mac(key, job, seq, payload), mac)
