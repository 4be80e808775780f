"""One form for every error: what went wrong, with what, and what to do about it."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rexec_jupyter.auth import errors as auth
from rexec_jupyter.web.correlation import correlation_id

_log = logging.getLogger(__name__)

_NAMES = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    409: "Conflict",
    413: "ContentTooLarge",
    422: "ValidationError",
    429: "TooManyRequests",
    431: "HeadersTooLarge",
    500: "InternalServerError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}
_BODILESS = frozenset((204, 304))
# A body can be wrong in thousands of places; the first few are what somebody reads.
_MOST_ERRORS = 20
# What FastAPI says of a body that it cannot even decode.
_UNREADABLE = "There was an error parsing the body"


def envelope(path: str, status: int, detail: str, **more: Any) -> dict[str, Any]:
    """Return the body of an error."""
    return {
        "error": _NAMES.get(status, "HTTPError"),
        "detail": detail,
        "correlation_id": correlation_id(),
        "timestamp": datetime.now(UTC).isoformat(),
        "path": path,
        **more,
    }


def error_response(request: Request, error: HTTPException) -> Response:
    """Return the answer that tells of an error."""
    return answer(request, error.status_code, error.detail, headers=error.headers)


Handler = Callable[[Request, Any], Awaitable[Response]]
"""Makes an answer of an error."""


def install(
    app: FastAPI,
    own: Mapping[type[Exception], Handler],
    also: Callable[[Request, str], Mapping[str, Any]] | None = None,
) -> None:
    """Have the application answer every error in the one form.

    Parameters
    ----------
    own
        Handlers for errors that only this application knows; `answer` makes their answers.
    also
        What the body of an error holds besides, from its request and its text.
    """
    app.state.also_told = also
    handlers: dict[type[Exception], Handler] = {
        HTTPException: _on_http,
        RequestValidationError: _on_invalid,
        auth.AuthError: _on_auth,
        **own,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


class FailureMiddleware:
    """Turns what nobody handled into a 500 that tells nothing about the inside."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            _log.exception("%s %s failed", scope["method"], scope["path"])
            if started:
                raise  # the connection breaks off, so nobody takes the part for the whole
            detail = (
                "The service failed while it handled the request. Its operator finds the cause "
                f"in the log under the correlation id {correlation_id()}."
            )
            await answer(Request(scope), 500, detail)(scope, receive, send)


def answer(
    request: Request,
    status: int,
    detail: object,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """Return the answer that tells of an error, in the one form.

    Parameters
    ----------
    more
        What its body holds besides.
    """
    if status in _BODILESS:
        return Response(status_code=status, headers=headers)
    text = detail if isinstance(detail, str) else str(detail)
    app = request.scope.get("app")
    if (also := getattr(app.state, "also_told", None) if app else None) is not None:
        more = {**also(request, text), **more}
    return JSONResponse(envelope(request.url.path, status, text, **more), status, headers)


async def _on_http(request: Request, error: HTTPException) -> Response:
    detail = error.detail
    if detail == _UNREADABLE:
        told = "The body cannot be read: send JSON in UTF-8."
        listed = [{"loc": ["body"], "msg": told, "type": "json_invalid"}]
        return answer(request, 422, told, errors=listed)
    if error.status_code == 404 and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = (
            f"Not Found: there is nothing at {request.url.path}. GET /docs lists what there is."
        )
    elif error.status_code == 405 and detail == HTTPStatus.METHOD_NOT_ALLOWED.phrase:
        detail = f"Method Not Allowed: {request.method} does not apply to {request.url.path}."
    return answer(request, error.status_code, detail, headers=error.headers)


async def _on_invalid(request: Request, error: RequestValidationError) -> Response:
    found = error.errors()
    listed = [
        # Not what was sent: it may be a password.
        {"loc": list(item["loc"]), "msg": _message(item), "type": item["type"]}
        for item in found[:_MOST_ERRORS]
    ]
    detail = "; ".join(
        item["msg"] if item["type"] == "json_invalid" else _sentence(item["loc"], item["msg"])
        for item in listed
    )
    if len(found) > _MOST_ERRORS:
        detail += f"; and {len(found) - _MOST_ERRORS} more"
    return answer(request, 422, detail, errors=listed)


def _message(item: Mapping[str, Any]) -> str:
    if item["type"] == "json_invalid":
        why = item.get("ctx", {}).get("error", "it cannot be parsed")
        return f"The body is not JSON: {why} at character {item['loc'][-1]}"
    return str(item["msg"]).removeprefix("Value error, ")


def _sentence(loc: Sequence[object], message: str) -> str:
    where = ".".join(str(part) for part in loc[1:])
    return f"{where}: {message}" if where else message


async def _on_auth(request: Request, error: auth.AuthError) -> Response:
    match error:
        case auth.RefusedError():
            return answer(request, 401, str(error), headers={"WWW-Authenticate": "Bearer"})
        case auth.UnavailableError():
            after = str(max(1, round(error.retry_after)))
            return answer(request, 503, str(error), headers={"Retry-After": after})
        case _:
            return answer(request, 403, str(error))
