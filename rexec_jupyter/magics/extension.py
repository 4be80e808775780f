"""``%load_ext rexec_jupyter``: registers the magics, and contacts nothing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from IPython.core.error import UsageError
from IPython.core.magic import no_var_expand, output_can_be_silenced

from rexec_jupyter.core.defaults import Defaults
from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.settings import current
from rexec_jupyter.magics import help as remote_help
from rexec_jupyter.magics import line, options, secrets, tracebacks
from rexec_jupyter.magics.announcing import Announcement
from rexec_jupyter.magics.cell import CellRunner
from rexec_jupyter.magics.commands.state import Help
from rexec_jupyter.magics.completion import Completer
from rexec_jupyter.magics.configuration import configurable
from rexec_jupyter.magics.hints import Hints, misplaced

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_loaded: Magics | None = None


class Magics:
    """``%%rexec``, ``%rexec`` and ``%rx``.

    Parameters
    ----------
    shell
        The notebook's shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._settings = current()
        self._registered = shell.magics_manager.magics
        self._mine: dict[tuple[str, str], Any] = {}
        self._configurable: Any = configurable(shell, self._configured)
        cast("Any", shell).configurables.append(self._configurable)
        self.runner = CellRunner(shell)
        self._register("cell", "rexec", self.run_cell)
        self._register("line", "rexec", self.manage)
        self._register_aliases()
        self._completer = Completer(shell, self.runner)
        self._hints = Hints(shell, self.runner)
        remote_help.register(shell)
        self._announcement = Announcement(shell)

    def close(self) -> None:
        """Remove the magics and end the connection."""
        self._announcement.close()
        remote_help.unregister(self._shell)
        self._hints.close()
        self._completer.close()
        for kind, name in list(self._mine):
            self._remove(kind, name)
        self._shell.configurables.remove(self._configurable)
        self._settings.configure({})
        self.runner.close()

    @output_can_be_silenced
    def run_cell(self, arguments: str, body: str) -> Any:  # noqa: D102 - IPython shows the help set below
        try:
            chosen = options.parse(arguments, self._settings.now())
        except UsageError:
            secrets.forget(self._shell, secrets.given(arguments))
            raise
        except RexecError as error:
            raise tracebacks.remote(error, self._shell) from None
        if chosen.help:
            secrets.forget(self._shell, chosen.secrets)
            print(options.usage())  # noqa: T201 - help goes where the cell's output goes
            return None
        return self.runner.run(body, chosen)

    run_cell.__doc__ = options.usage()

    @output_can_be_silenced
    def manage(self, arguments: str) -> Any:
        """Tell how things stand; starts nothing."""
        if arguments.startswith("%%"):
            misplaced(arguments)
        try:
            told = line.run(self.runner, arguments)
        except UsageError:
            secrets.forget(self._shell, secrets.given(arguments))
            raise
        self._register_aliases()  # if that is what was set
        self._completer.learn(told)
        return told

    # The inspector of a notebook shows it for %%rexec too.
    manage.__doc__ = f"{options.usage()}\n\n{Help.overview().text}"

    @no_var_expand
    @output_can_be_silenced
    def run_line(self, code: str) -> Any:
        """Run one line of code in the active session and return its value.

        %rx df.shape
        shape = %rx df.shape

        There are no options: the whole line is code. Local variables go along as with
        %%rexec. %rx obj? shows the session's help for obj.

        %%rx on top of a cell is the same as %%rexec:
        """
        if not code.strip():
            return None
        try:
            chosen = options.parse("", self._settings.now())
        except RexecError as error:
            raise tracebacks.remote(error, self._shell) from None
        return self.runner.run(code, chosen, is_line=True)

    run_line.__doc__ = f"{inspect.cleandoc(run_line.__doc__ or '')}\n\n{options.usage()}"

    # ------------------------------------------------------------------ registration

    def _configured(self, values: Mapping[str, Any]) -> None:
        self._settings.configure(values)
        if self._mine:
            self._register_aliases()

    def _register_aliases(self) -> None:
        try:
            wanted = set(self._settings.now().aliases)
        except RexecError:  # told when a cell needs the settings; `%rexec config` mends them
            wanted = set(Defaults().aliases)
        for kind, name in list(self._mine):
            if name != "rexec" and name not in wanted:
                self._remove(kind, name)
        for name in wanted:
            self._register("cell", name, self.run_cell)
            self._register("line", name, self.run_line)

    def _register(self, kind: str, name: str, function: Any) -> None:
        taken = name in self._registered[kind] and (kind, name) not in self._mine
        if not taken or name == "rexec":
            self._shell.magics_manager.register_function(function, kind, name)
            self._mine[kind, name] = function

    def _remove(self, kind: str, name: str) -> None:
        function = self._mine.pop((kind, name))
        if self._registered[kind].get(name) == function:
            del self._registered[kind][name]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics; once is enough."""
    global _loaded  # noqa: PLW0603 - a process has one notebook
    if _loaded is None:
        try:
            _loaded = Magics(shell)
        except RexecError as error:
            raise tracebacks.remote(error, shell) from None


def unload_ipython_extension(_shell: InteractiveShell) -> None:
    """Remove the magics and end the connection. Sessions and their variables stay."""
    global _loaded  # noqa: PLW0603 - as above
    if _loaded is not None:
        _loaded.close()
        _loaded = None
