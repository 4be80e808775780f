"""One job as its client holds it: its payload until it is journaled, then what comes of it.

Part of the state machine of `rexec_jupyter.core.exchange`; no input or output here.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from msgspec import structs

from rexec_jupyter.core import notices as n
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.reception import Desk, Reception, Verdict
from rexec_jupyter.core.roster import Server
from rexec_jupyter.core.transfers import OutgoingPayload
from rexec_jupyter.core.values import join
from rexec_jupyter.core.versions import minor

RESEND = (2.0, 10.0)
"""Seconds after which an unanswered submission is sent again: at first, at most."""
PROBE = (10.0, 30.0)
"""Seconds of silence after which a job's events are asked for: at first, at most."""
STALL = 5.0
"""Seconds without a piece after which a chunked value is asked for again."""
BACKOFF = 1.5
_NEVER = float("inf")


class Phase(IntEnum):
    """How far a job got."""

    NEW = 0
    """Sent nowhere."""
    WRITING = 1
    """Its payload is being written for one server; nothing was sent."""
    SENT = 2
    """Sent to one journal, which has not answered."""
    HELD = 3
    """That journal holds it."""
    ENDED = 4


class Custody:
    """The state of one job.

    Parameters
    ----------
    desk
        Where to leave messages and notices.
    key
        Key of the job's MACs, 32 bytes.
    submit, parts
        What to send; None for a job that another client submitted.

    Attributes
    ----------
    journal, scope
        The journal it was sent to, and `protocol.ServerState.session` of its server.
    due
        When `probe` is to be called.
    mute
        Nothing is to be acknowledged: it ended without the server's word.
    """

    __slots__ = (
        "_ahead",
        "_asked",
        "_asked_at",
        "_chunks_only",
        "_desk",
        "_frame",
        "_gap_at",
        "_interval",
        "_message",
        "_outgoing",
        "_parts",
        "_segment",
        "_submit",
        "due",
        "job",
        "journal",
        "mute",
        "phase",
        "reception",
        "scope",
        "session",
    )

    def __init__(
        self,
        desk: Desk,
        job: str,
        session: str,
        key: bytes,
        submit: p.Submit | None = None,
        parts: n.Parts | None = None,
    ) -> None:
        self.job = job
        self.session = session
        self.phase = Phase.NEW
        self.journal = ""
        self.scope = ""
        self.due = _NEVER
        self.mute = False
        self.reception = Reception(desk, job, session, key, whole=submit is not None)
        self._desk = desk
        self._submit = submit
        self._parts = parts
        self._message: p.Submit | None = None
        self._frame: p.Buffer | None = None
        self._segment: tuple[str, str] | None = None
        self._chunks_only = False
        self._outgoing: OutgoingPayload | None = None
        self._interval = 0.0
        self._ahead = 0
        self._gap_at = -_NEVER
        self._asked: p.Interrupt | p.Cancel | None = None
        self._asked_at = 0.0

    # ------------------------------------------------------------------------- sending

    def meet(self, now: float, server: Server) -> None:
        """Tell a server that is ready whatever it has to know of this job."""
        state = server.state
        if self.journal and self.journal != state.journal:
            self.lose("its server came back without its journal")
        elif self.phase is Phase.HELD:
            self.reception.exchange = state.exchange
            self._attach(now)
            self.reception.pull_again()
            self._ask_again(now)
        elif self.phase is Phase.SENT:
            self._send(now)
        elif self.phase is Phase.NEW:
            self._begin(now, server)

    def _begin(self, now: float, server: Server) -> None:
        submit, state = self._submit, server.state
        self.reception.local = server.local
        self.reception.exchange = state.exchange
        if submit is None:
            self._bind(now, state)
        elif minor(submit.python) != minor(state.python) and submit.python and state.python:
            self.reject(
                "R12",
                f"The function was pickled by Python {minor(submit.python)}, but the server runs "
                f"Python {minor(state.python)}; code objects differ between them.",
            )
        elif submit.payload.nbytes <= p.INLINE:
            self._frame = join(self._parts or [])
            self._bind(now, state)
        elif server.local and not self._chunks_only:
            self.phase = Phase.WRITING
            self.scope = state.session
            self._desk.notes.append(n.WriteSegment(self.job, state.exchange, self._parts or []))
        else:
            self._bind(now, state, carrier="chunks")

    def written(self, now: float, server: Server | None, directory: str, name: str | None) -> None:
        """Go on after `notices.WriteSegment`; without a name it failed."""
        self.phase = Phase.NEW
        if name is not None:
            self._segment = (directory, name)
        if server is not None and name is not None and server.state.exchange == directory:
            self._bind(now, server.state, carrier="segment", segment=name)
            return
        self._drop_segment()
        if server is not None:
            self._chunks_only = True
            self._begin(now, server)

    def _bind(
        self,
        now: float,
        state: p.ServerState,
        *,
        carrier: Literal["inline", "chunks", "segment"] = "inline",
        segment: str = "",
    ) -> None:
        self.journal = state.journal
        self.scope = state.session
        self.phase = Phase.SENT
        self._interval = RESEND[0]
        if self._submit is not None:
            payload = self._submit.payload
            if carrier != "inline":
                payload = structs.replace(payload, carrier=carrier, segment=segment)
            self._message = structs.replace(
                self._submit,
                journal=state.journal,
                payload=payload,
                frames=int(carrier == "inline"),
                credit=self.reception.granted,
                local=self.reception.local,
            )
        self._send(now)

    def _send(self, now: float) -> None:
        if self._message is None:
            self._attach(now)
        else:
            self._desk.out.append((self._message, self._frame))
            self.due = now + self._interval

    def _attach(self, now: float) -> None:
        reception = self.reception
        message = p.Attach(
            job=self.job,
            session=self.session,
            seq=reception.seq,
            credit=reception.granted,
            local=reception.local,
        )
        self._desk.out.append((message, None))
        reception.asked = True
        if reception.acked:
            self._desk.out.append((reception.ack(), None))  # the last one may have been lost
        self.due = now + self._interval

    def _unbind(self) -> None:
        self.phase = Phase.NEW
        self.journal = ""
        self.due = _NEVER
        self._message = self._frame = self._outgoing = None
        self._drop_segment()

    def _drop_segment(self) -> None:
        if self._segment is not None:
            self._desk.notes.append(n.DropSegment(*self._segment))
            self._segment = None

    def pull(self, now: float, message: p.ChunkAck) -> None:
        """Send pieces of the payload as the server asks for them."""
        submit = self._message
        if submit is None or submit.payload.carrier != "chunks" or message.seq:
            return
        if self._outgoing is None:
            self._outgoing = OutgoingPayload(self.job, self.session, 0, self._parts or [])
        self._desk.out += self._outgoing.pull(message.received, rewind=message.rewind)
        self.due = now + RESEND[1]

    def ask(self, now: float, message: p.Interrupt | p.Cancel, server: Server | None) -> None:
        """Interrupt or cancel; what was never sent is withdrawn here."""
        if self.phase in (Phase.NEW, Phase.WRITING) and self._submit is not None:
            event = p.Cancelled(job=self.job, seq=1, executed=False)
            self._end(Verdict(n.Ended(self.job, event), mute=True))
        elif self.phase is not Phase.ENDED:
            self._asked = message
            self._asked_at = _NEVER  # not sent yet
            if self.phase is Phase.HELD and server is not None:
                self._ask_again(now)

    def _ask_again(self, now: float) -> None:
        # Interrupting twice may hit the code that cleans up after the first; so only if that
        # one probably got lost.
        asked = self._asked
        if asked and (isinstance(asked, p.Cancel) or now - self._asked_at < p.SUSPECT):
            self._desk.out.append((asked, None))
            self._asked_at = min(self._asked_at, now)

    def probe(self, now: float) -> None:
        """Ask again, having heard nothing until `due`."""
        highest = RESEND[1] if self.phase is Phase.SENT else PROBE[1]
        self._interval = min(self._interval * BACKOFF, highest)
        self.due = now + self._interval
        if self.phase is Phase.SENT:
            self._send(now)
        elif self.reception.pulling:
            self.reception.pull_again()
        elif not self.reception.reading:
            self._attach(now)
            if isinstance(self._asked, p.Cancel):
                self._ask_again(now)

    # ------------------------------------------------------------------------- answers

    def accept(self, now: float, ahead: int = 0) -> None:
        """Let go of the payload: the server's journal has the job, behind so many cells."""
        if self.phase is Phase.HELD:
            self.due = now + self._interval
            if ahead != self._ahead and not self.reception.seq:
                self._ahead = ahead
                self._desk.notes.append(n.Accepted(self.job, ahead))
        elif self.phase is Phase.SENT:
            self.phase = Phase.HELD
            self._heard(now)
            self._segment = None  # the server's now
            self._release()
            self._ahead = ahead
            self._desk.notes.append(n.Accepted(self.job, ahead))
            self._ask_again(now)

    def refuse(self, message: p.Nack) -> None:
        """Take the server's no: wait for another server, try once more, or give up."""
        if self.phase is not Phase.SENT:
            return  # a late answer to a submission that was sent twice
        if message.code == "draining":
            self._unbind()
        elif message.code == "corrupt" and self._submit and not self._chunks_only:
            self._unbind()
            self._chunks_only = True
        else:
            self.reject(message.code, message.message)

    def unknown(self, now: float, journal: str) -> None:
        """Take the server's word that its journal has no such job."""
        if self.phase is Phase.HELD:
            self.lose("its server no longer knows it")
        elif self.phase is Phase.SENT and self._message is None:
            self.reject("unknown", "The server knows no such job.")
        elif self.phase is Phase.SENT and journal == self.journal:
            self._send(now)
        elif self.phase is Phase.SENT:
            self.lose("its server came back without its journal")

    def event(self, now: float, event: p.JobEvent, frame: p.Buffer | None) -> None:
        """Take one event, whatever came before it."""
        if self.phase is Phase.SENT:
            self.accept(now)
        elif self.phase is not Phase.HELD:
            return
        self._heard(now)
        if self.reception.take(event, frame):
            self._settle()
        elif now - self._gap_at > 1.0:
            self._gap_at = now
            self._attach(now)
            self.due = now + 1.0

    def chunk(self, now: float, message: p.Chunk, frame: p.Buffer | None) -> None:
        """Take a piece of a value."""
        if self.phase is Phase.HELD:
            self.reception.chunk(message, frame)
            self._heard(now)
            self._settle()

    def segment_read(
        self, now: float, seq: int, buffer: p.Buffer | None, *, authentic: bool
    ) -> None:
        """Go on after `notices.ReadSegment`; without a buffer it cannot be read here."""
        if self.phase is Phase.HELD:
            again = not self.reception.segment_read(seq, buffer, authentic=authentic)
            self._heard(now)
            if again:
                self._attach(now)
            self._settle()

    def item_consumed(self, now: float, seq: int) -> None:
        """Note that the items up to this event were dealt with."""
        self.reception.item_consumed(seq)
        if self.phase is Phase.HELD:
            self._heard(now)
            self._settle()
        elif self.settled:
            self._desk.ended[self.job] = None

    def _heard(self, now: float) -> None:
        self._interval = STALL if self.reception.pulling else PROBE[0]
        self.due = now + self._interval

    # ----------------------------------------------------------------------------- end

    @property
    def ended(self) -> bool:
        """Whether its owner was told how it ended."""
        return self.phase is Phase.ENDED

    @property
    def settled(self) -> bool:
        """Whether it ended, and its owner has taken everything."""
        return self.phase is Phase.ENDED and (self.mute or self.reception.all_consumed)

    def lose(self, why: str) -> None:
        """End it, nobody knowing how it went on; truthfully about whether it ran."""
        executed = self.phase in (Phase.SENT, Phase.HELD)
        seq = self.reception.seq + 1
        event = p.Lost(job=self.job, seq=seq, reason=why, executed=executed)
        self._end(Verdict(n.Ended(self.job, event), mute=True))

    def reject(self, code: str, message: str) -> None:
        """End it with an error made here."""
        self._end(Verdict(n.Rejected(self.job, code, message), mute=True))

    def _settle(self) -> None:
        if self.reception.verdict is not None:
            self._end(self.reception.verdict)

    def _end(self, verdict: Verdict) -> None:
        if self.phase is Phase.ENDED:
            return
        self.phase = Phase.ENDED
        self.mute = verdict.mute
        self.due = _NEVER
        self.reception.drop()
        self._release()
        self._drop_segment()
        self._desk.notes.append(verdict.notice)
        self._desk.ended[self.job] = None

    def _release(self) -> None:
        self._submit = self._parts = self._message = self._frame = self._outgoing = None
