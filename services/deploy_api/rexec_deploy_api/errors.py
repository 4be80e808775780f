"""How what the core refuses is told over HTTP."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rexec_deploy_api.environments import RequirementsError
from rexec_deploy_api.profiles import NotAllowedError
from rexec_deploy_api.service import DifferentError, NotThereError, TooManyError
from rexec_deploy_api.spawner.base import NoLogError, SpawnerError
from rexec_jupyter.web.errors import Handler, answer

_EXISTING = frozenset(("/spawn", "/terminate", "/broker-config"))
_RETRY = {"Retry-After": "5"}


def also_told(request: Request, text: str) -> dict[str, Any]:
    """Return what errors hold besides, where older clients look only there."""
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    return {"Status": text} if path in _EXISTING else {}


def _always(status: int) -> Handler:
    async def handler(request: Request, error: Exception) -> Response:
        return answer(request, status, str(error.args[0]))

    return handler


async def _on_spawner(request: Request, error: SpawnerError) -> Response:
    cause = error.cause
    status = _status(error)
    detail = f"{cause.message} {cause.hint}".strip()
    headers = _RETRY if status == 503 else None
    return answer(request, status, detail, headers, cause=msgspec.to_builtins(cause))


def _status(error: SpawnerError) -> int:
    if isinstance(error, NoLogError):
        return 404
    if not error.cause.final:
        return 503
    return 409 if error.cause.reason == "quota" else 422


HANDLERS: dict[type[Exception], Handler] = {
    RequirementsError: _always(422),
    NotAllowedError: _always(422),
    NotThereError: _always(404),
    DifferentError: _always(409),
    TooManyError: _always(429),
    SpawnerError: _on_spawner,
}
"""For `rexec_jupyter.web.errors.install`."""
