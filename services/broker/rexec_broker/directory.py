"""The broker's tables, kept consistent with each other and with the gauges."""

from __future__ import annotations

from collections import defaultdict

from rexec_broker.metrics import Metrics
from rexec_broker.tables import Client, Fence, Route, Server, State, User

_FENCES = 10_000


class Directory:
    """Who is connected, and who reads what.

    Attributes
    ----------
    users
        By verified name.
    clients, servers
        By ZeroMQ's name of their connection.
    severed
        Servers to which no connection leads, by its name.
    roster, activity
        Grow when servers come, go or change their state, and when jobs and clients do.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.users: dict[str, User] = {}
        self.clients: dict[bytes, Client] = {}
        self.servers: dict[bytes, Server] = {}
        self.severed: dict[bytes, Server] = {}
        self.roster = self.activity = 0
        self._fences: dict[str, Fence] = {}

    def user(self, name: str) -> User:
        """Return the user of this name, who may be new."""
        user = self.users.get(name)
        if user is None:
            user = self.users[name] = User(name, self._fences.pop(name, None))
        return user

    def release(self) -> None:
        """Forget the users of whom nothing is left, but not yet which servers were replaced."""
        for user in list(self.users.values()):
            if not user.clients and not user.servers:
                del self.users[user.name]
                if user.fence:
                    self._fences[user.name] = user.fence
        while len(self._fences) > _FENCES:
            del self._fences[next(iter(self._fences))]

    # ------------------------------------------------------------------------ clients

    def add_client(self, user: User, peer: bytes, key: str, instance: str) -> Client:
        """Enter a client; one that comes back by another connection keeps its jobs."""
        client = user.clients.get(instance)
        if client is None:
            client = user.clients[instance] = Client(user, peer, key, instance)
            self.activity += 1
        elif client.peer != peer:
            del self.clients[client.peer]
            client.peer = peer
        client.key = key
        self.clients[peer] = client
        self._metrics.clients = len(self.clients)
        return client

    def remove_client(self, client: Client) -> list[tuple[Server, list[str]]]:
        """Forget a client.

        Returns
        -------
        list of (server, jobs)
            The jobs that nobody reads now, for each server that has some.
        """
        user = client.user
        del self.clients[client.peer]
        del user.clients[client.instance]
        self.activity += 1
        self._metrics.clients = len(self.clients)
        scopes: defaultdict[str, list[str]] = defaultdict(list)
        for job in client.jobs:
            route = user.jobs.pop(job)
            user.looks -= route.looks
            scopes[route.scope].append(job)
        self._metrics.jobs -= len(client.jobs)
        client.jobs.clear()
        return [
            (server, jobs)
            for scope, jobs in scopes.items()
            if (server := user.servers.get(scope)) is not None
        ]

    # --------------------------------------------------------------------------- jobs

    def route(self, client: Client, job: str, scope: str, *, looks: bool = False) -> None:
        """Let a client read a job of the server of `scope` that nobody reads yet."""
        client.user.jobs[job] = Route(client, scope, looks=looks)
        client.user.looks += looks
        client.jobs.add(job)
        self._metrics.jobs += 1
        self.activity += not looks

    def take_over(self, route: Route, client: Client, job: str) -> None:
        """Let another client of the same user read a job."""
        route.client.jobs.discard(job)
        route.client = client
        client.jobs.add(job)

    def unroute(self, user: User, job: str) -> None:
        """Forget who reads a job."""
        route = user.jobs.pop(job)
        route.client.jobs.discard(job)
        user.looks -= route.looks
        self._metrics.jobs -= 1
        self.activity += not route.looks

    def unroute_all(self, user: User, scope: str) -> None:
        """Forget who reads the jobs of a server that is gone."""
        for job in [job for job, route in user.jobs.items() if route.scope == scope]:
            self.unroute(user, job)

    # ------------------------------------------------------------------------ servers

    def connect(self, server: Server, peer: bytes) -> None:
        """Enter a server in place of the one of the same user and session, if there is one."""
        current = server.user.servers.get(server.session)
        if current is not None:
            self.disconnect(current)
            self.set_state(current, "absent")
        server.peer = peer
        server.user.servers[server.session] = server
        self.servers[peer] = server

    def sever(self, server: Server) -> None:
        """Note that no connection leads to a server any more, which may come back."""
        if server.peer is not None:
            server.former = server.peer
            self.disconnect(server)
            self.severed[server.former] = server

    def disconnect(self, server: Server) -> None:
        """Note that no connection leads to a server any more, and nothing will come from it."""
        self.severed.pop(server.former, None)
        if server.peer is not None:
            del self.servers[server.peer]
            server.peer = None

    def remove_server(self, server: Server) -> None:
        """Forget a server and its jobs."""
        self.disconnect(server)
        self.set_state(server, "absent")
        del server.user.servers[server.session]
        self.unroute_all(server.user, server.session)

    def load(self, server: Server, running: int, queued: int, *, able: bool) -> None:
        """Note how much a server has to do, and whether it can."""
        if able != server.able:
            server.able = able
            self.roster += 1
        if (running, queued) != (server.running, server.queued):
            server.running, server.queued = running, queued
            self.activity += 1

    def set_state(self, server: Server, state: State) -> None:
        """Change the state of a server."""
        self.roster += 1
        counts = self._metrics.servers
        if server.state in counts:
            counts[server.state] -= 1
        if state in counts:
            counts[state] += 1
        server.state = state
