"""``%load_ext rexec_jupyter``: registers the magics, and contacts nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import no_var_expand, output_can_be_silenced

from rexec_jupyter.magics import line, options
from rexec_jupyter.magics.cell import CellRunner

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_MANAGE = """\
Tell how things stand; starts nothing.

%rexec           the backend, this notebook's sessions and what runs there
%rexec status    the same

To run a cell there, write %%rexec on top of it; for one line there is %rx.
"""

_loaded: RexecMagics | None = None


class RexecMagics:
    """``%%rexec``, ``%rexec`` and ``%rx``.

    Parameters
    ----------
    shell
        The notebook's shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.runner = CellRunner(shell)
        self._registered = shell.magics_manager.magics
        self._mine = {
            ("cell", "rexec"): self.run_cell,
            ("cell", "rx"): self.run_cell,
            ("line", "rexec"): self.manage,
            ("line", "rx"): self.run_line,
        }
        for (kind, name), function in self._mine.items():
            shell.magics_manager.register_function(function, kind, name)

    def close(self) -> None:
        """Remove the magics and end the connection."""
        for kind, name in self._mine:
            self._registered[kind].pop(name, None)
        self.runner.close()

    @output_can_be_silenced
    def run_cell(self, arguments: str, body: str) -> Any:  # noqa: D102 - IPython shows the help set below
        chosen = options.parse(arguments)
        if chosen.help:
            print(options.usage())  # noqa: T201 - help goes where the cell's output goes
            return None
        return self.runner.run(body, chosen)

    run_cell.__doc__ = options.usage()

    def manage(self, arguments: str) -> Any:
        """Tell how things stand; starts nothing."""
        return line.run(self.runner, arguments)

    # The inspector of a notebook shows it for %%rexec too.
    manage.__doc__ = f"{_MANAGE}\n{options.usage()}"

    @no_var_expand
    @output_can_be_silenced
    def run_line(self, code: str) -> Any:
        """Run one line of code in the active session and return its value.

        %rx df.shape
        shape = %rx df.shape

        There are no options: the whole line is code. Local variables go along as with
        %%rexec.
        """
        return self.runner.run(code, options.CellOptions(), is_line=True) if code else None


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics; once is enough."""
    global _loaded  # noqa: PLW0603 - a process has one notebook
    if _loaded is None:
        _loaded = RexecMagics(shell)


def unload_ipython_extension(_shell: InteractiveShell) -> None:
    """Remove the magics and end the connection. Sessions and their variables stay."""
    global _loaded  # noqa: PLW0603 - as above
    if _loaded is not None:
        _loaded.close()
        _loaded = None
