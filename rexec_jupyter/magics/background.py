"""A remote cell that the notebook does not wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from rexec_jupyter.core.job import Job


class CellJob(Future[Any]):
    """A cell that runs remotely: a future of the value of its last expression.

    It is done once its output is shown and the names of ``-o`` are assigned.

    Parameters
    ----------
    job
        The job that runs the cell.
    finish
        Shows the cell's output until its end; returns the value.
    """

    def __init__(self, job: Job[Any], finish: Callable[[], Any]) -> None:
        super().__init__()
        self._job = job
        self._finish = finish

    def follow(self, shell: InteractiveShell) -> None:
        """Show the output below the cell that is running now, on another thread."""
        # A terminal has no requests: there all output goes to one place.
        get_parent = getattr(shell, "get_parent", None)
        parent = get_parent() if get_parent else None
        thread = threading.Thread(
            target=self._run, args=(shell, parent), name=f"rexec-cell-{self.id[:8]}", daemon=True
        )
        thread.start()

    def _run(self, shell: InteractiveShell, parent: dict[str, Any] | None) -> None:
        if parent is not None:
            pin(shell, parent)
        try:
            value = self._finish()
        except CancelledError:
            super().cancel()
            self.set_running_or_notify_cancel()
        except BaseException as error:  # noqa: BLE001 - it is the outcome, whatever it is
            self.set_exception(error)
        else:
            self.set_result(value)

    @property
    def id(self) -> str:
        """Id of the job, for `Client.attach`."""
        return self._job.id

    @property
    def state(self) -> str:
        """What it is doing."""
        return self._job.state

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the cell, as the stop button would."""
        self._job.interrupt()

    def cancel(self) -> bool:
        """End the cell; return whether there was something to end."""
        return self._job.cancel()

    def __repr__(self) -> str:
        label = f" {self._job.label!r}" if self._job.label else ""
        # What a cell shows of it as its result stays as it is.
        state = "" if self.state == "waiting" else f": {self.state}"
        wait = "" if self.done() else "; .result() waits for its value"
        return f"<job {self.id[:8]}{label} in session {self._job.session}{state}{wait}>"


def pin(shell: InteractiveShell, parent: dict[str, Any]) -> None:
    """Make the output of this thread appear below the cell of that request."""
    kernel_shell: Any = shell
    # Only ipykernel 7.4 can set it for one thread; before, new threads' default moves along.
    set_parent = getattr(shell, "set_thread_parent", None) or kernel_shell.set_parent
    set_parent(parent)
