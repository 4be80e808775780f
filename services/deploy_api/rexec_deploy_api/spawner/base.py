"""Where servers run, and where their records are kept: what the deploy API needs of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple, Protocol

from rexec_deploy_api.records import Cause, Key, Observed, Record


class StaleError(RuntimeError):
    """A record was written by somebody else meanwhile, or is there, or is gone."""


class SpawnerError(RuntimeError):
    """Something could not be done now.

    Parameters
    ----------
    cause
        Why, for the owner of the server.
    """

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.message)
        self.cause = cause


class NoLogError(SpawnerError):
    """There is no such log, or not yet."""


class Credential(NamedTuple):
    """What a server shows the broker, and how it knows the broker.

    Attributes
    ----------
    public, secret
        Its CURVE key pair, each half 40 Z85 characters.
    certificate
        The signed statement about that key.
    broker
        ZeroMQ endpoint of the broker's port for servers.
    broker_key
        Public CURVE key of the broker.
    """

    public: bytes
    secret: bytes
    certificate: str
    broker: str
    broker_key: str

    def __repr__(self) -> str:
        return f"<Credential for {self.broker}>"


class LogQuery(NamedTuple):
    """Which log is wanted.

    Attributes
    ----------
    part
        ``agent``, ``exec`` or ``environment``.
    tail
        Lines from the end; negative for all.
    follow
        Whether to go on as long as something may come.
    previous
        Of the process before this one, which tells why that ended.
    """

    part: str = "exec"
    tail: int = -1
    follow: bool = False
    previous: bool = False


class Spawner(Protocol):
    """Runs servers, and keeps their records.

    What is read comes from a copy that a watch keeps up to date, so it does not block and may
    be a moment old. Whatever is done may be done again: it is the same as once.
    """

    @property
    def ready(self) -> bool:
        """Whether the copy is complete."""

    @property
    def leads(self) -> bool:
        """Whether this process is the one that acts on records."""

    async def open(self, changed: Callable[[Key], None]) -> None:
        """Begin to watch. `changed` is called whenever a record, or what runs for it, changed."""

    async def close(self) -> None:
        """Stop watching; the servers go on."""

    def keys(self) -> Sequence[Key]:
        """Return every server of which there is a record."""

    def record(self, key: Key) -> Record | None:
        """Return a record from the copy."""

    def records_of(self, user: str) -> Sequence[Record]:
        """Return the records of one user, by name."""

    async def fetch(self, key: Key) -> Record | None:
        """Return a record as it is now.

        Raises
        ------
        SpawnerError
            If the store does not answer.
        """

    async def write(self, record: Record) -> Record:
        """Write a record; a new one if its version is empty. Returns it with its new version.

        Raises
        ------
        StaleError
            If it is not the version that is there.
        SpawnerError
            If it cannot be written.
        """

    async def erase(self, record: Record) -> None:
        """Remove a record, and everything that belongs to it."""

    def observe(self, key: Key) -> Sequence[Observed]:
        """Return what is there for a record, every generation of it."""

    async def place(self, record: Record, credential: Callable[[], Credential]) -> None:
        """Start the generation of the record, unless it is there.

        Parameters
        ----------
        credential
            Makes what the server shows; called only if it has none yet.

        Raises
        ------
        SpawnerError
            If it cannot be started.
        """

    async def displace(self, record: Record, observed: Observed) -> None:
        """Have a generation end in good order."""

    def logs(self, record: Record, query: LogQuery) -> AsyncIterator[bytes]:
        """Yield pieces of a log.

        Raises
        ------
        NoLogError
            If there is none.
        SpawnerError
            If it cannot be had now.
        """
