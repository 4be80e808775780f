"""The head of a request: it has an end, in bytes and in time, and what is none gets an answer."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import psutil
import pytest
from starlette.responses import PlainTextResponse
from uvicorn import Config
from uvicorn.server import ServerState

from rexec_jupyter.web import limits, protocol
from tests.endpoint.service import PATIENCE

MIB = 1024 * 1024


def refusal(answered, status):
    """Return what an answer says that refuses in the one form that clients understand."""
    head, _, body = answered.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answered[:200]
    told = json.loads(body)
    assert set(told) == {"error", "detail", "correlation_id", "timestamp", "path"}
    assert f"x-correlation-id: {told['correlation_id']}".encode() in head
    return told["detail"]


def flood(endpoint, begin, piece, count):
    """Send a beginning and many pieces as long as they are taken; return what is answered."""
    where = urlsplit(endpoint.url)
    with socket.create_connection((where.hostname, where.port), timeout=PATIENCE) as connection:
        sent = 0
        try:
            connection.sendall(begin)
            while sent < count:
                connection.sendall(piece)
                sent += 1
        except OSError:
            pass
        try:
            return sent, connection.recv(65536)
        except OSError:
            return sent, b""


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /health HTTP/1.1\r\nHost: x\r\n", b"A: " + b"b" * MIB + b"\r\n"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nA: ", b"b" * MIB),
        (b"GET /health?", b"b" * MIB),
    ],
)
def test_a_head_without_an_end_takes_no_memory(endpoint, anonymous, begin, piece):
    process = psutil.Process(endpoint.process.pid)
    before = process.memory_info().rss
    sent, answered = flood(endpoint, begin, piece, 200)
    assert sent < 200
    if answered:  # what is still on its way may overtake it
        assert "too long" in refusal(answered, 431)
    assert process.memory_info().rss - before < 50 * MIB
    assert anonymous.get("/health").status_code == 200


def test_headers_of_some_length_are_taken(anonymous):
    assert anonymous.get("/health", headers={"X-Long": "a" * 30_000}).status_code == 200


@pytest.mark.parametrize("sent", [b"BREW / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\0" * 99])
def test_what_is_no_http_is_refused_in_the_form_of_every_error(endpoint, sent):
    _, answered = flood(endpoint, sent, b"", 0)
    assert refusal(answered, 400)


def test_somebody_who_asks_for_another_protocol_is_answered_in_this_one(endpoint, anonymous):
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    headers["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    assert anonymous.get("/health", headers=headers).json()["status"] == "healthy"


@asynccontextmanager
async def serving(application):
    """Serve an application with this protocol; yields a function that opens connections."""
    config = Config(application, lifespan="off", log_config=None, access_log=False)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: protocol.Protocol(config, state, {}), "127.0.0.1", 0)
    opened = []

    async def connect():
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        opened.append(writer)
        return reader, writer

    try:
        yield connect
    finally:
        for writer in opened:
            writer.close()
            await writer.wait_closed()
        server.close()
        await server.wait_closed()
        await asyncio.gather(*state.tasks)


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nHos"])
def test_a_head_that_does_not_come_is_not_waited_for(monkeypatch, sent):
    monkeypatch.setattr(protocol, "_SECONDS", 0.05)

    async def answered():
        async with serving(PlainTextResponse("here")) as connect:
            reader, writer = await connect()
            writer.write(sent)
            return await reader.read()

    assert "did not arrive" in refusal(asyncio.run(answered()), 408)


def test_a_head_in_pieces_is_one_head(monkeypatch):
    monkeypatch.setattr(protocol, "_SECONDS", PATIENCE)

    async def answered():
        async with serving(PlainTextResponse("here")) as connect:
            reader, writer = await connect()
            for byte in b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
                writer.write(bytes([byte]))
                await writer.drain()
            return await reader.read()

    assert asyncio.run(answered()).endswith(b"here")


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(limits, "_SECONDS", 0)

    async def nothing():
        return await asyncio.Event().wait()

    async def application(_scope, receive, _send):
        await receive()

    async def asked():
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
        await limits.LimitsMiddleware(application, 10, variable="MAX_BODY")(scope, nothing, None)

    with pytest.raises(limits.BodyTooSlowError) as refused:
        asyncio.run(asked())
    assert refused.value.status_code == 408
