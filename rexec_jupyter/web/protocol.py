"""HTTP as it arrives: what is none, has no end, or takes too long to say what it wants is refused.

A request whose head is complete is the application's, which has limits of its own.
"""

import asyncio
import json
import secrets
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from rexec_jupyter.web.correlation import HEADER
from rexec_jupyter.web.errors import envelope

# What comes with the head in one piece is not counted; that is not much more.
_LONGEST_HEAD: Final = 256 * 1024
_SECONDS: Final = 20.0


class Protocol(HttpToolsProtocol):
    """One connection, on which heads of requests have an end within some seconds and bytes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._expecting = False
        self._received = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and refuse what is too much."""
        went_on = self._expecting
        super().data_received(data)
        if self.transport.is_closing():
            return
        if not self._expecting:
            self._wait_no_longer()
            return
        self._wait()
        self._received += len(data) if went_on else 0
        if self._received > _LONGEST_HEAD:
            self._refuse(431, "The headers, or the address, of the request are too long.")

    def on_message_begin(self) -> None:
        """Expect the rest of a head."""
        self._expecting, self._received = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Hand the request to the application."""
        self._expecting = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(400, msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: whoever asks for another protocol is answered in this one."""

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(_SECONDS, self._give_up)

    def _wait_no_longer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._refuse(408, f"The request did not arrive within {_SECONDS:g} seconds.")

    def _amid_answer(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and cycle.response_started and not cycle.response_complete

    def _refuse(self, status: int, detail: str) -> None:
        """Answer in the form of every other error, and close the connection."""
        identifier = secrets.token_hex(16)
        said = envelope("", status, detail, correlation_id=identifier)
        body = json.dumps(said).encode()
        head = (
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"%s: %s" % (HEADER, identifier.encode()),
            b"connection: close",
        )
        if not self._amid_answer():
            # Else it would look like a part of the answer to an earlier request.
            self.transport.write(STATUS_LINE[status] + b"\r\n".join((*head, b"", body)))
        self.transport.close()
