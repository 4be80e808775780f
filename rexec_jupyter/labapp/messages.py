"""What the panel in the browser is told, and may ask; nothing in it is secret.

``labextension/src/messages.ts`` is made from this module by ``scripts/panel_types.py``.

All of it is below ``BASE_URL/rexec/api``. Moments are seconds since 1970 by the clock of the
Jupyter server, which `Hello` and `Beat` tell; lengths of time are seconds, sizes bytes.

========================================== =====================================================
``GET state``                              `State`
``GET events`` (WebSocket)                 `Hello`, then `News` with everything, then `News` with
                                           what changed; `Beat` while nothing does
``POST connection`` `Choice`               use another backend, as ``%rexec config url … --save``
``POST login`` `Credentials`               `Done`
``POST logout`` `Place`                    `Done`
``POST embedded/start`` `Start`            `Done`: it runs until it is stopped
``POST embedded/stop`` `Force`             `Done`
``GET profiles``                           `Profiles`
``POST servers`` `Wanted`                  `Done`: it starts; `News` tell how that goes
``DELETE servers/NAME`` `Force`            `Done`
``POST servers/NAME/restart`` `Force`      `Done`
``POST servers/NAME/extend`` `Extension`   `Done`
``GET servers/NAME/log?tail=N``            `Text`: what was written while packages were installed
``POST sessions`` `Named`                  `Done`
``POST sessions/NAME/restart`` `Force`     `Done`
``POST sessions/NAME/interrupt``           `Done`
``DELETE sessions/NAME`` `Force`           `Done`
``POST jobs/ID/interrupt``                 `Done`
``POST jobs/ID/cancel``                    `Done`
``GET jobs/ID/log?tail=N``                 `Log`: the last so many lines
``GET jobs/ID/log?after=OFFSET&wait=S``    `Log`: what came since, after so many seconds at most
``GET catalogs``                           `Catalogs`
``GET catalog?q=…&in=…&offset=N&limit=N``  `Found`: in one of them; in the own one if none is named
========================================== =====================================================

What is refused or fails is answered with `Problem`: 403 if the panel may only look, 404, 409 if
something would be lost (``losses``; with `Force` it is done all the same) or cannot be done now,
422 for what was asked wrongly, 502 and 503 if a backend refuses or does not answer.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

PROTOCOL = 1
"""Panels of another protocol are told to load the page again."""


class Message(Struct, frozen=True, kw_only=True):
    """Base of all of them."""


# ------------------------------------------------------------------------------ the state


class Connection(Message, frozen=True):
    """How the panel stands with its backend.

    Attributes
    ----------
    backend
        Which one: of this computer, or of an endpoint.
    url
        Of the endpoint; empty for the embedded backend.
    state
        ``stopped`` if the embedded backend does not run; ``login`` if there is no token, or it
        is not accepted; ``idle`` if the user has no server at the endpoint.
    text, hint, code
        What is so, and what can be done about it, for people; the code of the error, if it is
        one.
    user
        Who the backend says that is.
    logins
        Endpoints for which there is a token.
    kept
        Whether the embedded backend runs until it is told to stop.
    programs
        How many programs use the embedded backend.
    pages
        Addresses of the embedded backend's pages, by what is there.
    """

    backend: Literal["embedded", "endpoint"] = "embedded"
    url: str = ""
    state: Literal[
        "stopped", "login", "idle", "connecting", "connected", "reconnecting", "failed"
    ] = "stopped"
    text: str = ""
    hint: str = ""
    code: str = ""
    user: str = ""
    logins: list[str] = []
    kept: bool = False
    programs: int = 0
    pages: dict[str, str] = {}


class Elsewhere(Message, frozen=True):
    """A kernel whose cells run at another backend than the one that is shown.

    Attributes
    ----------
    kernel
        Its id, by which the page finds its notebook.
    url
        Address of the endpoint, or ``local``; empty if it names one that cannot be used.
    """

    kernel: str
    url: str = ""


class Alert(Message, frozen=True):
    """Something that somebody should do something about.

    Attributes
    ----------
    key
        By which the same alert is known again.
    cause, hint, code
        What is so, what to do, and the code of the error if it is one.
    action
        What the button does that mends it, to `subject`: the name of a server or session, the id
        of a job, or the address of an endpoint. Empty if there is nothing to press.
    """

    key: str
    severity: Literal["error", "warning", "info"] = "error"
    cause: str = ""
    hint: str = ""
    code: str = ""
    action: Literal["", "login", "restart", "extend", "log", "install-log"] = ""
    subject: str = ""


class Server(Message, frozen=True):
    """One server of the user, whoever started it.

    Attributes
    ----------
    state
        ``requested``, ``scheduling``, ``pulling``, ``installing``, ``starting``, ``ready``,
        ``suspect``, ``lost``, ``draining``, ``stopping``, ``failed``.
    phase
        What that means, for people.
    slots
        Functions that run at once.
    memory
        Bytes that it may take; 0 for no limit of its own.
    ends
        When a clock ends it, unless something happens there before; 0 if none will.
    requirements
        What was installed, as it was asked for.
    facts
        What else there is to tell, by its heading, for people.
    can
        What may be asked for now: ``stop``, ``restart``, ``extend``, ``install-log``.
    """

    name: str
    state: str = "ready"
    phase: str = ""
    profile: str = ""
    python: str = ""
    cpu: float = 0.0
    memory: int = 0
    gpu: int = 0
    slots: int = 0
    running: int = 0
    queued: int = 0
    ends: float = 0.0
    requirements: list[str] = []
    facts: dict[str, str] = {}
    can: list[str] = []


class Session(Message, frozen=True):
    """One session, as ``%rexec sessions`` tells it.

    Attributes
    ----------
    state
        ``starting``, ``idle``, ``busy`` or ``stopped``.
    running
        Id of the job that runs in it.
    queued
        Cells that wait.
    started, idle_since
        Moments; 0 if there is none.
    server
        Name of the server that it is on.
    """

    name: str
    state: str = "idle"
    running: str = ""
    queued: int = 0
    started: float = 0.0
    idle_since: float = 0.0
    server: str = ""


class Job(Message, frozen=True):
    """One job, whoever submitted it.

    Attributes
    ----------
    open
        Whether it has not ended.
    submitted, started, ended
        Moments; 0 if that was not yet.
    line
        The last line that it has shown, while it runs.
    percent
        How much is done, if that line tells; otherwise -1.
    """

    id: str
    name: str = ""
    session: str = ""
    kind: str = "cell"
    state: str = "queued"
    open: bool = False
    submitted: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    line: str = ""
    percent: int = -1


class Usage(Message, frozen=True):
    """What a server takes at a moment.

    Attributes
    ----------
    cores
        Processors' time since the last one, per second.
    cores_limit, memory_limit
        What it may take; 0 if nobody says.
    """

    server: str
    at: float
    cores: float = 0.0
    cores_limit: float = 0.0
    memory: int = 0
    memory_limit: int = 0


class State(Message, frozen=True):
    """All there is to see; `usage` are the last few minutes, the oldest first."""

    connection: Connection
    elsewhere: list[Elsewhere] = []
    alerts: list[Alert] = []
    servers: list[Server] = []
    sessions: list[Session] = []
    jobs: list[Job] = []
    usage: list[Usage] = []


# ------------------------------------------------------------------------- the event stream


class Hello(Message, frozen=True, tag_field="type", tag="hello"):
    """First message.

    Attributes
    ----------
    read_only
        Whether nothing may be changed from here.
    """

    protocol: int
    version: str
    now: float
    read_only: bool = False


class News(Message, frozen=True, tag_field="type", tag="news", omit_defaults=True):
    """What changed: each list is whole, but for jobs and usage.

    Attributes
    ----------
    jobs
        Those that are new or other than before.
    gone
        Ids of jobs that are not there any more.
    all_jobs
        Whether `jobs` are all, and others are not there any more.
    usage
        What came since.
    installing
        Lines that the installers of servers wrote since, by the server's name.
    """

    now: float
    connection: Connection | None = None
    elsewhere: list[Elsewhere] | None = None
    alerts: list[Alert] | None = None
    servers: list[Server] | None = None
    sessions: list[Session] | None = None
    jobs: list[Job] | None = None
    gone: list[str] = []
    all_jobs: bool = False
    usage: list[Usage] | None = None
    installing: dict[str, list[str]] = {}


class Beat(Message, frozen=True, tag_field="type", tag="beat"):
    """Nothing happened for a while."""

    now: float


# ------------------------------------------------------------------------------- questions


class Choice(Message, frozen=True, forbid_unknown_fields=True):
    """Address of an endpoint, or ``local``."""

    url: str


class Place(Message, frozen=True, forbid_unknown_fields=True):
    """Address of an endpoint; empty for all."""

    url: str = ""


class Credentials(Message, frozen=True, forbid_unknown_fields=True):
    """A token, or a name and a password for which the endpoint gives one.

    Attributes
    ----------
    use
        Whether this becomes the backend that is used.
    """

    url: str
    token: str = ""
    username: str = ""
    password: str = ""
    use: bool = True


class Force(Message, frozen=True, forbid_unknown_fields=True):
    """Whether it is done even if something is lost."""

    force: bool = False


class Start(Message, frozen=True, forbid_unknown_fields=True):
    """The kernel spec whose Python runs the backend if none runs yet; empty for the usual one."""

    kernel: str = ""


class Extension(Message, frozen=True, forbid_unknown_fields=True):
    """For how long no clock may end it."""

    seconds: float


class Named(Message, frozen=True, forbid_unknown_fields=True):
    """The name of a session."""

    name: str


class Wanted(Message, frozen=True, forbid_unknown_fields=True):
    """A server.

    Attributes
    ----------
    requirements
        Lines as in a requirements file.
    options
        What the profile's schema has: ``cpu``, ``memory``, ….
    force
        Whether one of this name that is different is replaced.
    """

    name: str = "default"
    profile: str = ""
    requirements: list[str] = []
    options: dict[str, str | float | bool] = {}
    force: bool = False


# --------------------------------------------------------------------------------- answers


class Done(Message, frozen=True):
    """It is done, or begun; what there is to say about it, for people."""

    text: str = ""


class Problem(Message, frozen=True):
    """Why not: cause, next step, stable code, and what would be lost."""

    message: str
    hint: str = ""
    code: str = ""
    losses: list[str] = []


class Field(Message, frozen=True):
    """One field of a form.

    Attributes
    ----------
    maximum
        The most that may be asked for; 0 if nobody says.
    unit
        What a number counts, for people: ``cores``, ``GiB``, ``minutes``.
    factor
        By which a number is multiplied before it is sent.
    choices
        If there are some only.
    """

    name: str
    title: str
    kind: Literal["text", "number", "integer"]
    help: str = ""
    default: str = ""
    maximum: float = 0.0
    unit: str = ""
    factor: float = 1.0
    choices: list[str] = []


class Profile(Message, frozen=True):
    """A kind of server, and what of it can be chosen."""

    name: str
    description: str = ""
    fields: list[Field] = []


class Profiles(Message, frozen=True):
    """All kinds, the one for who names none first.

    Attributes
    ----------
    several
        Whether there can be servers beside the one called ``default``.
    requirements
        Whether packages can be asked for.
    """

    profiles: list[Profile]
    several: bool = True
    requirements: bool = True


class Text(Message, frozen=True):
    """Lines, and whether more come."""

    lines: list[str]
    going_on: bool = False


class Piece(Message, frozen=True):
    """Something that a job has shown.

    Attributes
    ----------
    kind
        ``stdout``, ``stderr``, ``error`` (its traceback), or ``display``: that a figure or
        table is there, which the panel does not show.
    """

    kind: Literal["stdout", "stderr", "error", "display"]
    text: str


class Log(Message, frozen=True):
    """A part of what a job has shown.

    Attributes
    ----------
    next
        Where it goes on: ``after`` of the next question.
    skipped
        Bytes before the first piece that are left out.
    known
        Whether the server has this log (still).
    """

    pieces: list[Piece]
    next: int = 0
    size: int = 0
    skipped: int = 0
    known: bool = True
    ended: bool = False
    state: str = ""


class Catalogs(Message, frozen=True):
    """The catalogs that can be searched.

    Attributes
    ----------
    names
        The backend's own, the global one, that of what is to be published: those that it has.
    """

    names: list[Literal["local", "global", "pre_ckan"]]


class Resource(Message, frozen=True):
    """One resource of a dataset.

    Attributes
    ----------
    code
        A cell that loads it.
    """

    name: str
    format: str = ""
    url: str = ""
    size: int = 0
    code: str = ""


class Dataset(Message, frozen=True):
    """One dataset of the catalog."""

    name: str
    title: str = ""
    notes: str = ""
    organization: str = ""
    resources: list[Resource] = []


class Found(Message, frozen=True):
    """What a search found.

    Attributes
    ----------
    total
        How many there are; -1 if the endpoint does not tell.
    more
        Whether the next page has some.
    """

    datasets: list[Dataset]
    total: int = -1
    more: bool = False
