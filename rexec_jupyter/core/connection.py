"""How the client's link finds the broker, connects, proves who it is, and comes back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from rexec_jupyter.core import notices as n
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.backend import Address, Backend
from rexec_jupyter.core.errors import (
    AuthenticationError,
    ConnectionLostError,
    NoSessionError,
    RexecError,
    VersionMismatchError,
)
from rexec_jupyter.core.exchange import Exchange
from rexec_jupyter.core.framing import Parcel, pack
from rexec_jupyter.core.trust import new_keypair
from rexec_jupyter.core.wire import Wire

LOCATE_AFTER = 3.0
"""Seconds without a connection after which the backend is asked where it is."""
LOCATE_PAUSE = 30.0
"""Most seconds between two such questions."""


class Connection:
    """Keeps an exchange connected. Lives on the link's event loop.

    Parameters
    ----------
    start
        Runs a coroutine in the background.
    flush
        Passes on what the exchange has to say; called after everything that happened.
    on_envelope
        Takes each envelope that arrives.
    fail
        Called with an error that no retry will mend.
    on_ended
        Called when the backend says that there is no server any more.

    Attributes
    ----------
    job_secret
        The backend's, once it was located.
    endpoint
        Address of the broker, once it was located.
    trouble
        What is wrong, if something is; for people.
    contact
        Whether the broker answers.
    ended
        The backend says that there is no server any more.
    tried
        It worked once: from now on trouble is waited out rather than given up on.
    """

    def __init__(
        self,
        backend: Backend,
        exchange: Exchange,
        *,
        start: Callable[[Coroutine[Any, Any, None]], None],
        flush: Callable[[], None],
        on_envelope: Callable[[list[p.Buffer]], None],
        fail: Callable[[RexecError], None],
        on_ended: Callable[[], None],
    ) -> None:
        self.job_secret = b""
        self.endpoint = ""
        self.trouble = ""
        self.contact = False
        self.ended = False
        self.tried = False
        self._backend = backend
        self._exchange = exchange
        self._start = start
        self._flush = flush
        self._on_envelope = on_envelope
        self._fail = fail
        self._on_ended = on_ended
        self._keys = new_keypair()
        self._ticket: tuple[str, float] | None = None
        self._denials = 0
        # There is a connection, but no ticket to show on it.
        self._ungreeted = False
        self._wire: Wire | None = None
        self._backlog: deque[list[p.Buffer]] = deque()
        self._gone = asyncio.Event()

    async def keep(self) -> None:
        """Ask the backend where it is, now and whenever it cannot be reached for a while."""
        pause = LOCATE_AFTER
        while True:
            if self.contact:
                pause = LOCATE_AFTER
                await self._gone.wait()
                self._gone.clear()
            else:
                await self._locate()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LOCATE_PAUSE)

    async def _locate(self) -> None:
        try:
            address = await self._backend.locate()
            self.job_secret = self._backend.job_secret()
        except RexecError as error:
            self._trouble(error.message, error)
        else:
            self._open(address)

    async def resume(self) -> None:
        """Try at once to be connected again."""
        self.ended = False
        if not self.contact:
            await self._locate()

    def _trouble(self, message: str, error: RexecError) -> None:
        self.trouble = message
        self.ended = isinstance(error, NoSessionError)
        if self.ended:
            self._on_ended()
        if not self.tried:
            self._fail(error)

    def _open(self, address: Address) -> None:
        if self._wire is not None:
            if self._wire.address == address:
                if self._ungreeted:
                    self._start(self._greet())
                return
            self._wire.close()
            self._on_disconnected()
        self._connect(address)

    def _connect(self, address: Address) -> None:
        self.endpoint = address.endpoint
        self._wire = Wire(
            address,
            self._keys,
            on_message=self._on_envelope,
            on_writable=self._flush,
            on_connected=lambda: self._start(self._greet()),
            on_disconnected=self._on_disconnected,
            on_refused=self._on_refused,
            on_forsaken=lambda: self._connect_anew(address),
        )

    def _connect_anew(self, address: Address) -> None:
        if self._wire is not None:
            self._wire.close()
            self._connect(address)

    def close(self, linger: float) -> None:
        """Give the connection up; what was sent may take `linger` seconds to leave."""
        if self._wire:
            self._wire.close(linger)

    def send(self, parcels: list[Parcel]) -> None:
        """Send messages, now or as soon as there is room."""
        if parcels:
            self._backlog.extend(pack(parcels))
        if self._backlog and self._wire:
            self._wire.send(self._backlog)

    # --------------------------------------------------------------------------- tickets

    def renew(self) -> None:
        """Get another ticket, and show it."""
        self._start(self._greet(renew=True))

    async def _greet(self, *, renew: bool = False) -> None:
        wire = self._wire
        now = asyncio.get_running_loop().time
        try:
            if renew or self._ticket is None or self._ticket[1] < now():
                token, seconds = await self._backend.ticket(self._keys.public.decode())
                self._ticket = (token, now() + seconds / 2)
                self.job_secret = self._backend.job_secret()
        except RexecError as error:
            self._ungreeted = wire is self._wire and not self._exchange.live
            self._trouble(error.message, error)
            return
        self._ungreeted = False
        if wire is self._wire:
            greet = self._exchange.renew if self._exchange.live else self._exchange.connected
            greet(now(), self._ticket[0])
            self._flush()

    # -------------------------------------------------------------------- what it is told

    def _on_disconnected(self) -> None:
        self._ungreeted = False
        self._backlog.clear()
        self._exchange.disconnected(asyncio.get_running_loop().time())
        self._flush()

    def _on_refused(self, reason: str) -> None:
        message = f"The broker at {self.endpoint} did not complete the handshake: {reason}."
        hint = "Another program may listen there, or a broker with another key."
        self._trouble(message, ConnectionLostError(message, hint=hint))

    def on_contact(self, notice: n.Contact) -> None:
        """Note that the broker answers, or no longer does."""
        self.contact = notice.connected
        if notice.connected:
            self._denials = 0
            self.trouble = ""
            self.ended = False
        else:
            self._gone.set()

    def on_denied(self, notice: n.Denied) -> None:
        """Try a new ticket once; then give up."""
        self.contact = False
        self._gone.set()
        self._denials += 1
        if notice.code == "R12":
            self._fail(VersionMismatchError(notice.message, hint="Upgrade the older side."))
        elif self._denials > 1:
            self._fail(AuthenticationError(f"The broker refused the ticket: {notice.message}"))
        else:
            self.renew()
