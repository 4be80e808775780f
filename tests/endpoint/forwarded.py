"""A real service for the tests to register: it tells what it was asked, or misbehaves as told."""

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

BIG = 8 * 1024 * 1024


class ForwardedService:
    """A service on a free port of the loopback; use it in a ``with`` statement.

    What it does depends on the last part of the path: see `Handler`.

    Attributes
    ----------
    asked
        What it was asked, as ``(method, address)``.
    hanging
        Set it to let the requests to ``/hang`` go on.
    left
        Is set when nobody takes any more of what ``/endless`` says.
    """

    def __init__(self):
        self.asked = []
        self.hanging = threading.Event()
        self.left = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.service = self
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.hanging.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.service.asked.append((self.command, self.path))
        body = self._body()
        last = urlsplit(self.path).path.rpartition("/")[2]
        getattr(self, f"_{last}", self._tell)(body)

    def do_POST(self):
        self.do_GET()

    def do_PUT(self):
        self.do_GET()

    def do_PATCH(self):
        self.do_GET()

    def do_DELETE(self):
        self.do_GET()

    def _tell(self, body):
        seen = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": body.decode(),
        }
        self._say(200, json.dumps(seen).encode(), [("Set-Cookie", "session=theirs")])

    def _teapot(self, _):
        self._say(418, b"short and stout", [("X-Kettle", "on")])

    def _moved(self, _):
        self._say(302, b"", [("Location", "https://elsewhere.example.org/")])

    def _big(self, _):
        self._say(200, b"x" * BIG)

    def _hang(self, _):
        self.server.service.hanging.wait()
        self._say(200, b"at last")

    def _endless(self, _):
        self._head(200, [("Content-Type", "text/event-stream")])
        self.close_connection = True
        try:
            while True:
                self.wfile.write(b"data: more\n\n" * 1000)
        except OSError:
            self.server.service.left.set()

    def _garbage(self, _):
        self.wfile.write(b"this is not HTTP\r\n\r\n")
        self.close_connection = True

    def _short(self, _):
        self._head(200, [("Content-Length", "1000")])
        self.wfile.write(b"only this")
        self.close_connection = True

    def _body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while length := int(self.rfile.readline(), 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _say(self, status, body, headers=()):
        with suppress(BrokenPipeError, ConnectionResetError):
            self._head(status, [("Content-Length", str(len(body))), *headers])
            self.wfile.write(body)

    def _head(self, status, headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing: the tests look at `asked`."""
