"""How the application is served: by one process, or by several that share a socket.

This is all that the process above several workers needs, so it stays small.
"""

import http.client
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import uvicorn
from uvicorn.supervisors import Multiprocess

# Seconds that requests under way are given after SIGTERM.
_GRACE = 5
# Seconds that a worker may take until it answers, migrations of a large database included.
_START = 600.0


class Serving(NamedTuple):
    """Where and how to serve.

    Attributes
    ----------
    application
        Module and name of what makes the application, as in ``package.worker:application``.
    prefix
        What the variables of this service begin with, such as ``REXEC_EP``: with ``_LOG_LEVEL``
        it tells workers from which level on they log.
    workers
        How many processes; with one there is no process above it.
    trusted_proxies
        Addresses whose word on where a request comes from is taken, separated by commas.
    descriptor
        A listening socket that is taken over in place of host and port.
    """

    application: str
    prefix: str
    host: str
    port: int
    workers: int
    log_level: str
    trusted_proxies: str
    descriptor: int | None = None


def serve(serving: Serving, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Parameters
    ----------
    serving
        Where and how.
    on_ready
        Called with the address once the application answers there.

    Raises
    ------
    OSError
        If the address cannot be had.
    """
    os.environ[f"{serving.prefix}_LOG_LEVEL"] = serving.log_level
    with _door(serving) as door:
        threading.Thread(target=_announce, args=(door, on_ready), daemon=True).start()
        config = uvicorn.Config(
            serving.application,
            factory=True,
            http="rexec_jupyter.web.protocol:Protocol",
            ws="none",
            workers=serving.workers,
            log_config=None,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=serving.trusted_proxies,
            timeout_graceful_shutdown=_GRACE,
        )
        with _ending_in_good_order():
            if serving.workers == 1:
                uvicorn.Server(config).run(sockets=[door])
            else:
                with _shared_metrics():
                    Multiprocess(config, sockets=[door]).run()


def _door(serving: Serving) -> socket.socket:
    if serving.descriptor is not None:
        return socket.socket(fileno=serving.descriptor)
    family = socket.AF_INET6 if ":" in serving.host else socket.AF_INET
    return socket.create_server((serving.host, serving.port), family=family, backlog=2048)


def _announce(door: socket.socket, on_ready: Callable[[str], None]) -> None:
    """Wait for the first answer: whoever asks is queued until a worker takes the connection."""
    host, port = door.getsockname()[:2]
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - looked up only
    connection = http.client.HTTPConnection(reached, port, timeout=_START)
    try:
        connection.request("GET", "/health", headers={"Connection": "close"})
        connection.getresponse().read()
    except OSError:
        return  # it ended before it began, and said why
    finally:
        connection.close()
    on_ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")


@contextmanager
def _ending_in_good_order() -> Iterator[None]:
    """Let the server handle signals; it raises them again afterwards, and then they do nothing."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: None) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _shared_metrics() -> Iterator[None]:
    """Give all workers a directory to count into."""
    with tempfile.TemporaryDirectory(prefix="rexec-metrics-") as directory:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        try:
            yield
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]
