"""What deploy APIs are asked about the servers of a user, step by step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from rexec_jupyter.core.errors import (
    ConnectionLostError,
    NoSessionError,
    NotConfiguredError,
    QuotaError,
    RexecError,
    SessionMismatchError,
    StartError,
)
from rexec_jupyter.endpoint import errors as e
from rexec_jupyter.endpoint import resource, rexec
from rexec_jupyter.endpoint.exchange import Answer, Conversation, Leave, Pause, Piece, Steps
from rexec_jupyter.endpoint.feed import DEFAULT, GOING, OVER, Feed, News
from rexec_jupyter.endpoint.translation import said, translated

T = TypeVar("T")

# Between two attempts to follow a server whose events broke off, and how long that may go on.
_PAUSE, _PATIENCE = 1.0, 60.0
_FOLLOW = "tell what happens to the server"

Told = dict[str, Any]
"""What a deploy API tells of a server."""


class OlderError(NotConfiguredError):
    """The deploy API has no servers as resources."""


class Tending:
    """The steps, for either driver. They raise errors of `rexec_jupyter.core.errors`.

    Parameters
    ----------
    url
        The endpoint's address.
    token
        Returns the user's token. Asked each time, for it may expire and be replaced.
    """

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        self.url = url
        self._token = token
        self._found: rexec.Deployment | None = None

    # --------------------------------------------------------------------- the deploy API

    def locate(self) -> Steps[rexec.Deployment]:
        """Ask the endpoint where its deploy API is; it may have moved."""
        try:
            self._found = yield from rexec.deploy_api(self._token())
        except (e.NotFoundError, e.NotUnderstoodError) as error:
            raise NotConfiguredError(
                f"The endpoint {self.url} has no remote execution: {said(error)}",
                hint="Use another endpoint, or ask whoever runs this one to configure it.",
            ) from None
        except e.EndpointError as error:
            raise translated(error, self.url, "tell where remote execution is") from None
        return self._found

    def deployment(self) -> Steps[rexec.Deployment]:
        """Return where it is, with the token as it is now; ask only if nobody did yet."""
        found = self._found or (yield from self.locate())
        return found._replace(token=self._token())

    # ---------------------------------------------------------------------------- looking

    def every(self) -> Steps[list[Told]]:
        """Return what is told of each server."""
        told = yield from self._ask(lambda d: resource.every(d, "/v1/servers"), "list the servers")
        return [each for each in told.get("servers", ()) if isinstance(each, dict)]

    def find(self, name: str) -> Steps[Told | None]:
        """Return what is told of a server; None if there is none."""
        return (yield from self._ask(lambda d: resource.one(d, name), "tell how the server is"))

    def profiles(self) -> Steps[list[dict[str, Any]]]:
        """Return the kinds of servers that there are, the one for those who name none first."""
        told = yield from self._ask(
            lambda d: resource.every(d, "/v1/profiles"), "list the profiles"
        )
        each = [profile for profile in told.get("profiles", ()) if isinstance(profile, dict)]
        return sorted(each, key=lambda profile: profile.get("name") != told.get("default"))

    # --------------------------------------------------------------------------- changing

    def have(
        self,
        /,
        name: str = DEFAULT,
        *,
        usual: str = "",
        start: bool = True,
        other: bool = False,
        **wanted: Any,
    ) -> Steps[tuple[Told, bool]]:
        """Have a server for a session, as `begin`.

        A session for which nothing is asked runs on the server `DEFAULT` unless it has one of its
        own; a server that is there is left as it is then.

        Parameters
        ----------
        usual
            The profile that a server gets for which none is asked.
        start
            Whether one may be started.
        other
            Whether that of any other session will do.
        **wanted
            As for `begin`.

        Raises
        ------
        NoSessionError
            If there is none, and none may be started.
        """
        # None of something is asked for too: 0 GPUs are.
        asked = any(
            value not in (None, "", [], ()) for value in wanted.values() if value is not False
        )
        wanted["profile"] = wanted.get("profile") or usual
        if asked and start:
            return (yield from self.begin(name, **wanted))
        every = {str(each.get("name")): each for each in (yield from self.every())}
        if not asked and name not in every:
            name = DEFAULT
        there = {name: each for name, each in every.items() if each.get("state") not in OVER}
        found = there.get(name) or (next(iter(there.values()), None) if other else None)
        if found is not None:
            return found, False
        if not start:
            raise self.none_there()
        try:
            return (yield from self.begin(name, **wanted))
        except SessionMismatchError:  # somebody else was quicker
            found = yield from self.find(name)
            if found is None:
                raise
            return found, False

    def none_there(self) -> NoSessionError:
        """Return the error for who has no server, where none may be started."""
        return NoSessionError(
            f"No server of yours runs at {self.url}, and none may be started.",
            hint="`%rexec start` starts one, and so does connect(…, start=True).",
        )

    def begin(
        self,
        /,
        name: str,
        *,
        requirements: Sequence[str] = (),
        profile: str = "",
        force: bool = False,
        **wanted: Any,
    ) -> Steps[tuple[Told, bool]]:
        """Have a server; the same as once if asked for again.

        Parameters
        ----------
        requirements
            Lines, one of which may name the Python; without it, it is this one's version.
        force
            Whether one that is different is replaced.
        **wanted
            ``image``, ``cpu``, ``memory``, ``gpu``, ``idle_timeout``, …; None is left to the
            profile.

        Returns
        -------
        server, begun
            What is told of it, and whether it was started now.

        Raises
        ------
        SessionMismatchError
            If there is one that is different.
        QuotaError
            If the user may have no more.
        StartError
            If what was asked for is not accepted, or cannot be done.
        """
        asked = {key: value for key, value in wanted.items() if value is not None}
        try:
            lines = rexec.read_requirements(requirements)
        except e.InvalidError as error:
            raise StartError(error.message, hint=error.hint) from None
        asked |= {"profile": profile} if profile else {}
        asked |= {"name": name, "requirements": lines, "force": force}
        answer = yield from self._ask(lambda d: resource.begin(d, asked), "start a server")
        if not answer.ok:
            raise self._refused(answer, name)
        return answer.json(), answer.status == 201

    def end(self, name: str) -> Steps[bool]:
        """Have a server end in good order; tell whether there was one."""
        return (yield from self._ask(lambda d: resource.end(d, name), "end the server"))

    def restart(self, name: str) -> Steps[Told | None]:
        """Have a server replaced by one like it, and return what is told; None if there is none."""
        return (yield from self._ask(lambda d: resource.restart(d, name), "restart the server"))

    def log(self, name: str, part: str = "environment", *, lines: int = 1000) -> Steps[str | None]:
        """Return the end of a log of a server; None if there is none.

        Parameters
        ----------
        name
            The server.
        part
            ``exec`` of the user's code, ``agent``, or ``environment`` of the installer.
        lines
            Lines at most.
        """
        return (yield from self._ask(lambda d: resource.log(d, name, part, lines), "tell the log"))

    def extend(self, name: str, seconds: float) -> Steps[Told]:
        """Let no clock end a server within so many seconds, and return what is told of it.

        Raises
        ------
        NoSessionError
            If there is none.
        RexecError
            If it is too long.
        """
        what = "let the server live longer"
        answer = yield from self._ask(lambda d: resource.extend(d, name, seconds), what)
        if answer.status == 404:
            raise NoSessionError(
                f"There is no server {name!r} at {self.url}.",
                hint="`%rexec servers` lists those there are.",
            )
        if not answer.ok:
            raise RexecError(
                f"{self.url} does not let server {name!r} live longer: {_sentence(answer.detail)}"
            )
        told: Told = answer.json()
        return told

    # -------------------------------------------------------------------------- following

    def wait_ready(self, name: str, tell: Callable[[News | None], None]) -> Conversation[Told]:
        """Wait until a server is ready, and return what is told of it.

        Parameters
        ----------
        tell
            Called with everything that happens to it; now and then with None while nothing does.

        Raises
        ------
        StartError, QuotaError
            If it does not get ready; tells the cause and what can be done.
        ConnectionLostError
            If the deploy API cannot be reached for a while.
        """
        last, lost = 0, 0.0

        def hear(news: News | None) -> None:
            nonlocal last, lost
            last, lost = news.number if news else last, 0.0
            tell(news)

        while True:
            try:
                server = yield from self._follow(name, last, hear)
            except ConnectionLostError:
                lost = lost or time.monotonic()
                if time.monotonic() - lost > _PATIENCE:
                    raise
            else:
                if server is not None:
                    return server
            yield Pause(_PAUSE)

    def _follow(
        self, name: str, last: int, hear: Callable[[News | None], None]
    ) -> Conversation[Told | None]:
        """Return what is told of a server once it is ready; None if the events end before."""
        answer = yield from self._ask(lambda d: resource.events(d, name, last), _FOLLOW)
        if answer.chunks is None:  # there is no such server any more
            return (yield from self._ready(name))
        try:
            server = yield from self._heed(name, answer.chunks, hear)
        except Exception:
            yield Leave(answer.chunks)
            raise
        yield Leave(answer.chunks)
        return server

    def _heed(
        self, name: str, chunks: Any, hear: Callable[[News | None], None]
    ) -> Conversation[Told | None]:
        feed = Feed()
        try:
            while piece := (yield Piece(chunks)):
                for news in feed.take(piece):
                    hear(news)
                    if news is not None and (news.kind != "state" or news.state in GOING):
                        continue
                    # What an event tells may have been before it was asked for again.
                    if server := (yield from self._ready(name)):
                        return server
        except e.EndpointError as error:
            raise translated(error, self.url, _FOLLOW) from None
        hear(None)
        return (yield from self._ready(name))

    def _ready(self, name: str) -> Steps[Told | None]:
        """Return what is told of a server if it is ready, None if it is on its way."""
        server = yield from self.find(name)
        state = server.get("state") if server else "gone"
        if server is None or state in ("stopping", "gone"):
            raise StartError(f"Your server {name!r} at {self.url} was ended while it started.")
        if state == "failed":
            raise _start_error(self.url, name, server.get("cause"))
        return server if state == "ready" else None

    # ----------------------------------------------------------------------------- asking

    def _ask(self, steps: Callable[[rexec.Deployment], Steps[T]], what: str) -> Steps[T]:
        deployment = yield from self.deployment()
        try:
            return (yield from steps(deployment))
        except resource.UnknownError:
            raise OlderError(
                f"The deploy API of {self.url} cannot {what}: it knows one server a user alone.",
                hint="Use EndpointClient.setup_rexec_environment, or ask for a newer deploy API.",
            ) from None
        except e.EndpointError as error:
            raise translated(error, self.url, what) from None

    def _refused(self, answer: Answer, name: str) -> RexecError:
        """Return the error for a server that is not begun."""
        told = _sentence(answer.detail)
        match answer.status:
            case 409 if _cause(answer).get("reason") != "quota":
                return SessionMismatchError(
                    told,
                    hint=f"Use it as it is, or replace it: `%rexec start {name} … --force`; that "
                    "ends what runs there.",
                )
            case 409 | 429:
                return QuotaError(f"{self.url} starts no server for you now: {told}")
            case 400 | 422:
                return StartError(f"{self.url} does not accept what was asked for: {told}")
        return StartError(
            f"{self.url} could not start a server: {told}",
            hint="Try again later, or ask whoever runs it.",
        )


def _start_error(url: str, name: str, cause: Any) -> StartError | QuotaError:
    """Return the error for a server that failed, from what the deploy API tells of the cause."""
    told: dict[str, Any] = cause if isinstance(cause, dict) else {}
    why = str(told.get("message") or "the deploy API does not say why")
    kind = QuotaError if told.get("reason") == "quota" else StartError
    hint = str(told.get("hint") or "Start it again, or ask whoever runs the endpoint.")
    return kind(f"Your server {name!r} at {url} did not start: {_sentence(why)}", hint=hint)


def _cause(answer: Answer) -> dict[str, Any]:
    try:
        told = json.loads(answer.content)
    except (ValueError, RecursionError):
        return {}
    cause = told.get("cause") if isinstance(told, dict) else None
    return cause if isinstance(cause, dict) else {}


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
