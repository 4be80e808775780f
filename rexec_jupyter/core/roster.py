"""The user's servers, as the broker last described them.

Part of the state machine of `rexec_jupyter.core.exchange`; no input or output here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rexec_jupyter.core import protocol as p


class Server:
    """One of the user's servers.

    Attributes
    ----------
    since
        When it began to be as ready as it is.
    local
        Whether payloads can be handed over as files.
    """

    __slots__ = ("local", "since", "state")

    def __init__(self, state: p.ServerState, since: float) -> None:
        self.state = state
        self.since = since
        self.local = False

    @property
    def ready(self) -> bool:
        """Whether it takes jobs."""
        return self.state.state == "ready"

    @property
    def reachable(self) -> bool:
        """Whether messages get there."""
        return self.state.state in ("ready", "draining")


class Roster:
    """All servers of the user, by their scope: `protocol.ServerState.session`.

    Parameters
    ----------
    can_share
        Tells whether files can be handed to a server through its exchange directory; asked
        once for each time it registers.
    """

    def __init__(self, can_share: Callable[[p.ServerState], bool]) -> None:
        self._can_share = can_share
        self._servers: dict[str, Server] = {}
        self._repeated: set[str] = set()

    def __iter__(self) -> Iterator[Server]:
        return iter(list(self._servers.values()))

    def get(self, scope: str) -> Server | None:
        """Return the server of a scope."""
        return self._servers.get(scope)

    def ready_for(self, session: str) -> Server | None:
        """Return the server that takes jobs of a session, if there is one."""
        server = self._servers.get(session)
        if server is None or server.state.state == "absent":
            server = self._servers.get("")
        return server if server and server.ready else None

    def forget(self, now: float) -> None:
        """Know nothing until the broker tells."""
        self._repeated.clear()
        for scope in self._servers or [""]:
            self._servers[scope] = Server(p.ServerState(state="absent", session=scope), now)

    def expect_repetition(self) -> None:
        """Expect to be told what is known already: a ticket was renewed."""
        self._repeated = set(self._servers)

    def update(self, now: float, state: p.ServerState) -> tuple[Server, bool]:
        """Take news of a server.

        Returns
        -------
        server, registered
            Whether it registered, again or for the first time.
        """
        scope = state.session
        before = self._servers.get(scope)
        server = self._servers[scope] = Server(state, now)
        if before is not None and not before.ready and not server.ready:
            server.since = before.since
        server.local = server.ready and self._can_share(state)
        repeated = scope in self._repeated and before is not None and before.state == state
        self._repeated.discard(scope)
        return server, server.ready and not repeated

    def draining(self, now: float, scope: str) -> p.ServerState | None:
        """Note that a server refuses jobs; return its new state if that is news."""
        server = self._servers.get(scope)
        if server is None or not server.ready:
            return None
        state = p.ServerState(state="draining", session=scope, journal=server.state.journal)
        self._servers[scope] = Server(state, now)
        return state

    def excuse(self, seconds: float) -> None:
        """Do not count that much of the time that went by."""
        for server in self._servers.values():
            server.since += seconds
