"""Subscriptions to the news of files in Pelican federations.

Needs the package ``websockets``: ``pip install rexec-jupyter[pelican]``.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit, urlunsplit

from rexec_jupyter.endpoint.address import check_secret
from rexec_jupyter.endpoint.delivered import Delivered
from rexec_jupyter.endpoint.errors import InvalidError, UnavailableError
from rexec_jupyter.endpoint.stomp import Frame, PelicanEvent, event, event_id

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

SERVER = "https://stomp-server.chtcdev.chtc.io/ws"
HEARTBEAT = 10000
STATE = "~/.ndp_ep/pelican_events.sqlite3"
"""Where ``ndp_ep`` notes what came already: a notebook that moves is told nothing twice."""

_HOST = "playground"
_PATIENCE = 10.0
_LONGEST_PAUSE = 30.0
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_SAFE = {"ws": "http", "wss": "https"}
_log = logging.getLogger(__name__)


def subscribe_pelican(  # noqa: PLR0913 - as it is known
    event_source: str,
    client_id: str,
    *,
    subscription: str | None = None,
    username: str = "",
    password: str = "",
    url: str = SERVER,
    state_db: str | Path = STATE,
    heartbeat: int = HEARTBEAT,
    reconnect: bool = True,
    start: bool = True,
) -> PelicanSubscription:
    """Subscribe to the news of a namespace; iterate over what is returned.

    Parameters
    ----------
    event_source
        The namespace.
    client_id
        Who is told: the same the next time goes on where it was.
    subscription
        Name of the subscription, if not that of `client_id`.
    username, password
        Of the event server.
    url
        The event server.
    state_db
        File in which is noted what came already.
    heartbeat
        Milliseconds between signs of life.
    reconnect
        Whether to connect again if the connection is lost.
    start
        Whether to begin at once.
    """
    made = PelicanSubscription(
        event_source,
        client_id,
        subscription=subscription,
        username=username,
        password=password,
        url=url,
        state_db=state_db,
        heartbeat=heartbeat,
        reconnect=reconnect,
    )
    return made.start() if start else made


class PelicanSubscription:
    """News of a Pelican namespace, each of them once; made by `subscribe_pelican`.

    A thread of its own receives them. What was handed out once does not come again, even
    to another process with the same file of what came already.

    Attributes
    ----------
    state
        ``starting``, ``connecting``, ``connected``, ``error``, ``disconnected``, ``closed``.
    last_error
        What went wrong last.
    subscription_active
        Whether news can come now.
    metrics
        Counts of what happened.
    """

    def __init__(  # noqa: PLR0913 - as it is known
        self,
        event_source: str,
        client_id: str,
        *,
        subscription: str | None = None,
        username: str = "",
        password: str = "",
        url: str = SERVER,
        state_db: str | Path = STATE,
        heartbeat: int = HEARTBEAT,
        reconnect: bool = True,
        virtual_host: str = _HOST,
    ) -> None:
        for name, text in {"event_source": event_source, "client_id": client_id}.items():
            if not (text and text.strip()):
                raise InvalidError(f"{name} must be a non-empty string.")
        if bool(username) != bool(password):
            raise InvalidError("username and password must be provided together.")
        if heartbeat < 1000:
            raise InvalidError("heartbeat must be at least 1000 milliseconds.")
        self.event_source = event_source.strip().strip("/")
        self.client_id = client_id.strip()
        self.subscription = (subscription or self.client_id).strip()
        if "/" in self.subscription:  # it is one segment of the destination
            raise InvalidError("subscription must not contain '/'.")
        self.url = _address(url, secret=bool(username))
        self.heartbeat = heartbeat
        self.reconnect = reconnect
        self.virtual_host = virtual_host
        self.state = "starting"
        self.last_error = ""
        self.session: dict[str, str] = {}
        self.subscription_active = False
        self.metrics = dict.fromkeys(
            (
                "connection_attempts",
                "sessions_established",
                "connection_failures",
                "messages_received",
                "events_delivered",
                "duplicates_suppressed",
                "unparseable_messages",
                "server_errors",
                "acks_sent",
            ),
            0,
        )
        login = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"} if username else {}
        self._connect = _websockets()
        self._known = Delivered(Path(state_db).expanduser(), self.client_id)
        self._events: queue.SimpleQueue[PelicanEvent | None] = queue.SimpleQueue()
        self._connection: ClientConnection | None = None
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"pelican-events-{self.client_id}", daemon=True
        )

    def __repr__(self) -> str:
        return f"<PelicanSubscription to {self.destination}, {self.state}>"

    def __enter__(self) -> Self:
        if self._thread.ident is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[PelicanEvent]:
        return self.events()

    @property
    def destination(self) -> str:
        """What is subscribed to."""
        return f"{self.subscription}/{self.event_source}"

    def start(self) -> Self:
        """Begin to receive. Only once."""
        self._thread.start()
        return self

    def wait_until_connected(self, timeout: float = 20.0) -> bool:
        """Wait until news can come; tell whether they can."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.subscription_active or not self._thread.is_alive(), timeout
            )
        return self.subscription_active

    def events(self, timeout: float | None = None) -> Iterator[PelicanEvent]:
        """Yield the news as they come.

        Parameters
        ----------
        timeout
            Seconds without any after which to end; None waits for ever.
        """
        while True:
            try:
                news = self._events.get(timeout=timeout)
            except queue.Empty:
                return
            if news is None:
                self._events.put(None)  # for whoever else reads
                return
            yield news

    def close(self, timeout: float = 5.0) -> None:
        """End the subscription; iterations over it end."""
        self._stopping.set()
        if (connection := self._connection) is not None:
            connection.close()
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        self._events.put(None)
        self._known.close()
        self._become("closed")

    @property
    def status(self) -> dict[str, Any]:
        """How it stands; without secrets."""
        return {
            "state": self.state,
            "last_error": self.last_error,
            "session": dict(self.session),
            "subscription": {
                "id": self.subscription,
                "destination": self.destination,
                "active": self.subscription_active,
            },
            "config": {
                "url": self.url,
                "event_source": self.event_source,
                "client_id": self.client_id,
                "heartbeat": self.heartbeat,
                "reconnect": self.reconnect,
                "authenticated": bool(self._headers),
            },
            "metrics": dict(self.metrics),
            "pending": self._events.qsize(),
            "processed_total": self._known.count(),
        }

    # ---------------------------------------------------------------------- its thread

    def _run(self) -> None:
        pause = 1.0
        while not self._stopping.is_set():
            before = self.metrics["sessions_established"]
            try:
                self._receive()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told and tried again
                if self._stopping.is_set():
                    break
                self.metrics["connection_failures"] += 1
                self.last_error = f"{type(error).__name__}: {error}"
                self._become("error")
                _log.warning("The subscription to %s failed: %s", self.destination, self.last_error)
                if not self.reconnect:
                    break
                pause = 1.0 if self.metrics["sessions_established"] > before else pause
                self._stopping.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        self._become("disconnected")
        self._events.put(None)

    def _receive(self) -> None:
        """Hold one connection, until it ends."""
        self.metrics["connection_attempts"] += 1
        self._become("connecting")
        with self._connect(
            self.url, additional_headers=self._headers, ping_interval=None, open_timeout=_PATIENCE
        ) as connection:
            self._connection = connection
            try:
                self._subscribe(connection)
                self._listen(connection)
            finally:
                self._connection = None
                self.subscription_active = False

    def _subscribe(self, connection: ClientConnection) -> None:
        headers = {
            "accept-version": "1.2",
            "host": self.virtual_host,
            "client-id": self.client_id,
            "heart-beat": f"{self.heartbeat},{self.heartbeat}",
        }
        connection.send(Frame("CONNECT", headers).encode())
        greeting = Frame.decode(connection.recv(timeout=_PATIENCE))
        if greeting.command != "CONNECTED":
            told = greeting.body or greeting.headers.get("message", "")
            raise ConnectionError(f"the event server answered {greeting.command!r}: {told}")
        self.session = dict(greeting.headers)
        self.metrics["sessions_established"] += 1
        headers = {
            "id": self.subscription,
            "subscription": self.subscription,
            "destination": self.destination,
            "ack": "client-individual",
        }
        connection.send(Frame("SUBSCRIBE", headers).encode())
        self.last_error = ""
        self.subscription_active = True
        self._become("connected")

    def _listen(self, connection: ClientConnection) -> None:
        # Twice as often as was promised: a delay is no reason to be taken for dead.
        interval = self.heartbeat / 2000
        due = time.monotonic() + interval
        while not self._stopping.is_set():
            frame = Frame("")
            with contextlib.suppress(TimeoutError):
                frame = Frame.decode(connection.recv(timeout=max(0.0, due - time.monotonic())))
            if frame.command == "MESSAGE":
                self._take(connection, frame)
            elif frame.command == "ERROR":
                self.metrics["server_errors"] += 1
                told = frame.body or frame.headers.get("message", "server error")
                self.last_error = f"Server error: {told}"
                _log.error("The event server reported an error: %s", told)
            if time.monotonic() >= due:
                connection.send(b"\n")
                due = time.monotonic() + interval

    def _take(self, connection: ClientConnection, frame: Frame) -> None:
        self.metrics["messages_received"] += 1
        if not self._known.add(event_id(frame), frame):
            self.metrics["duplicates_suppressed"] += 1
        else:
            try:
                news = event(frame)
            except ValueError as error:
                self.metrics["unparseable_messages"] += 1
                _log.warning("Ignored news that cannot be understood: %s", error)
            else:
                self._events.put(news)
                self.metrics["events_delivered"] += 1
        if ack := frame.headers.get("ack"):
            connection.send(Frame("ACK", {"id": ack}).encode())
            self.metrics["acks_sent"] += 1

    def _become(self, state: str) -> None:
        with self._changed:
            self.state = state
            self._changed.notify_all()


def _address(url: str, *, secret: bool) -> str:
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise InvalidError(f"Event server URL must be an http(s) or ws(s) URL, got '{url}'.")
    if secret:
        check_secret(urlunsplit(parts._replace(scheme=_SAFE[scheme])))
    return urlunsplit(parts._replace(scheme=scheme))


def _websockets() -> Any:
    try:
        from websockets.sync.client import connect  # noqa: PLC0415 - an extra
    except ImportError:
        raise UnavailableError(
            "websockets is not installed.",
            hint="Install it with 'pip install rexec-jupyter[pelican]' to subscribe to Pelican "
            "events.",
        ) from None
    return connect
