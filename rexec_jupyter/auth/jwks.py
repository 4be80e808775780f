"""Verifying JSON Web Tokens by the public keys of their issuer, without asking it each time."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import jwt

from rexec_jupyter.auth.errors import RefusedError, UnavailableError
from rexec_jupyter.auth.identity import Identity, MalformedIdentityError, identity_from
from rexec_jupyter.auth.outbound import Outbound
from rexec_jupyter.auth.settings import AuthSettings

_log = logging.getLogger(__name__)

# Only signatures that need a private key: with any other, who knows the public key could sign.
ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
_PUBLIC_KINDS: Final = frozenset(("RSA", "EC", "OKP"))
_MOST_KEYS: Final = 32
# Seconds: how far clocks may differ, how long keys are not asked for again, at the earliest for a
# key that is not known and as a rule; and how long they count when nobody answers any more.
_LEEWAY: Final = 10.0
_AT_THE_EARLIEST: Final = 5.0
_FRESH: Final = 3600.0
_STALE: Final = 24 * 3600.0


class TokenVerifier:
    """Verifies the tokens of one issuer.

    Parameters
    ----------
    settings
        Where the keys are, and what a token must say.
    outbound
        The connections to there.
    clock
        What tells the time, in seconds.
    """

    def __init__(
        self,
        settings: AuthSettings,
        outbound: Outbound,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._outbound = outbound
        self._clock = clock
        self._keys: list[jwt.PyJWK] = []
        self._fetched = self._tried = float("-inf")
        self._fetching = asyncio.Lock()

    async def validate(self, token: str) -> Identity:
        """Return whom a token speaks of.

        Raises
        ------
        RefusedError
            If it is not valid.
        UnavailableError
            If there are no keys that could tell.
        """
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise RefusedError("Invalid or expired token") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS:
            raise RefusedError("Invalid token: it is signed in a way that is not accepted")
        claims = self._verified(token, await self._keys_for(key_id, algorithm))
        try:
            return identity_from(_with_realm_roles(claims), token=token)
        except MalformedIdentityError as cause:
            raise RefusedError(f"Invalid token: {cause}") from None

    def _verified(self, token: str, keys: list[jwt.PyJWK]) -> dict[str, Any]:
        settings = self._settings
        for key in keys:
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=ALGORITHMS,
                    issuer=settings.jwt_issuer,
                    audience=settings.jwt_audience or None,
                    leeway=_LEEWAY,
                    options={
                        "require": ["exp", "iss", "sub"],
                        "verify_aud": bool(settings.jwt_audience),
                    },
                )
            except jwt.InvalidSignatureError:
                continue  # without a key id, another may fit
            except jwt.ExpiredSignatureError:
                raise RefusedError("Invalid or expired token: it has expired") from None
            except (jwt.InvalidIssuerError, jwt.InvalidAudienceError):
                raise RefusedError("Invalid token: it is not for this endpoint") from None
            except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
                raise RefusedError("Invalid or expired token") from None
        raise RefusedError("Invalid or expired token")

    async def _keys_for(self, key_id: object, algorithm: str) -> list[jwt.PyJWK]:
        """Return the keys that may have signed a token, asking for new ones if none is known."""
        fitting = self._fitting(key_id, algorithm)
        if not fitting or self._clock() - self._fetched > _FRESH:
            await self._refresh()
            fitting = self._fitting(key_id, algorithm)
        return fitting

    def _fitting(self, key_id: object, algorithm: str) -> list[jwt.PyJWK]:
        return [
            key
            for key in self._keys
            if key.algorithm_name == algorithm and (key_id is None or key.key_id == key_id)
        ]

    async def _refresh(self) -> None:
        asked = self._clock()
        async with self._fetching:
            # Somebody else may have come first, and a made-up key id must not cause a request each.
            if self._tried >= asked or self._clock() - self._tried < _AT_THE_EARLIEST:
                self._check_usable()
                return
            try:
                self._keys = await self._fetch()
                self._fetched = self._clock()
            except UnavailableError:
                _log.warning("The keys of the issuer of tokens cannot be had.")
                self._check_usable()
            finally:
                self._tried = self._clock()

    def _check_usable(self) -> None:
        if not self._keys or self._clock() - self._fetched > _STALE:
            raise UnavailableError(
                "Authentication service is unavailable: the keys that verify tokens cannot be "
                "had. Try again later."
            )

    async def _fetch(self) -> list[jwt.PyJWK]:
        answer = await self._outbound.get(self._settings.jwks_url)
        listed = answer.object().get("keys") if answer.status == 200 else None
        if not isinstance(listed, list):
            raise UnavailableError("Authentication service gave no keys. Try again later.")
        keys = [key for one in listed[:_MOST_KEYS] for key in _usable(one)]
        if not keys:
            raise UnavailableError("Authentication service gave no usable keys. Try again later.")
        return keys


def expiry(token: str) -> float | None:
    """Return when a token says that it expires, in seconds since 1970, without believing it."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return None
    expires = claims.get("exp")
    return float(expires) if isinstance(expires, int | float) else None


def _with_realm_roles(claims: dict[str, Any]) -> dict[str, Any]:
    """Return the claims with the roles that Keycloak writes elsewhere among the others."""
    realm = claims.get("realm_access")
    roles, more = claims.get("roles") or [], realm.get("roles") if isinstance(realm, dict) else None
    if more is None:
        return claims
    if not isinstance(roles, list) or not isinstance(more, list):
        raise MalformedIdentityError("its roles are not a list")
    return claims | {"roles": [*roles, *more]}


def _usable(described: object) -> list[jwt.PyJWK]:
    """Return a key for each way in which it may sign."""
    if not isinstance(described, dict) or described.get("kty") not in _PUBLIC_KINDS:
        return []
    if described.get("use", "sig") != "sig":
        return []
    named = described.get("alg")
    keys = []
    for algorithm in ALGORITHMS if named is None else (named,):
        if algorithm not in ALGORITHMS:
            continue
        try:
            keys.append(jwt.PyJWK(described, algorithm))
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue  # a kind of key for another algorithm, or none at all
    return keys
