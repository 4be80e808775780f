"""Files of any size to the server and back, in pieces, complete or not at all.

Every piece is a call of its own, so that a transfer goes on where it was when the broker or
the server's agent had to be started again; a piece that was lost is sent once more. The
file gets its name only after both sides made the same digest of all of it.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent import futures
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from pickle import PickleBuffer
from typing import IO, TYPE_CHECKING, Any

from rexec_jupyter.core import filesystem as fs
from rexec_jupyter.core.errors import CaptureError, PullError, RexecError, WorkerLostError
from rexec_jupyter.core.filesystem import Entry
from rexec_jupyter.core.trust import new_id

if TYPE_CHECKING:
    from rexec_jupyter.core.job import Job
    from rexec_jupyter.core.session import Session

PIECE = 4 * 1024 * 1024
"""Bytes of one piece."""
UNDER_WAY = 4
"""Pieces under way at once."""
TRIES = 4
"""How often a step is tried whose process ended under it."""
_CLEAN_UP = 2.0
"""Seconds to wait until an unfinished file is removed; if no worker is free that is done later."""
_PATIENCE = 1.0
"""Seconds after which it is told what a step waits for."""

Progress = Callable[[int, int], None]
"""Is told how many bytes of how many are done. What it raises ends the transfer."""
OnWait = Callable[[str], None]
"""Is told, about once a second, what a transfer waits for, such as ``no worker is free``."""


class _Step:
    """A call that may be repeated, since it comes to the same."""

    def __init__(
        self,
        session: Session,
        function: Callable[..., Any],
        *args: Any,
        on_wait: OnWait | None = None,
    ) -> None:
        self._session = session
        self._function = function
        self._args = args
        self._on_wait = on_wait
        self._job = self._submit()

    def _submit(self) -> Job[Any]:
        return _submit(self._session, self._function, *self._args)

    def result(self) -> Any:
        """Wait for what comes of it."""
        try:
            for _ in range(TRIES - 1):
                with suppress(WorkerLostError):
                    return self._outcome()
                self._job = self._submit()
            return self._outcome()
        except BaseException:
            self.abandon()
            raise

    def _outcome(self) -> Any:
        job, on_wait = self._job, self._on_wait
        while on_wait is not None and not futures.wait([job], _PATIENCE).done:
            if reason := job.waits_for:
                on_wait(reason)
        try:
            return job.result()
        except OSError as error:
            if isinstance(error, RexecError):
                raise
            raise error from None  # where in our functions it happened helps nobody

    def abandon(self) -> None:
        """End it; nobody waits for it."""
        self._job.abandon()


def _in_order(steps: Iterator[_Step]) -> Generator[Any, None, None]:
    """Yield what comes of steps, with several under way."""
    under_way: deque[_Step] = deque()
    try:
        for step in steps:
            under_way.append(step)
            if len(under_way) == UNDER_WAY:
                yield under_way[0].result()
                under_way.popleft()
        while under_way:
            yield under_way[0].result()
            under_way.popleft()
    finally:
        for step in under_way:
            step.abandon()


def put(
    session: Session,
    src: str | os.PathLike[str],
    dst: str | None = None,
    *,
    progress: Progress | None = None,
    on_wait: OnWait | None = None,
) -> str:
    """Copy a file of this machine to the server.

    Parameters
    ----------
    session
        Any session of the server.
    src
        Path of the file.
    dst
        Path there, or a directory; relative to the working directory of the sessions. None:
        there, under the same name. What exists is replaced, at the very end.
    progress
        Called with the bytes done and all bytes.
    on_wait
        Called with what the transfer waits for, if it has to wait for something.

    Returns
    -------
    str
        Its absolute path there.

    Raises
    ------
    OSError
        As for local files: no such file, no permission, no space, a directory.
    CaptureError
        If the file changed while it was sent.
    """
    source = Path(src).expanduser()
    _check_regular(source)
    with source.open("rb", buffering=0) as file:
        info = os.fstat(file.fileno())
        total = info.st_size
        step = partial(_Step, session, on_wait=on_wait)
        token = new_id()
        try:
            place = step(fs.prepare, dst or ".", source.name, total, token).result()
        except BaseException:
            # It may have begun just when it was given up. Nobody waits for this.
            with suppress(RexecError):
                _submit(session, fs.withdraw, dst or ".", source.name, token)
            raise
        with ExitStack() as cleanup:
            cleanup.callback(_discard, session, place.temporary)
            _send(step, source, file, total, place, progress)
            there = step(fs.digest, place.temporary)
            here = fs.digest_of(file.fileno())
            if there.result() != here:
                raise _changed_here(source)
            mode = stat.S_IMODE(info.st_mode) & 0o777
            step(fs.commit, *reversed(place), mode, here).result()
            cleanup.pop_all()
    return str(place.target)


def _check_regular(source: Path) -> None:
    # First of all: to open a pipe would wait for its other end.
    mode = source.stat().st_mode
    if not stat.S_ISREG(mode):
        raise fs.is_directory(source) if stat.S_ISDIR(mode) else fs.no_file(source)


def _send(
    step: Callable[..., _Step],
    source: Path,
    file: IO[bytes],
    total: int,
    place: fs.Place,
    progress: Progress | None,
) -> None:
    def steps() -> Iterator[_Step]:
        for offset in range(0, total, PIECE):
            data = fs.read_fully(file.fileno(), offset, min(PIECE, total - offset))
            if len(data) != min(PIECE, total - offset):
                raise _changed_here(source)
            yield step(fs.write, place.temporary, offset, PickleBuffer(data))

    _tell(progress, 0, total)
    with closing(_in_order(steps())) as results:
        for number, _ in enumerate(results, 1):
            _tell(progress, min(number * PIECE, total), total)


def _changed_here(source: Path) -> CaptureError:
    return CaptureError(
        f"The file {str(source)!r} changed while it was sent. Nothing was stored on the server.",
        hint="Try again when nobody writes to it, or send a copy.",
    )


def _discard(session: Session, temporary: str) -> None:
    # If this fails too there is something else to be told already.
    with suppress(RexecError, OSError, TimeoutError):
        _submit(session, fs.discard, temporary).result(_CLEAN_UP)


def _submit(session: Session, function: Callable[..., Any], *args: Any) -> Job[Any]:
    return session.client.submit_call(
        function, args, session=session.name, hidden=True, states=False
    )


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def get(
    session: Session,
    src: str,
    dst: str | os.PathLike[str] | None = None,
    *,
    progress: Progress | None = None,
    on_wait: OnWait | None = None,
) -> Path:
    """Copy a file of the server to this machine.

    Parameters
    ----------
    session
        Any session of the server.
    src
        Path there, relative to the working directory of the sessions.
    dst
        Path here, or a directory. None: the working directory, under the same name. What
        exists is replaced, at the very end.
    progress
        Called with the bytes done and all bytes.
    on_wait
        Called with what the transfer waits for, if it has to wait for something.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    OSError
        As for local files: no such file, no permission, no space, a directory.
    PullError
        If the file changed while it was fetched.
    """
    target = _target(src, dst)
    step = partial(_Step, session, on_wait=on_wait)
    found: Entry = step(fs.describe, src).result()
    fs.sweep(target.parent)
    room = os.statvfs(target.parent)
    if found.size > (free := room.f_bavail * room.f_frsize):
        raise fs.no_space(target, free, found.size)
    temporary = target.with_name(f".rexec-{new_id()}.part")
    temporary.touch(0o600, exist_ok=False)
    with ExitStack() as cleanup, temporary.open("r+b", buffering=0) as file:
        cleanup.callback(fs.discard, str(temporary))
        _fetch(step, found, file, progress)
        there = step(fs.digest, found.name)
        if fs.digest_of(file.fileno()) != there.result():
            raise _changed_there(found)
        fs.finish(temporary, target, found.mode & 0o777)
        cleanup.pop_all()
    return target


def _target(src: str, dst: str | os.PathLike[str] | None) -> Path:
    """Return where the file is to be; its name is never for the server to choose."""
    target = Path("." if dst is None else dst).expanduser().absolute()
    if target.is_dir() or (dst is not None and os.fspath(dst).endswith("/")):
        name = PurePosixPath(src).name
        if not name or name in (".", "..", "~"):
            raise fs.is_directory(src)
        target /= name
    if target.is_dir():
        raise fs.is_directory(target)
    return target


def _fetch(
    step: Callable[..., _Step], found: Entry, file: IO[bytes], progress: Progress | None
) -> None:
    def steps() -> Iterator[_Step]:
        for offset in range(0, found.size, PIECE):
            length = min(PIECE, found.size - offset)
            yield step(fs.read, found.name, offset, length)

    _tell(progress, 0, found.size)
    done = 0
    with closing(_in_order(steps())) as results:
        for data in results:
            if len(data) != min(PIECE, found.size - done):
                raise _changed_there(found)
            fs.write_fully(file.fileno(), done, data)
            done += len(data)
            _tell(progress, done, found.size)


def _changed_there(found: Entry) -> PullError:
    return PullError(
        f"The file {found.name!r} changed on the server while it was fetched. Nothing was stored.",
        hint="Try again when nobody writes to it, or fetch a copy.",
    )


def ls(session: Session, path: str = ".") -> list[Entry]:
    """List a directory of the server.

    Parameters
    ----------
    session
        Any session of the server.
    path
        Relative to the working directory of the sessions.

    Raises
    ------
    OSError
        If there is no such directory, or no permission to read it.
    """
    entries: list[Entry] = _Step(session, fs.listing, path).result()
    return entries
