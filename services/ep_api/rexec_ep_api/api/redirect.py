"""The way through to registered services."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final

from fastapi import APIRouter, FastAPI, HTTPException, Path, Request, Response
from pydantic import SecretStr

from rexec_ep_api.catalog.errors import NotFoundError
from rexec_ep_api.catalog.records import Dataset
from rexec_ep_api.openapi import SERVICES, failures
from rexec_ep_api.proxy import Proxy
from rexec_ep_api.registering import SERVICE, absent, part
from rexec_ep_api.servers import catalog_for
from rexec_ep_api.settings import EndpointSettings
from rexec_ep_api.visibility import sees
from rexec_jupyter.auth.dependencies import BearerToken, optional_user_of, user_of
from rexec_jupyter.auth.roles import Access

_PREFIX: Final = b"/services/redirect/"
_TRUE: Final = frozenset(("true", "1", "yes", "on"))
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

_Service = Annotated[str, Path(description="Identifier or name of the service.")]
_Path = Annotated[str, Path(alias="path", description="What to add to the address of the service.")]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: EndpointSettings = app.state.settings
    proxy = app.state.proxy = Proxy(private=settings.redirect_private)
    try:
        yield
    finally:
        await proxy.close()


router = APIRouter(tags=[SERVICES], lifespan=_lifespan)


async def to_service(request: Request, token: BearerToken, service: _Service) -> Response:
    """Pass the request on to a registered service, and its answer back.

    Neither the token nor cookies go along, and redirects are not followed. If the extras of the
    service say `requires_auth`, the request needs a valid token.
    """
    return await _pass_on(request, token, service)


async def below_service(
    request: Request, token: BearerToken, service: _Service, _path: _Path
) -> Response:
    """Pass the request on to a path below a registered service, and its answer back.

    Neither the token nor cookies go along, and redirects are not followed. If the extras of the
    service say `requires_auth`, the request needs a valid token.
    """
    return await _pass_on(request, token, service)


def _add_routes() -> None:
    # One route for each method: an operation of the OpenAPI document has one only.
    for path, function in (("{service}", to_service), ("{service}/{path:path}", below_service)):
        for method in _METHODS:
            router.add_api_route(
                f"/services/redirect/{path}",
                function,
                methods=[method],
                summary="Call a registered service",
                operation_id=f"{function.__name__}_{method.lower()}",
                response_class=Response,
                responses=failures(400, 401, 403, 404, 413, 422, 502, 503, 504),
            )


_add_routes()


async def _pass_on(request: Request, token: SecretStr | None, name: str) -> Response:
    service = await _service(request, token, name)
    url = part(service, SERVICE).url
    if not url:
        raise HTTPException(404, f"{SERVICE.missing}: {name!r} has no address.")
    if _asks_for_token(service):
        await _admit(request, token)
    proxy: Proxy = request.app.state.proxy
    return await proxy.forward(request, url, _below(request))


async def _service(request: Request, token: SecretStr | None, name: str) -> Dataset:
    try:
        service = await catalog_for(request, "local").dataset(name)
    except NotFoundError:
        raise absent(SERVICE, name) from None
    # Only then it matters whose the token is: it may be meant for nobody here.
    if service.private and not sees(request, await optional_user_of(request, token), service):
        raise absent(SERVICE, name)
    return service


def _asks_for_token(service: Dataset) -> bool:
    return str(service.extras.get("requires_auth", "")).strip().lower() in _TRUE


async def _admit(request: Request, token: SecretStr | None) -> None:
    access: Access = request.app.state.access
    access.entered(await user_of(request, token))


def _below(request: Request) -> bytes | None:
    """Return what the request adds to the address of the service, as it was sent."""
    _, _, rest = request.scope["raw_path"].partition(_PREFIX)
    _, slash, path = rest.partition(b"/")
    return path if slash else None
