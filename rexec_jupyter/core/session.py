"""Sessions: named remote interpreters whose variables stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rexec_jupyter.core.console import attend
from rexec_jupyter.core.errors import CaptureError
from rexec_jupyter.core.job import Job
from rexec_jupyter.core.outcomes import CellResult
from rexec_jupyter.core.values import UnpicklableError, dump_cell

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client


class Session:
    """One remote interpreter of the user. Made by `Client.session`; starts with its first cell.

    Attributes
    ----------
    name
        Unique within the user.
    """

    def __init__(self, client: Client, name: str) -> None:
        self.name = name
        self._client = client

    def __repr__(self) -> str:
        return f"<Session {self.name!r} of {self._client!r}>"

    def run_cell(
        self,
        source: str,
        *,
        names: Mapping[str, Any] | None = None,
        outputs: Sequence[str] = (),
        value: bool = False,
        timeout: float | None = None,
        label: str = "",
    ) -> CellResult:
        """Run a cell, show its output here, and wait for it.

        Parameters
        ----------
        source
            Anything that IPython runs, with magics, ``!commands`` and top-level await.
        names
            Variables that are set first.
        outputs
            Names to return once it succeeded.
        value
            Return the value of its last expression too.
        timeout
            Seconds it may run.
        label
            For people, shown in lists.

        Raises
        ------
        CaptureError
            If one of `names` cannot be sent; nothing was executed.
        JobTimeoutError
            If it ran longer than `timeout`.
        BaseException
            What the cell raised.
        """
        job = self.submit_cell(
            source,
            names=names,
            outputs=outputs,
            value=value,
            timeout=timeout,
            label=label,
            stream=True,
        )
        attend(job, lambda: job.ended)
        return job.result()

    def submit_cell(
        self,
        source: str,
        *,
        names: Mapping[str, Any] | None = None,
        outputs: Sequence[str] = (),
        value: bool = False,
        timeout: float | None = None,
        label: str = "",
        stream: bool = False,
    ) -> Job[CellResult]:
        """Run a cell and do not wait; else as `run_cell`.

        Parameters
        ----------
        stream
            Keep all output for `Job.take`. Otherwise `Job.logs` has its text.
        """
        try:
            parts = dump_cell(source, names or {})
        except UnpicklableError as error:
            raise CaptureError(
                f"{error.name} ({error.kind}) cannot be sent: {error.reason}. "
                "Nothing was executed.",
                hint="Create or load it remotely instead.",
            ) from error
        return self._client.submit_parts(
            "cell",
            parts,
            session=self.name,
            label=label,
            stream=stream,
            outputs=list(outputs),
            value=value,
            timeout=timeout or 0.0,
        )
