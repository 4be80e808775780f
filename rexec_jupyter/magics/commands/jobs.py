"""``%rexec jobs``, ``attach``, ``result``, ``cancel``, ``logs`` and ``rerun``."""

from __future__ import annotations

import argparse
import html
import json
import shlex
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from rexec_jupyter import reports
from rexec_jupyter.core.console import show
from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.outcomes import CellResult
from rexec_jupyter.core.states import OPEN
from rexec_jupyter.magics.commands import servers
from rexec_jupyter.magics.commands.command import Command, Shown, arg, count
from rexec_jupyter.magics.grammar import identifier, typed
from rexec_jupyter.widget.status import size
from rexec_jupyter.widget.table import Column, Facts, Table

if TYPE_CHECKING:
    from rexec_jupyter.core.log_reader import LogReader
    from rexec_jupyter.core.protocol import JobInfo
    from rexec_jupyter.magics.commands.desk import Desk

_FOLLOW = 1.0
_LOOK = 0.3
_CANCEL_SECONDS = 15.0
_MARK = "# %%rexec\n"


def _jobs(desk: Desk, given: argparse.Namespace) -> Table:
    if told := servers.none_runs(desk):
        return Table(empty=told)
    return reports.jobs(desk.client(), all=given.all, limit=given.limit)


# ------------------------------------------------------------------------------- following


def _attach(desk: Desk, given: argparse.Namespace) -> Any:
    from rexec_jupyter.magics.commands.attach import Attachment  # noqa: PLC0415 - seldom used

    info = desk.job(given.job)
    return Attachment(desk, info, desk.awaited(given.job, info.job)).run()


def _result(desk: Desk, given: argparse.Namespace) -> Any:
    info = desk.job(given.job)
    # What is bound here has its result, of which the server keeps nothing once it was fetched.
    left = desk.runner.left.get(info.job)
    job = desk.awaited(given.job, info.job) or (left.job if left else None)
    if job is None:
        _wait_for_end(desk, info)
        job = desk.client().attach(info.job, info.session)
    try:
        value = job.result()
    except CancelledError:
        raise UsageError(f"%rexec result: job {info.job[:8]} was cancelled, it has none") from None
    except RexecError as error:
        if getattr(job, "unknown", False) and info.state != "done":
            raise UsageError(
                f"%rexec result: job {info.job[:8]} is {info.state}, it has none; "
                f"%rexec attach {info.job[:8]} shows how it ended"
            ) from error
        if getattr(job, "unknown", False):
            raise UsageError(
                f"%rexec result: job {info.job[:8]} is done; its result was fetched "
                "before and is kept no longer. The notebook that did so has it in Out, or under "
                "the name given with -j"
            ) from error
        raise
    if isinstance(value, CellResult):
        if not value.has_value:
            why = value.reason or "its last line is no expression"
            raise UsageError(f"%rexec result: job {info.job[:8]} has no value: {why}")
        value = value.value
    if given.out:
        desk.assign({given.out: value})
        told = f"{given.out} is the result of job {info.job[:8]} ({type(value).__name__})."
        facts = {"name": given.out, "job": info.job, "type": type(value).__name__}
        return Facts(facts, title=told, shown={})
    return Value(value) if given.json else value


def _wait_for_end(desk: Desk, info: JobInfo) -> None:
    """Wait until a job ended, without taking it away from whoever waits for it too."""

    def ended() -> bool:
        now = (job for job in desk.client().jobs() if job.job == info.job)
        return next(now, info).state not in OPEN

    if info.state in OPEN:
        desk.until(ended, float("inf"), pause=_LOOK)


class Value:
    """A value that is to be shown as JSON."""

    def __init__(self, value: object) -> None:
        self._value = value

    def json(self) -> str:
        """Return it as JSON text."""
        try:
            return json.dumps(self._value, ensure_ascii=False, indent=2)
        except (TypeError, ValueError) as error:
            raise UsageError(f"%rexec result: JSON cannot hold the value: {error}") from None


# ------------------------------------------------------------------------------- cancelling


def _cancel(desk: Desk, given: argparse.Namespace) -> Table:
    client = desk.client()
    if given.all and given.job:
        raise UsageError("%rexec cancel: either a JOB or --all")
    if given.all:
        wanted = [info for info in client.jobs() if info.state in OPEN]
    else:
        wanted = [desk.job(given.job)]
    before = {info.job for info in wanted if info.state in OPEN}
    for info in wanted:
        if info.job in before:
            client.cancel(info.job, info.session)

    def ended() -> bool:
        return all(info.state not in OPEN for info in client.jobs() if info.job in before)

    if before:
        desk.until(ended, _CANCEL_SECONDS)
    states = {info.job: info.state for info in client.jobs()}
    rows = []
    for info in wanted:
        state = states.get(info.job, info.state)
        if info.job not in before:
            told = "had ended before"
        elif state == "cancelled":
            told = ""
        elif state in OPEN:
            told = f"does not react; %rexec restart {shlex.quote(info.session)} -f ends it"
        else:
            told = "ended by itself"
        rows.append({"id": info.job, "name": info.label, "state": state, "told": told})
    return Table(
        rows,
        [Column("id", "job", lambda job: str(job)[:8]), "name", "state", Column("told", "")],
        empty="No jobs run or wait.",
    )


# ------------------------------------------------------------------------------------- logs


class Text:
    """What a job showed, as text.

    Parameters
    ----------
    text
        The text.
    empty
        What to show if there is none.
    about
        What it is the text of.
    """

    def __init__(self, text: str, *, empty: str = "", **about: object) -> None:
        self.text = text
        self._empty = empty
        self._about = about

    def __repr__(self) -> str:
        return self.text.rstrip("\n") or self._empty

    def __str__(self) -> str:
        return self.text

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # noqa: FBT001 - IPython's protocol
        printer.text(repr(self))

    def _repr_html_(self) -> str | None:
        if "\x1b" in self.text:
            return None  # notebooks show colours in text
        style = "white-space: pre-wrap; margin: 0; max-height: 40em; overflow: auto"
        return f'<pre style="{style}">{html.escape(repr(self))}</pre>'

    def json(self) -> str:
        """Return it as JSON text."""
        return json.dumps({**self._about, "text": self.text}, ensure_ascii=False, indent=2)


def _logs(desk: Desk, given: argparse.Namespace) -> Shown | None:
    if given.pod:
        raise UsageError(
            "%rexec logs: there is no pod: sessions of this computer are processes; "
            "%rexec doctor tells how they are"
        )
    client = desk.client()
    if given.job and not desk.bound(given.job) and desk.is_session(given.job):
        if not given.follow:
            text = client.session(given.job).logs(tail=given.tail)
            empty = f"Cells of session {given.job} showed nothing."
            return Text(text, empty=empty, session=given.job)
        info = _running_in(client.jobs(), given.job)
    else:
        info = desk.job(given.job)
    reader = client.log(info.job, info.session, tail=given.tail)
    if given.follow and not given.json:
        _follow(reader, info)
        return None
    limit = desk.settings.now().max_shown
    text, left = _text(reader, limit)
    _check_known(reader, info)
    if left:
        text += (
            f"\n… more than {size(limit)}, this is its beginning; "
            f"%rexec logs {info.job[:8]} --tail 100 shows its end"
        )
    yet = " yet" if info.state in OPEN else ""
    empty = f"Job {info.job[:8]} is {info.state} and showed nothing{yet}."
    return Text(text, empty=empty, job=info.job, state=info.state)


def _running_in(jobs: list[JobInfo], session: str) -> JobInfo:
    cells = [info for info in jobs if info.session == session and info.kind == "cell"]
    running = [info for info in cells if info.state == "running"]
    if not cells:
        raise UsageError(f"%rexec logs: no cell ran in session {session}")
    return (running or cells)[0]


def _text(reader: LogReader, limit: int) -> tuple[str, bool]:
    texts: list[str] = []
    total = 0
    while total <= limit:
        happenings = reader.read()
        if not happenings:
            return "".join(texts), False
        texts += [text for text in map(plain_text, happenings) if text]
        total = sum(map(len, texts))
    return "".join(texts)[:limit], True


def plain_text(happening: object) -> str:
    """Return what a terminal would show of something."""
    from rexec_jupyter.core.happenings import Display, TextOutput  # noqa: PLC0415

    if isinstance(happening, TextOutput):
        return happening.text
    if isinstance(happening, Display) and happening.kind != "update":
        text = happening.data.get("text/plain")
        return f"{text}\n" if text else ""
    return ""


def _follow(reader: LogReader, info: JobInfo) -> None:
    try:
        while not reader.ended:
            show(reader.read(wait=_FOLLOW))
            _check_known(reader, info)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"job {info.job[:8]} goes on; %rexec cancel {info.job[:8]} ends it"
        ) from None


def _check_known(reader: LogReader, info: JobInfo) -> None:
    if not reader.known:
        raise UsageError(
            f"%rexec logs: nothing is kept of job {info.job[:8]}: logs are kept for a day, "
            "and the oldest go first"
        )


def _rerun(desk: Desk, given: argparse.Namespace) -> Facts:
    info = desk.job(given.job)
    reader = desk.client().log(info.job, info.session)
    reader.read()
    _check_known(reader, info)
    source = reader.source.removeprefix(_MARK)
    if not source.strip():
        raise UsageError(
            f"%rexec rerun: job {info.job[:8]} has no code that could be shown"
            + ("; it is a call of a function" if info.kind == "call" else "")
        )
    where = "" if info.session == desk.active else f" -s {shlex.quote(info.session)}"
    cell = source if source.startswith(("%%rexec", "%%rx")) else f"%%rexec{where}\n{source}"
    desk.shell.set_next_input(cell)
    return Facts(
        {"job": info.job, "source": cell},
        title=f"The code of job {info.job[:8]} stands in the next cell; it was not run.",
        shown={},
    )


_JOB = arg(
    "job",
    nargs="?",
    default="",
    metavar="JOB",
    help="beginning of its id, its label, or a name bound with -j (default: the last job here)",
)

COMMANDS = (
    Command(
        "jobs",
        "jobs",
        "list jobs, open ones first, whoever submitted them",
        _jobs,
        (
            arg("--all", action="store_true", help="every job the server remembers"),
            arg(
                "--limit",
                type=typed(count),
                default=reports.RECENT,
                metavar="N",
                help=f"how many, beside open ones (default: {reports.RECENT})",
            ),
        ),
    ),
    Command(
        "attach",
        "jobs",
        "show a job's output from its first line, follow it, and end as it ends",
        _attach,
        (_JOB,),
        completes="job",
    ),
    Command(
        "result",
        "jobs",
        "wait for a job and return its value",
        _result,
        (
            _JOB,
            arg(
                *("-o", "--out"),
                type=typed(identifier),
                metavar="NAME",
                help="give the value this name instead of showing it",
            ),
        ),
        completes="job",
    ),
    Command(
        "cancel",
        "jobs",
        "end a job, whoever submitted it",
        _cancel,
        (_JOB, arg("--all", action="store_true", help="every job that runs or waits")),
        completes="job",
    ),
    Command(
        "logs",
        "jobs",
        "show what a job, or a session, printed",
        _logs,
        (
            arg(
                "job",
                nargs="?",
                default="",
                metavar="JOB|NAME",
                help="a job, or a session (default: the last job here)",
            ),
            arg("--tail", type=typed(count), default=0, metavar="N", help="only the last N lines"),
            arg("--follow", action="store_true", help="go on until it ends, or stop is pressed"),
            arg("--pod", action="store_true", help="what a deployed server itself printed"),
        ),
        completes="job",
    ),
    Command(
        "rerun",
        "jobs",
        "put a job's code into the next cell, without running it",
        _rerun,
        (_JOB,),
        completes="job",
    ),
)
