"""The step that nearly everything is made of: ask, and say what went wrong in known words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from rexec_jupyter.endpoint.errors import EndpointError, NotUnderstoodError, UnreachableError
from rexec_jupyter.endpoint.exchange import Answer, Request, Steps, refusal

NOT_FOUND = "not found"


def ask(
    request: Request,
    failing: str,
    known: Mapping[str, str] | None = None,
    *,
    missing: str = "",
    kind: type = dict,
) -> Steps[Any]:
    """Ask, and return the JSON of the answer.

    Parameters
    ----------
    failing
        How the error begins.
    known
        What to say, by words that the endpoint uses, whether in capitals or not.
    missing
        What to say if there is no such thing.
    kind
        What the JSON has to be.

    Raises
    ------
    EndpointError
        If it was not done.
    """
    answer = yield from reach(request, failing)
    if not answer.ok:
        raise explained(answer, failing, known, missing=missing)
    return understood(answer, failing, kind)


def understood(answer: Answer, failing: str, kind: type = dict) -> Any:
    """Return the JSON of an answer; else as `ask`."""
    told = answer.json()
    if not isinstance(told, kind):
        raise NotUnderstoodError(
            f"{failing}: {answer.url} answers {type(told).__name__} in place of {kind.__name__}.",
            hint="Check the address: that is no endpoint, or one of another kind.",
            status=answer.status,
        )
    return told


def reach(request: Request, failing: str) -> Steps[Answer]:
    """Ask, and return the answer, whatever it says."""
    try:
        answer = yield request
    except UnreachableError as error:
        raise UnreachableError(
            f"{failing}: {error.message}", hint=error.hint, sent=error.sent
        ) from None
    return answer


def explained(
    answer: Answer, failing: str, known: Mapping[str, str] | None = None, *, missing: str = ""
) -> EndpointError:
    """Return the error for an answer that says no; else as `ask`."""
    detail = answer.detail
    told = f"The endpoint says: {detail}"
    if missing and answer.status == 404:
        return refusal(answer, missing, hint=told)
    for words, message in (known or {}).items():
        if words.lower() in detail.lower():
            return refusal(answer, message, hint=told)
    return refusal(answer, f"{failing}: {detail}")


def segment(text: str) -> str:
    """Return text as one segment of a path."""
    text = str(text)
    # What is nothing but dots would be taken for a way up, quoted or not.
    if not text.strip(".") or "\x00" in text:
        raise EndpointError(f"{text!r} is no name or id.")
    return quote(text, safe="")


def key(text: str) -> str:
    """Return the key of an object as the rest of a path."""
    parts = text.split("/")
    if not text or any(part in (".", "..") for part in parts) or "\x00" in text:
        raise EndpointError(f"{text!r} is no key of an object.")
    return quote(text, safe="/")


def written(server: str) -> str:
    """Return the name of a catalog as the endpoint writes it: ``pre-ckan`` is said too."""
    return server.replace("-", "_")
