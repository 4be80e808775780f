"""Scripts: the cell magic ``%%rexec_script``, which `rexec run` sends, runs one as Python would."""

from __future__ import annotations

import json
import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rexec_server.exec.failures import rendered

_MISSING = object()
_LINES = "_rexec_script_traceback"


class ExitCode(int):
    """What a script gave to `sys.exit`; a plain number where it is sent."""

    def __repr__(self) -> str:
        return f"exit code {int(self)}"

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return int, (int(self),)


def register(shell: Any) -> None:
    """Let a shell know the magic."""

    def rexec_script(line: str, cell: str) -> ExitCode | None:
        told = json.loads(line)
        return run_script(cell, told["file"], told["argv"], shell.user_ns)

    rexec_script._ipython_magic_no_var_expand = True  # type: ignore[attr-defined]  # noqa: SLF001
    shell.register_magic_function(rexec_script, "cell", "rexec_script")


def run_script(
    source: str, file: str, argv: list[str], namespace: dict[str, Any]
) -> ExitCode | None:
    """Run a script in a namespace, as ``__main__``.

    Parameters
    ----------
    source
        Its text.
    file
        Its name, for ``__file__`` and for tracebacks.
    argv
        Its ``sys.argv``.
    namespace
        Where its names go.

    Returns
    -------
    ExitCode or None
        What it gave to `sys.exit`, unless that was success.
    """
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    with _as_main(file, argv, namespace):
        try:
            exec(compile(source, file, "exec", dont_inherit=True), namespace)  # noqa: S102 - that is it
        except SystemExit as error:
            return _exit_code(error.code)
        except BaseException as error:
            _keep_lines(error)
            raise
    return None


@contextmanager
def _as_main(file: str, argv: list[str], namespace: dict[str, Any]) -> Iterator[None]:
    """Set what a script finds when it is run, and set it back."""
    former_argv = sys.argv
    former_file = namespace.get("__file__", _MISSING)
    sys.argv = argv
    namespace["__file__"] = file
    try:
        yield
    finally:
        sys.argv = former_argv
        if former_file is _MISSING:
            namespace.pop("__file__", None)
        else:
            namespace["__file__"] = former_file


def _exit_code(code: object) -> ExitCode | None:
    """Do what Python does with the argument of `sys.exit`."""
    if code is None:
        return None
    if isinstance(code, int):
        return ExitCode(code & 0xFF) if code else None
    sys.stderr.write(f"{code}\n")
    return ExitCode(1)


def lines_of(error: BaseException) -> list[str]:
    """Return the traceback of an exception that a script ended with; nothing for any other."""
    lines: list[str] = getattr(error, _LINES, [])
    return lines


def _keep_lines(error: BaseException) -> None:
    """Keep the traceback as Python shows it for a script: from its first line on."""
    lines = rendered(error)
    with suppress(AttributeError):  # an exception without attributes is shown as in a cell
        setattr(error, _LINES, lines)
