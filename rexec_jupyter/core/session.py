"""Sessions: named remote interpreters whose variables stay."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rexec_jupyter.core import files
from rexec_jupyter.core.cells import IfBusy, Place
from rexec_jupyter.core.console import attend
from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.filesystem import Entry
from rexec_jupyter.core.happenings import NameInfo, NamesChanged, TextOutput
from rexec_jupyter.core.settings import current
from rexec_jupyter.core.trust import new_id

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client
    from rexec_jupyter.core.log_reader import LogReader

_END = 30.0
"""Seconds that ending an interpreter may take."""
_DELETE = """
ip = get_ipython()
missing = [name for name in names if name not in ip.user_ns or name in ip.user_ns_hidden]
if not missing:
    for name in names:
        ip.del_var(name)
result = missing
"""
_RESET = "get_ipython().reset(new_session=False)"


class Session(Place):
    """One remote interpreter of the user; it starts with its first cell.

    As a context manager a session with a name goes on after the block, as its variables are
    there to be found again. One without a name is ended with the block.

    Parameters
    ----------
    name
        Unique within the user, 1 to 64 characters. None: a new name.
    client
        Through which to reach it. None: the one of this process, which is connected at the
        first use.
    profile
        Settings that it is to be made with.

    Attributes
    ----------
    name
        Unique within the user.

    Raises
    ------
    ValueError
        If it cannot have that name.
    """

    def __init__(
        self,
        name: str | None = None,
        client: Client | None = None,
        *,
        profile: str | None = None,
    ) -> None:
        super().__init__(f"temporary-{new_id()[:8]}" if name is None else name, client, profile)
        self._ends = name is None

    def __repr__(self) -> str:
        return f"<Session {self.name!r} of {self._client or 'the default client'!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._ends:
            return
        if kind is None:
            self.stop()
        else:  # there is something worse to be told
            with suppress(RexecError):
                self.stop()

    # ------------------------------------------------------------------ variables

    def push(
        self, names: Mapping[str, Any] | None = None, /, *, max_send: int | None = None, **more: Any
    ) -> None:
        """Set variables in the session: all of them, or none.

        Parameters
        ----------
        names, **more
            Values by name.
        max_send
            Bytes that they may take; 0 means no limit, None what the settings say.

        Raises
        ------
        CaptureError
            If one cannot be sent, or they are too large.
        """
        names = {**(names or {}), **more}
        if bad := [name for name in names if not str(name).isidentifier()]:
            raise ValueError(f"{bad[0]!r} is no name of a variable")
        limit = current().now().max_send if max_send is None else max_send
        self.run_cell("", names=names, label=f"push {', '.join(names)}", max_send=limit)

    def pull(self, name: str, /, *more: str, max_recv: int | None = None) -> Any:
        """Return the value of a variable of the session; of several, a tuple of all or an error.

        Parameters
        ----------
        name, *more
            Names of variables.
        max_recv
            Bytes that they may take; 0 means no limit, None what the settings say.

        Raises
        ------
        PullError
            If there is none of that name, or it cannot be sent or is too large.
        """
        names = [name, *more]
        limit = current().now().max_recv if max_recv is None else max_recv
        result = self.run_cell("", outputs=names, label=f"pull {', '.join(names)}", max_recv=limit)
        values = tuple(result.outputs[name] for name in names)
        return values if more else values[0]

    def who(self) -> dict[str, NameInfo]:
        """Return what is known of each variable in the session."""
        job = self.submit_cell("", hidden=True, known="?", stream=True)
        names: dict[str, NameInfo] = {}

        def take(happenings: list[Any]) -> None:
            for happening in happenings:
                if isinstance(happening, NamesChanged):
                    if happening.whole:
                        names.clear()
                    names.update(happening.names)

        attend(job, lambda: job.ended, take)
        job.result()
        return dict(sorted(names.items()))

    def delete(self, name: str, /, *more: str) -> None:
        """Delete variables in the session: all of them, or none.

        Raises
        ------
        NameError
            If there is none of that name.
        """
        missing = self.run_hidden(_DELETE, names=[name, *more]).value
        if missing:
            listed = ", ".join(map(repr, missing))
            raise NameError(f"there is no {listed} in session {self.name!r}; nothing was deleted")

    def reset(self, *, if_busy: IfBusy = "queue") -> None:
        """Delete all variables in the session; its interpreter goes on.

        Parameters
        ----------
        if_busy
            As for `run_cell`.
        """
        job = self.submit_cell(_RESET, value=True, hidden=True, if_busy=if_busy)
        attend(job, lambda: job.ended)
        job.result()

    # ---------------------------------------------------------------------- files

    def put(
        self,
        src: str | Path,
        dst: str | None = None,
        *,
        progress: files.Progress | None = None,
        on_wait: files.OnWait | None = None,
    ) -> str:
        """Copy a file of this machine to the server; see `rexec_jupyter.core.files.put`."""
        return files.put(self, src, dst, progress=progress, on_wait=on_wait)

    def get(
        self,
        src: str,
        dst: str | Path | None = None,
        *,
        progress: files.Progress | None = None,
        on_wait: files.OnWait | None = None,
    ) -> Path:
        """Copy a file of the server to this machine; see `rexec_jupyter.core.files.get`."""
        return files.get(self, src, dst, progress=progress, on_wait=on_wait)

    def ls(self, path: str = ".") -> list[Entry]:
        """List a directory of the server; see `rexec_jupyter.core.files.ls`."""
        return files.ls(self, path)

    # ------------------------------------------------------------- the interpreter

    def logs(self, tail: int = 0) -> str:
        """Return the text that cells of this session showed, as far as the server keeps it.

        Parameters
        ----------
        tail
            Only so many lines at the end; 0: all.
        """
        client = self.client
        texts: list[str] = []
        lines = 0
        for job in client.jobs():  # the newest comes first
            if job.session == self.name and job.kind == "cell" and not (tail and lines >= tail):
                texts.append(_text(client.log(job.job, self.name, tail=tail)))
                lines += texts[-1].count("\n")
        text = "".join(reversed(texts))
        return "".join(text.splitlines(keepends=True)[-tail:])

    def stop(self) -> bool:
        """End the interpreter, and with it all its variables. Cells there are cancelled.

        Returns
        -------
        bool
            Whether there was one.

        Raises
        ------
        ConnectionLostError
            If the server does not answer.
        """
        return self._stop(restart=False)

    def restart(self) -> bool:
        """Replace the interpreter by a new one; else as `stop`."""
        return self._stop(restart=True)

    def _stop(self, *, restart: bool) -> bool:
        return self.client.end_session(self.name, restart=restart, timeout=_END)


def _text(log: LogReader) -> str:
    texts: list[str] = []
    while happenings := log.read():
        texts += [each.text for each in happenings if isinstance(each, TextOutput)]
    return "".join(texts)
