"""Servers as a resource of a deploy API: what is asked, and what may be answered."""

from __future__ import annotations

from typing import Any

from rexec_jupyter.endpoint import rexec
from rexec_jupyter.endpoint.asking import explained, reach, segment, understood
from rexec_jupyter.endpoint.exchange import Answer, Steps


class UnknownError(Exception):
    """There is no such thing as servers there."""


def _known(answer: Answer, failing: str, *, named: bool = True) -> Answer:
    """Return an answer that is good, or says that there is no server of this name."""
    if answer.status == 405 or (answer.status == 404 and not named):
        raise UnknownError
    if not answer.ok and answer.status != 404:
        raise explained(answer, failing)
    return answer


def every(deployment: rexec.Deployment, path: str) -> Steps[dict[str, Any]]:
    """Return what a list has."""
    failing = "Failed to list them"
    answer = yield from reach(rexec.request_to("GET", deployment, path), failing)
    told: dict[str, Any] = understood(_known(answer, failing, named=False), failing)
    return told


def one(deployment: rexec.Deployment, name: str) -> Steps[dict[str, Any] | None]:
    """Return what is told of a server; None if there is none."""
    failing = "Failed to ask how the server is"
    request = rexec.request_to("GET", deployment, _path(name))
    answer = _known((yield from reach(request, failing)), failing)
    return understood(answer, failing) if answer.ok else None


def begin(deployment: rexec.Deployment, asked: dict[str, Any]) -> Steps[Answer]:
    """Ask for a server, and return the answer even if it is none that is good."""
    failing = "Failed to start the server"
    request = rexec.request_to("POST", deployment, "/v1/servers", json=asked, repeatable=True)
    answer = yield from reach(request, failing)
    if answer.status in (401, 403, 404, 405):
        _known(answer, failing, named=False)
    if answer.ok:
        understood(answer, failing)
    return answer


def end(deployment: rexec.Deployment, name: str) -> Steps[bool]:
    """Have a server end; tell whether there was one."""
    failing = "Failed to end the server"
    request = rexec.request_to("DELETE", deployment, _path(name), repeatable=True)
    answer = _known((yield from reach(request, failing)), failing)
    return answer.ok


def restart(deployment: rexec.Deployment, name: str) -> Steps[dict[str, Any] | None]:
    """Have a server replaced by one like it; None if there is none."""
    failing = "Failed to replace the server"
    request = rexec.request_to("POST", deployment, f"{_path(name)}/restart", repeatable=True)
    answer = _known((yield from reach(request, failing)), failing)
    return understood(answer, failing) if answer.ok else None


def log(deployment: rexec.Deployment, name: str, part: str, lines: int) -> Steps[str | None]:
    """Return the last lines of a log of a server; None if there is none."""
    failing = "Failed to read the log"
    path = f"{_path(name)}/logs"
    request = rexec.request_to("GET", deployment, path, query={"part": part, "tail": lines})
    answer = _known((yield from reach(request, failing)), failing)
    return answer.content.decode(errors="replace") if answer.ok else None


def extend(deployment: rexec.Deployment, name: str, seconds: float) -> Steps[Answer]:
    """Ask for a longer life of a server, and return the answer even if it says no."""
    failing = "Failed to let the server live longer"
    asked = {"seconds": seconds}
    request = rexec.request_to(
        "POST", deployment, f"{_path(name)}/extend", json=asked, repeatable=True
    )
    answer = yield from reach(request, failing)
    if answer.ok:
        understood(answer, failing)
    return answer if answer.status in (400, 409, 422) else _known(answer, failing)


def events(deployment: rexec.Deployment, name: str, last: int) -> Steps[Answer]:
    """Have the events of a server sent; the answer has no chunks if there is no such server."""
    failing = "Failed to follow the server"
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(last)} if last else {})
    path = f"{_path(name)}/events"
    request = rexec.request_to("GET", deployment, path, streamed=True, live=True, headers=headers)
    return _known((yield from reach(request, failing)), failing)


def _path(name: str) -> str:
    return f"/v1/servers/{segment(name)}"
