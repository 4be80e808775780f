"""Many clients at once, each asking again as soon as it has an answer, at little cost.

They must not be what is measured: each is a bare socket that stays open, and an answer is looked
at no further than to where it ends.
"""

import asyncio
import json
import time
from urllib.parse import urlencode, urlsplit

_BETWEEN = 10
"""Answers after which the next client comes."""


class UnexpectedError(Exception):
    """The answer was not what it should be."""


class Load:
    """Clients of one service.

    Parameters
    ----------
    url
        Where it is.
    clients
        How many.
    token
        What each sends as its bearer token, if any.
    """

    def __init__(self, url, clients, token=None):
        where = urlsplit(url)
        self._address = (where.hostname, where.port)
        self._clients = clients
        self._token = token

    def run(self, requests, count, status=200):
        """Make so many requests; return the seconds that each took, and all together.

        The clients come one after the other while those before them are at work, as they do. What
        happens until all are there does not count.

        Parameters
        ----------
        requests
            Iterator over ``(method, path, what is sent)``: the query of a GET, else a body.
        status
            What each is answered with.
        """
        before = self._clients * _BETWEEN
        prepared = [self._bytes(*next(requests)) for _ in range(before + count)]
        try:
            return asyncio.run(self._run(iter(prepared), status))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _run(self, requests, status):
        loop = asyncio.get_running_loop()
        taken = _Taken()
        connections = []
        async with asyncio.TaskGroup() as asking:
            for _ in range(self._clients):
                made = await loop.create_connection(_Connection, *self._address)
                connections.append(made[1])
                asking.create_task(_ask(made[1], requests, status, taken))
                await taken.more(_BETWEEN)
            taken.seconds.clear()
            began = time.perf_counter()
        together = time.perf_counter() - began
        for connection in connections:
            connection.transport.close()
        return taken.seconds, together

    def _bytes(self, method, path, sent):
        lines = ["Host: endpoint"]
        if self._token:
            lines.append(f"Authorization: Bearer {self._token}")
        body = b""
        if method == "GET":
            path = f"{path}?{urlencode(sent, doseq=True)}" if sent else path
        else:
            body = json.dumps(sent).encode()
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body


class _Taken:
    """The seconds that each answer took."""

    def __init__(self):
        self.seconds = []
        self._answers = asyncio.Semaphore(0)

    def add(self, seconds):
        self.seconds.append(seconds)
        self._answers.release()

    async def more(self, count):
        """Wait for so many."""
        for _ in range(count):
            await self._answers.acquire()


async def _ask(connection, requests, status, taken):
    for request in requests:
        began = time.perf_counter()
        answered = await connection.ask(request)
        taken.add(time.perf_counter() - began)
        if answered != status:
            raise UnexpectedError(f"{answered} for {request[:200]!r}: {connection.body[:300]!r}")


class _Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def connection_made(self, transport):
        self.transport = transport
        self._received = bytearray()
        self._end = None
        self._answer = None

    def ask(self, request):
        """Send a request; return what becomes the status of the answer."""
        self._received.clear()
        self._end = None
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer

    @property
    def body(self):
        return bytes(self._received).partition(b"\r\n\r\n")[2]

    def data_received(self, data):
        self._received += data
        if self._end is None:
            head = self._received.find(b"\r\n\r\n")
            if head < 0:
                return
            _, _, length = self._received[:head].lower().partition(b"content-length:")
            self._end = head + 4 + int(length.split(b"\r\n", 1)[0])
        if len(self._received) >= self._end:
            self._answer.set_result(int(self._received[9:12]))

    def connection_lost(self, error):
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("the service hung up"))
