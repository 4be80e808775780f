"""Health, readiness, metrics and the list of servers over HTTP, in threads of their own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, NamedTuple

from rexec_broker.assigning import LONGEST

Check = Callable[[], str]


class Answers(NamedTuple):
    """What is answered.

    Attributes
    ----------
    healthy, ready
        Return what is wrong, or nothing.
    metrics
        Returns the metrics as text.
    content_type
        The type of that text.
    servers
        Answers with the list of servers, given the header ``Authorization`` and the query.
    assign
        Answers whoever gives a server away, given that header and the body.
    """

    healthy: Check
    ready: Check
    metrics: Callable[[], bytes]
    content_type: str
    servers: Callable[[str, str], tuple[HTTPStatus, bytes]]
    assign: Callable[[str, bytes], tuple[HTTPStatus, bytes]]


class _Handler(BaseHTTPRequestHandler):
    timeout = 5.0
    server_version = "rexec-broker"
    sys_version = ""
    answers: ClassVar[Answers]

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        answers = self.answers
        match path:
            case "/healthz":
                self._report(answers.healthy())
            case "/readyz":
                self._report(answers.ready())
            case "/metrics":
                self._answer(HTTPStatus.OK, answers.metrics(), answers.content_type)
            case "/servers":
                status, body = answers.servers(self.headers.get("Authorization", ""), query)
                self._answer(status, body, "application/json")
            case _:
                self._answer(HTTPStatus.NOT_FOUND, b"not found\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/servers/assign":
            self._answer(HTTPStatus.NOT_FOUND, b"not found\n")
        elif not length.isdecimal() or int(length) > LONGEST:
            self.close_connection = True  # its body is not read
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"too large\n")
        else:
            body = self.rfile.read(int(length))
            status, told = self.answers.assign(self.headers.get("Authorization", ""), body)
            self._answer(status, told, "application/json")

    def _report(self, problem: str) -> None:
        status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
        self._answer(status, f"{problem or 'ok'}\n".encode())

    def _answer(
        self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: probes come every few seconds."""


class HealthServer:
    """Answers `/healthz`, `/readyz`, `/metrics`, and the deploy API's requests.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes any.
    answers
        What to say.

    Raises
    ------
    OSError
        If the address cannot be used.
    """

    def __init__(self, host: str, port: int, answers: Answers) -> None:
        class Handler(_Handler):
            pass

        Handler.answers = answers

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        self._server = Server((host, port), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="health", daemon=True
        )

    @property
    def address(self) -> str:
        """``host:port`` with the real port number."""
        host, port = self._server.server_address[:2]
        host = host if isinstance(host, str) else host.decode()
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
