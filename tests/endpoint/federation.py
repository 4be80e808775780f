"""A small real Pelican federation: discovery, a director, and an origin that has files."""

import json
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit
from xml.sax.saxutils import escape

NAMESPACE = "/ospool"
LOCKED = "/locked"
_WHEN = 1_780_000_000


class Federation:
    """A federation on a free port of the loopback; use it in a ``with`` statement.

    Attributes
    ----------
    files
        What the origin has, by path.
    director
        What the director says in place of the origin's address; None for that.
    listing
        What the origin answers in place of a listing; None for a listing.
    lists
        Whether the origin can list at all.
    told
        What the discovery says; None for the truth.
    cut
        Whether connections end in the middle of a file.
    seen
        What was asked for: method, path and headers.
    """

    def __init__(self):
        self.files = {}
        self.reset()

    def reset(self):
        self.director = self.listing = self.told = None
        self.lists, self.cut = True, False
        self.seen = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def host(self):
        return f"127.0.0.1:{self._server.server_port}"

    def entry(self, path):
        """Return the size of a file, None for a collection; raise KeyError if there is neither."""
        path = path.rstrip("/")
        if path in self.files:
            return len(self.files[path])
        if any(one.startswith(f"{path}/") for one in self.files):
            return None
        raise KeyError(path)

    def children(self, path):
        path = path.rstrip("/")
        names = {
            one.removeprefix(f"{path}/").split("/")[0]
            for one in self.files
            if one.startswith(f"{path}/")
        }
        return sorted(f"{path}/{name}" for name in names)

    def __enter__(self):
        federation = self

        class Handler(_Handler):
            pass

        Handler.federation = federation
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    federation = None

    def log_message(self, *_):
        pass

    def handle_any(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        self.federation.seen.append((self.command, self.path, dict(self.headers)))
        if path == "/.well-known/pelican-configuration":
            self.discovery()
        elif path.startswith("/director/"):
            self.director(path.removeprefix("/director"))
        else:
            self.origin(path)

    do_GET = do_HEAD = do_PROPFIND = handle_any  # noqa: N815 - as the server looks for them

    def discovery(self):
        told = self.federation.told
        if told is None:
            told = json.dumps({"director_endpoint": f"{self.federation.url}/director"})
        self.answer(200, told.encode())

    def director(self, path):
        if not path.startswith((NAMESPACE, LOCKED)):
            self.answer(404, b'{"status": "error", "msg": "no namespace"}')
            return
        base = self.federation.director or self.federation.url
        namespace = f"namespace={NAMESPACE}, require-token=false"
        if self.federation.lists:
            namespace += f", collections-url={self.federation.url}"
        self.answer(
            307,
            Location=f"{base}{quote(path)}",
            Link=f'<{base}{quote(path)}>; rel="duplicate"; pri=1; depth=1',
            X_Pelican_Namespace=namespace,
        )

    def origin(self, path):
        if path.startswith(LOCKED):
            self.answer(403)
            return
        try:
            size = self.federation.entry(path)
        except KeyError:
            self.answer(404)
            return
        if self.command == "PROPFIND":
            self.listing(path)
        elif size is None:
            self.answer(409)
        else:
            self.file(self.federation.files[path])

    def file(self, content):
        wanted = self.headers.get("Range")
        more = {"Last_Modified": formatdate(_WHEN, usegmt=True), "Content_Type": "text/csv"}
        if wanted:
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(end or len(content)), len(content) - 1)
            more["Content_Range"] = f"bytes {first}-{last}/{len(content)}"
            self.answer(206, content[first : last + 1], **more)
        else:
            self.answer(200, content, **more)

    def listing(self, path):
        if self.federation.listing is not None:
            self.answer(207, self.federation.listing)
            return
        paths = [path]
        if self.headers["Depth"] == "1" and self.federation.entry(path) is None:
            paths += self.federation.children(path)
        items = "".join(self.item(one) for one in paths)
        text = f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{items}</D:multistatus>'
        self.answer(207, text.encode())

    def item(self, path):
        size = self.federation.entry(path)
        kind = "<D:collection/>" if size is None else ""
        slash = "/" if size is None and not path.endswith("/") else ""
        return (
            f"<D:response><D:href>{escape(quote(path))}{slash}</D:href><D:propstat><D:prop>"
            f"<D:getcontentlength>{size or 0}</D:getcontentlength>"
            f"<D:getlastmodified>{formatdate(_WHEN, usegmt=True)}</D:getlastmodified>"
            f"<D:resourcetype>{kind}</D:resourcetype></D:prop>"
            "<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
        )

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.federation.cut:
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)
