"""What the subcommands do alike: connect, answer as text or JSON, complete names."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from rexec_jupyter.cli.exits import Exit
from rexec_jupyter.cli.root import as_command
from rexec_jupyter.core import quantities

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client
    from rexec_jupyter.core.protocol import SessionInfo

T = TypeVar("T")

_QUICK = 1.0
"""Seconds that completion may wait for an answer."""


@contextlib.contextmanager
def connected(
    target: str | None = None, *, start: bool = False, timeout: float = 30.0
) -> Iterator[Client]:
    """Connect to the backend; give the client.

    Parameters
    ----------
    target
        As for `connect`.
    start
        Whether the embedded backend may be started.
    timeout
        Seconds it may take.
    """
    from rexec_jupyter._connect import connect  # noqa: PLC0415 - completion and help do without

    with connect(target, timeout=timeout, start=start) as client:
        yield client


# ------------------------------------------------------------------------------ answers


def _want_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001
    if value:
        ctx.obj["json"] = True


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_want_json,
    help="Answer in JSON.",
)
"""The global option once more, so that it may stand after the subcommand too."""


def wants_json() -> bool:
    """Tell whether the answer is to be JSON."""
    return bool(click.get_current_context().obj["json"])


def answer(facts: Any, text: str) -> None:
    """Print an answer: `facts` as JSON if that is asked for, else the text."""
    if wants_json():
        click.echo(json.dumps(facts, ensure_ascii=False, indent=2, default=str))
    else:
        click.echo(as_command(text))


def note(text: str) -> None:
    """Say something to the person there, beside the answer."""
    if not wants_json():
        click.echo(text, err=True)


class LossError(click.ClickException):
    """Something would be lost.

    Parameters
    ----------
    losses
        What.
    command
        The command that would do it, and does it with ``-f``.
    """

    exit_code = Exit.USAGE

    def __init__(self, losses: Iterable[str], command: str) -> None:
        lines = "".join(f"\n  {loss}" for loss in losses)
        super().__init__(f"This would be lost:{lines}\n`{command} -f` does it all the same.")

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it to stderr."""
        click.echo(f"rexec: {self.message}", file=file, err=True)


def keep(client: Client, found: Sequence[SessionInfo], command: str) -> None:
    """Refuse to do what would lose something of sessions.

    Raises
    ------
    LossError
        If something would be lost.
    """
    from rexec_jupyter.core.losses import of_sessions  # noqa: PLC0415 - not every command

    if lost := of_sessions(client, found):
        raise LossError(lost, command)


def server_status() -> dict[str, Any]:
    """Return what the supervisor of a server on this computer tells; nothing if none runs."""
    from rexec_jupyter.local.backend import LocalBackend  # noqa: PLC0415 - as above

    async def ask() -> dict[str, Any]:
        backend = LocalBackend()
        try:
            return await backend.status() if await backend.find() else {}
        finally:
            await backend.close()

    with contextlib.suppress(ConnectionError, TimeoutError):
        return asyncio.run(asyncio.wait_for(ask(), _QUICK))
    return {}


# ------------------------------------------------------------------- kinds of parameters


def duration(text: str) -> float:
    """Read seconds: ``30``, ``30s``, ``5m``, ``2h``."""
    return _read(quantities.positive_duration, text)


def size(text: str) -> int:
    """Read bytes: ``100MB``, ``1.5GiB``."""
    return _read(quantities.size, text)


def session_name(text: str) -> str:
    """Read the name of a session."""
    from rexec_jupyter.core import defaults  # noqa: PLC0415 - completion and help do without

    return _read(defaults.session_name, text)


def _read(read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


# --------------------------------------------------------------------------- completion


def complete_session(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a session of a backend that runs already."""
    return [
        CompletionItem(session.session, help=session.state)
        for session in _ask(lambda client: client.sessions(timeout=_QUICK))
        if session.session.startswith(incomplete)
    ]


def complete_job(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the id of a job of a backend that runs already."""
    return [
        CompletionItem(job.job[:8], help=f"{job.state} {job.label}".strip())
        for job in _ask(lambda client: client.jobs(timeout=_QUICK))
        if job.job.startswith(incomplete)
    ]


def _ask(question: Callable[[Client], list[Any]]) -> list[Any]:
    from rexec_jupyter.core.runtime import runtime_path  # noqa: PLC0415 - light, but not always so

    if not (runtime_path() / "supervisor.sock").exists():
        return []
    # Whatever goes wrong: somebody is typing, and nothing completes.
    with contextlib.suppress(Exception), connected(timeout=_QUICK) as client:
        return question(client)
    return []
