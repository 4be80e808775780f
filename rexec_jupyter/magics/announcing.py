"""Tells the panel which backend this notebook uses, as `rexec_jupyter.core.kernels` has it."""

from __future__ import annotations

import atexit
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from rexec_jupyter.core.kernels import KernelFile
from rexec_jupyter.core.settings import current

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class Announcement:
    """Told as long as it is not closed; after each cell it is looked whether it is still so.

    Parameters
    ----------
    shell
        The notebook's shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        kernel = _kernel_id(shell)
        self._file = KernelFile(kernel, current()) if kernel else None
        if self._file is not None:
            shell.events.register("post_run_cell", self._refresh)
            atexit.register(self._file.remove)
            self._refresh()

    def close(self) -> None:
        """Tell nothing any more."""
        if self._file is not None:
            self._shell.events.unregister("post_run_cell", self._refresh)
            atexit.unregister(self._file.remove)
            self._file.remove()

    def _refresh(self, _result: object = None) -> None:
        # Cells run without it: whatever is wrong with the directory is for the backend to tell.
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.refresh()


def _kernel_id(shell: InteractiveShell) -> str:
    """Return the id by which a Jupyter server knows this kernel; empty if this is none."""
    if not hasattr(shell, "kernel"):
        return ""
    from ipykernel.connect import get_connection_file  # noqa: PLC0415 - a terminal has none

    try:
        return Path(get_connection_file()).stem.removeprefix("kernel-")
    except (RuntimeError, OSError):  # one within another program, which no Jupyter server knows
        return ""
