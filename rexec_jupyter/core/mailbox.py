"""Whole envelopes through a ZeroMQ socket that somebody's event loop watches.

Asking a socket whether something has arrived costs as much as receiving it, and pyzmq's
multipart functions cost several times as much as what they do; on the way of a short call
that would add up to more than all the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import zmq
from zmq.backend import Socket as PlainSocket

from rexec_jupyter.core import protocol as p

COPIED = 64 * 1024
"""Bytes up to which copying a frame is cheaper than keeping track of it."""

# Plain numbers: those of the enumerations make a new member of each combination.
_NOBLOCK = int(zmq.NOBLOCK)
_MORE = _NOBLOCK | int(zmq.SNDMORE)
_POLLIN = int(zmq.POLLIN)

_send = PlainSocket.send


class Mailbox:
    """Sends and receives without ever blocking.

    The descriptor of a ZeroMQ socket tells changes only, and any use of the socket may swallow
    one. So whoever waits for it calls `arrived` when it is readable, and waits only if
    `pending` is false.

    Parameters
    ----------
    socket
        Connected or bound; closed by its owner.

    Attributes
    ----------
    torn
        The connection ended between two frames of an envelope, and ZeroMQ took the others away.
        It would take the next connection's for them, so nothing more is received: another socket
        is needed.
    """

    __slots__ = ("_certain", "_ready", "_socket", "torn")

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.torn = False
        self._socket = socket
        self._ready = False
        self._certain = False

    def arrived(self) -> None:
        """Note that the descriptor is readable: there may be something to receive."""
        self._ready = True

    @property
    def pending(self) -> bool:
        """Whether there may be something to receive that the descriptor does not tell."""
        if self.torn:
            return False
        if not self._ready and not self._certain:
            self._certain = True
            self._ready = bool(int(self._socket.getsockopt(zmq.EVENTS)) & _POLLIN)
        return self._ready

    def first(self) -> zmq.Frame | None:
        """Receive the first frame of an envelope, if one has arrived; `next` gives the others."""
        if not self.pending:
            return None
        self._ready = False
        try:
            frame = self._socket.recv(_NOBLOCK, copy=False)
        except zmq.Again:
            self._certain = True
            return None
        self._certain = False
        return frame

    def next(self) -> zmq.Frame:
        """Receive another frame, the one before having said that there is ``more``."""
        return self._socket.recv(_NOBLOCK, copy=False)

    def receive(self) -> list[p.Buffer] | None:
        """Receive an envelope, if one has arrived."""
        frame = self.first()
        if frame is None:
            return None
        frames: list[p.Buffer] = [frame.bytes]
        while frame.more:
            try:
                frame = self._socket.recv(_NOBLOCK, copy=False)
            except zmq.Again:
                self.torn = True
                return None
            frames.append(frame.bytes if len(frame) < COPIED else frame.buffer)
        return frames

    def send(self, frames: Sequence[Any]) -> None:
        """Send an envelope.

        Raises
        ------
        zmq.Again
            If nothing of it can be sent now.
        zmq.ZMQError
            If its receiver is gone (only ROUTER sockets tell).
        """
        socket = self._socket
        self._certain = False
        left = len(frames)
        for frame in frames:
            left -= 1
            _send(socket, frame, _MORE if left else _NOBLOCK, len(frame) < COPIED)
