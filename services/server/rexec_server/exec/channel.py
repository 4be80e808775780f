"""What a session's kernel and the manager say to each other beside Jupyter's protocol.

A kernel writes text to its pipes and everything else to this Unix socket, framed like
`rexec_server.handoff`. The manager acknowledges each message with one byte, after it read
all that was in the pipes before. Waiting for that byte is what keeps text, figures and the
end of a cell in order, and gives each piece of output to the right job.
"""

from __future__ import annotations

import array
import fcntl
import os
import socket
import termios
import threading
from types import FrameType

from rexec_server import handoff as h
from rexec_server.exec.interrupts import within


class Ready(h.Message, frozen=True):
    """The kernel accepts requests."""


class Sync(h.Message, frozen=True):
    """Read what is in the pipes before anything that comes later."""


FromKernel = Ready | Sync | h.CellStarted | h.CellOutput | h.Returned | h.Raised | h.Interrupted


class Channel:
    """The kernel's end.

    Parameters
    ----------
    descriptor
        Its socket.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.RLock()
        self._sent = 0
        self._acknowledged = 0
        self._deferred = False
        self._last_stream = 1
        os.register_at_fork(after_in_child=self._leave)
        self._left = False

    def post(self, message: h.Message, payload: bytes = b"", *, wait: bool = True) -> None:
        """Send a message; with `wait`, until the manager has it and all output before it.

        Raises
        ------
        KeyboardInterrupt
            If one came while sending, after the message was sent.
        """
        if self._left:
            return
        with self._lock:
            self._send(h.encode(message, payload))
            awaited = self._sent
            if self._deferred:
                self._deferred = False
                raise KeyboardInterrupt
            while wait and self._acknowledged < awaited:
                received = len(self._socket.recv(4096))
                if not received:
                    os._exit(1)
                self._acknowledged += received

    def defers(self, frame: FrameType | None) -> bool:
        """Tell whether an interrupt must wait: half a message would garble the stream."""
        if within(frame, Channel._send.__code__):
            self._deferred = True
            return True
        return False

    def before_write(self, descriptor: int) -> None:
        """Keep text of two streams in order: it goes through two pipes."""
        other, self._last_stream = self._last_stream, descriptor
        if other != descriptor and _pending(other):
            self.post(Sync())

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)
        self._sent += 1

    def _leave(self) -> None:
        """Stay silent in a forked child: its bytes would get between the parent's."""
        self._left = True
        self._lock = threading.RLock()


def _pending(pipe: int) -> bool:
    count = array.array("i", [0])
    try:
        fcntl.ioctl(pipe, termios.FIONREAD, count)
    except OSError:  # user code may have put anything in the pipe's place
        return False
    return count[0] > 0
