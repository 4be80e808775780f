"""Tickets and certificates: signed statements about who owns a CURVE key.

Both are JSON Web Tokens signed with Ed25519. Whoever holds the public half of the signing
key checks them without asking anybody.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from rexec_jupyter.core.trust import new_id, write_private

TICKET_SECONDS = 15 * 60.0
"""How long a ticket is valid unless told otherwise."""

STATUS_SECONDS = 120.0
"""How long a status token is valid."""

_LEEWAY = 60.0
_ALGORITHM = "EdDSA"
_Use = Literal["client", "server"]
_STATUS = "broker-status"


class CredentialError(ValueError):
    """A ticket or certificate is not accepted. The text may be shown to its bearer."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a valid ticket says: its bearer is `user` for `expires_in` more seconds."""

    user: str
    expires_in: float


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a valid certificate says of a server.

    Attributes
    ----------
    user
        Whose server it is.
    server
        Its name, unique within the user.
    session
        The one session it serves; empty for every session that has no server of its own.
    generation
        Grows with each replacement of the server; the newest counts.
    expires_in
        Seconds; infinite if it does not expire.
    """

    user: str
    server: str
    session: str
    generation: int
    expires_in: float


class SigningKey:
    """The private key behind all tickets and certificates of one deployment."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> Self:
        """Make a new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a PEM file.

        Raises
        ------
        ValueError
            If it holds anything but an unencrypted Ed25519 private key.
        """
        key = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{path} holds no Ed25519 private key")  # noqa: TRY004 - a bad file
        return cls(key)

    def write(self, path: Path) -> None:
        """Write a PEM file that only its owner may read."""
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(path, pem)

    @property
    def public_pem(self) -> bytes:
        """The public half, in PEM, for a `Verifier`."""
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def ticket(
        self, *, user: str, key: str, audience: str = "rexec", ttl: float = TICKET_SECONDS
    ) -> str:
        """Sign that the bearer of the CURVE key `key` (Z85) is `user` for `ttl` seconds."""
        return self._sign("client", key, audience, ttl, {"sub": user})

    def certificate(
        self,
        *,
        user: str,
        server: str,
        key: str,
        session: str = "",
        generation: int = 1,
        audience: str = "rexec",
        ttl: float | None = None,
    ) -> str:
        """Sign that the bearer of the CURVE key `key` (Z85) is this server of `user`."""
        claims = {"sub": user, "server": server, "session": session, "generation": generation}
        return self._sign("server", key, audience, ttl, claims)

    def status_token(self, *, audience: str = "rexec", ttl: float = STATUS_SECONDS) -> str:
        """Sign that the bearer may ask the broker of the deployment who is there."""
        now = time.time()
        claims = {"aud": f"{audience}/{_STATUS}", "iat": now, "exp": now + ttl, "use": "status"}
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def _sign(
        self, use: _Use, key: str, audience: str, ttl: float | None, claims: dict[str, Any]
    ) -> str:
        now = time.time()
        claims |= {"aud": audience, "iat": now, "jti": new_id(), "use": use, "cnf": {"curve": key}}
        if ttl is not None:
            claims["exp"] = now + ttl
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)


class Verifier:
    """Checks tickets and certificates offline.

    Parameters
    ----------
    public_pems
        Public keys, any of which may have signed; two during a rotation.
    audience
        The deployment the statement must be meant for.
    """

    def __init__(self, public_pems: Sequence[bytes], audience: str = "rexec") -> None:
        if not public_pems:
            raise ValueError("no key to verify tickets with")
        self._keys = [_public_key(pem) for pem in public_pems]
        self._audience = audience

    def ticket(self, token: str, key: str) -> Ticket:
        """Check the ticket of the peer whose CURVE key is `key` (Z85).

        Raises
        ------
        CredentialError
            If it is malformed, expired, not ours, or bound to another key.
        """
        claims = self._verify(token, key, "client")
        return Ticket(claims["sub"], _remaining(claims))

    def certificate(self, token: str, key: str) -> Certificate:
        """Check the certificate of the peer whose CURVE key is `key` (Z85).

        Raises
        ------
        CredentialError
            If it is malformed, expired, not ours, or bound to another key.
        """
        claims = self._verify(token, key, "server")
        server, session = claims.get("server"), claims.get("session")
        generation = claims.get("generation")
        if not (isinstance(server, str) and server and isinstance(session, str)):
            raise CredentialError("the certificate names no server")
        if not isinstance(generation, int):
            raise CredentialError("the certificate has no generation")
        return Certificate(claims["sub"], server, session, generation, _remaining(claims))

    def status_token(self, token: str) -> None:
        """Check that the bearer may ask the broker who is there.

        Raises
        ------
        CredentialError
            If it is malformed, expired, or not ours.
        """
        audience = f"{self._audience}/{_STATUS}"
        claims = self._decode(token, "token", audience, ["aud", "iat", "exp", "use"])
        if claims["use"] != "status":
            raise CredentialError("this is no token for the status")

    def _verify(self, token: str, key: str, use: _Use) -> dict[str, Any]:
        kind = "ticket" if use == "client" else "certificate"
        required = ["sub", "aud", "iat", "use", "cnf"]
        claims = self._decode(token, kind, self._audience, required)
        if claims["use"] != use:
            raise CredentialError(f"this is no {kind}")
        confirmation = claims["cnf"]
        if not isinstance(confirmation, dict) or confirmation.get("curve") != key:
            raise CredentialError(f"the {kind} belongs to another key")
        if not claims["sub"]:
            raise CredentialError(f"the {kind} names no user")
        return claims

    def _decode(self, token: str, kind: str, audience: str, required: list[str]) -> dict[str, Any]:
        for public in self._keys:
            try:
                claims: dict[str, Any] = jwt.decode(
                    token,
                    public,
                    algorithms=[_ALGORITHM],
                    audience=audience,
                    leeway=_LEEWAY,
                    options={"require": required},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError:
                raise CredentialError(f"the {kind} has expired") from None
            except jwt.InvalidAudienceError:
                raise CredentialError(f"the {kind} is for another deployment") from None
            except jwt.InvalidTokenError:
                raise CredentialError(f"malformed {kind}") from None
            return claims
        raise CredentialError(f"the {kind} was not signed by this deployment")


def _public_key(pem: bytes) -> Ed25519PublicKey:
    key = load_pem_public_key(pem)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 public key")  # noqa: TRY004 - a bad file
    return key


def _remaining(claims: dict[str, Any]) -> float:
    return max(0.0, claims["exp"] - time.time()) if "exp" in claims else float("inf")
