"""Who is there: the list of servers that the deploy API follows.

The loop's thread writes a new list when something changed, and goes on; threads that answer
over HTTP wait for it. How long a server has been idle is told as a duration when it is asked for.
"""

from __future__ import annotations

import threading
import time
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import msgspec

from rexec_broker.directory import Directory
from rexec_broker.tables import Server, User
from rexec_jupyter.core.credentials import CredentialError, Verifier

LONGEST_WAIT = 30.0
"""Seconds that an answer may wait for news."""
MOST_WAITING = 16
"""Who may wait at once."""

_ROSTER_EVERY, _ACTIVITY_EVERY = 0.02, 1.0


class _Line(NamedTuple):
    """One server; times are monotonic, and 0 while it is neither idle nor an orphan."""

    user: str
    server: str
    key: str
    session: str
    generation: int
    state: str
    able: bool
    running: int
    queued: int
    attached: int
    clients: int
    idle_since: float
    orphan_since: float


class Roll:
    """The list, and its number, which grows with each change.

    Parameters
    ----------
    epoch
        Of this run of the broker: numbers of another one mean nothing.
    """

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._lines: tuple[_Line, ...] = ()
        self._seq = 0
        self._news = threading.Condition()
        self._waiting = 0
        self._seen = (-1, -1)
        self._roster_at = self._activity_at = 0.0

    # --------------------------------------------------------------------- the loop's side

    def keep(self, now: float, directory: Directory) -> float:
        """Write the list anew if something changed, and it was not written just before.

        Returns
        -------
        float
            When to call again at the latest.
        """
        seen = (directory.roster, directory.activity)
        if seen == self._seen:
            return float("inf")
        due = self._roster_at if seen[0] != self._seen[0] else self._activity_at
        if now < due:
            return due
        self._seen = seen
        self._roster_at, self._activity_at = now + _ROSTER_EVERY, now + _ACTIVITY_EVERY
        lines = tuple(
            _line(now, user, server)
            for user in directory.users.values()
            for server in user.servers.values()
        )
        if lines != self._lines:
            with self._news:
                self._lines = lines
                self._seq += 1
                self._news.notify_all()
        return float("inf")

    # ------------------------------------------------------------------------ HTTP's side

    def told(self, epoch: str, after: int, wait: float) -> bytes | None:
        """Return the list as JSON, once it is newer than what is known; None if too many wait.

        Parameters
        ----------
        epoch, after
            What is known: epoch and number of a list; "" and -1 for nothing.
        wait
            Seconds to wait for news.
        """
        until = time.monotonic() + min(max(wait, 0.0), LONGEST_WAIT)
        with self._news:
            if self._waiting >= MOST_WAITING:
                return None
            self._waiting += 1
            try:
                while epoch == self._epoch and after >= self._seq:
                    left = until - time.monotonic()
                    if left <= 0 or not self._news.wait(left):
                        break
                seq, lines = self._seq, self._lines
            finally:
                self._waiting -= 1
        now = time.monotonic()
        servers = [_entry(line, now) for line in lines]
        return msgspec.json.encode({"epoch": self._epoch, "seq": seq, "servers": servers})


def answer(
    roll: Roll, verifier: Verifier, authorization: str, query: str
) -> tuple[HTTPStatus, bytes]:
    """Answer ``GET /servers?after=SEQ&epoch=E&wait=SECONDS``.

    It wants a token that the deployment signed. It waits only if the list that is known, by its
    epoch and number, is the newest.
    """
    if wrong := unknown(verifier, authorization):
        return HTTPStatus.UNAUTHORIZED, told(wrong)
    asked = {name: values[-1] for name, values in parse_qs(query).items()}
    try:
        after, wait = int(asked.get("after", -1)), float(asked.get("wait", 0))
    except ValueError:
        return HTTPStatus.BAD_REQUEST, told("after and wait are numbers")
    listed = roll.told(asked.get("epoch", ""), after, wait)
    if listed is None:
        return HTTPStatus.SERVICE_UNAVAILABLE, told("too many wait already")
    return HTTPStatus.OK, listed


def unknown(verifier: Verifier, authorization: str) -> str:
    """Return what is wrong with the header of who asks on behalf of the deployment, or nothing."""
    scheme, _, token = authorization.partition(" ")
    try:
        verifier.status_token(token.strip() if scheme.lower() == "bearer" else "")
    except CredentialError as error:
        return str(error)
    return ""


def told(error: str) -> bytes:
    """Return the body of an answer that says no."""
    return msgspec.json.encode({"detail": error})


def _line(now: float, user: User, server: Server) -> _Line:
    if len(user.servers) == 1:
        attached = len(user.jobs) - user.looks
    else:
        attached = sum(
            route.scope == server.session and not route.looks for route in user.jobs.values()
        )
    busy = bool(server.running or server.queued or attached)
    if busy or server.busy:
        server.used = now
    server.busy = busy
    user.orphaned = 0.0 if user.clients else user.orphaned or now
    certificate = server.certificate
    return _Line(
        user.name,
        certificate.server,
        server.key,
        server.session,
        certificate.generation,
        server.state,
        server.able,
        server.running,
        server.queued,
        attached,
        len(user.clients),
        0.0 if busy else server.used,
        user.orphaned,
    )


def _entry(line: _Line, now: float) -> dict[str, Any]:
    told = line._asdict()
    for name in ("idle", "orphan"):
        since = told.pop(f"{name}_since")
        told[name] = round(max(now - since, 0.001), 3) if since else 0.0
    return told
