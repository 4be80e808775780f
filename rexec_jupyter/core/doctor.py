"""Checks everything that rexec needs, and says what to do. It starts nothing.

What has to do with the embedded backend is in `rexec_jupyter.local.checkup`.
"""

from __future__ import annotations

import difflib
import importlib
import os
import resource
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import zmq
from packaging.requirements import Requirement

from rexec_jupyter.core.defaults import SETTINGS
from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.logins import VARIABLE, LoginError, Logins, normal
from rexec_jupyter.core.settings import current
from rexec_jupyter.core.startup import INSIDE

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client

LIMIT = 8.0
"""Seconds after which a check that has not ended is given up."""

_PACKAGE = "rexec-jupyter"
_OLDEST = (3, 11)
_FEW_FILES = 1024
_NO_SPACE, _LITTLE_SPACE = 100 << 20, 1 << 30
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - only looked at
_OTHER_VARIABLES = (
    INSIDE,
    VARIABLE,
    "REXEC_CONFIG_DIR",
    "REXEC_RUNTIME_DIR",
    "REXEC_LOCAL_LINGER",
    "REXEC_LOCAL_MEMORY",
    "REXEC_LOCAL_ORPHAN_LIMIT",
    "REXEC_LOCAL_WORKERS",
)
_OTHERS_PREFIXES = ("REXEC_BROKER_", "REXEC_SERVER_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_RELEASED = 1_780_000_000
"""A wall clock that shows less than this is wrong."""
_JUMP = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    check
        What was checked.
    state
        ``ok``; ``warn``: rexec works, but not as well as it could; ``fail``: it does not work.
    text
        What was found.
    hint
        What to do, unless all is in order.
    """

    check: str
    state: Literal["ok", "warn", "fail"]
    text: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the attributes by name."""
        return asdict(self)


Check = Callable[[], Iterator[Finding]]


def examine(client: Client | None = None, *, limit: float = LIMIT) -> list[Finding]:
    """Check everything; ends soon after `limit` seconds whatever happens.

    Parameters
    ----------
    client
        A client that is connected already. Without one, a backend that runs is connected to;
        none is started.

    Returns
    -------
    list of Finding
        By subject. No secret is in them.
    """
    # Only here: the core knows nothing of any backend otherwise.
    from rexec_jupyter.endpoint.checkup import configured  # noqa: PLC0415
    from rexec_jupyter.local.checkup import embedded  # noqa: PLC0415

    checks: dict[str, Check] = {
        "Python": python,
        "packages": packages,
        "ZeroMQ": zeromq,
        "widgets": widgets,
        "settings": settings,
        "login": login,
        "endpoint": configured,
        "proxies": proxies,
        "clock": clock,
        "open files": open_files,
        "shared memory": shared_memory,
        "server": lambda: embedded(client),
    }
    return _in_parallel(checks, limit)


def _in_parallel(checks: dict[str, Check], limit: float) -> list[Finding]:
    """Run checks beside each other: one that hangs, on a dead disk say, holds up nobody."""
    found: dict[str, list[Finding]] = {name: [] for name in checks}
    threads = {
        name: threading.Thread(target=_run, args=(name, check, found[name]), daemon=True)
        for name, check in checks.items()
    }
    deadline = time.monotonic() + limit
    for thread in threads.values():
        thread.start()
    findings = []
    for name, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        late = thread.is_alive()
        findings += list(found[name])
        if late:
            text = f"it did not end within {limit:g} s"
            hint = "A disk or a process that should answer does not."
            findings.append(Finding(name, "fail", text, hint))
    return findings


def _run(name: str, check: Check, found: list[Finding]) -> None:
    try:
        for finding in check():
            found.append(finding)  # noqa: PERF402 - what is found before it hangs is shown
    except Exception as error:  # noqa: BLE001 - a broken installation can fail in any way
        told = f"it cannot be checked: {type(error).__name__}: {error}"
        found.append(Finding(name, "fail", told, "Please report this."))


# ------------------------------------------------------------------------- what is installed


def python() -> Iterator[Finding]:
    """Check the version of Python."""
    told = f"{sys.version.split()[0]} at {sys.executable}"
    if sys.version_info < _OLDEST:
        yield Finding("Python", "fail", told, "rexec needs Python 3.11 or newer.")
    else:
        yield Finding("Python", "ok", told)


def packages() -> Iterator[Finding]:
    """Check that what rexec needs is installed, in versions that fit."""
    try:
        needed = [Requirement(text) for text in metadata.requires(_PACKAGE) or ()]
        version = metadata.version(_PACKAGE)
    except metadata.PackageNotFoundError:
        text = "rexec runs from its source and is not installed"
        yield Finding("packages", "warn", text, "Install it: pip install rexec-jupyter")
        return
    told = [f"rexec-jupyter {version}"]
    good = True
    for requirement in needed:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        there = _version(requirement.name)
        wanted = f"{requirement.name}{requirement.specifier}"
        if there is None:
            text = f"{requirement.name} is not installed"
        elif not requirement.specifier.contains(there, prereleases=True):
            text = f"{requirement.name} is {there}, and not {requirement.specifier}"
        else:
            told.append(f"{requirement.name} {there}")
            continue
        good = False
        yield Finding("packages", "fail", text, f"pip install '{wanted}'")
    if good:
        yield Finding("packages", "ok", ", ".join(told))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def zeromq() -> Iterator[Finding]:
    """Check that ZeroMQ can encrypt."""
    told = f"libzmq {zmq.zmq_version()}, pyzmq {zmq.__version__}"
    if zmq.has("curve"):
        yield Finding("ZeroMQ", "ok", f"{told}, with encryption (CURVE)")
    else:
        hint = "Install a pyzmq with CURVE: pip install --force-reinstall --only-binary :all: pyzmq"
        yield Finding("ZeroMQ", "fail", f"{told} cannot encrypt (CURVE is missing)", hint)


def widgets() -> Iterator[Finding]:
    """Check whether the live status view can be shown."""
    kernel = _version("ipywidgets")
    if kernel is None:
        hint = "pip install ipywidgets"
        yield Finding("widgets", "warn", "ipywidgets is missing: the status is text", hint)
        return
    part = _widget_manager()
    if part is None:
        yield Finding(
            "widgets",
            "warn",
            f"ipywidgets {kernel}; its part in JupyterLab is not in this environment",
            "pip install jupyterlab_widgets, where JupyterLab is installed; then reload the page.",
        )
    else:
        yield Finding("widgets", "ok", f"ipywidgets {kernel}, with its part in JupyterLab ({part})")


def _widget_manager() -> str | None:
    paths = importlib.import_module("jupyter_core.paths")
    for folder in paths.jupyter_path("labextensions"):
        place = Path(folder) / "@jupyter-widgets" / "jupyterlab-manager"
        if (place / "package.json").exists():
            return _version("jupyterlab_widgets") or str(place)
    return None


# -------------------------------------------------------------------------- what is configured


def settings() -> Iterator[Finding]:
    """Check the environment variables and the configuration files."""
    known = {f"REXEC_{name.upper()}" for name in SETTINGS} | set(_OTHER_VARIABLES)
    good = True
    for name in sorted(os.environ):
        if not name.startswith("REXEC_") or name.startswith(_OTHERS_PREFIXES) or name in known:
            continue
        good = False
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {close[0]}?" if close else "It has no effect: unset it."
        yield Finding("settings", "warn", f"the variable {name} means nothing to rexec", hint)
    try:
        made = {
            name: source
            for name, (_, source) in current().effective().items()
            if source != "built in"
        }
        url = current().now().url
    except RexecError as error:
        yield Finding("settings", "fail", error.message, error.hint or "Correct or remove it.")
        return
    yield from _address(url)
    if good:
        told = ", ".join(f"{name} ({source})" for name, source in made.items())
        yield Finding("settings", "ok", f"set: {told}" if told else "all as built in")


def _address(url: str) -> Iterator[Finding]:
    if url in ("", "local"):
        yield Finding("address", "ok", "the embedded server of this computer is used")
        return
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if parts.scheme else "an address"
    if parts.username or parts.password or parts.query:
        hint = "Remove that part; `%rexec login` keeps a token safely."
        yield Finding("address", "warn", f"REXEC_URL ({shown}) may hold a secret", hint)
    try:
        where = normal(url)
    except LoginError as error:
        text = f"REXEC_URL ({shown}) cannot be used: {error}"
        yield Finding("address", "fail", text, "Correct it, or set it to local.")
        return
    yield Finding("address", "ok", f"the endpoint {where} is used")
    try:
        known = Logins().login(where, url) is not None
    except RexecError:
        return  # `login` tells
    if not known:
        hint = f"Log in: `%rexec login --url {where}`."
        yield Finding("address", "fail", f"there is no token for {where}", hint)


def login() -> Iterator[Finding]:
    """Check that nobody else can read the tokens that are kept."""
    logins = Logins()
    try:
        every = logins.all()
    except RexecError as error:
        yield Finding("login", "fail", error.message, error.hint)
        return
    if every:
        yield Finding("login", "ok", f"{len(every)} kept in {logins.path}, for you alone")


def proxies() -> Iterator[Finding]:
    """Tell of proxies, which people suspect first. Their addresses may hold passwords."""
    names = [name for name in _PROXIES if os.environ.get(name)]
    if names:
        text = f"{', '.join(names)} set; the embedded server is reached without a proxy"
        yield Finding("proxies", "ok", text)


# ------------------------------------------------------------------------------ the machine


def clock() -> Iterator[Finding]:
    """Check that the wall clock can be right, and goes as fast as time does."""
    before = time.time() - time.monotonic()
    time.sleep(0.2)
    jump = time.time() - time.monotonic() - before
    shown = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    if time.time() < _RELEASED:
        hint = "Set the clock: tickets and certificates are dated by it."
        yield Finding("clock", "fail", f"it says {shown}, which is over", hint)
    elif abs(jump) > _JUMP:
        hint = "Find out what sets it; tickets are dated by it."
        yield Finding("clock", "warn", f"it jumped by {jump:+.1f} s just now", hint)
    else:
        yield Finding("clock", "ok", shown)


def open_files() -> Iterator[Finding]:
    """Check how many files a process may open."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        yield Finding("open files", "ok", "no limit")
    elif limit < _FEW_FILES:
        text = f"a process may open {limit} only"
        at_most = _FEW_FILES if most == resource.RLIM_INFINITY else min(_FEW_FILES, most)
        yield Finding("open files", "warn", text, f"ulimit -n {at_most}, before the server starts")
    else:
        yield Finding("open files", "ok", f"a process may open {limit:,}")


def shared_memory() -> Iterator[Finding]:
    """Check the room for large values in memory."""
    try:
        free = shutil.disk_usage(_SHARED_MEMORY).free
    except OSError:
        free = 0
    if free < _LITTLE_SPACE:
        text = f"{room(free)} free in {_SHARED_MEMORY}: large values pass on disk, which is slower"
        hint = "In a container: more shared memory, such as --shm-size 2g."
        yield Finding("shared memory", "warn", text, hint)
    else:
        yield Finding("shared memory", "ok", f"{room(free)} free")


def disk(place: Path) -> Iterator[Finding]:
    """Check the room on the disk where `place` is, or will be."""
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    text = f"{room(free)} free at {place}"
    if free < _NO_SPACE:
        yield Finding("disk", "fail", text, "Make room: jobs and results are kept there.")
    elif free < _LITTLE_SPACE:
        yield Finding("disk", "warn", text, "Make room: large results may not fit.")
    else:
        yield Finding("disk", "ok", text)


def room(nbytes: int) -> str:
    """Return a number of bytes for people."""
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.0f} MB"
