"""Whose token is this? One answer for everything that meets a bearer token."""

import asyncio
import re
import time
from typing import Any, Final

from rexec_jupyter.auth.cache import ExpiringCache, Fingerprints
from rexec_jupyter.auth.development import Development
from rexec_jupyter.auth.errors import RefusedError, UnavailableError
from rexec_jupyter.auth.identity import Identity
from rexec_jupyter.auth.jwks import TokenVerifier, expiry
from rexec_jupyter.auth.outbound import Outbound
from rexec_jupyter.auth.redaction import keep_out
from rexec_jupyter.auth.settings import AuthSettings
from rexec_jupyter.auth.validation import IdentityService

_LONGEST_TOKEN: Final = 16 * 1024
# What can stand in a header; nothing else can be a token.
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_MOST_REMEMBERED: Final = 10_000
_MOST_REFUSALS: Final = 10_000
# Seconds. A token that becomes valid must not be refused for long.
_REFUSAL: Final = 5.0

_NOT_CONFIGURED: Final = (
    "Authentication service is not configured on this endpoint, so no token can be accepted. "
    "Its operator sets AUTH_API_URL, or where the keys of tokens are (…_JWKS_URL)."
)
_NO_LOGIN: Final = (
    "Login with a password is not configured on this endpoint: its operator sets AUTH_API_URL. "
    "Use a token of your identity service instead."
)
_NO_GRANTS: Final = (
    "Rights cannot be granted from this endpoint: its operator sets AUTH_API_URL and "
    "AFFINITIES_EP_UUID."
)


class Authenticator:
    """Finds out who a token belongs to, and remembers it for a short time.

    The development token, if there is one, is tried first; then the token is verified by the keys
    of its issuer if ``jwks_url`` is set, and otherwise the identity service at
    ``AUTH_API_URL`` is asked. However many requests bring the same token at once, it is asked once.

    It belongs to the event loop that it is first used in.

    Parameters
    ----------
    settings
        Whom to ask, and for how long to believe it.
    """

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings
        self._outbound = Outbound(settings.auth_timeout)
        self._development = Development(settings)
        self._fingerprints = Fingerprints()
        self._known: ExpiringCache[Identity] = ExpiringCache(_MOST_REMEMBERED)
        self._refused: ExpiringCache[str] = ExpiringCache(_MOST_REFUSALS)
        self._asking: dict[bytes, asyncio.Task[Identity]] = {}
        self._service = (
            IdentityService(settings.auth_api_url, self._outbound)
            if settings.auth_api_url
            else None
        )
        self._validator: TokenVerifier | IdentityService | None = (
            TokenVerifier(settings, self._outbound) if settings.jwks_url else self._service
        )

    async def close(self) -> None:
        """Close all connections; requests that still wait for an answer are told so."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        await self._outbound.close()

    async def identify(self, token: str) -> Identity:
        """Return the owner of a token.

        Raises
        ------
        RefusedError
            If the token is not valid.
        UnavailableError
            If it cannot be known now.
        """
        if len(token) > _LONGEST_TOKEN or not _TOKEN.fullmatch(token):
            raise RefusedError("Invalid token: no token looks like this")
        if developer := self._development.identity(token):
            return developer
        if self._validator is None:
            raise UnavailableError(_NOT_CONFIGURED)
        key = self._fingerprints.of(token)
        if known := self._known.get(key):
            return known
        if refused := self._refused.get(key):
            raise RefusedError(refused)
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(self._validator, key, token))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asked(key, done))
        try:
            # Whoever asked first may leave; the others still wait for the answer.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise UnavailableError("The service is closing. Try again later.") from None
            raise

    async def login(self, username: str, password: str) -> dict[str, Any]:
        """Return what the identity service gives for a name and a password.

        Raises
        ------
        RefusedError
            If they are not right.
        UnavailableError
            If it cannot be known now.
        """
        keep_out(password)
        if self._service is None:
            raise UnavailableError(_NO_LOGIN)
        return await self._service.login(username, password)

    async def grant(self, admin_token: str, username: str, role: str) -> None:
        """Have somebody made a member of this endpoint's group, with a role in it.

        Parameters
        ----------
        admin_token
            In whose name.
        username
            Who.
        role
            ``writer`` or ``admin``; everything else is what every member has.

        Raises
        ------
        RefusedError, ForbiddenError
            If the identity service does not let this administrator.
        UnavailableError
            If it does not answer, or this endpoint has no group.
        """
        group = self._settings.affinities_ep_uuid.strip()
        if self._service is None or not group:
            raise UnavailableError(_NO_GRANTS)
        await self._service.add_to_group(admin_token, group, username)
        if role in ("writer", "admin"):
            await self._service.assign_role(admin_token, group, role, username)

    async def _ask(
        self, validator: TokenVerifier | IdentityService, key: bytes, token: str
    ) -> Identity:
        try:
            identity = await validator.validate(token)
        except RefusedError as refusal:
            self._refused.put(key, str(refusal), min(_REFUSAL, self._settings.auth_cache_seconds))
            raise
        self._known.put(key, identity, self._lifetime(token))
        return identity

    def _lifetime(self, token: str) -> float:
        """Return for how many seconds to remember a token: never past its end."""
        seconds = self._settings.auth_cache_seconds
        end = expiry(token)
        return seconds if end is None else min(seconds, end - time.time())

    def _asked(self, key: bytes, task: asyncio.Task[Identity]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # nobody may wait for it any more, and then it is no news
