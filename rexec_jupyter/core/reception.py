"""What comes of one job: its events in order, each once, its values checked.

Part of the state machine of `rexec_jupyter.core.exchange`; no input or output here.
"""

from __future__ import annotations

from typing import NamedTuple

from rexec_jupyter.core import notices as n
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.framing import Parcel
from rexec_jupyter.core.transfers import IncomingPayload
from rexec_jupyter.core.trust import mac_matches, payload_digest
from rexec_jupyter.core.values import split

ACK_BYTES = 256 * 1024
"""Output after which an acknowledgement, and a grant, is due at once."""
ACK_ITEMS = p.ITEM_WINDOW // 4
"""Consumed items after which an acknowledgement is due at once."""
INSISTED = 3
"""Times that the same gap must be seen before what is missing is taken for gone."""

_VALUED = (p.Item, p.Done, p.Failed)
_Valued = p.Item | p.Done | p.Failed


class Desk:
    """Where the parts of the machine leave what they have to say."""

    __slots__ = ("ended", "notes", "out", "touched")

    def __init__(self) -> None:
        self.out: list[Parcel] = []
        """To the server."""
        self.notes: list[n.Notice] = []
        """To the owner."""
        self.touched: dict[str, None] = {}
        """Jobs that have something to acknowledge that should not wait."""
        self.ended: dict[str, None] = {}
        """Jobs that ended, and were not put away."""


class Verdict(NamedTuple):
    """How a job ended.

    ``mute``: without the server's word, so that there is nothing to acknowledge.
    """

    notice: n.Ended | n.Rejected
    mute: bool


class Reception:
    """Takes the events of one job.

    Parameters
    ----------
    desk
        Where to leave messages and notices.
    key
        Key of the job's MACs, 32 bytes.
    whole
        The job is new: there are no events yet that somebody else may have taken.
    """

    __slots__ = (
        "_acked",
        "_arrived",
        "_consumed",
        "_desk",
        "_gap",
        "_gap_seen",
        "_held",
        "_incoming",
        "_insisted",
        "_items",
        "_job",
        "_key",
        "_session",
        "_stored",
        "_taken_items",
        "_unacked",
        "asked",
        "exchange",
        "granted",
        "local",
        "reading",
        "seq",
        "verdict",
    )

    def __init__(self, desk: Desk, job: str, session: str, key: bytes, *, whole: bool) -> None:
        self.seq = 0
        """Event up to which everything was handed to the owner."""
        self.verdict: Verdict | None = None
        """Set once the job ended."""
        self.granted = p.CREDIT
        """Bytes of output granted so far."""
        self.asked = False
        """Set whenever the events after `seq` were asked for."""
        self.local = False
        """Whether files of the server can be read here."""
        self.exchange = ""
        """Directory they are in."""
        self.reading = False
        """Whether `notices.ReadSegment` is unanswered."""
        self._desk = desk
        self._job = job
        self._session = session
        self._key = key
        self._arrived = 0
        self._gap = 0
        self._gap_seen = 0
        self._insisted = INSISTED if whole else INSISTED - 1
        # None for nearly every job: thousands of empty containers keep the collector busy.
        self._held: list[tuple[p.JobEvent, p.Buffer | None]] | None = None
        self._incoming: IncomingPayload | None = None
        self._items: list[tuple[int, int]] | None = None
        self._stored = 0
        self._taken_items = 0
        self._unacked = 0
        self._acked = 0
        self._consumed = 0

    # -------------------------------------------------------------------------- events

    def take(self, event: p.JobEvent, frame: p.Buffer | None) -> bool:
        """Take one event; False if others before it are missing and have to be asked for."""
        missing = event.seq - self._arrived - 1
        if missing < 0:
            return True  # repeated
        if missing and not self._gone(event.seq):
            return False
        self._arrived = event.seq
        self._gap_seen = 0
        if self._held or not self._open(event, frame):
            self._held = self._held or []
            self._held.append((event, frame))
        return True

    def _gone(self, seq: int) -> bool:
        """Tell whether the server insists that the events before this one are gone.

        They are if another process of the user took and acknowledged them.
        """
        if not self._gap_seen or seq < self._gap:
            self._gap, self._gap_seen = seq, 1
            self.asked = False
        elif seq == self._gap and self.asked:
            self._gap_seen += 1
            self.asked = False
        return self._gap_seen >= self._insisted and seq == self._gap

    def _advance(self) -> None:
        while self._held and not self._incoming and not self.reading and not self.verdict:
            event, frame = self._held[0]
            if not self._open(event, frame):
                return
            self._held.pop(0)

    def _open(self, event: p.JobEvent, frame: p.Buffer | None) -> bool:
        """Hand one event up; False if it has to wait for its payload."""
        if isinstance(event, p.Output):
            self._unacked += len(frame or b"")
            if self._unacked >= ACK_BYTES:
                self._desk.touched[self._job] = None
        elif isinstance(event, _VALUED):
            return self._open_value(event, frame)
        elif not isinstance(event, (p.Started, p.Streaming)):
            self.seq = event.seq
            self.verdict = Verdict(n.Ended(self._job, event), mute=False)
            return True
        self.seq = event.seq
        self._desk.notes.append(n.Happened(self._job, event, frame))
        return True

    # -------------------------------------------------------------------------- values

    def _open_value(self, event: _Valued, frame: p.Buffer | None) -> bool:
        payload = event.payload
        if isinstance(event, p.Failed) and not payload.nbytes:
            self._deliver(event, None)
        elif not mac_matches(self._key, self._job, event.seq, payload, event.mac):
            self._forged()
        elif payload.carrier == "inline":
            content = b"" if frame is None else frame
            if len(content) == payload.nbytes and payload_digest((content,)) == payload.digest:
                # Arrays made of it shall be writable.
                whole = bytearray(content) if len(payload.sizes) > 1 else content
                self._deliver(event, split(whole, payload.sizes))
            else:
                self._forged()
        elif self._items and self._stored + payload.nbytes > p.CREDIT:
            return False  # until some of the earlier items were consumed
        elif payload.carrier == "chunks":
            return self._fetch(event)
        else:
            return self._read(event)
        return True

    def _read(self, event: _Valued) -> bool:
        if not self.local:
            self._unreadable()
            return True
        self.reading = True
        self._desk.notes.append(n.ReadSegment(self._job, event.seq, self.exchange, event.payload))
        return False

    def _fetch(self, event: _Valued) -> bool:
        try:
            incoming = IncomingPayload(self._job, self._session, event.seq, event.payload)
        except (MemoryError, OverflowError):
            size = f"{event.payload.nbytes:,} bytes"
            self._reject("R11", f"There is no memory here for its value of {size}.")
            return True
        self._incoming = incoming
        self._desk.out.append(incoming.ask(rewind=True))
        return False

    @property
    def pulling(self) -> bool:
        """Whether a value is on its way in pieces."""
        return self._incoming is not None

    def pull_again(self) -> None:
        """Ask for the pieces that have not come."""
        if self._incoming:
            self._desk.out.append(self._incoming.ask(rewind=True))

    def chunk(self, message: p.Chunk, frame: p.Buffer | None) -> None:
        """Take a piece of a value."""
        incoming = self._incoming
        if incoming is None or frame is None or message.seq != incoming.seq:
            return
        reply = incoming.take(message.offset, frame)
        if reply:
            self._desk.out.append(reply)
        if incoming.complete:
            self._incoming = None
            self._arrive(incoming.buffer, authentic=incoming.authentic)

    def segment_read(self, seq: int, buffer: p.Buffer | None, *, authentic: bool) -> bool:
        """Go on after `notices.ReadSegment`.

        Returns
        -------
        bool
            False if the value has to be asked for again, to come another way.
        """
        if not self.reading or not self._held or self._held[0][0].seq != seq:
            return True
        self.reading = False
        if buffer is not None:
            self._arrive(buffer, authentic=authentic)
            return True
        self.local = False
        self._arrived = self.seq
        self._held = None
        return False

    def _arrive(self, buffer: p.Buffer, *, authentic: bool) -> None:
        event = self._held.pop(0)[0] if self._held else None
        if authentic and isinstance(event, _VALUED):
            self._deliver(event, split(buffer, event.payload.sizes))
            self._advance()
        else:
            self._forged()

    def _deliver(self, event: _Valued, parts: n.Parts | None) -> None:
        self.seq = event.seq
        if isinstance(event, p.Item):
            self._items = self._items or []
            self._items.append((event.seq, event.payload.nbytes))
            self._stored += event.payload.nbytes
            self._desk.notes.append(n.Yielded(self._job, event.seq, parts or []))
        else:
            self.verdict = Verdict(n.Ended(self._job, event, parts), mute=False)

    def _forged(self) -> None:
        self._reject("forged", "Its value did not verify, so it was not unpickled.")

    def _unreadable(self) -> None:
        self._reject("R11", "Its value was left in a file that cannot be read here.")

    def _reject(self, code: str, message: str) -> None:
        self.verdict = Verdict(n.Rejected(self._job, code, message), mute=True)

    def drop(self) -> None:
        """Let go of what is under way: the job ended."""
        self._incoming = self._held = None

    # ----------------------------------------------------------------- the owner's side

    def consumed(self, nbytes: int) -> None:
        """Note output that the owner is done with."""
        self._consumed += nbytes
        if self._consumed + p.CREDIT - self.granted >= ACK_BYTES:
            self._desk.touched[self._job] = None

    def item_consumed(self, seq: int) -> None:
        """Note that the items up to this event were dealt with."""
        while self._items and self._items[0][0] <= seq:
            self._stored -= self._items.pop(0)[1]
            self._taken_items += 1
        if self._taken_items >= ACK_ITEMS:
            self._desk.touched[self._job] = None
        self._advance()

    # ------------------------------------------------------------------ acknowledgements

    @property
    def all_consumed(self) -> bool:
        """Whether no item waits for its consumer."""
        return not self._items

    @property
    def acked(self) -> bool:
        """Whether anything was acknowledged or granted yet."""
        return self._acked > 0 or self.granted > p.CREDIT

    @property
    def owes_ack(self) -> bool:
        """Whether there is something to acknowledge or to grant."""
        return self._ackable > self._acked or self._consumed + p.CREDIT > self.granted

    @property
    def _ackable(self) -> int:
        """Event up to which nothing is needed of the server any more."""
        return self._items[0][0] - 1 if self._items else self.seq

    def ack(self) -> p.Ack:
        """Return the acknowledgement of everything there is to acknowledge."""
        self._acked = self._ackable
        self._taken_items = self._unacked = 0
        self.granted = self._consumed + p.CREDIT
        return p.Ack(job=self._job, session=self._session, seq=self._acked, credit=self.granted)
