"""Large payloads in pieces: the receiver pulls, so that loss costs a window and no more."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from blake3 import blake3

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.framing import Parcel


class OutgoingPayload:
    """A payload that its receiver pulls with `protocol.ChunkAck`.

    Parameters
    ----------
    seq
        Event it belongs to; 0 for a submission.
    parts
        Parts of the value, sent as their concatenation; never copied as a whole.
    """

    def __init__(self, job: str, session: str, seq: int, parts: Sequence[p.Buffer]) -> None:
        self.job = job
        self.session = session
        self.seq = seq
        self.sent = 0
        self._parts = [memoryview(part) for part in parts]
        self._starts = list(accumulate(map(len, parts), initial=0))
        self.nbytes = self._starts.pop()

    def pull(self, received: int, *, rewind: bool) -> Iterator[Parcel]:
        """Answer one `protocol.ChunkAck`: the pieces that may be sent now."""
        if received > self.nbytes:
            return
        self.sent = received if rewind else max(self.sent, received)
        limit = min(received + p.WINDOW, self.nbytes)
        while self.sent < limit:
            piece = self._piece(self.sent, min(p.CHUNK, self.nbytes - self.sent))
            yield (
                p.Chunk(
                    job=self.job, session=self.session, seq=self.seq, offset=self.sent, frames=1
                ),
                piece,
            )
            self.sent += len(piece)

    def _piece(self, offset: int, length: int) -> p.Buffer:
        # The last part that starts at or before the offset; empty parts share their start.
        at = bisect_right(self._starts, offset) - 1
        inner = offset - self._starts[at]
        piece = self._parts[at][inner : inner + length]
        if len(piece) == length:
            return piece
        pieces = [piece]
        missing = length - len(piece)
        while missing:
            at += 1
            pieces.append(self._parts[at][:missing])
            missing -= len(pieces[-1])
        return b"".join(pieces)


class IncomingPayload:
    """A payload that is pulled, piece by piece, into one buffer.

    Raises
    ------
    MemoryError
        If there is no room for it.
    """

    ACK_EVERY = p.WINDOW // 4
    """Bytes after which the sender's window is moved on."""

    def __init__(self, job: str, session: str, seq: int, payload: p.Payload) -> None:
        self.seq = seq
        self._payload = payload
        self._job = job
        self._session = session
        self._buffer = bytearray(payload.nbytes)
        self._hasher = blake3()
        self._received = 0
        self._asked = 0
        self._rewound = False

    @property
    def buffer(self) -> bytearray:
        """The bytes; meaningful once `complete`."""
        return self._buffer

    @property
    def complete(self) -> bool:
        """Whether every piece has arrived."""
        return self._received == len(self._buffer)

    @property
    def authentic(self) -> bool:
        """Whether the digest is the announced one."""
        return self._hasher.digest() == self._payload.digest

    def ask(self, *, rewind: bool) -> Parcel:
        """Return the message that pulls what is missing."""
        self._asked = self._received
        self._rewound = rewind
        return (
            p.ChunkAck(
                job=self._job,
                session=self._session,
                seq=self.seq,
                received=self._received,
                rewind=rewind,
            ),
            None,
        )

    def take(self, offset: int, frame: p.Buffer) -> Parcel | None:
        """Take one piece; return the message that is due for it, if one is."""
        end = offset + len(frame)
        if offset > self._received and not self._rewound:
            return self.ask(rewind=True)  # a piece is missing; once until it came
        if offset != self._received or end > len(self._buffer):
            return None
        self._buffer[offset:end] = frame
        self._hasher.update(frame)
        self._received = end
        self._rewound = False
        if end - self._asked >= self.ACK_EVERY and not self.complete:
            return self.ask(rewind=False)
        return None
