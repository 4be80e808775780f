"""What the routes of a FastAPI application ask for, to know who calls and that they may.

The application holds an `Authenticator` in ``app.state.auth`` and an `Access` in
``app.state.access``. A route that takes `Writer`, say, gets the identity of somebody who may
change things, or does not run at all.
"""

import asyncio
import logging
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from rexec_jupyter.auth.authenticator import Authenticator
from rexec_jupyter.auth.errors import RefusedError, UnavailableError
from rexec_jupyter.auth.identity import Identity
from rexec_jupyter.auth.redaction import keep_out
from rexec_jupyter.auth.roles import Access

_log = logging.getLogger(__name__)

# Seconds that a request which needs no identity waits for one.
_PATIENCE: Final = 2.0

_bearer = HTTPBearer(
    scheme_name="BearerToken",
    description="A token of the identity service, as POST /user/login returns it.",
    auto_error=False,
)


async def _token(
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> SecretStr | None:
    if credentials is None:
        return None
    keep_out(credentials.credentials)
    return SecretStr(credentials.credentials)


BearerToken = Annotated[SecretStr | None, Depends(_token)]
"""The token of the request, whether it is valid or not; for passing it on."""


async def user_of(request: Request, token: BearerToken) -> Identity:
    """Return whose a token is; for routes that ask only in some cases.

    Raises
    ------
    RefusedError
        If there is none, or it is not valid.
    UnavailableError
        If it cannot be known now.
    """
    if token is None:
        raise RefusedError("Not authenticated")
    authenticator: Authenticator = request.app.state.auth
    return await authenticator.identify(token.get_secret_value())


async def optional_user_of(request: Request, token: BearerToken) -> Identity | None:
    """Return whose a token is if that is known, and soon; for routes that ask in some cases."""
    if token is None:
        return None
    try:
        async with asyncio.timeout(_PATIENCE):
            return await user_of(request, token)
    except RefusedError:
        return None
    except (UnavailableError, TimeoutError):
        _log.warning("It cannot be known now who asks; they get what everybody gets.")
        return None


User = Annotated[Identity, Depends(user_of)]
"""Anybody with a valid token."""

OptionalUser = Annotated[Identity | None, Depends(optional_user_of)]
"""Somebody with a valid token, or nobody known."""


async def _entered(request: Request, user: User) -> Identity:
    _access(request).entered(user)
    return user


async def _writer(request: Request, user: User) -> Identity:
    _access(request).writer(user)
    return user


async def _admin(request: Request, user: User) -> Identity:
    _access(request).admin(user)
    return user


def _access(request: Request) -> Access:
    access: Access = request.app.state.access
    return access


Entered = Annotated[Identity, Depends(_entered)]
"""Somebody whom the group gate lets in."""

Writer = Annotated[Identity, Depends(_writer)]
"""Somebody who may change things."""

Admin = Annotated[Identity, Depends(_admin)]
"""Somebody who administers the endpoint."""
