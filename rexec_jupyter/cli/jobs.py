"""``rexec jobs``, ``logs``, ``attach`` and ``cancel``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from rexec_jupyter import reports
from rexec_jupyter.cli.exits import Exit, NotFoundError
from rexec_jupyter.cli.following import WAIT, Screen, follow, print_lines
from rexec_jupyter.cli.shared import (
    answer,
    complete_job,
    connected,
    json_option,
    note,
    wants_json,
)
from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.happenings import ClearOutput, Display, Happening, TextOutput
from rexec_jupyter.core.states import OPEN

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client
    from rexec_jupyter.core.log_reader import LogReader
    from rexec_jupyter.core.protocol import JobInfo

_CANCELLING = 15.0
"""Seconds to wait for the end of a job that was cancelled."""
_ASK = 0.2
_CODES = {
    "done": Exit.OK,
    "unknown": Exit.OK,
    "timed out": Exit.TIMED_OUT,
    "cancelled": Exit.INTERRUPTED,
}

_job = click.argument("job", shell_complete=complete_job)


@click.command
@click.option("--all", "every", is_flag=True, help="Every job that the server remembers.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=reports.RECENT,
    show_default=True,
    help="At most so many; open ones in any case.",
)
@json_option
def jobs(*, every: bool, limit: int) -> None:
    """List the jobs: cells and functions, whoever submitted them.

    Open ones come first, then those that ended last.
    """
    with connected() as client:
        table = reports.jobs(client, all=every, limit=limit)
    table.note = table.note.replace("%rexec", "rexec")
    answer(list(table), str(table))


@click.command
@_job
@click.option("--tail", type=click.IntRange(min=1), help="Only the last so many lines.")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the job ends.")
@json_option
def logs(job: str, *, tail: int | None, following: bool) -> int:
    """Show what a job printed.

    JOB is the beginning of a job's id, or its name. What went to stderr goes to stderr. Ctrl-C
    ends --follow and touches nothing. With --json each line of the answer is one output.

    The exit code says whether the log could be shown; `rexec attach` has that of the job.
    """
    with connected() as client:
        info = _find(client, job)
        reader = _open(client, info, tail=tail or 0)
        show = _show_json if wants_json() else Screen().show
        while happenings := reader.read(0.0):
            show(happenings)
        if following:
            try:
                _read_on(reader, show)
            except KeyboardInterrupt:
                return Exit.INTERRUPTED
        if not wants_json():
            print_lines(_failure(reader))
    return Exit.OK


@click.command
@_job
def attach(job: str) -> int:
    """Follow a job from its first line to its end.

    Ctrl-C interrupts the job; a second one leaves it running. The exit code is the job's: 1 if
    it failed. A notebook that waits for the job is not disturbed.
    """
    with connected() as client:
        info = _find(client, job)
        reader = _open(client, info)
        followed = follow(
            lambda wait: _take(reader, wait),
            Screen().show,
            lambda: client.interrupt(info.job, info.session),
        )
        if not followed:
            note(f"The job goes on: `rexec attach {info.job[:8]}`, `rexec cancel {info.job[:8]}`.")
            return Exit.INTERRUPTED
        return _outcome(reader)


@click.command
@_job
@json_option
def cancel(job: str) -> int:
    """End a job.

    It is interrupted; the process of a function that does not react is killed. A cell that does
    not react goes on: `rexec restart SESSION -f` ends it, with the variables of its session.
    """
    with connected() as client:
        info = _find(client, job)
        if info.state not in OPEN:
            answer({"id": info.job, "state": info.state}, f"It has ended already: {info.state}.")
            return Exit.OK
        client.cancel(info.job, info.session)
        state = _await_end(client, info)
        answer({"id": info.job, "state": state}, f"Job {info.job[:8]}: {state}.")
        if state in OPEN:
            note(f"It does not react: `rexec restart {info.session} -f`, or wait.")
            return Exit.FAILED
    return Exit.OK


# ------------------------------------------------------------------------------ details


def _find(client: Client, name: str) -> JobInfo:
    try:
        return client.find_job(name)
    except RexecError as error:
        if type(error) is not RexecError:
            raise
        raise NotFoundError(error.message, hint=error.hint) from None


def _open(client: Client, info: JobInfo, *, tail: int = 0) -> LogReader:
    reader = client.log(info.job, info.session, tail=tail)
    if not reader.known:
        raise NotFoundError(f"There is no log of job {info.job[:8]} (any more).")
    return reader


def _take(reader: LogReader, wait: float) -> list[Happening] | None:
    happenings = reader.read(wait)
    return None if not happenings and reader.ended else happenings


def _read_on(reader: LogReader, show: Callable[[Sequence[Happening]], None]) -> None:
    while (happenings := _take(reader, WAIT)) is not None:
        show(happenings)


def _outcome(reader: LogReader) -> int:
    """Tell how the job ended; return the exit code for that."""
    print_lines(_failure(reader))
    return _CODES.get(reader.state, Exit.FAILED)


def _failure(reader: LogReader) -> list[str]:
    """Return what a job that did not go well ended with."""
    end = reader.end
    if end is None or end.state == "done":
        return []
    return end.traceback or [": ".join(filter(None, (end.error or end.state, end.message)))]


def _await_end(client: Client, info: JobInfo) -> str:
    deadline = time.monotonic() + _CANCELLING
    state = info.state
    while time.monotonic() < deadline:
        state = next((each.state for each in client.jobs() if each.job == info.job), "cancelled")
        if state not in OPEN:
            break
        time.sleep(_ASK)
    return state


def _show_json(happenings: Sequence[Happening]) -> None:
    for line in _as_json(happenings):
        click.echo(json.dumps(line, ensure_ascii=False, default=str))


def _as_json(happenings: Sequence[Happening]) -> Iterator[dict[str, Any]]:
    for happening in happenings:
        match happening:
            case TextOutput(stream, text):
                yield {"stream": stream, "text": text}
            case Display(kind, data, metadata):
                yield {"stream": kind, "data": data, "metadata": metadata}
            case ClearOutput(wait):
                yield {"stream": "clear", "wait": wait}
            case _:
                pass
