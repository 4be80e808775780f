"""Who the caller is, and logging in."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import JSONResponse

from rexec_ep_api.api import access_requests
from rexec_ep_api.models.users import LoginAnswer, LoginForm, LoginRequest, UserInfo
from rexec_ep_api.openapi import USERS, answer, failures
from rexec_jupyter.auth.authenticator import Authenticator
from rexec_jupyter.auth.dependencies import Entered
from rexec_jupyter.auth.roles import Access
from rexec_jupyter.auth.throttle import LoginThrottle, TooManyError

router = APIRouter(tags=[USERS])
router.include_router(access_requests.router)

_INFO = {
    "sub": "6e3b7a54",
    "username": "ann",
    "email": "ann@example.org",
    "roles": ["ndp_writer"],
    "groups": ["/hydrology-lab"],
    "ndp_user_id": "ba7816bf8f01cfea",
    "effective_role": "writer",
}
_GIVEN = answer(
    {"access_token": "a-token-of-the-identity-service", "token_type": "Bearer", "expires_in": 300},
    "What the identity service gives.",
)
# A token is for whoever asked, not for a cache on the way.
_NOT_KEPT = {"Cache-Control": "no-store"}


@router.get(
    "/user/info",
    summary="Who the caller is",
    response_model=UserInfo,
    responses=answer(_INFO) | failures(401, 403, 503),
)
async def user_info(request: Request, user: Entered) -> JSONResponse:
    """Tell what the identity service knows of the caller, and their role at this endpoint."""
    access: Access = request.app.state.access
    here = {"ndp_user_id": user.user_id, "effective_role": access.effective_role(user)}
    # What the identity service says counts more, if it uses the same names.
    return JSONResponse(here | dict(user.claims), headers=_NOT_KEPT)


@router.post(
    "/user/login",
    summary="Log in",
    response_model=LoginAnswer,
    responses=_GIVEN | failures(401, 413, 422, 429, 503),
)
async def login(request: Request, body: LoginRequest) -> JSONResponse:
    """Pass a name and password on to the identity service, and return the token that it gives."""
    return await _login(request, body)


@router.post(
    "/token",
    summary="Log in with a form",
    response_model=LoginAnswer,
    responses=_GIVEN | failures(401, 413, 422, 429, 503),
)
async def token(request: Request, form: Annotated[LoginForm, Form()]) -> JSONResponse:
    """Do the same as ``POST /user/login``, for older clients."""
    return await _login(request, form)


async def _login(request: Request, given: LoginRequest) -> JSONResponse:
    authenticator: Authenticator = request.app.state.auth
    throttle: LoginThrottle = request.app.state.logins
    address = request.client.host if request.client else ""
    try:
        with throttle.attempt(address):
            answered: dict[str, Any] = await authenticator.login(
                given.username, given.password.get_secret_value()
            )
    except TooManyError as cause:
        headers = {"Retry-After": str(cause.retry_after)}
        raise HTTPException(429, str(cause), headers) from None
    return JSONResponse(answered, headers=_NOT_KEPT)
