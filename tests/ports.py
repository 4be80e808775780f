"""Ports of the loopback on which nobody listens, for as long as a test wants."""

import contextlib
import socket


@contextlib.contextmanager
def closed_port(number=0):
    """Give a port, that one or any, where nobody listens and which no other process gets.

    Whoever asks for that very port and reuses addresses, as servers do, can listen on it.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", number))
        yield held.getsockname()[1]
