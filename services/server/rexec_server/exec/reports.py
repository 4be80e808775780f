"""What passes a message on to the agent."""

from __future__ import annotations

from typing import Literal, Protocol

from rexec_server import handoff as h

Text = Literal["stdout", "stderr"]
"""Streams of text."""


class Report(Protocol):
    """Sends one message to the agent, with the payload it announces."""

    def __call__(self, message: h.Message, payload: bytes = b"") -> None:
        """Send it."""
