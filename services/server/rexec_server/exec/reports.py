"""What passes a message on to the agent."""

from __future__ import annotations

from typing import Protocol

from rexec_server import handoff as h


class Report(Protocol):
    """Sends one message to the agent, with the payload it announces."""

    def __call__(self, message: h.Message, payload: bytes = b"") -> None:
        """Send it."""
