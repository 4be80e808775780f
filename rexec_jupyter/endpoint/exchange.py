"""One request and its answer, without any input or output: retries, redirects, refusals.

Whatever talks to an endpoint is written as a generator of requests, and of pauses and pieces of
bodies. A driver (`rexec_jupyter.endpoint.transport`) does what they say, and passes in what came
of it; there is one for threads and one for event loops.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import time
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import urljoin

from rexec_jupyter.endpoint.address import origin
from rexec_jupyter.endpoint.errors import (
    EndpointError,
    NotUnderstoodError,
    UnavailableError,
    UnreachableError,
    of_status,
)

T = TypeVar("T")

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Value = str | int | float | bool | None | list[str]

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_PATIENCE = 30.0
"""Longest Retry-After that is waited for."""
_NEVER = 366 * 24 * 3600.0
"""A Retry-After from which on it is nonsense."""
_REDIRECTS = 4
_LONGEST_TEXT = 2000
# What a terminal would take for orders.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Where it is not known whether the request was carried out, it is repeated only if that is no
# matter. A DELETE that is repeated would find nothing.
_REPEATABLE = ("GET", "PUT")
_REFUSED = (429, 503)
_UNCERTAIN = (502, 504)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked.

    Attributes
    ----------
    method, path
        The path below the endpoint's address, quoted; or a whole address.
    query
        Parameters; None leaves one out.
    json, form, files
        The body, in one of these forms.
    token
        In place of the client's own.
    trusted
        Whether the token may go to another origin than the endpoint's.
    token_in_form
        Whether the form has the token too, as its field ``token``.
    secret
        Whether the body holds a secret.
    streamed
        Whether the body of the answer is read piece by piece.
    live
        Whether a piece of it is wanted as soon as it comes, however small.
    headers
        More headers.
    slow
        Whether it may take far longer than other requests.
    repeatable
        Whether asking twice is the same as asking once; by default the method tells.
    retries
        How often to ask again; None means as often as the client is told to.
    """

    method: Method
    path: str
    query: Mapping[str, Value] = field(default_factory=dict)
    json: Any = field(default=None, repr=False)
    form: Mapping[str, Any] | None = field(default=None, repr=False)
    files: Mapping[str, Any] | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    trusted: bool = False
    token_in_form: bool = False
    secret: bool = False
    streamed: bool = False
    live: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    slow: bool = False
    repeatable: bool | None = None
    retries: int | None = None

    @property
    def harmless(self) -> bool:
        """Whether it may be asked again although it may have been carried out."""
        if self.files is not None:  # a file is read only once
            return False
        return self.method in _REPEATABLE if self.repeatable is None else self.repeatable

    @property
    def may_wait(self) -> bool:
        """Whether it may be asked again if it was certainly not carried out."""
        return self.harmless or self.method == "DELETE"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes
    ----------
    token
        That it was asked with; "" for none.
    chunks
        The pieces of the body, if it was asked for streamed; its `content` is empty then.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    url: str
    token: str = field(default="", repr=False)
    chunks: Any = None

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Return the body, which is JSON.

        Raises
        ------
        NotUnderstoodError
            If it is not.
        """
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):  # the latter for what is nested too deep
            raise NotUnderstoodError(
                f"{self.url} does not answer in JSON, so it is no endpoint.",
                hint="Check the address.",
                status=self.status,
            ) from None

    @property
    def explained(self) -> bool:
        """Whether it says in its own words why it was not done."""
        return bool(self._words())

    @property
    def detail(self) -> str:
        """Why it was not done."""
        told = self._words() or _text(self.content)
        if self.token:  # whoever repeats what it was sent is not repeated
            told = told.replace(self.token, "…")
        told = _CONTROLS.sub("", told)
        if len(told) > _LONGEST_TEXT:
            told = f"{told[:_LONGEST_TEXT]}…"
        return told or f"{self.status} {reason(self.status)}"

    def _words(self) -> str:
        try:
            told = json.loads(self.content)
        except (ValueError, RecursionError):
            return ""
        if isinstance(told, dict):
            told = next((told[key] for key in ("detail", "Status", "error") if told.get(key)), None)
        match told:
            case str():
                return told
            case dict():
                return ": ".join(str(told[key]) for key in ("error", "detail") if told.get(key))
            case [*problems]:  # of servers whose validation speaks for itself
                return "; ".join(_problem(problem) for problem in problems)
        return ""


class Pause(NamedTuple):
    """Seconds to wait."""

    seconds: float


class Piece(NamedTuple):
    """The next piece of a body that is read piece by piece; it is empty at the end."""

    chunks: Any


class Leave(NamedTuple):
    """No more of a body that is read piece by piece."""

    chunks: Any


Item = Request | Pause | Piece | Leave
Steps = Generator[Request, Answer, T]
"""What is done with one or several requests; returns a result."""
Conversation = Generator[Item, Any, T]
"""The same with all that a driver can do."""


def conversation(steps: Conversation[T], url: str, retries: int) -> Conversation[T]:
    """Take steps, each request as `exchange` does; what it raises is raised in the steps."""
    try:
        item = next(steps)
        while True:
            try:
                if isinstance(item, Request):
                    came = yield from exchange(item, url, retries)
                else:
                    came = yield item
            except EndpointError as error:
                item = steps.throw(error)
            else:
                item = steps.send(came)
    except StopIteration as stop:
        result: T = stop.value
        return result


def exchange(request: Request, url: str, retries: int) -> Conversation[Answer]:
    """Ask until there is an answer that counts.

    Parameters
    ----------
    url
        The endpoint's address.
    retries
        How often to ask again.

    Raises
    ------
    UnreachableError
        If none came.
    EndpointError
        If it leads elsewhere.
    """
    retries = retries if request.retries is None else request.retries
    attempt = 0
    while True:
        try:
            answer = yield from _follow(request, url)
        except UnreachableError as error:
            again = request.harmless if error.sent else request.may_wait
            if attempt >= retries or not again:
                raise
            pause = _back_off(attempt)
        else:
            if attempt >= retries or not _worth_it(request, answer):
                return answer
            pause = retry_after(answer) or _back_off(attempt)
            if pause > _PATIENCE:
                return answer
        attempt += 1
        yield Pause(pause)


def _worth_it(request: Request, answer: Answer) -> bool:
    if answer.status in _REFUSED:
        # A service that says why and not until when, such as that it is not configured, means it.
        return request.may_wait and (retry_after(answer) is not None or not answer.explained)
    return answer.status in _UNCERTAIN and request.harmless


def _back_off(attempt: int) -> float:
    # At random, so that not all who were disappointed at once come back at once.
    most = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)
    return random.uniform(most / 2, most)  # noqa: S311 - it is no secret


def retry_after(answer: Answer) -> float | None:
    """Return in how many seconds the answer says to ask again."""
    text = answer.headers.get("retry-after", "")
    try:
        if text.isdecimal():
            seconds = float(text)
        else:
            seconds = max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, OverflowError):
        return None
    return seconds if seconds < _NEVER else None


def _follow(request: Request, url: str) -> Steps[Answer]:
    """Ask, and follow redirects within the same origin: no token goes to another one."""
    whole = request.path if "://" in request.path else url + request.path
    request = replace(request, path=whole)
    for _ in range(_REDIRECTS + 1):
        answer = yield request
        target = answer.headers.get("location", "")
        if answer.status not in (301, 302, 303, 307, 308) or not target:
            return answer
        try:
            target = urljoin(request.path, target)
            same = origin(target) == origin(whole)
        except ValueError:  # that is no address
            break
        if not same or not (request.method == "GET" or answer.status in (307, 308)):
            break
        # The address has the parameters already.
        request = replace(request, path=target, query={})
    raise EndpointError(
        f"{whole} leads elsewhere ({answer.status}), and is not followed: a token goes to the "
        "address that was named alone.",
        hint="Use the address that it leads to, if you trust it.",
        status=answer.status,
    )


def refusal(answer: Answer, message: str, *, hint: str = "") -> EndpointError:
    """Return the error for an answer that says no."""
    kind = of_status(answer.status)
    error = kind(
        message,
        hint=hint or _hint(answer),
        status=answer.status,
        detail=answer.detail,
        correlation_id=answer.headers.get("x-correlation-id", ""),
    )
    if isinstance(error, UnavailableError):
        error.retry_after = retry_after(answer)
    return error


def _hint(answer: Answer) -> str:
    if answer.status == 401:
        return "Get a new token, and make the client with it."
    if answer.status == 403:
        return "Ask whoever runs the endpoint for that right."
    if answer.status in (429, 502, 503, 504):
        wait = retry_after(answer)
        return f"Try again in {wait:.0f} s." if wait else "Try again later."
    return ""


def reason(status: int) -> str:
    """Return the words for a status code."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "an unknown status"


def _problem(problem: Any) -> str:
    if not isinstance(problem, dict):
        return str(problem)
    where = problem.get("loc")
    where = ".".join(map(str, where)) if isinstance(where, list) else ""
    return f"{where}: {problem.get('msg', '')}" if where else str(problem.get("msg", problem))


def _text(content: bytes) -> str:
    text = " ".join(content.decode(errors="replace").split())
    return "" if text.startswith("<") else text  # a page for people
