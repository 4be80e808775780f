"""What the deploy API signs and derives: tickets of clients, credentials of servers, secrets."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import NamedTuple, Self

from rexec_deploy_api.records import Record
from rexec_deploy_api.spawner.base import Credential
from rexec_jupyter.core.credentials import TICKET_SECONDS, SigningKey
from rexec_jupyter.core.trust import new_keypair


class Broker(NamedTuple):
    """Where the broker is for whom, and how it is recognised.

    Attributes
    ----------
    host, port
        Where clients reach it.
    servers
        ZeroMQ endpoint where servers reach it.
    key
        Its public CURVE key, 40 Z85 characters.
    """

    host: str
    port: int
    servers: str
    key: str


class Tickets:
    """Signs for one deployment.

    Parameters
    ----------
    signing
        The key behind all tickets and certificates.
    secret
        What users' secrets derive from; at least 32 random bytes.
    broker
        The broker they are for.
    audience
        The deployment they are for.
    seconds
        How long a ticket is valid.
    """

    def __init__(
        self,
        signing: SigningKey,
        secret: bytes,
        broker: Broker,
        *,
        audience: str = "rexec",
        seconds: float = TICKET_SECONDS,
    ) -> None:
        if len(secret) < 32:
            raise ValueError("the secret has fewer than 32 bytes")
        self.broker = broker
        self.seconds = seconds
        self._signing = signing
        self._secret = secret
        self._audience = audience

    @classmethod
    def read(cls, signing: Path, secret: Path, broker: Broker, **options: object) -> Self:
        """Read the keys from files.

        Raises
        ------
        OSError, ValueError
            If one cannot be read, or holds something else.
        """
        return cls(SigningKey.read(signing), secret.read_bytes(), broker, **options)  # type: ignore[arg-type]

    def ticket(self, user: str, key: str) -> tuple[str, float]:
        """Return a ticket for the client with the CURVE key `key` (Z85), and its validity."""
        token = self._signing.ticket(user=user, key=key, audience=self._audience, ttl=self.seconds)
        return token, self.seconds

    def job_secret(self, user: str) -> bytes:
        """Return the user's 32 bytes from which the keys of jobs derive; always the same."""
        return hmac.digest(self._secret, b"rexec job secret\0" + user.encode(), hashlib.sha256)

    def salt(self, purpose: str) -> bytes:
        """Return 32 bytes that key hashes of this deployment; always the same."""
        return hmac.digest(self._secret, b"rexec salt\0" + purpose.encode(), hashlib.sha256)

    def credential(self, record: Record) -> Credential:
        """Make what one generation of a server shows the broker."""
        pair = new_keypair()
        certificate = self.certificate(record, pair.public.decode())
        return Credential(
            pair.public, pair.secret, certificate, self.broker.servers, self.broker.key
        )

    def certificate(self, record: Record, key: str) -> str:
        """Return the certificate of one generation of a server, for its CURVE key (Z85)."""
        return self._signing.certificate(
            user=record.user,
            server=record.name,
            key=key,
            session=record.session,
            generation=record.generation,
            audience=self._audience,
        )

    def status_token(self) -> str:
        """Return what the broker wants to see before it tells who is there."""
        return self._signing.status_token(audience=self._audience)
