"""The agent's standing with the broker: hello, welcome, heartbeats, and starting over."""

from __future__ import annotations

from collections.abc import Callable

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.framing import Parcel
from rexec_server.agent.job import Shared

HELLO_AGAIN = 2.0
"""Seconds after which an unanswered hello is said again; doubles up to `HELLO_MOST`."""
HELLO_MOST = 30.0
RESYNC_PAUSE = 0.25
"""Seconds between two hellos that the broker asked for."""

_NEVER = float("inf")


class Membership:
    """Says hello until it is welcome, and then that the agent is alive.

    Parameters
    ----------
    hello, beat
        Make the messages to be sent.
    lose
        Called when whoever read is gone: the broker knows nothing of this connection.

    Attributes
    ----------
    parcels
        What is to be sent before everything else, and does not wait for a welcome.
    refused
        The last refusal, until a broker welcomes this agent.
    heard
        When the broker last said something.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        hello: Callable[[], p.ServerHello],
        beat: Callable[[], p.Heartbeat],
        lose: Callable[[], None],
    ) -> None:
        self._shared = shared
        self._make_hello = hello
        self._make_beat = beat
        self._lose = lose
        self.parcels: list[Parcel] = []
        self.refused: p.Refused | None = None
        self.heard = 0.0
        self._connected = False
        self._epoch = ""
        self._hello_at = self._beat_at = _NEVER
        self._hello_said = -_NEVER
        self._hello_after = HELLO_AGAIN

    @property
    def silent_at(self) -> float:
        """When the broker will have said nothing for too long."""
        return self.heard + p.SUSPECT if self._connected else _NEVER

    def take(self) -> list[Parcel]:
        """Return what is to be sent, and forget it."""
        parcels, self.parcels = self.parcels, []
        return parcels

    def connected(self, now: float) -> None:
        """Say hello: there is a connection."""
        self.disconnected()
        self._connected = True
        self.heard = now
        self._hello_after = HELLO_AGAIN
        self.say_hello(now)

    def disconnected(self) -> None:
        """Wait for the next connection."""
        self._connected = False
        self.parcels.clear()
        self._hello_at = self._beat_at = _NEVER
        self._lose()

    def say_hello(self, now: float) -> None:
        """Introduce the agent, once more if need be."""
        self.parcels.append((self._make_hello(), None))
        self._hello_said = now
        self._hello_at = now + self._hello_after
        self._hello_after = min(self._hello_after * 2, HELLO_MOST)

    def welcome(self, now: float, message: p.Welcome, frame: object) -> None:
        """Begin to work with this broker, or go on."""
        del frame
        if message.epoch != self._epoch and self._shared.ready:
            self._lose()
        self.refused = None
        self._epoch = message.epoch
        self._shared.ready = True
        self._hello_after = HELLO_AGAIN
        self._hello_at = now + max(message.expires_in / 2, HELLO_AGAIN)
        self._beat(now)
        if self._shared.draining:
            self.parcels.append((p.Drain(), None))

    def refuse(self, now: float, message: p.Refused, frame: object) -> None:
        """Stop working with this broker; try again much later."""
        del frame
        self.refused = message
        self._lose()
        self._hello_at = now + HELLO_MOST
        self._beat_at = _NEVER

    def resync(self, now: float, message: object, frame: object) -> None:
        """Start over: the broker does not know this connection."""
        del message, frame
        self._lose()
        if now - self._hello_said >= RESYNC_PAUSE:
            self.say_hello(now)
        else:
            self._hello_at = min(self._hello_at, self._hello_said + RESYNC_PAUSE)

    def heartbeat(self, now: float, message: p.Heartbeat, frame: object) -> None:
        """Notice that the broker is another one than before."""
        if message.epoch and self._shared.ready and message.epoch != self._epoch:
            self.resync(now, message, frame)

    def beat(self, now: float) -> None:
        """Tell the broker how things are, once it has welcomed the agent."""
        if self._shared.ready:
            self._beat(now)

    def _beat(self, now: float) -> None:
        self.parcels.append((self._make_beat(), None))
        self._beat_at = now + p.HEARTBEAT

    def tick(self, now: float) -> float:
        """Say what is due; return when something is due again."""
        if now >= self._hello_at:
            self.say_hello(now)
        if now >= self._beat_at:
            self._beat(now)
        silent_at = self.silent_at
        # Once it is silent, it is for the owner to do something.
        return min(self._hello_at, self._beat_at, silent_at if silent_at > now else _NEVER)
