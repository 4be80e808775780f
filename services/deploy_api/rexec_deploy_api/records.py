"""What is known of a server: what was asked for, what became of it, and what happened on the way.

A record is all that is kept. Whoever reads it, and looks at what runs, can go on from there.
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

State = Literal[
    "requested",
    "scheduling",
    "pulling",
    "installing",
    "starting",
    "ready",
    "stopping",
    "gone",
    "failed",
]
"""``ready`` means that the broker heard the server's hello. A record that is gone is erased."""

Reason = Literal[
    "image",
    "unschedulable",
    "quota",
    "package",
    "memory",
    "evicted",
    "deleted",
    "configuration",
    "crash",
    "timeout",
    "idle",
    "orphan",
    "lifetime",
    "backend",
]

CLOCKS = ("idle_timeout", "orphan_timeout", "max_lifetime")
"""Which of what a server is to be may change while it runs."""
EVENTS = 60
"""Events that a record keeps; the oldest go first."""


class Key(NamedTuple):
    """Names a server: whose it is, and how its owner calls it."""

    user: str
    name: str


class Cause(Struct, frozen=True):
    """Why a server is not, or no longer, ready; in words for its owner.

    Attributes
    ----------
    reason
        For programs.
    message, hint
        What is so, and what can be done about it.
    final
        Whether it does not pass by itself.
    """

    reason: Reason
    message: str
    hint: str = ""
    final: bool = False


class Event(Struct, frozen=True):
    """Something that happened to a server.

    Attributes
    ----------
    seq
        Number within the record, from 1 on.
    at
        Seconds since 1970.
    kind
        ``state`` for a new state, ``problem`` for what holds it up, ``warning`` for its end
        being near, ``notice`` for all else.
    """

    seq: int
    at: float
    kind: Literal["state", "problem", "warning", "notice"]
    state: State
    text: str
    hint: str = ""


class Volume(Struct, frozen=True):
    """Storage that is there already, made visible to the user's code.

    Attributes
    ----------
    claim
        Name of a PersistentVolumeClaim beside the server, or a directory of the machine.
    path
        Where the code finds it.
    read_only
        Whether it cannot be written.
    """

    claim: str
    path: str
    read_only: bool = True


class Spec(Struct, frozen=True, kw_only=True):
    """What a server is to be, with every default filled in.

    Attributes
    ----------
    profile
        Name of the profile that it was made from.
    image
        The image of exec; empty where there are none.
    python
        Minor version, such as ``3.11``; empty for that of the image.
    requirements
        Lines as `environments.parse` returns them.
    requirements_digest
        Of these lines; empty if there are none.
    cpu, memory, gpu
        Cores, bytes and devices. 0 cores or bytes: no limit.
    environment
        Variables of the user's code.
    home
        Bytes of a home directory that outlives the server; 0 for one that ends with it.
    volumes
        More storage.
    node_selector
        Labels of the nodes it may run on.
    idle_timeout, orphan_timeout, max_lifetime
        Seconds; 0 for none.
    start_timeout
        Seconds that it may take to get ready.
    """

    profile: str
    image: str = ""
    python: str = ""
    requirements: tuple[str, ...] = ()
    requirements_digest: str = ""
    cpu: float = 0.0
    memory: int = 0
    gpu: int = 0
    environment: dict[str, str] = {}
    home: int = 0
    volumes: tuple[Volume, ...] = ()
    node_selector: dict[str, str] = {}
    idle_timeout: float = 0.0
    orphan_timeout: float = 0.0
    max_lifetime: float = 0.0
    start_timeout: float = 300.0

    def having(self, **changes: object) -> Spec:
        """Return a copy with these attributes."""
        return msgspec.structs.replace(self, **changes)

    @property
    def digest(self) -> str:
        """What tells servers apart that cannot stand for each other."""
        told = msgspec.structs.asdict(self)
        for clock in (*CLOCKS, "start_timeout"):
            del told[clock]
        return hashlib.sha256(msgspec.json.encode(told, order="sorted")).hexdigest()[:16]


class Record(Struct, frozen=True, kw_only=True):
    """Everything that is kept of one server.

    Attributes
    ----------
    user, name
        Whose it is, and how it is called; ``default`` serves every session without one of
        its own.
    username, issuer
        For people; what identifies the user is ``user`` and ``issuer`` together.
    wanted
        What its owner, or a clock, last decided.
    generation
        Grows with each replacement; the newest counts, and at most one of them is alive.
    placed
        Identifies what runs for this generation; empty until it was seen.
    failures
        Generations in a row that ended before they were ready.
    created, since, ready_at
        When it was asked for, when its state began, when this generation first was ready
        (0 if it was not); seconds since 1970.
    extended
        Until when no clock ends it.
    warned
        Which end it was warned of, so that nobody is warned twice.
    pool
        Profile that it was started for in advance, if nobody asked for it.
    lent
        Which server it became; its own record is kept as long as that runs.
    borrowed
        Which server of a pool runs in place of one of its own.
    version
        Of the store; not part of the content.
    """

    user: str
    name: str
    spec: Spec
    username: str = ""
    issuer: str = ""
    wanted: Literal["running", "stopped"] = "running"
    generation: int = 1
    placed: str = ""
    failures: int = 0
    state: State = "requested"
    cause: Cause | None = None
    created: float = 0.0
    since: float = 0.0
    ready_at: float = 0.0
    extended: float = 0.0
    warned: str = ""
    pool: str = ""
    lent: Key | None = None
    borrowed: Key | None = None
    events: tuple[Event, ...] = ()
    version: str = ""

    @property
    def key(self) -> Key:
        """What names it."""
        return Key(self.user, self.name)

    @property
    def session(self) -> str:
        """The session of its certificate."""
        return "" if self.name == "default" else self.name

    def having(self, **changes: object) -> Record:
        """Return a copy with these attributes."""
        return msgspec.structs.replace(self, **changes)

    def told(self, now: float, text: str, *, kind: str = "notice", hint: str = "") -> Record:
        """Return a copy with one more event."""
        last = self.events[-1].seq if self.events else 0
        event = Event(last + 1, now, kind, self.state, text, hint)  # type: ignore[arg-type]
        return self.having(events=(*self.events, event)[-EVENTS:])

    def entering(self, now: float, state: State, text: str, cause: Cause | None = None) -> Record:
        """Return a copy in another state, with the event that tells so."""
        record = self.having(state=state, since=now, cause=cause)
        hint = cause.hint if cause else ""
        return record.told(now, text, kind="state", hint=hint)


class Observed(Struct, frozen=True, kw_only=True):
    """What is there of one generation of a server.

    Attributes
    ----------
    id
        Differs from that of everything else that was or will be there.
    phase
        How far it is. ``running`` says that its processes run, not that the broker knows it;
        ``ended`` that they do not run any more and will not by themselves.
    cause
        What holds it up, or why it ended.
    patience
        Seconds after which that cause will not pass by itself.
    leaving
        For how many seconds it has been told to end; negative if it was not.
    restarts
        How often its user code's container was started again.
    """

    id: str
    generation: int
    phase: Literal["scheduling", "pulling", "installing", "starting", "running", "ended"]
    cause: Cause | None = None
    patience: float = float("inf")
    leaving: float = -1.0
    restarts: int = 0


class Presence(Struct, frozen=True):
    """What the broker says of a server that registered with it.

    Attributes
    ----------
    state
        ``ready``, ``suspect`` or ``draining``.
    key
        Its public CURVE key (Z85).
    able
        Whether what runs the user's code is there.
    running, queued, attached
        Jobs that run, that wait, and that somebody reads.
    clients
        Connections of its user.
    idle, orphan
        Seconds since it had anything to do, and since its user had a connection; 0 while so.
    """

    generation: int
    state: str
    key: str = ""
    able: bool = True
    running: int = 0
    queued: int = 0
    attached: int = 0
    clients: int = 0
    idle: float = 0.0
    orphan: float = 0.0


def encoded(record: Record) -> bytes:
    """Return the record as JSON, without the store's version."""
    return msgspec.json.encode(record.having(version=""))


def decoded(content: bytes | str, version: str) -> Record:
    """Read what `encoded` made.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    try:
        return msgspec.json.decode(content, type=Record).having(version=version)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the record is damaged: {error}") from None
