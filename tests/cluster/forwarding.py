"""Ports on loopback that lead into the cluster: tokens go in plain text to nowhere else."""

import contextlib
import socket
import threading


class Forward:
    """A listening port whose connections are carried on to an address.

    Attributes
    ----------
    to
        Host and port; may be set later than connections are wanted.
    """

    def __init__(self):
        self.to = None
        self._door = socket.create_server(("127.0.0.1", 0))
        self._ended = False
        threading.Thread(target=self._admit, daemon=True).start()

    @property
    def url(self):
        """Address for a browser or a client."""
        return f"http://127.0.0.1:{self._door.getsockname()[1]}"

    def close(self):
        """Stop listening."""
        self._ended = True
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _admit(self):
        while not self._ended:
            try:
                near, _ = self._door.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.to, timeout=10)
            except (OSError, TypeError):
                near.close()
                continue
            far.settimeout(None)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(source, sink), daemon=True).start()


def _carry(source, sink):
    with contextlib.suppress(OSError):
        while content := source.recv(1 << 16):
            sink.sendall(content)
    for each in (source, sink):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
    source.close()
