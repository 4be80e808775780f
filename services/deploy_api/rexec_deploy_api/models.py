"""What requests and answers look like."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from rexec_deploy_api.profiles import Profile, Wanted
from rexec_deploy_api.reconcile import warning
from rexec_deploy_api.records import Cause, State
from rexec_deploy_api.service import NAME, View

_Name = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]


class Asked(Wanted):
    """A server that somebody asks for."""

    name: _Name = Field(
        default="default", description="`default` serves every session without one of its own."
    )
    profile: str = Field(default="", max_length=40, description="Empty for the default profile.")
    python: str = Field(
        default="", max_length=16, description="Such as 3.11; empty for that of the profile."
    )
    requirements: list[str] = Field(
        default=[], description="As the lines of a requirements file.", examples=[["numpy>=2"]]
    )
    force: bool = Field(default=False, description="Whether one that is different is replaced.")

    @property
    def lines(self) -> list[str]:
        """All requirements, that of Python among them."""
        return [*self.requirements, *([f"python=={self.python}"] if self.python else [])]

    @property
    def wanted(self) -> Wanted:
        """What it is to be beside the profile."""
        return Wanted(**{name: getattr(self, name) for name in Wanted.model_fields})


class CauseBody(BaseModel):
    """Why a server is not, or no longer, ready."""

    reason: str
    message: str
    hint: str
    final: bool = Field(description="Whether it does not pass by itself.")


class ServerBody(BaseModel):
    """A server of the user."""

    id: str
    name: str
    session: str
    profile: str
    state: State
    cause: CauseBody | None
    image: str
    python: str
    requirements: list[str]
    cpu: float = Field(description="Cores; 0 for no limit.")
    memory: int = Field(description="Bytes; 0 for no limit.")
    gpu: int
    idle_timeout: float = Field(description="Seconds; 0 for none.")
    orphan_timeout: float
    max_lifetime: float
    generation: int
    created: float = Field(description="Seconds since 1970.")
    since: float = Field(description="When the state began.")
    ready_at: float
    running: int = Field(description="Jobs that run.")
    queued: int
    clients: int = Field(description="Connections of the user.")
    warning: str = Field(description="Tells of a near end; empty if none is.")
    ends_in: float | None = Field(description="Seconds until a clock ends it; null for none.")
    events_url: str


class ServersBody(BaseModel):
    """All servers of the user."""

    servers: list[ServerBody]


class SessionBody(BaseModel):
    """A session that has a server of its own, or the default one."""

    name: str
    state: State


class ExtendBody(BaseModel):
    """For how long no clock is to end a server."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(gt=0, allow_inf_nan=False)


class ProfileBody(BaseModel):
    """A kind of server, and the most that it gives."""

    name: str
    description: str
    image: str
    images: list[str]
    python: str
    cpu: float
    memory: int
    gpu: int
    home: int
    idle_timeout: float
    orphan_timeout: float
    max_lifetime: float


class ProfilesBody(BaseModel):
    """All kinds of servers."""

    default: str
    profiles: list[ProfileBody]


class TicketAsked(BaseModel):
    """A client that wants to be let in by the broker."""

    model_config = ConfigDict(extra="forbid")

    client_pubkey: str = Field(
        pattern=r"^[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]{40}$",
        description="The client's public CURVE key: 40 characters of Z85.",
    )
    session: str = Field(default="", max_length=200, description="That it wants to use.")


class TicketBody(BaseModel):
    """What a client shows the broker."""

    ticket: str
    expires_in: float
    job_secret: str = Field(description="The user's 32 bytes from which keys derive, in hex.")
    warnings: list[str]


class BrokerBody(BaseModel):
    """Where the broker is, and how it is recognised."""

    broker_external_host: str
    broker_external_port: int
    broker_external_url: str
    curve_public_key: str
    protocol: tuple[int, int] = Field(description="Oldest and newest version that it speaks.")


class SpawnBody(BaseModel):
    """What older clients are told of their server."""

    status: str = Field(alias="Status")
    username: str = Field(alias="Username")
    membership: str | None = Field(alias="NDP_Endpoint_membership")


class TerminatedBody(BaseModel):
    """What older clients are told of the end of their server."""

    status: str = Field(alias="Status")
    username: str = Field(alias="Username")


class HealthBody(BaseModel):
    """Whether the service lives, or can serve."""

    status: Literal["healthy", "unhealthy", "ready", "not_ready"]
    checks: dict[str, bool] = {}


def shown(view: View, root: str) -> ServerBody:
    """Return what a user is told of a server.

    Parameters
    ----------
    root
        Prefix of addresses.
    """
    record, presence, ending = view
    spec = record.spec
    here = presence if record.state == "ready" else None
    return ServerBody(
        id=record.name,
        name=record.name,
        session=record.name,
        profile=spec.profile,
        state=state_of(view),
        cause=_cause(record.cause),
        image=spec.image,
        python=spec.python,
        requirements=list(spec.requirements),
        cpu=spec.cpu,
        memory=spec.memory,
        gpu=spec.gpu,
        idle_timeout=spec.idle_timeout,
        orphan_timeout=spec.orphan_timeout,
        max_lifetime=spec.max_lifetime,
        generation=record.generation,
        created=record.created,
        since=record.since,
        ready_at=record.ready_at,
        running=here.running if here else 0,
        queued=here.queued if here else 0,
        clients=here.clients if here else 0,
        warning=near_end(view),
        ends_in=max(0.0, ending.seconds) if ending else None,
        events_url=f"{root}/v1/servers/{record.name}/events",
    )


def state_of(view: View) -> State:
    """Return the state of a server; what was told to stop is stopping already."""
    record = view.record
    return "stopping" if record.wanted == "stopped" else record.state


def near_end(view: View) -> str:
    """Return the sentence that tells of a server's near end; empty if it is not near."""
    end = view.ending
    return warning(end) if end is not None and end.seconds <= end.warning else ""


def profile_body(profile: Profile) -> ProfileBody:
    """Return what users are told of a profile."""
    told = profile.model_dump(include=set(ProfileBody.model_fields))
    return ProfileBody(**told)


def _cause(cause: Cause | None) -> CauseBody | None:
    if cause is None:
        return None
    return CauseBody(reason=cause.reason, message=cause.message, hint=cause.hint, final=cause.final)
