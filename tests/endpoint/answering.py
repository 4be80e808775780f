"""A small real HTTP server that answers what a test tells it, and notes what it was asked."""

import json
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    query: dict
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def form(self):
        return parse_qs(self.body.decode(), keep_blank_values=True)

    @property
    def token(self):
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass
class Reply:
    """One answer; `broken` closes the connection after so many bytes instead.

    Content that can be called answers itself, and is passed the handler.
    """

    status: int = 200
    content: object = field(default_factory=dict)
    headers: dict = field(default_factory=dict)
    broken: int | None = None

    @property
    def body(self):
        if isinstance(self.content, bytes):
            return self.content
        return json.dumps(self.content).encode()


class Answering:
    """A server on a free port of the loopback. Use it in a `with` statement.

    Attributes
    ----------
    asked
        All requests, in order.
    """

    def __init__(self):
        self.asked = []
        self._replies = {}
        handler = type("Handler", (_Handler,), {"server_of_test": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method, path, *replies):
        """Say what is answered there: these one after the other, and the last one for ever."""
        made = [reply if isinstance(reply, Reply) else Reply(content=reply) for reply in replies]
        self._replies[method, path] = deque(made)

    def reply(self, asked):
        self.asked.append(asked)
        replies = self._replies.get((asked.method, asked.path))
        if not replies:
            return self.otherwise(asked)
        return replies.popleft() if len(replies) > 1 else replies[0]

    def otherwise(self, _):
        """Return the answer to what nothing was said of."""
        return Reply(404, {"detail": "Not Found"})

    def forget(self):
        """Know nothing of what was asked and what is to be answered."""
        self.asked.clear()
        self._replies.clear()

    def paths(self):
        return [f"{asked.method} {asked.path}" for asked in self.asked]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):  # clients may break off
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self):
        where = urlsplit(self.path)
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        headers = {name.lower(): value for name, value in self.headers.items()}
        headers["x-port"] = str(self.client_address[1])
        query = parse_qs(where.query, keep_blank_values=True)
        reply = self.server_of_test.reply(Asked(self.command, where.path, query, headers, body))
        if reply.broken == 0:
            self.close_connection = True
            return
        if callable(reply.content):
            reply.content(self)
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body[: reply.broken])
        self.close_connection = reply.broken is not None

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, *_):
        pass
