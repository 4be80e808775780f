"""Runs the code of a remote cell in the notebook itself, for ``--local``."""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from rexec_jupyter.magics import reading, tracebacks

if TYPE_CHECKING:
    from types import CodeType

    from IPython.core.interactiveshell import InteractiveShell

    from rexec_jupyter.magics.options import CellOptions


def run(source: str, shell: InteractiveShell, options: CellOptions, first_line: int = 2) -> Any:
    """Run code here, and return the value of its last expression.

    Raises
    ------
    UsageError
        If it awaits something at its top level, which only a cell as such can.
    BaseException
        What it raised.
    """
    code = reading.transformed(source, shell, first_line, "")
    # Tracebacks show the lines of the cell by this name.
    name = shell.compile.cache(f"%%rexec{code}", shell.displayhook.prompt_count)
    tree = reading.parse(source, shell, first_line, name)
    last = tree.body[-1] if tree.body else None
    expression = ast.Expression(last.value) if isinstance(last, ast.Expr) else None
    if expression is not None:
        tree.body.pop()
    body = _compiled(tree, name, "exec")
    value = _compiled(expression, name, "eval") if expression is not None else None
    namespace = shell.user_ns
    namespace.update({there: namespace[here] for there, here in options.in_.items()})
    with _environment(options.env):
        try:
            exec(body, namespace)  # noqa: S102 - it is what the cell is for
            result = eval(value, namespace) if value is not None else None  # noqa: S307 - as above
        except BaseException as error:  # noqa: BLE001 - shown as what it is
            raise _without_ours(error, shell) from error.__cause__
    missing = [there for there in options.out.values() if there not in namespace]
    if missing:
        raise tracebacks.brief(
            NameError(f"name {missing[0]!r} is not defined, so nothing was assigned"), shell
        )
    shell.push({here: namespace[there] for here, there in options.out.items()})
    return None if options.return_ == "none" else result


def _compiled(tree: ast.Module | ast.Expression, name: str, mode: str) -> CodeType:
    code: CodeType = compile(
        tree, name, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )
    if code.co_flags & inspect.CO_COROUTINE:
        raise UsageError("%%rexec: --local cannot await; take %%rexec off to run the cell here")
    return code


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    former = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _without_ours(error: BaseException, shell: InteractiveShell) -> BaseException:
    trace = error.__traceback__
    trace = trace.tb_next if trace is not None else None  # the frame of `run`
    lines = shell.InteractiveTB.structured_traceback(type(error), error, trace)
    return tracebacks.with_lines(error, list(lines), shell)
