"""ZeroMQ sockets as both sides of the broker need them."""

from __future__ import annotations

import secrets
import struct
from collections.abc import Sequence

import zmq

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.trust import KeyPair

WATCHED = int(
    zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.DISCONNECTED
    | zmq.Event.CONNECT_RETRIED
)
"""What a peer of the broker has to know of its connection."""

FORSAKEN = 0.5
"""Seconds after which an attempt that was broken off was the last one.

ZeroMQ tells in the same moment that it tries again. It does not if what answered is no broker, as
it can be while the pod of one is just being replaced: then the socket is of no use any more.
"""

_HAPPENED = struct.Struct("=Hi")
_RECONNECT = 250  # milliseconds


def happened(message: Sequence[p.Buffer]) -> tuple[int, int]:
    """Return the event that a monitor tells of, and its value.

    As ``zmq.utils.monitor`` does, which however imports asyncio and ssl: a sixth of the time that
    an agent takes to start.
    """
    event, value = _HAPPENED.unpack(bytes(message[0]))
    return event, value


def harden(socket: zmq.Socket[bytes]) -> None:
    """Bound what the other side can do, and notice when it is gone; before connect or bind."""
    socket.linger = 0
    socket.maxmsgsize = p.MAX_FRAME
    # The broker's own limit, so both sides give up a handshake together.
    socket.handshake_ivl = 10_000
    socket.heartbeat_ivl = 5_000
    socket.heartbeat_timeout = socket.heartbeat_ttl = 15_000


def dealer(
    context: zmq.Context[zmq.Socket[bytes]], broker_key: bytes, keys: KeyPair, reconnect_most: int
) -> zmq.Socket[bytes]:
    """Make a socket that speaks CURVE with one broker alone; not connected yet.

    Parameters
    ----------
    broker_key
        The broker's public key, in Z85: nobody else can answer.
    keys
        Our own.
    reconnect_most
        Most milliseconds between two attempts to connect.
    """
    socket = context.socket(zmq.DEALER)
    harden(socket)
    socket.curve_serverkey = broker_key
    socket.curve_publickey, socket.curve_secretkey = keys
    socket.immediate = True
    # Behind a service of Kubernetes an attempt may lead to a pod that is gone: the system would
    # stay with it for minutes, and the next one is led elsewhere.
    socket.connect_timeout = 5_000
    socket.ipv6 = True
    # Many peers do not come back in the same instant after a restart.
    socket.reconnect_ivl = _RECONNECT // 2 + secrets.randbelow(_RECONNECT)
    socket.reconnect_ivl_max = reconnect_most
    return socket
