"""Whose token it is: asked before it is kept."""

from __future__ import annotations

from rexec_jupyter.endpoint import models as m
from rexec_jupyter.endpoint import users
from rexec_jupyter.endpoint.errors import EndpointError
from rexec_jupyter.endpoint.translation import translated
from rexec_jupyter.endpoint.transport import Driver

_PATIENCE = 15.0


def verify(url: str, token: str) -> m.UserInfo:
    """Return whom the endpoint takes the bearer of a token for.

    Raises
    ------
    AuthenticationError
        If it does not accept the token, or this user.
    ConnectionLostError
        If it cannot be reached, or cannot tell.
    NotConfiguredError
        If it is no endpoint.
    """
    driver = Driver(url, token, _PATIENCE, retries=1)
    try:
        return driver.run(users.get_user_info())
    except EndpointError as error:
        raise translated(error, url, "tell whose token it is", right="use it") from None
    finally:
        driver.close()
