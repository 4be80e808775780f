"""Pelican federations read by the client itself, and news of them through a real event server."""

import json
import queue
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.server import serve

from rexec_jupyter.endpoint import EndpointClient, federations
from rexec_jupyter.endpoint import errors as e
from rexec_jupyter.endpoint.events import PelicanSubscription, subscribe_pelican
from rexec_jupyter.endpoint.stomp import Frame, event
from tests.endpoint.answering import Answering
from tests.endpoint.canary import MARK, secret

PATIENCE = 20.0

# ------------------------------------------------------------------------------ references


@pytest.mark.parametrize(
    ("reference", "federation", "found"),
    [
        ("/a/b.csv", "osdf", ("pelican://osg-htc.org", "/a/b.csv")),
        ("a//b.csv/", "osdf", ("pelican://osg-htc.org", "/a/b.csv")),
        ("osdf/a/b.csv", "path-cc", ("pelican://osg-htc.org", "/a/b.csv")),
        ("OSDF://a/b.csv", "path-cc", ("pelican://osg-htc.org", "/a/b.csv")),
        ("path-cc/a", "osdf", ("pelican://path-cc.io", "/a")),
        ("pelican://host.org/a/b", "osdf", ("pelican://host.org", "/a/b")),
        ("a/b", "pelican://own.org/", ("pelican://own.org", "/a/b")),
    ],
)
def test_one_object_may_be_written_in_many_ways(reference, federation, found):
    assert federations.split(reference, federation) == found


@pytest.mark.parametrize(
    ("reference", "federation", "text"),
    [
        ("", "osdf", "non-empty"),
        ("s3://a/b", "osdf", "Unsupported scheme"),
        ("osdf://", "osdf", "no object path"),
        ("pelican:///a", "osdf", "missing the federation host"),
        ("a", "nowhere", "Unknown federation"),
        ("a", "", "Unknown federation"),
    ],
)
def test_what_names_no_object_is_told(reference, federation, text):
    with pytest.raises(ValueError, match=text):
        federations.split(reference, federation)


def test_a_file_is_not_overwritten_unasked(tmp_path):
    (tmp_path / "b.csv").write_text("mine")
    with pytest.raises(e.ConflictError, match="overwrite=True"):
        federations.pelican_fetch("osdf/a/b.csv", tmp_path)
    with pytest.raises(e.InvalidError, match="explicit destination"):
        federations.pelican_fetch("osdf/a/..", tmp_path)


def test_a_federation_that_cannot_be_reached_is_an_error_of_the_client(server, tmp_path):
    with EndpointClient(server.url) as client:
        for method, more in (("pelican_read", ()), ("pelican_fetch", (tmp_path / "x",))):
            with pytest.raises(ValueError, match=r"pelican://127\.0\.0\.1:9"):
                getattr(client, method)("pelican://127.0.0.1:9/a/b", *more)
    assert not (tmp_path / "x").exists()


@pytest.fixture
def server():
    with Answering() as server:
        server.answer("GET", "/", "running")
        yield server


# ---------------------------------------------------------------------------------- frames

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))


@given(st.dictionaries(TEXT.filter(bool), TEXT), TEXT.map(lambda text: text.rstrip("\r\n")))
def test_a_frame_is_read_as_it_was_written(headers, body):
    frame = Frame("MESSAGE", headers, body)
    assert Frame.decode(frame.encode()) == frame


@pytest.mark.parametrize("content", [b"\n", b"\r\n", "\n"])
def test_a_heartbeat_is_no_frame(content):
    assert Frame.decode(content).command == ""


def test_an_empty_line_in_the_body_does_not_end_the_headers():
    frame = Frame.decode(b"MESSAGE\na:b\n\none\r\n\r\ntwo\0")
    assert (dict(frame.headers), frame.body) == ({"a": "b"}, "one\r\n\r\ntwo")


def test_the_first_of_two_headers_counts_and_line_ends_may_be_those_of_windows():
    frame = Frame.decode(b"ERROR\r\nmessage:one\r\nmessage:two\r\n\r\nbody\0\n")
    assert frame == Frame("ERROR", {"message": "one"}, "body")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        '"x"',
        '"{}"',
        '{"name": "a", "url": "u", "size": -1, "mod_time": "t"}',
        '{"name": "a", "url": "u", "size": true, "mod_time": "t"}',
        '{"name": "", "url": "u", "size": 1, "mod_time": "t"}',
    ],
)
def test_news_that_cannot_be_understood_are_an_error(body):
    with pytest.raises(ValueError, match="event"):
        event(Frame("MESSAGE", {}, body))


# ---------------------------------------------------------------------------- subscriptions


class EventServer:
    """Speaks STOMP over WebSockets; what a test publishes goes to whoever is subscribed."""

    def __init__(self):
        self.frames = queue.Queue()
        self.headers = []
        self.connections = queue.Queue()
        self._server = serve(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}/ws"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()

    def _serve(self, connection):
        self.headers.append(connection.request.headers)
        for content in connection:
            frame = Frame.decode(content)
            self.frames.put(frame)
            if frame.command == "CONNECT":
                connection.send(Frame("CONNECTED", {"version": "1.2"}).encode())
            elif frame.command == "SUBSCRIBE":
                self.connections.put(connection)

    def subscriber(self):
        return self.connections.get(timeout=PATIENCE)

    def heard(self, command):
        """Return the next frame of that kind."""
        while (frame := self.frames.get(timeout=PATIENCE)).command != command:
            pass
        return frame


def news(name, *, uuid=None, ack="1", wrapped=False):
    told = {"name": name, "url": f"osdf/{name}", "size": 3, "mod_time": "now"}
    body = json.dumps(told | ({"uuid": uuid} if uuid else {}))
    headers = {"message-id": f"m-{name}-{ack}", "ack": ack, "destination": "me/a"}
    return Frame("MESSAGE", headers, json.dumps(body) if wrapped else body).encode()


@pytest.fixture
def events():
    with EventServer() as events:
        yield events


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state" / "events.sqlite3"


def test_news_come_once_in_order_and_are_acknowledged(events, state):
    with subscribe_pelican("/a/", "me", url=events.url, state_db=state) as subscription:
        assert subscription.wait_until_connected(PATIENCE)
        connection = events.subscriber()
        subscribed = events.heard("SUBSCRIBE")
        assert subscribed.headers["destination"] == "me/a"
        for frame in (
            news("one", uuid="1"),
            news("one", uuid="1", ack="2"),
            b"\n",
            Frame("MESSAGE", {"message-id": "x"}, "nonsense").encode(),
            Frame("ERROR", {"message": "careful"}).encode(),
            news("two", uuid="2", ack="3", wrapped=True),
        ):
            connection.send(frame)
        found = subscription.events(timeout=PATIENCE)
        assert [next(found).name, next(found).name] == ["one", "two"]
        assert [events.heard("ACK").headers["id"] for _ in range(3)] == ["1", "2", "3"]
        status = subscription.status
    assert status["metrics"]["duplicates_suppressed"] == 1
    assert status["metrics"]["unparseable_messages"] == 1
    assert status["last_error"] == "Server error: careful"
    assert subscription.status["processed_total"] == 3
    assert list(subscription) == []


def test_what_came_to_an_earlier_process_does_not_come_again(events, state):
    for frame, expected in ((news("one", uuid="1"), ["one"]), (news("one", uuid="1"), [])):
        with subscribe_pelican("a", "me", url=events.url, state_db=state) as subscription:
            connection = events.subscriber()
            connection.send(frame)
            events.heard("ACK")
            connection.close()
            subscription.reconnect = False
            assert [each.name for each in subscription.events(timeout=0.01)] == expected


def test_a_connection_that_is_lost_is_made_again(events, state):
    with subscribe_pelican("a", "me", url=events.url, state_db=state) as subscription:
        events.subscriber().close()
        events.subscriber().send(news("two"))
        assert next(subscription.events(timeout=PATIENCE)).name == "two"
        assert subscription.metrics["connection_failures"] == 1


def test_without_reconnecting_the_end_of_the_connection_is_the_end(events, state):
    subscription = subscribe_pelican(
        "a", "me", url=events.url, state_db=state, reconnect=False, start=False
    )
    with subscription:
        events.subscriber().close()
        assert list(subscription) == []
        assert subscription.wait_until_connected(0.0) is False
        assert subscription.state == "disconnected"


def test_signs_of_life_are_sent(events, state):
    with subscribe_pelican("a", "me", url=events.url, state_db=state, heartbeat=1000):
        assert events.heard("CONNECT").headers["heart-beat"] == "1000,1000"
        assert events.heard("").command == ""


def test_a_password_is_for_the_event_server_alone(events, state):
    password = secret("password")
    with subscribe_pelican(
        "a", "me", username="ann", password=password, url=events.url, state_db=state
    ) as subscription:
        events.subscriber()
        assert MARK not in f"{subscription!r}{subscription.status}"
    assert events.headers[0]["Authorization"].startswith("Basic ")
    with pytest.raises(e.UnsafeAddressError, match="plain text"):
        PelicanSubscription("a", "me", username="ann", password=password, url="ws://x.org/ws")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"event_source": " "}, "event_source"),
        ({"client_id": ""}, "client_id"),
        ({"username": "ann"}, "together"),
        ({"heartbeat": 10}, "1000 milliseconds"),
        ({"subscription": "a/b"}, "must not contain"),
        ({"url": "ftp://x"}, "URL"),
    ],
)
def test_a_subscription_that_cannot_be_is_told_at_once(state, change, text):
    asked = {"event_source": "a", "client_id": "me", "state_db": state} | change
    with pytest.raises(ValueError, match=text):
        subscribe_pelican(**asked)
    assert not state.exists()
