"""Whether the broker knows this client, and answers.

Part of the state machine of `rexec_jupyter.core.exchange`; no input or output here.
"""

from __future__ import annotations

from rexec_jupyter.core import notices as n
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.framing import Parcel

HELLO_AGAIN = 3.0
"""Seconds after which an unanswered hello is repeated."""
TELL = 1.0
"""Seconds between two notices of a silence."""
_NEVER = float("inf")


class Presence:
    """Greets, keeps the ticket fresh, and watches for silence.

    Parameters
    ----------
    instance
        Random id of this client process.

    Attributes
    ----------
    connected
        There is a connection.
    live
        The broker has welcomed it.
    version
        Protocol number in use, as of the last welcome; 0 before.
    """

    def __init__(self, instance: str) -> None:
        self.connected = False
        self.live = False
        self.version = 0
        self._instance = instance
        self._hellos: list[Parcel] = []
        self._notes: list[n.Notice] = []
        self._ticket = ""
        self._epoch = ""
        self._hello_at = -_NEVER
        self._heard_at: float | None = None
        self._renew_at = _NEVER
        self._renewing = False
        self._beat_at = _NEVER
        self._tell_at = -_NEVER

    def silence(self, now: float) -> float:
        """Return for how many seconds the broker has said nothing."""
        return 0.0 if self._heard_at is None else now - self._heard_at

    def heard(self, now: float) -> None:
        """Note that it said something."""
        self._heard_at = now

    def outgoing(self) -> list[Parcel]:
        """Return, once, the greetings that are due."""
        hellos, self._hellos = self._hellos, []
        return hellos

    def notices(self) -> list[n.Notice]:
        """Return, once, what there is to know."""
        notes, self._notes = self._notes, []
        return notes

    # ---------------------------------------------------------------------- the connection

    def open(self, now: float, ticket: str) -> None:
        """Greet on a new connection, whose key this ticket is bound to."""
        self.connected = True
        self.live = False
        self._ticket = ticket
        self._hello(now)

    def close(self, now: float) -> None:
        """Note that the connection is gone."""
        self.connected = False
        self._hellos.clear()
        if self.live:
            self.live = False
            self._notes.append(n.Contact(connected=False, silence=self.silence(now)))

    def renew(self, now: float, ticket: str) -> None:
        """Show another ticket."""
        self._ticket = ticket
        self._renew_at = _NEVER
        if self.connected:
            self._renewing = self.live
            self._hello(now)

    def _hello(self, now: float) -> None:
        self._hello_at = now
        if self._heard_at is None:
            self._heard_at = now
        hello = p.ClientHello(versions=p.VERSIONS, ticket=self._ticket, instance=self._instance)
        self._hellos = [(hello, None)]

    def _greet_anew(self, now: float) -> None:
        self.live = False
        self._hello(now)

    # ------------------------------------------------------------------------ its messages

    def welcome(self, now: float, message: p.Welcome) -> bool:
        """Take the welcome; False if it only answers a renewed ticket."""
        renewed = self._renewing and self.live and message.epoch == self._epoch
        self._renewing = False
        self._renew_at = now + message.expires_in / 2
        self._beat_at = now + p.HEARTBEAT
        self._epoch = message.epoch
        self.version = message.version
        if not self.live:
            self.live = True
            self._notes.append(n.Contact(connected=True, silence=0.0))
        return not renewed

    def refused(self, message: p.Refused) -> None:
        """Take the refusal: this connection is of no use."""
        self.live = False
        self.connected = False
        self._notes.append(n.Denied(message.code, message.message))

    def resync(self, now: float) -> None:
        """Take the word that the broker does not know us, but not too often."""
        if self.live or now - self._hello_at > TELL:
            self._greet_anew(now)

    def heartbeat(self, now: float, epoch: str) -> None:
        """Take a heartbeat: of another run of the broker, it knows nothing of us."""
        if self.live and epoch != self._epoch:
            self._greet_anew(now)

    # ------------------------------------------------------------------------------- time

    def tick(self, now: float) -> bool:
        """Do what is due; return whether a heartbeat is."""
        if self.connected and not self.live and now >= self._hello_at + HELLO_AGAIN:
            self._hello(now)
        silence = self.silence(now)
        if silence >= p.SUSPECT and now >= self._tell_at:
            self._tell_at = now + TELL
            self._notes.append(n.Contact(connected=False, silence=silence))
            if self.connected and now >= self._hello_at + p.HEARTBEAT:
                self._greet_anew(now)
        if self.live and now >= self._renew_at:
            self._renew_at = now + p.SUSPECT
            self._notes.append(n.NeedTicket())
        if self.live and now >= self._beat_at:
            self._beat_at = now + p.HEARTBEAT
            return True
        return False

    def deadline(self, now: float) -> float:
        """Return when `tick` is due."""
        due = now + p.HEARTBEAT
        if self.live:
            due = min(due, self._beat_at, self._renew_at)
        elif self.connected:
            due = min(due, self._hello_at + HELLO_AGAIN)
        if self._heard_at is not None:
            due = min(due, max(self._heard_at + p.SUSPECT, self._tell_at))
        return due

    def excuse(self, seconds: float) -> None:
        """Do not count that much of the time that went by as silence."""
        if self._heard_at is not None:
            self._heard_at += seconds
