"""One line of help where IPython's own words lead nowhere."""

from __future__ import annotations

import re
import sys
import tokenize
from typing import TYPE_CHECKING, NoReturn, Self

from IPython.core.error import UsageError
from IPython.core.inputtransformer2 import TokenTransformBase

from rexec_jupyter.core.settings import current
from rexec_jupyter.magics.help import EARLY, significant

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

    from rexec_jupyter.magics.cell import CellRunner


class Hints:
    """Adds a hint to a local NameError if the name lives in the active session.

    Parameters
    ----------
    shell
        The notebook's shell.
    runner
        Knows the active session and its names.
    """

    def __init__(self, shell: InteractiveShell, runner: CellRunner) -> None:
        self._shell = shell
        self._runner = runner
        # Unlike post_execute, this never comes while a widget's message is handled, where
        # what is printed would get lost.
        shell.events.register("post_run_cell", self._after)
        shell.input_transformer_manager.token_transformers.append(Misplaced)
        shell.input_transformers_cleanup.append(_with_body)

    def close(self) -> None:
        """Leave IPython as it was."""
        self._shell.events.unregister("post_run_cell", self._after)
        self._shell.input_transformer_manager.token_transformers.remove(Misplaced)
        self._shell.input_transformers_cleanup.remove(_with_body)

    def _after(self, result: ExecutionResult) -> None:
        error = result.error_in_exec
        if not isinstance(error, NameError) or hasattr(error, "rexec_job"):
            return
        name, session = error.name, self._runner.session
        if name and self._is_ours(error, name) and name in self._runner.names.names(session):
            sys.stderr.write(
                f"`{name}` exists in rexec session '{session}' — `%rexec pull {name}`\n"
            )
            sys.stderr.flush()

    def _is_ours(self, error: NameError, name: str) -> bool:
        """Whether it is the notebook's namespace that lacks the name, not some module's."""
        trace, namespace = error.__traceback__, None
        while trace is not None:
            namespace, trace = trace.tb_frame.f_globals, trace.tb_next
        return namespace is self._shell.user_ns and name not in namespace


class Misplaced(TokenTransformBase):
    """Finds a ``%%rexec`` with something above it, where IPython would look for a line magic."""

    priority = EARLY

    magic = ""

    @classmethod
    def find(cls, tokens_by_line: list[list[tokenize.TokenInfo]]) -> Self | None:
        """Find it among the lines of a cell."""
        for line in tokens_by_line:
            start, words = significant(line)
            if words[:2] == ["%", "%"] and len(words) > 2 and words[-1] != "?":
                magic = words[2]
                if magic == "rexec" or magic in current().now().aliases:
                    found = cls(start)
                    found.magic = magic
                    return found
        return None

    def transform(self, lines: list[str]) -> list[str]:  # noqa: ARG002 - nothing of them is run
        """Put a call in place of the whole cell that ends in `misplaced`."""
        return [f"get_ipython().run_line_magic('rexec', '%%{self.magic}')\n"]


_HELP = re.compile(r"%%(\w+)\s+(?:-h|--help)\s*")


def _with_body(lines: list[str]) -> list[str]:
    """Give ``%%rexec --help`` alone a body: IPython refuses a cell magic that has none."""
    asked = _HELP.fullmatch("".join(lines))
    if asked and (asked[1] == "rexec" or asked[1] in current().now().aliases):
        return [f"{lines[0].rstrip()}\n", "pass\n"]
    return lines


def misplaced(magic: str) -> NoReturn:
    """Complain of a cell magic, such as ``%%rexec``, that is not the first line of its cell.

    Raises
    ------
    UsageError
        Always.
    """
    raise UsageError(
        f"{magic} has to be the first line of its cell: move what stands above it below it, "
        "or into another cell. Nothing was run."
    )
