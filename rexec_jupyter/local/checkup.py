"""Checks the embedded backend for `rexec_jupyter.core.doctor`; it is not started for that."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rexec_jupyter.core import trust
from rexec_jupyter.core.doctor import Finding, disk
from rexec_jupyter.core.errors import NotConfiguredError, RexecError
from rexec_jupyter.core.kernels import FOLDER as KERNELS
from rexec_jupyter.core.runtime import UnsafeDirectoryError, check_private, runtime_path
from rexec_jupyter.core.versions import PYTHON, minor
from rexec_jupyter.local.backend import LocalBackend
from rexec_jupyter.local.connection import Connection, EndedError
from rexec_jupyter.local.paths import Paths
from rexec_jupyter.local.processes import previous, tail

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client

_PATIENCE = 2.0
"""Seconds that the supervisor may take to answer."""
_HANDSHAKE = 4.0
_JUMP = 5.0
_LOG_LINES = 3

_STOP = "End it with `rexec down -f`; the next cell or `rexec up` starts another."


class _NoAnswerError(Exception):
    """The supervisor is there and does not answer."""


def embedded(client: Client | None) -> Iterator[Finding]:
    """Check directory, files, processes and ports of the embedded backend.

    Parameters
    ----------
    client
        A client that is connected to it already.
    """
    root = runtime_path()
    try:
        LocalBackend()
    except NotConfiguredError as error:
        yield Finding("settings", "fail", error.message, "Correct the variable, or unset it.")
    paths = Paths(root)
    try:
        paths.check_lengths()
        if os.path.lexists(root):
            check_private(root)
    except UnsafeDirectoryError as error:
        hint = "Repair or remove it, or name another one in REXEC_RUNTIME_DIR."
        yield Finding("directory", "fail", str(error), hint)
        return
    yield from _directory(paths)
    yield from disk(root)
    yield from _server(paths, client)


# -------------------------------------------------------------------------------- its files


def _directory(paths: Paths) -> Iterator[Finding]:
    root = paths.root
    if not root.exists():
        place = root.parent
        while not place.exists():
            place = place.parent
        if os.access(place, os.W_OK | os.X_OK):
            yield Finding("directory", "ok", f"{root} is made when it is needed")
        else:
            hint = "Name another one in REXEC_RUNTIME_DIR."
            text = f"{root} cannot be made: {place} cannot be written to"
            yield Finding("directory", "fail", text, hint)
        return
    bad = list(_open_to_others(paths))
    yield from bad
    if not bad:
        yield Finding("directory", "ok", f"{root}, its keys and its state are yours alone")


def _open_to_others(paths: Paths) -> Iterator[Finding]:
    private = [
        *(paths.secret, paths.socket, paths.keys, paths.state, paths.kept, paths.logs),
        paths.root / KERNELS,
    ]
    with contextlib.suppress(OSError):
        private += paths.keys.iterdir()
    for path in private:
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if status.st_uid != os.geteuid():
            text = f"{path} belongs to another user (uid {status.st_uid})"
            yield Finding("directory", "fail", text, "Remove it once no server runs.")
        elif status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            right = "700" if stat.S_ISDIR(status.st_mode) else "600"
            text = f"{path} is open to other users (mode {mode:o}, not {right})"
            hint = f"chmod {right} {path}"
            if path.parent == paths.keys or path == paths.secret:
                hint += "; if somebody may have read it, also end the server: `rexec down`"
            yield Finding("directory", "fail", text, hint)


# ------------------------------------------------------------------------------- the server


def _server(paths: Paths, client: Client | None) -> Iterator[Finding]:
    if not _locked(paths.lock):
        if paths.socket.exists() or paths.lock.exists():
            text = "none runs; the last one was killed and left its files"
            yield Finding("server", "warn", text, "Nothing to do: the next start clears them.")
        else:
            yield Finding("server", "ok", "none runs; the first cell or call starts one")
        return
    try:
        status, ticket = asyncio.run(_ask(paths))
    except _NoAnswerError:
        pid = _supervisor(paths)
        whose = f" (process {pid})" if pid else ""
        text = f"one runs, but its supervisor{whose} does not answer"
        hint = f"kill -9 {pid}" if pid else "If that stays so, restart the computer."
        yield Finding("server", "fail", text, hint)
        return
    yield Finding("server", "ok", f"process {status['pid']}, for {status['age']:.0f} s")
    yield from _parts(paths, status)
    yield from _dates(status, ticket)
    if status["ready"]:
        yield from _handshake(client)


def _locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


async def _ask(paths: Paths) -> tuple[dict[str, Any], dict[str, Any]]:
    connection = await Connection.open(paths.socket)
    if connection is None:
        raise _NoAnswerError
    try:
        async with asyncio.timeout(_PATIENCE):
            key = trust.new_keypair().public.decode()
            return await connection.ask("status"), await connection.ask("ticket", key=key)
    except (TimeoutError, EndedError):
        raise _NoAnswerError from None
    finally:
        connection.close()


def _supervisor(paths: Paths) -> int | None:
    """Return the process id of the supervisor, from its command line."""
    root = os.fsencode(paths.root)
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"rexec_jupyter.local" in words and root in words:
                return int(entry.name)
    return None


def _parts(paths: Paths, status: dict[str, Any]) -> Iterator[Finding]:
    good = True
    for name, part in status["parts"].items():
        log = paths.log(name)
        if not part["ready"]:
            good = False
            last = " / ".join(tail(log, _LOG_LINES)) or "its log is empty"
            yield Finding(name, "fail", f"it is not ready: {last}", f"{_STOP} Its log: {log}")
        elif part["starts"] > 1:
            good = False
            text = f"it had to be started again, {part['starts'] - 1} x"
            yield Finding(name, "warn", text, _why(log))
    yield from _endpoint(status["api"], paths)
    if good:
        told = ", ".join(f"{name} {part['pid']}" for name, part in status["parts"].items())
        yield Finding("processes", "ok", told)


def _endpoint(api: dict[str, Any], paths: Paths) -> Iterator[Finding]:
    log = paths.log("endpoint")
    if api["state"] == "failing":
        last = " / ".join(api["log"][-_LOG_LINES:])
        text = " ".join(filter(None, (api["error"], last)))
        hint = f"Cells and functions do without it. Its log: {log}; what it keeps: {api['data']}"
        yield Finding("endpoint", "warn", text, hint)
    elif api["starts"] > 1:
        text = f"it had to be started again, {api['starts'] - 1} x"
        yield Finding("endpoint", "warn", text, _why(log))
    else:
        state = "ready" if api["state"] == "ready" else "starts when somebody wants it"
        yield Finding("endpoint", "ok", f"{api['url']}, {state}")


def _why(log: Path) -> str:
    return f"Its last log may tell why: {previous(log)}. That of now: {log}"


def _dates(status: dict[str, Any], ticket: dict[str, Any]) -> Iterator[Finding]:
    jump = float(status["clock_jump"])
    if abs(jump) > _JUMP:
        text = f"the clock was set by {jump:+.0f} s since the server started"
        yield Finding("clock", "warn", text, f"If cells do not start any more: {_STOP}")
    if "ticket" not in ticket:
        return
    claims = _claims(ticket["ticket"])
    now = time.time()
    if not claims.get("iat", now) - _JUMP <= now < claims.get("exp", now + 1):
        text = "a new ticket is not valid now, by this clock"
        yield Finding("tickets", "fail", text, f"Set the clock. {_STOP}")
    else:
        yield Finding("tickets", "ok", f"valid for {ticket['expires_in'] / 60:.0f} min from now")


def _claims(token: str) -> dict[str, Any]:
    """Read what a ticket says; it was given to us, so nobody has to verify it."""
    body = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


# ---------------------------------------------------------------------------- the connection


def _handshake(client: Client | None) -> Iterator[Finding]:
    # Only here: everything else is checked before much is loaded.
    from rexec_jupyter._connect import connect_to  # noqa: PLC0415

    began = time.perf_counter()
    try:
        if client is not None:
            found = client.status()
        else:
            with connect_to(LocalBackend(start=False), timeout=_HANDSHAKE) as own:
                found = own.status()
    except RexecError as error:
        yield Finding("connection", "fail", error.message, error.hint or _STOP)
        return
    if found.state != "connected":
        text = f"{found.state}: {found.detail}" if found.detail else found.state
        yield Finding("connection", "fail", f"{found.endpoint}: {text}", _STOP)
        return
    took = "" if client else f" in {(time.perf_counter() - began) * 1e3:.0f} ms"
    yield Finding("connection", "ok", f"{found.endpoint}, encrypted and welcomed{took}")
    for server in found.servers:
        if server.python:
            yield _same_python(server.python)


def _same_python(theirs: str) -> Finding:
    if minor(theirs) == PYTHON:
        return Finding("server's Python", "ok", theirs)
    return Finding(
        "server's Python",
        "warn",
        f"it is {theirs}, and {PYTHON} here: cells run, functions are refused",
        f"Use Python {minor(theirs)} here, or start the server with {PYTHON}.",
    )
