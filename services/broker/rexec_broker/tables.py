"""What the broker knows of its peers: soft state, rebuilt from their hellos."""

from __future__ import annotations

import enum
from typing import Literal, TypeVar

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.credentials import Certificate

T = TypeVar("T")

State = Literal["ready", "suspect", "lost", "draining", "absent"]
"""As in `protocol.ServerState`."""

_REMEMBERED = 64


class Port(enum.Enum):
    """On which of the two ports a peer is."""

    CLIENT = "client"
    SERVER = "server"


class User:
    """Everything that belongs to one verified user; nothing refers to another user.

    Attributes
    ----------
    clients
        By instance.
    servers
        By the session they serve; ``""`` serves what has no server of its own.
    jobs
        Who reads which job, and who answers which request.
    looks
        How many of these only look; see `Route`.
    fence
        Which servers may not come back.
    orphaned
        When it was seen that the last client had left; 0 while there is one.
    """

    __slots__ = ("clients", "fence", "jobs", "looks", "name", "orphaned", "servers")

    def __init__(self, name: str, fence: Fence | None = None) -> None:
        self.name = name
        self.clients: dict[str, Client] = {}
        self.servers: dict[str, Server] = {}
        self.jobs: dict[str, Route] = {}
        self.looks = 0
        self.fence = fence or Fence()
        self.orphaned = 0.0

    def server_for(self, session: str) -> Server | None:
        """Return the server of a session."""
        return self.servers.get(session) or self.servers.get("")

    def server_with(self, journal: str) -> Server | None:
        """Return the server that has this journal."""
        return next((s for s in self.servers.values() if s.hello.journal == journal), None)


class Client:
    """A client that said hello.

    Attributes
    ----------
    peer
        ZeroMQ's name of the connection; worthless once that is gone.
    key
        CURVE key that the ticket is bound to.
    seen
        When it last said anything.
    expires
        When its ticket must have been renewed.
    jobs
        The jobs it reads.
    """

    __slots__ = ("expires", "instance", "jobs", "key", "peer", "seen", "ticket", "user")
    port = Port.CLIENT

    def __init__(self, user: User, peer: bytes, key: str, instance: str) -> None:
        self.user = user
        self.peer = peer
        self.key = key
        self.instance = instance
        self.jobs: set[str] = set()
        self.ticket = ""
        self.expires = self.seen = 0.0


class Server:
    """A server that said hello; the attributes are as in `Client`.

    ``peer`` is None while no connection leads to it.

    Attributes
    ----------
    former
        ZeroMQ's name of the connection that is gone, from which something may come yet.
    running, queued, able
        Jobs, and whether what runs them is there, as its last heartbeat told.
    used
        When somebody last wanted something of it, other than to look.
    busy
        Whether it was in use when somebody last looked.
    """

    __slots__ = (
        "able",
        "busy",
        "certificate",
        "draining",
        "expires",
        "former",
        "hello",
        "key",
        "peer",
        "queued",
        "running",
        "seen",
        "session",
        "state",
        "used",
        "user",
    )
    port = Port.SERVER

    def __init__(
        self, user: User, key: str, certificate: Certificate, hello: p.ServerHello
    ) -> None:
        self.user = user
        self.peer: bytes | None = None
        self.former = b""
        self.key = key
        self.certificate = certificate
        self.session = certificate.session
        self.hello = hello
        self.state: State = "absent"
        self.draining = self.busy = self.able = False
        self.running = self.queued = 0
        self.expires = self.seen = self.used = 0.0

    @property
    def age(self) -> tuple[int, int]:
        """Generation and epoch: the greater is the newer."""
        return (self.certificate.generation, self.hello.epoch)

    def same_run(self, other: Server) -> bool:
        """Tell whether the other is this very start of this very server."""
        return (self.hello.journal, self.age) == (other.hello.journal, other.age)

    def precedes(self, other: Server) -> bool:
        """Tell whether the other is a later generation, or start, of this very server."""
        mine, its = self.certificate, other.certificate
        if mine.server == its.server and mine.generation < its.generation:
            return True
        return self.hello.journal == other.hello.journal and self.age < other.age

    def describe(self, state: State) -> p.ServerState:
        """Return what clients are told."""
        hello = self.hello
        return p.ServerState(
            state=state,
            session=self.session,
            server=self.certificate.server,
            journal=hello.journal,
            epoch=hello.epoch,
            python=hello.python,
            slots=hello.slots,
            exchange=hello.exchange,
            machine=hello.machine,
        )


class Route:
    """Where the events of one job go.

    Attributes
    ----------
    scope
        Session of the server that has the job, as in `User.servers`.
    terminal
        Number of the terminal event once it went by, else 0.
    looks
        It is that of a request which is no use of the server: who looks again and again, as
        a panel does, does not keep it from being idle.
    """

    __slots__ = ("client", "looks", "scope", "terminal")

    def __init__(self, client: Client, scope: str, *, looks: bool = False) -> None:
        self.client = client
        self.scope = scope
        self.looks = looks
        self.terminal = 0


class Fence:
    """Remembers which servers of a user were replaced, so that none of them comes back.

    It outlives the user's last connection: the newer server may leave before the older one
    that was out of reach returns.
    Two journals cannot be ordered by their epochs: the one that registered last counts, and
    a journal that was replaced needs a newer start to be accepted again.
    """

    __slots__ = ("_generations", "_replaced")

    def __init__(self) -> None:
        self._generations: dict[str, int] = {}
        self._replaced: dict[str, tuple[int, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._generations or self._replaced)

    def excludes(self, server: Server) -> bool:
        """Tell whether a newer server took the place of this one."""
        newest = self._generations.get(server.certificate.server)
        if newest is not None and server.certificate.generation < newest:
            return True
        replaced = self._replaced.get(server.hello.journal)
        return replaced is not None and server.age <= replaced

    def admit(self, server: Server) -> None:
        """Note that this server registered."""
        _remember(self._generations, server.certificate.server, server.certificate.generation)

    def replace(self, server: Server) -> None:
        """Note that a server with another journal took the place of this one."""
        _remember(self._replaced, server.hello.journal, server.age)


def _remember(table: dict[str, T], name: str, value: T) -> None:
    """Note something; what was noted longest ago is forgotten if it becomes too much."""
    table.pop(name, None)
    table[name] = value
    if len(table) > _REMEMBERED:
        del table[next(iter(table))]
