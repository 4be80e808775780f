"""Who one is at an endpoint."""

from __future__ import annotations

from typing import cast

from rexec_jupyter.endpoint import models as m
from rexec_jupyter.endpoint.asking import reach
from rexec_jupyter.endpoint.errors import NotUnderstoodError, UnreachableError
from rexec_jupyter.endpoint.exchange import Answer, Request, Steps, reason, refusal


def get_user_info(*, token: str | None = None) -> Steps[m.UserInfo]:
    """Return who the endpoint takes one for.

    Parameters
    ----------
    token
        Another token than the client's.
    """
    failing = "An error occurred while fetching user info"
    answer = yield from reach(Request("GET", "/user/info", token=token), failing)
    if not answer.ok:
        detail = answer.detail
        message = {
            401: f"Not authenticated: {detail}",
            403: f"Forbidden: {detail}",
            502: f"Authentication service unavailable: {detail}",
            503: f"Authentication service unavailable: {detail}",
        }.get(answer.status, f"Failed to fetch user info: {_told(answer)}")
        raise refusal(answer, message)
    told = answer.json()
    if not isinstance(told, dict):
        raise NotUnderstoodError(
            f"An error occurred while parsing user info: {answer.url} answers "
            f"{type(told).__name__} in place of dict.",
            hint="Check the address: that is no endpoint.",
        )
    return cast("m.UserInfo", told)


def login(username: str, password: str) -> Steps[str]:
    """Return a token for a user's name and password."""
    credentials = {"username": username, "password": password}
    try:
        answer = yield Request("POST", "/user/login", json=credentials, secret=True)
        if answer.status in (404, 405):  # an older endpoint
            answer = yield Request("POST", "/token", form=credentials, secret=True)
    except UnreachableError as error:
        raise UnreachableError(error.message, hint=error.hint) from None
    if answer.status == 401:
        raise refusal(
            answer,
            "Authentication failed: Invalid username or password.",
            hint=f"The endpoint says: {answer.detail}",
        )
    if not answer.ok:
        raise refusal(answer, f"HTTP error occurred: {_told(answer)}")
    told = answer.json()
    token = told.get("access_token") if isinstance(told, dict) else None
    if not isinstance(token, str) or not token:
        raise NotUnderstoodError("Authentication failed: No access token received.")
    return token


def _told(answer: Answer) -> str:
    return f"{answer.status} {reason(answer.status)} for {answer.url}: {answer.detail}"
