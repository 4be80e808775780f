"""What an identity service is asked: whose a token is, for one, and for rights."""

from typing import Any, Final
from urllib.parse import urlsplit

from rexec_jupyter.auth.errors import ForbiddenError, RefusedError, UnavailableError
from rexec_jupyter.auth.identity import (
    Identity,
    MalformedIdentityError,
    NoSubjectError,
    identity_from,
)
from rexec_jupyter.auth.outbound import Outbound, failed, presentable

_WRONG_PASSWORD: Final = "Invalid username or password"  # noqa: S105 - says that one is wrong


class IdentityService:
    """The identity service of an endpoint.

    Parameters
    ----------
    url
        Where tokens are validated. Logins and rights have addresses of their own on the same host.
    outbound
        The connections to it.
    """

    def __init__(self, url: str, outbound: Outbound) -> None:
        self._url = url
        self._outbound = outbound

    async def validate(self, token: str) -> Identity:
        """Return the owner of a token.

        Raises
        ------
        RefusedError
            If the service says that the token is not valid.
        UnavailableError
            If it says nothing that can be understood.
        """
        answer = await self._outbound.post(self._url, {"token": token})
        if answer.status == 401:
            raise RefusedError("Invalid or expired token")
        if answer.status == 403:
            raise RefusedError("Token does not have sufficient permissions")
        if answer.status != 200:
            raise failed(answer)
        claims = answer.object()
        if "error" in claims:
            said = claims["error"]
            reason = presentable(said, without=token) if isinstance(said, str) else ""
            raise RefusedError(f"Invalid token: {reason or 'the identity service rejects it'}")
        try:
            return identity_from(claims, token=token)
        except NoSubjectError:
            raise RefusedError(
                "Invalid token: the identity service does not say whose it is"
            ) from None
        except MalformedIdentityError as cause:
            raise UnavailableError(
                f"Authentication service gave an answer that cannot be understood: {cause}. "
                "Try again later."
            ) from None

    async def login(self, username: str, password: str) -> dict[str, Any]:
        """Return what the service gives for a name and a password; a token is in it.

        Raises
        ------
        RefusedError
            If they are not right.
        UnavailableError
            If the service does not say.
        """
        answer = await self._outbound.post(
            self._beside("/user/login"), {"username": username, "password": password}
        )
        if answer.status in (400, 401, 403):
            raise RefusedError(
                answer.reason("error", "detail", without=password) or _WRONG_PASSWORD
            )
        if answer.status != 200:
            raise failed(answer)
        given = answer.object()
        token = given.get("access_token")
        if not isinstance(token, str) or not token:
            raise UnavailableError(
                "Authentication service accepted the login but returned no access token. "
                "Try again later."
            )
        return given

    async def add_to_group(self, admin_token: str, group: str, username: str) -> None:
        """Have somebody added to a group, in the name of an administrator.

        Raises
        ------
        RefusedError, ForbiddenError
            If the service does not let this administrator.
        UnavailableError
            If it does not say.
        """
        body = {"group_name": group, "username": username}
        await self._granted("/group/add-user", body, admin_token)

    async def assign_role(self, admin_token: str, group: str, role: str, username: str) -> None:
        """Have somebody given a role in a group, in the name of an administrator.

        Raises
        ------
        RefusedError, ForbiddenError
            If the service does not let this administrator.
        UnavailableError
            If it does not say.
        """
        # Both spellings are in use among its releases, and each ignores the other.
        body = {
            "role_name": role,
            "roleName": role,
            "group_name": group,
            "groupName": group,
            "username": username,
        }
        await self._granted("/role/assign", body, admin_token)

    async def _granted(self, path: str, body: dict[str, str], admin_token: str) -> None:
        answer = await self._outbound.post(self._beside(path), body, admin_token)
        if 200 <= answer.status < 300:
            return
        reason = answer.reason("detail", "error", without=admin_token)
        why = reason or f"Authentication service rejected the request (HTTP {answer.status})."
        if answer.status in (400, 401):
            raise RefusedError(why)
        if 402 <= answer.status < 429:
            raise ForbiddenError(why)
        raise failed(answer)

    def _beside(self, path: str) -> str:
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc}{path}"
