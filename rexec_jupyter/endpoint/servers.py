"""The servers of a user at an endpoint: begun, followed while they start, ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self, TypeVar

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
from rexec_jupyter.endpoint import rexec
from rexec_jupyter.endpoint.asking import explained, reach, segment, understood
from rexec_jupyter.endpoint.exchange import Answer, Steps
from rexec_jupyter.endpoint.translation import translated
from rexec_jupyter.endpoint.transport import RETRIES, TIMEOUT, Driver

T = TypeVar("T")

DEFAULT = "default"
"""The server of every session that has none of its own."""

PHASES = {
    "requested": "was asked for",
    "scheduling": "waits for a place with enough room",
    "pulling": "waits for its image",
    "installing": "installs the packages",
    "starting": "starts",
    "ready": "is ready",
}
"""What each state means, for people."""

# Between two attempts to follow a server whose events broke off, and how long that may go on.
_PAUSE, _PATIENCE = 1.0, 60.0
_LONGEST_LINE = 64 * 1024
_GOING = frozenset(("requested", "scheduling", "pulling", "installing", "starting"))


class News(NamedTuple):
    """Something that happened to a server.

    Attributes
    ----------
    number
        By which it is known which ones came already.
    kind
        ``state``, ``problem``, ``warning`` or ``notice``.
    """

    number: int
    kind: str
    state: str
    text: str
    hint: str = ""


class Servers:
    """Asks the deploy API that an endpoint names. For threads that wait.

    Parameters
    ----------
    url
        The endpoint's address.
    token
        Returns the user's token.
    """

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        self.url = url
        self._token = token
        self._driver = Driver(url, token(), TIMEOUT, RETRIES)
        self._found: rexec.Deployment | None = None

    def __repr__(self) -> str:
        return f"<Servers at {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Servers go on."""
        self._driver.close()

    # ------------------------------------------------------------------------- looking

    def every(self) -> list[dict[str, Any]]:
        """Return what is told of each server."""
        told = self._ask(lambda d: _all(d, "/v1/servers"), "list the servers")
        return [each for each in told.get("servers", ()) if isinstance(each, dict)]

    def find(self, name: str) -> dict[str, Any] | None:
        """Return what is told of a server; None if there is none."""
        return self._ask(lambda d: _one(d, name), "tell how the server is")

    def profiles(self) -> list[dict[str, Any]]:
        """Return the kinds of servers that there are, the one for those who name none first."""
        told = self._ask(lambda d: _all(d, "/v1/profiles"), "list the profiles")
        each = [profile for profile in told.get("profiles", ()) if isinstance(profile, dict)]
        return sorted(each, key=lambda profile: profile.get("name") != told.get("default"))

    # ------------------------------------------------------------------------ changing

    def begin(
        self, name: str, *, requirements: Sequence[str] = (), force: bool = False, **wanted: Any
    ) -> tuple[dict[str, Any], bool]:
        """Have a server; the same as once if asked for again.

        Parameters
        ----------
        requirements
            Lines, one of which may name the Python; without it, it is this one's version.
        force
            Whether one that is different is replaced.
        **wanted
            ``profile``, ``image``, ``cpu``, ``memory``, ``gpu``, ``idle_timeout``, …; None is
            left to the profile.

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
        asked: dict[str, Any] = {key: value for key, value in wanted.items() if value is not None}
        try:
            lines = rexec.read_requirements(requirements)
        except e.InvalidError as error:
            raise StartError(error.message, hint=error.hint) from None
        asked |= {"name": name, "requirements": lines, "force": force}
        answer = self._ask(lambda d: _begin(d, asked), "start a server")
        if not answer.ok:
            raise self._refused(answer, name)
        return answer.json(), answer.status == 201

    def end(self, name: str) -> bool:
        """Have a server end in good order; tell whether there was one."""
        return self._ask(lambda d: _end(d, name), "end the server")

    def extend(self, name: str, seconds: float) -> dict[str, Any]:
        """Let no clock end a server within so many seconds, and return what is told of it.

        Raises
        ------
        NoSessionError
            If there is none.
        RexecError
            If it is too long.
        """
        answer = self._ask(lambda d: _extend(d, name, seconds), "let the server live longer")
        if answer.status == 404:
            raise NoSessionError(
                f"There is no server {name!r} at {self.url}.",
                hint="`%rexec servers` lists those there are.",
            )
        if not answer.ok:
            raise RexecError(
                f"{self.url} does not let server {name!r} live longer: {_sentence(answer.detail)}"
            )
        told: dict[str, Any] = answer.json()
        return told

    # ----------------------------------------------------------------------- following

    def wait_ready(self, name: str, tell: Callable[[News | None], None]) -> dict[str, Any]:
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
        for news in self._news(name):
            tell(news)
            if news is not None and (news.kind != "state" or news.state in _GOING):
                continue
            # What an event tells may have been before it was asked for again.
            server = self.find(name)
            if server is None or server.get("state") in ("stopping", "gone"):
                raise StartError(f"Your server {name!r} at {self.url} was ended while it started.")
            if server.get("state") == "ready":
                return server
            if server.get("state") == "failed":
                raise start_error(self.url, name, server.get("cause"))
        raise AssertionError  # the news never end

    def _news(self, name: str) -> Iterator[News | None]:
        """Yield what happens, over interruptions; None where it is time to look."""
        last, lost = 0, 0.0
        while True:
            try:
                for news in self._stream(name, last):
                    last, lost = news.number if news else last, 0.0
                    yield news
                yield None
            except ConnectionLostError:
                lost = lost or time.monotonic()
                if time.monotonic() - lost > _PATIENCE:
                    raise
            time.sleep(_PAUSE)

    def _stream(self, name: str, last: int) -> Iterator[News | None]:
        answer = self._ask(lambda d: _events(d, name, last), "tell what happens to the server")
        if answer.chunks is None:  # there is no such server any more
            return
        try:
            yield from events_in(answer.chunks)
        except e.EndpointError as error:
            raise translated(error, self.url, "tell what happens to the server") from None
        finally:
            answer.chunks.close()

    # --------------------------------------------------------------------------- asking

    def _ask(self, steps: Callable[[rexec.Deployment], Steps[T]], what: str) -> T:
        self._driver.token = token = self._token()
        try:
            if self._found is None:
                self._found = self._driver.run(rexec.deploy_api())
            return self._driver.run(steps(self._found._replace(token=token)))
        except _OlderError:
            raise NotConfiguredError(
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


def start_error(url: str, name: str, cause: Any) -> StartError | QuotaError:
    """Return the error for a server that failed, from what the deploy API tells of the cause."""
    told: dict[str, Any] = cause if isinstance(cause, dict) else {}
    why = str(told.get("message") or "the deploy API does not say why")
    kind = QuotaError if told.get("reason") == "quota" else StartError
    hint = str(told.get("hint") or "Start it again, or ask whoever runs the endpoint.")
    return kind(f"Your server {name!r} at {url} did not start: {_sentence(why)}", hint=hint)


def events_in(chunks: Iterable[bytes]) -> Iterator[News | None]:
    """Yield the news in a stream of server-sent events, and None for what keeps it alive."""
    rest = b""
    number, data = 0, ""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            return  # nobody sends such lines
        for line in lines:
            field, _, value = line.decode(errors="replace").rstrip("\r").partition(":")
            value = value.removeprefix(" ")
            if line.startswith(b":"):
                yield None
            elif field == "id" and value.isdecimal():
                number = int(value)
            elif field == "data":
                data = value
            elif not field and not value and data:
                if (news := _news(number, data)) is not None:
                    yield news
                data = ""


def _news(number: int, data: str) -> News | None:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):  # the latter for what is nested too deep
        return None
    if not isinstance(told, dict):
        return None
    texts = (str(told.get(name) or "") for name in ("kind", "state", "text", "hint"))
    return News(number, *texts)


# ---------------------------------------------------------------------------- the requests


class _OlderError(Exception):
    """The deploy API has no servers as resources."""


def _known(answer: Answer, failing: str, *, named: bool = True) -> Answer:
    """Return an answer that is good, or says that there is no server of this name."""
    if answer.status == 405 or (answer.status == 404 and not named):
        raise _OlderError
    if not answer.ok and answer.status != 404:
        raise explained(answer, failing)
    return answer


def _all(deployment: rexec.Deployment, path: str) -> Steps[dict[str, Any]]:
    failing = "Failed to list them"
    answer = yield from reach(rexec.request_to("GET", deployment, path), failing)
    told: dict[str, Any] = understood(_known(answer, failing, named=False), failing)
    return told


def _one(deployment: rexec.Deployment, name: str) -> Steps[dict[str, Any] | None]:
    failing = "Failed to ask how the server is"
    request = rexec.request_to("GET", deployment, _path(name))
    answer = _known((yield from reach(request, failing)), failing)
    return understood(answer, failing) if answer.ok else None


def _begin(deployment: rexec.Deployment, asked: dict[str, Any]) -> Steps[Answer]:
    failing = "Failed to start the server"
    request = rexec.request_to("POST", deployment, "/v1/servers", json=asked, repeatable=True)
    answer = yield from reach(request, failing)
    if answer.status in (401, 403, 404, 405):
        _known(answer, failing, named=False)
    if answer.ok:
        understood(answer, failing)
    return answer


def _end(deployment: rexec.Deployment, name: str) -> Steps[bool]:
    failing = "Failed to end the server"
    request = rexec.request_to("DELETE", deployment, _path(name), repeatable=True)
    answer = _known((yield from reach(request, failing)), failing)
    return answer.ok


def _extend(deployment: rexec.Deployment, name: str, seconds: float) -> Steps[Answer]:
    failing = "Failed to let the server live longer"
    asked = {"seconds": seconds}
    request = rexec.request_to(
        "POST", deployment, f"{_path(name)}/extend", json=asked, repeatable=True
    )
    answer = yield from reach(request, failing)
    if answer.ok:
        understood(answer, failing)
    return answer if answer.status in (400, 409, 422) else _known(answer, failing)


def _events(deployment: rexec.Deployment, name: str, last: int) -> Steps[Answer]:
    failing = "Failed to follow the server"
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(last)} if last else {})
    path = f"{_path(name)}/events"
    request = rexec.request_to("GET", deployment, path, streamed=True, live=True, headers=headers)
    return _known((yield from reach(request, failing)), failing)


def _path(name: str) -> str:
    return f"/v1/servers/{segment(name)}"


def _cause(answer: Answer) -> dict[str, Any]:
    try:
        told = json.loads(answer.content)
    except (ValueError, RecursionError):
        return {}
    cause = told.get("cause") if isinstance(told, dict) else None
    return cause if isinstance(cause, dict) else {}


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
