"""``rexec up``, ``down``, ``status`` and ``doctor``: the server as a whole."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import click

from rexec_jupyter import reports
from rexec_jupyter.cli.exits import Exit
from rexec_jupyter.cli.shared import LossError, answer, connected, json_option, note, size
from rexec_jupyter.core.doctor import examine
from rexec_jupyter.core.errors import ConnectionLostError
from rexec_jupyter.core.losses import counted, of_backend
from rexec_jupyter.local.backend import LocalBackend
from rexec_jupyter.local.connection import EndedError
from rexec_jupyter.widget.status import duration

_PATIENCE = 5.0
"""Seconds that the supervisor may take to answer."""
_LOOK = 0.5
"""Seconds between two looks at what it does."""
_NOT_RUNNING = "No rexec server runs on this computer."

Status = dict[str, Any]

_API = ("url", "docs", "state", "token_file", "data", "pid", "starts", "error")
"""What is told of the endpoint."""


# ---------------------------------------------------------------------------------- up


@click.command
@click.option("-d", "--detach", is_flag=True, help="Leave it running until `rexec down`.")
@click.option("--workers", type=click.IntRange(min=1), help="Functions that run at once.")
@click.option(
    "--memory", type=size, metavar="SIZE", help="Memory of all remote code together: 4GB."
)
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Working directory of remote code; a private one by default.",
)
@json_option
def up(*, detach: bool, workers: int | None, memory: int | None, directory: Path | None) -> int:
    """Start the rexec server of this computer.

    It serves your notebooks, scripts and commands on this computer and nobody else. Without
    --detach it is watched here and ended with Ctrl-C. If it runs already, it is kept.
    """
    backend = LocalBackend(workers=workers, memory=memory, directory=directory)
    return asyncio.run(_up(backend, detach=detach))


async def _up(backend: LocalBackend, *, detach: bool) -> int:
    began = time.monotonic()
    try:
        await backend.locate()
        status = await backend.status()
        ours = status["age"] <= time.monotonic() - began
        await backend.open_endpoint()
        if detach:
            await backend.keep()
            status["kept"] = True
        presses = None if detach else _listen()  # first: whoever reads that it runs may end it
        _tell_ready(status, "started" if ours else "runs already")
        if presses is None:
            note("It goes on until `rexec down`.")
            return Exit.OK
        note("Ctrl-C ends it.")
        return await _watch(backend, status, presses)
    except EndedError:
        note("The server has ended.")
        return Exit.UNREACHABLE
    finally:
        await backend.close()


def _tell_ready(status: Status, how: str) -> None:
    settings = status["settings"]
    limits = counted(settings["workers"], "worker")
    if settings["memory"]:
        limits += f", {settings['memory'] / 1e9:.1f} GB for all remote code"
    text = f"rexec server {how}: {status['endpoint']} for {status['user']}, {limits}"
    answer({"state": how} | _facts(status), "\n".join([text, *_endpoint(status)]))


def _listen() -> asyncio.Queue[signal.Signals]:
    presses: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, presses.put_nowait, number)
    return presses


async def _watch(
    backend: LocalBackend, status: Status, presses: asyncio.Queue[signal.Signals]
) -> int:
    """Tell what changes, until Ctrl-C or until it ends."""
    shown = ""
    asked = False
    while True:
        if (line := _line(status)) != shown:
            shown = line
            note(f"{time.strftime('%H:%M:%S')}  {line}")
        try:
            number = await asyncio.wait_for(presses.get(), _LOOK)
        except TimeoutError:
            status = await _ask(backend)
            continue
        if number is not signal.SIGINT:
            return Exit.OK  # it ends with its last user, who may be another
        status = await _ask(backend)
        busy = _use(status)
        if not busy or asked:
            note("Ending it …")
            busy = await _stop(backend, force=asked)
        if not busy:
            note("Ended.")
            return Exit.OK
        note(f"It is in use: {busy}. Ctrl-C again ends it all the same.")
        asked = True


def _line(status: Status) -> str:
    facts = [_use(status) or "nobody uses it"]
    facts += [f"{name} is not ready" for name, part in status["parts"].items() if not part["ready"]]
    facts += [
        f"{name} was started again, {part['starts'] - 1} x"
        for name, part in status["parts"].items()
        if part["starts"] > 1
    ]
    api = status["api"]
    facts += ["the endpoint does not start"] if api["state"] == "failing" else []
    facts += [f"endpoint was started again, {api['starts'] - 1} x"] if api["starts"] > 1 else []
    return " · ".join(facts)


def _endpoint(status: Status) -> list[str]:
    """Tell where the endpoint is, and what is wrong with it if something is."""
    api = status["api"]
    if api["state"] == "failing":
        return [f"endpoint: {line}" for line in (api["error"], *api["log"])]
    return [
        f"endpoint: {api['url']} · its API to try out: {api['docs']}",
        f"          the token that it takes is in {api['token_file']}",
    ]


def _use(status: Status) -> str:
    """Tell who uses it beside us, and how many jobs there are."""
    others = status["users"] - 1
    return " · ".join(filter(None, (others and counted(others, "program"), _jobs(status))))


def _jobs(status: Status) -> str:
    jobs = status["jobs"]
    told = [f"{jobs['running']} running"] if jobs["running"] else []
    told += [f"{jobs['queued']} waiting"] if jobs["queued"] else []
    return f"jobs: {', '.join(told)}" if told else ""


# -------------------------------------------------------------------------------- down


@click.command
@click.option("-f", "--force", is_flag=True, help="Even if jobs or variables are lost.")
def down(*, force: bool) -> int:
    """End the rexec server of this computer.

    All sessions end, with their variables. Without -f that is done only if there are none
    and nothing runs. What jobs returned and nobody fetched is kept for the next server.
    """
    return asyncio.run(_down(force=force))


async def _down(*, force: bool) -> int:
    backend = LocalBackend()
    try:
        if not await backend.find():
            click.echo(_NOT_RUNNING)
            return Exit.OK
        if not force and (await _ask(backend))["ready"]:
            if lost := await asyncio.to_thread(_losses):
                raise LossError(lost, "rexec down")
            force = True  # what the supervisor knows of jobs is a second old
        if busy := await _stop(backend, force=force):
            raise LossError([busy], "rexec down")
        click.echo("The rexec server has ended.")
        return Exit.OK
    finally:
        await backend.close()


def _losses() -> list[str]:
    with connected("local", timeout=_PATIENCE) as client:
        return of_backend(client)


async def _stop(backend: LocalBackend, *, force: bool) -> str:
    """End it; return what it does instead, if it does not end."""
    busy = await backend.stop(force=force)
    return _jobs({"jobs": busy}) if busy else ""


# ------------------------------------------------------------------------------ status


@click.command
@json_option
def status() -> int:
    """Tell what runs on this computer; starts nothing.

    The exit code is 0 if a server runs and is ready, else 3.
    """
    return asyncio.run(_status())


async def _status() -> int:
    backend = LocalBackend()
    try:
        if not await backend.find():
            answer({"state": "stopped"}, f"{_NOT_RUNNING} `rexec up` starts one.")
            return Exit.UNREACHABLE
        found = await _ask(backend)
    finally:
        await backend.close()
    facts = _facts(found)
    lines = ["\n".join([_headline(found), *_endpoint(found)])]
    if found["ready"]:
        with connected("local", timeout=_PATIENCE) as client:
            sessions = reports.sessions(client)
            jobs = reports.jobs(client, limit=0)
        facts |= {"sessions": list(sessions), "jobs": list(jobs)}
        lines += [str(sessions) if sessions else "no sessions", str(jobs) if jobs else "no jobs"]
    for name, part in found["parts"].items():
        lines += [f"{name}: {line}" for line in part["log"]]
    answer(facts, "\n\n".join(lines))
    return Exit.OK if found["ready"] else Exit.UNREACHABLE


def _headline(status: Status) -> str:
    state = "ready" if status["ready"] else "not ready"
    facts = [
        f"rexec server {state}: {status['endpoint']}",
        f"up for {duration(status['age'])}",
        counted(status["settings"]["workers"], "worker"),
        _use(status) or "nobody else uses it",
        "stays until `rexec down`" if status["kept"] else "ends with its last user",
    ]
    return " · ".join(facts)


def _facts(status: Status) -> Status:
    """Return what programs are told: nothing secret is in it."""
    told = {key: status[key] for key in ("pid", "user", "endpoint", "kept", "settings", "age")}
    return {
        "state": "ready" if status["ready"] else "starting",
        **told,
        "users": status["users"] - 1,
        "parts": {
            name: {key: part[key] for key in ("pid", "starts", "ready")}
            for name, part in status["parts"].items()
        },
        "api": {key: status["api"][key] for key in _API},
        "open_jobs": status["jobs"]["running"] + status["jobs"]["queued"],
    }


async def _ask(backend: LocalBackend) -> Status:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await backend.status()
    except TimeoutError:
        raise ConnectionLostError(
            f"The server's supervisor did not answer within {_PATIENCE:g} s.",
            hint="`rexec doctor` tells more.",
        ) from None


# ------------------------------------------------------------------------------ doctor

_MARKS = {"ok": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


@click.command
@click.option("-q", "--quiet", is_flag=True, help="Only what is not in order.")
@json_option
def doctor(*, quiet: bool) -> int:
    """Check everything that rexec needs, and say what to do.

    Starts nothing, takes ten seconds at most, and shows no secret. The exit code is 1 if
    something fails.
    """
    findings = examine(None)
    shown = [finding for finding in findings if not quiet or finding.state != "ok"]
    lines = []
    for finding in shown:
        mark, colour = _MARKS[finding.state]
        lines.append(f"{click.style(f'{mark:4}', fg=colour)}  {finding.check}: {finding.text}")
        lines += [f"      → {finding.hint}"] if finding.hint else []
    worst = {finding.state for finding in findings}
    lines.append("Something fails." if "fail" in worst else "rexec can work here.")
    answer([finding.as_dict() for finding in shown], "\n".join(lines))
    return Exit.FAILED if "fail" in worst else Exit.OK
