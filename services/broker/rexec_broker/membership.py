"""Who is connected: hellos, leases and goodbyes."""

from __future__ import annotations

from typing import NamedTuple

from rexec_broker.directory import Directory
from rexec_broker.limits import Limits
from rexec_broker.metrics import Metrics, Refusal
from rexec_broker.offences import ErrorBudget, Pace
from rexec_broker.outbox import Outbox, header
from rexec_broker.tables import Client, Port, Server, State
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.credentials import CredentialError, Verifier

_SUPERSEDED = "a newer server took the place of this one"


class Origin(NamedTuple):
    """Where an envelope comes from, as in `Router.receive`."""

    now: float
    port: Port
    peer: bytes
    key: str


class Membership:
    """Lets peers in and out, and tells those concerned.

    Parameters
    ----------
    epoch
        Random id of this run of the broker.

    Attributes
    ----------
    budget
        The errors of each key.
    """

    def __init__(
        self,
        epoch: str,
        verifier: Verifier,
        limits: Limits,
        metrics: Metrics,
        directory: Directory,
        outbox: Outbox,
    ) -> None:
        self._epoch = epoch
        self._verifier = verifier
        self._limits = limits
        self._metrics = metrics
        self._directory = directory
        self._outbox = outbox
        self._resync_pace = Pace(limits.resync)
        self.budget = ErrorBudget(limits)

    # ------------------------------------------------------------------------- hellos

    def client_hello(self, origin: Origin, hello: p.ClientHello) -> None:
        """Let a client in, or renew its ticket, or refuse it."""
        now, _, peer, key = origin
        client = self._directory.clients.get(peer)
        version = _common_version(hello.versions)
        if version is None:
            self._refuse(origin, "version", "R12", _other_version(hello.versions))
            return
        if client is not None and client.ticket == hello.ticket:
            name, expires = client.user.name, client.expires
        else:
            try:
                ticket = self._verifier.ticket(hello.ticket, key)
            except CredentialError as error:
                self._refuse(origin, "ticket", "R02", str(error))
                return
            name = ticket.user
            expires = now + ticket.expires_in + self._limits.credential_grace
        user = self._directory.user(name)
        if client is not None and (client.user is not user or client.instance != hello.instance):
            self.forget(client)
        if hello.instance not in user.clients and (
            len(self._directory.clients) >= self._limits.peers
            or len(user.clients) >= self._limits.clients
        ):
            self._refuse(origin, "limit", "R05", "too many clients are connected")
            return
        client = self._directory.add_client(user, peer, key, hello.instance)
        client.seen, client.ticket, client.expires = now, hello.ticket, expires
        self._welcome(origin, version, name, expires)
        # The one for all other sessions last: a job of a session with a server of its own would be
        # meant for it by who does not know better yet.
        servers = sorted(user.servers.values(), key=lambda server: not server.session)
        states = [server.describe(server.state) for server in servers]
        for state in states or [p.ServerState(state="absent")]:
            self._outbox.send(Port.CLIENT, peer, state)

    def server_hello(self, origin: Origin, hello: p.ServerHello) -> None:
        """Let a server in, or refuse it."""
        now, _, peer, key = origin
        version = _common_version(hello.versions)
        if version is None:
            self._refuse(origin, "version", "R12", _other_version(hello.versions))
            return
        try:
            certificate = self._verifier.certificate(hello.certificate, key)
        except CredentialError as error:
            self._refuse(origin, "certificate", "R02", str(error))
            return
        user = self._directory.user(certificate.user)
        server = Server(user, key, certificate, hello)
        current = user.servers.get(server.session)
        if user.fence.excludes(server) or (current is not None and server.precedes(current)):
            self._refuse(origin, "superseded", "superseded", _SUPERSEDED)
            return
        former = self._directory.servers.get(peer)
        if former is not None and former is not current:
            self.remove(former, "absent")
        if current is not None:
            self._replace(origin, current, server)
        user.fence.admit(server)
        self._directory.connect(server, peer)
        server.seen = server.used = now
        server.expires = now + certificate.expires_in + self._limits.credential_grace
        self._welcome(origin, version, user.name, server.expires)
        self.announce(server, "ready")
        if current is not None and current.draining and server.same_run(current):
            server.draining = True
            self.announce(server, "draining")

    def assign(self, user: str, name: str, certificate: str) -> bool:
        """Tell a server which other one it is to be from now on.

        Returns
        -------
        bool
            Whether there is such a server within reach.

        Raises
        ------
        CredentialError
            If the certificate is none for that server's key.
        """
        owner = self._directory.users.get(user)
        servers = owner.servers.values() if owner else ()
        server = next((each for each in servers if each.certificate.server == name), None)
        if server is None or server.peer is None:
            return False
        self._verifier.certificate(certificate, server.key)
        self._outbox.send(Port.SERVER, server.peer, p.Assign(certificate=certificate))
        return True

    def _replace(self, origin: Origin, current: Server, server: Server) -> None:
        """Take leave of the server whose place another one takes, if it is another one."""
        if current.hello.journal != server.hello.journal:
            server.user.fence.replace(current)
            self._directory.unroute_all(server.user, server.session)
        elif current.age == server.age and current.key == server.key:
            return
        if current.peer not in {None, origin.peer}:
            place = origin._replace(peer=current.peer, key=current.key)
            self._refuse(place, "superseded", "superseded", _SUPERSEDED)

    # -------------------------------------------------------------------------- leases

    def sweep(self, now: float) -> None:
        """Act on silence and on expired credentials."""
        self.budget.forgive(now)
        for client in list(self._directory.clients.values()):
            self._check_client(now, client)
        for user in list(self._directory.users.values()):
            for server in list(user.servers.values()):
                self._check_server(now, server)
        self._directory.release()

    def _check_client(self, now: float, client: Client) -> None:
        if now >= client.expires:
            self.forget(client)
            origin = Origin(now, Port.CLIENT, client.peer, client.key)
            self._refuse(origin, "expired", "R02", "the ticket has expired")
        elif now - client.seen > p.LOST:
            self.forget(client)

    def _check_server(self, now: float, server: Server) -> None:
        silence = now - server.seen
        if silence > p.LOST:
            self.remove(server, "lost")
        elif server.peer is not None and now >= server.expires:
            origin = Origin(now, Port.SERVER, server.peer, server.key)
            self.unreachable(server)
            self._refuse(origin, "expired", "R02", "the certificate has expired")
        elif silence > p.SUSPECT and server.state != "suspect":
            self.announce(server, "suspect")

    def heard(self, server: Server) -> None:
        """Note that a server that was suspect is alive."""
        self.announce(server, "draining" if server.draining else "ready")

    def unreachable(self, peer: Client | Server) -> None:
        """Note that the connection of a peer is gone."""
        if isinstance(peer, Client):
            self.forget(peer)
        else:
            self._directory.sever(peer)
            self.announce(peer, "suspect")

    # ------------------------------------------------------------------------ goodbyes

    def forget(self, client: Client) -> None:
        """Let a client go; nobody reads its jobs now."""
        for server, jobs in self._directory.remove_client(client):
            self._outbox.detach(server, jobs)

    def farewell(self, origin: Origin) -> bool:
        """Let a server go that took leave on a connection which is gone.

        What was to be sent to it may have shown that the connection is gone, before what it sent
        at the very end is read.

        Returns
        -------
        bool
            Whether there is such a server.
        """
        server = self._directory.severed.get(origin.peer)
        if server is None or server.key != origin.key:
            return False
        self.remove(server, "absent")
        return True

    def remove(self, server: Server, state: State) -> None:
        """Let a server go, which is ``lost`` or ``absent`` now."""
        self.announce(server, state)
        self._directory.remove_server(server)

    # ------------------------------------------------------------------------- telling

    def announce(self, server: Server, state: State) -> None:
        """Give a server this state and tell its user's clients."""
        self._directory.set_state(server, state)
        frame = header(server.describe(state))
        for client in server.user.clients.values():
            self._outbox.forward(Port.CLIENT, client.peer, [frame])

    def challenge(self, origin: Origin) -> None:
        """Ask an unknown peer for a hello, not too often."""
        if self._resync_pace.allows(origin.now, origin.key):
            self._metrics.resyncs += 1
            self._outbox.send(origin.port, origin.peer, p.Resync())

    def _welcome(self, origin: Origin, version: int, user: str, expires: float) -> None:
        remaining = max(0.0, expires - self._limits.credential_grace - origin.now)
        welcome = p.Welcome(version=version, epoch=self._epoch, user=user, expires_in=remaining)
        self._outbox.send(origin.port, origin.peer, welcome)

    def _refuse(self, origin: Origin, reason: Refusal, code: str, message: str) -> None:
        self._metrics.refused[reason] += 1
        if reason not in {"expired", "superseded"}:
            self.budget.charge(origin.now, origin.key)
        self._resync_pace.allows(origin.now, origin.key)  # what else it sent needs no answer
        self._outbox.send(origin.port, origin.peer, p.Refused(code=code, message=message))


def _common_version(versions: tuple[int, int]) -> int | None:
    lowest, highest = max(versions[0], p.VERSIONS[0]), min(versions[1], p.VERSIONS[1])
    return highest if lowest <= highest else None


def _other_version(versions: tuple[int, int]) -> str:
    theirs, ours = (f"{low} to {high}" for low, high in (versions, p.VERSIONS))
    return f"you speak protocol {theirs}, this broker speaks {ours}"
