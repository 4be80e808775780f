"""A real identity service for the tests: users with roles and groups, logins, tokens and keys.

It can be switched while it runs to be slow, down, broken, or to say whatever a test wants.
"""

import json
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.endpoint.canary import marked_claim, secret
from tests.ports import closed_port

VALIDATION = "/temp/information"
LOGIN = "/user/login"
JWKS = "/jwks"


@dataclass
class Person:
    """Somebody whom the identity service knows."""

    username: str
    sub: str
    roles: list = field(default_factory=list)
    groups: list = field(default_factory=list)
    more: dict = field(default_factory=dict)
    token: str = field(default_factory=lambda: secret("token"))
    password: str = field(default_factory=lambda: secret("password"))

    @property
    def claims(self):
        return {
            "sub": self.sub,
            "username": self.username,
            "email": f"{self.username}@example.org",
            "roles": list(self.roles),
            "groups": list(self.groups),
            **self.more,
        }


class IdentityService:
    """An identity service on a free port of the loopback, with four people to begin with.

    They are called ``admin``, ``writer``, ``viewer`` and ``outsider``, who has no role at all.
    Use it in a ``with`` statement.

    Attributes
    ----------
    calls
        How often each path was asked for; `calls[VALIDATION]` for instance.
    """

    def __init__(self):
        self.people = {}
        self.calls = Counter()
        self.requests = []
        self._reply = None
        self._lock = threading.Lock()
        self._server = None
        self._port = 0
        self._keys = {}
        for name in ("admin", "writer", "viewer"):
            self.add(name, roles=[f"ndp_{name}"])
        self.add("outsider")

    # Where it is

    @property
    def url(self):
        """The address that validates tokens."""
        return f"{self.issuer}{VALIDATION}"

    @property
    def jwks_url(self):
        return f"{self.issuer}{JWKS}"

    @property
    def issuer(self):
        return f"http://127.0.0.1:{self._port}"

    # Who there is

    def add(self, username, *, roles=(), groups=(), sub=None, **more):
        """Make somebody known; return them."""
        person = Person(username, sub or f"sub-of-{username}", list(roles), list(groups), more)
        self.people[username] = person
        return person

    def token(self, username):
        """Return a token of somebody."""
        return self.people[username].token

    def password(self, username):
        """Return the password of somebody."""
        return self.people[username].password

    # Signed tokens

    def rotate(self, key_id="first", kind="RSA", *, keep=False, listed=True):
        """Sign with a new key from now on; forget the others unless told to keep them."""
        if not keep:
            self._keys.clear()
        if kind == "RSA":
            private, algorithm = rsa.generate_private_key(65537, 2048), "RS256"
        else:
            private, algorithm = ec.generate_private_key(ec.SECP256R1()), "ES256"
        self._keys[key_id] = (private, algorithm, listed)
        return private

    def jwt(self, username, *, key_id=None, key_named=True, headers=None, **claims):
        """Return a signed token of somebody; claims may be overridden, or dropped by None."""
        if not self._keys:
            self.rotate()
        key_id = key_id or list(self._keys)[-1]
        private, algorithm, _ = self._keys[key_id]
        content = self.jwt_claims(username, **claims)
        named = {"kid": key_id} if key_named else {}
        return jwt.encode(content, private, algorithm, headers=named | (headers or {}))

    def jwt_claims(self, username, **claims):
        """Return what a signed token of somebody says."""
        now = int(time.time())
        content = marked_claim() | self.people[username].claims
        content |= {"iss": self.issuer, "iat": now, "exp": now + 300} | claims
        return {name: value for name, value in content.items() if value is not None}

    def jwks(self):
        """Return the public keys."""
        keys = []
        for key_id, (private, algorithm, listed) in self._keys.items():
            if not listed:
                continue
            kind = jwt.algorithms.get_default_algorithms()[algorithm]
            described = kind.to_jwk(private.public_key(), as_dict=True)
            keys.append(described | {"kid": key_id, "alg": algorithm, "use": "sig"})
        return {"keys": keys}

    # How it behaves

    @contextmanager
    def saying(self, status=200, body=b"", content_type="application/json", **headers):
        """Answer everything in one way; a body that is neither text nor bytes becomes JSON."""
        if not isinstance(body, str | bytes):
            body = json.dumps(body)
        data = body.encode() if isinstance(body, str) else body
        sent = {"Content-Type": content_type} | headers

        def reply(handler):
            handler.answer(status, data, sent)

        with self._replying(reply):
            yield self

    @contextmanager
    def slow(self):
        """Answer nobody until the block ends; yields an event that ends the waiting."""
        go_on = threading.Event()
        arrived = threading.Event()

        def reply(handler):
            arrived.set()
            go_on.wait()
            self.dispatch(handler)

        go_on.arrived = arrived
        with self._replying(reply):
            try:
                yield go_on
            finally:
                go_on.set()

    @contextmanager
    def hanging_up(self):
        """Close every connection without an answer."""
        with self._replying(lambda handler: handler.hang_up()):
            yield self

    @contextmanager
    def endless(self):
        """Begin to answer, and never come to an end."""

        def reply(handler):
            handler.answer(200, None, {"Content-Type": "application/json"})
            chunk = b" " * 65536
            try:
                while True:
                    handler.wfile.write(chunk)
            except OSError:
                handler.hang_up()

        with self._replying(reply):
            yield self

    @contextmanager
    def down(self):
        """Not be there."""
        self._stop()
        with closed_port(self._port):
            try:
                yield self
            finally:
                self._start()

    @contextmanager
    def _replying(self, reply):
        before, self._reply = self._reply, reply
        try:
            yield
        finally:
            self._reply = before

    # Its work

    def handle(self, handler):
        with self._lock:
            self.calls[handler.path] += 1
            self.requests.append((handler.path, dict(handler.headers), handler.body))
        (self._reply or self.dispatch)(handler)

    def dispatch(self, handler):
        work = {
            ("POST", VALIDATION): self._validate,
            ("POST", LOGIN): self._login,
            ("GET", JWKS): self._show_keys,
            ("POST", "/group/add-user"): self._add_to_group,
            ("POST", "/role/assign"): self._assign_role,
        }.get((handler.command, handler.path))
        if work is None:
            handler.say(404, {"detail": "Not Found"})
            return
        try:
            body = json.loads(handler.body) if handler.body else {}
        except ValueError:
            handler.say(400, {"detail": "No JSON"})
            return
        work(handler, body)

    def _validate(self, handler, body):
        person = self._owner(body.get("token"))
        if person is None:
            handler.say(401, {"error": "invalid_token"})
        else:
            handler.say(200, person.claims)

    def _login(self, handler, body):
        person = self.people.get(body.get("username"))
        if person is None or person.password != body.get("password"):
            handler.say(401, {"error": "Invalid username or password"})
        else:
            given = {"access_token": person.token, "token_type": "Bearer", "expires_in": 300}
            handler.say(200, given)

    def _show_keys(self, handler, _):
        handler.say(200, self.jwks())

    def _add_to_group(self, handler, body):
        if self._administers(handler, body):
            self.people[body["username"]].groups.append(f"/{body['group_name']}")
            handler.say(200, {"message": "added"})

    def _assign_role(self, handler, body):
        if self._administers(handler, body):
            role = f"group:{body['group_name']}:{body['role_name']}"
            self.people[body["username"]].roles.append(role)
            handler.say(200, {})

    def _administers(self, handler, body):
        owner = self._owner(handler.headers.get("Authorization", "").removeprefix("Bearer "))
        if owner is None:
            handler.say(401, {"detail": "Not authenticated"})
        elif "ndp_admin" not in owner.roles:
            handler.say(403, {"detail": "You do not administer this group."})
        elif body.get("username") not in self.people:
            handler.say(404, {"detail": "No such user."})
        else:
            return True
        return False

    def _owner(self, token):
        return next((one for one in self.people.values() if one.token == token), None)

    # Its life

    def _start(self):
        self._server = _Server(("127.0.0.1", self._port), _Handler)
        self._server.service = self
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def _stop(self):
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def __enter__(self):
        self._start()
        return self

    def __exit__(self, *_):
        self._stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, *arguments):
        self._open = set()
        super().__init__(*arguments)

    def process_request(self, request, client_address):
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        """Say nothing: whoever asked may have left, and some tests want just that."""

    def hang_up(self):
        """Close what connections there are, also those that are kept."""
        for request in list(self._open):
            _hang_up(request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.service.handle(self)

    do_GET = do_POST  # noqa: N815 - so the base class calls it

    def say(self, status, value):
        self.answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def answer(self, status, data, headers):
        """Answer with these bytes, or begin to answer and let others write them."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if data is None:
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if data is not None:
            self.wfile.write(data)

    def hang_up(self):
        self.close_connection = True
        _hang_up(self.connection)

    def log_message(self, *_):
        """Say nothing."""


def _hang_up(connection):
    with suppress(OSError):  # the other side may be first
        connection.shutdown(socket.SHUT_RDWR)
