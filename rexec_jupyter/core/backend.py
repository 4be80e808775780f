"""What a client needs of the thing that runs its code: where it is, and a ticket to it."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Address(NamedTuple):
    """Where a broker listens for clients, and the key by which it is recognised.

    Attributes
    ----------
    endpoint
        ZeroMQ endpoint, such as ``tcp://127.0.0.1:40001``.
    broker_key
        Public CURVE key of the broker, 40 Z85 characters. Nobody else can answer.
    """

    endpoint: str
    broker_key: str


class Backend(Protocol):
    """A backend as its client sees it.

    The coroutines run on the event loop of the client's own thread, one at a time. They raise
    an error of `rexec_jupyter.core.errors`; anything else is reported as a defect.
    """

    @property
    def description(self) -> str:
        """What it is, for people: ``embedded backend``."""

    @property
    def progress(self) -> str:
        """What it is busy with while it starts, for people; empty if it says nothing.

        As long as there is something, whoever waits for it goes on waiting.
        """

    async def locate(self) -> Address:
        """Tell where the broker is, once it can be connected to; starts it if need be.

        Called again whenever the broker could not be reached for a while, because it may
        have moved, or may have to be started again.

        Raises
        ------
        StartError
            If it does not get ready.
        NotConfiguredError
            If there is no such backend.
        """

    async def revive(self) -> None:
        """Have a server started if the user has none any more, and wait until it is ready.

        Called when a job waits for one. Raises as `locate`.
        """

    async def ticket(self, key: str) -> tuple[str, float]:
        """Return a ticket for the client whose connection has this CURVE key.

        Parameters
        ----------
        key
            Public CURVE key, 40 Z85 characters.

        Returns
        -------
        token, seconds
            The ticket and how long it is valid. The client asks again at half of that.

        Raises
        ------
        AuthenticationError
            If the backend gives this user none.
        """

    async def close(self) -> None:
        """Give up what this client holds of the backend. It is not used afterwards."""

    def job_secret(self) -> bytes:
        """Return the user's secret of 32 bytes, from which the keys of jobs derive.

        Called after `locate`, and after `ticket`, which may bring another; does not block. It
        is the same for every process of the user, so that one can read the results of jobs
        that another submitted.
        """
