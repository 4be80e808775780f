"""Reads the code of a cell before it is sent: its syntax, its names, its first line."""

from __future__ import annotations

import ast
import warnings
from itertools import takewhile
from typing import TYPE_CHECKING

from rexec_jupyter.capture.names import CODE_MAGICS, CellNames, analyse
from rexec_jupyter.capture.scopes import magic_call
from rexec_jupyter.core.errors import NestedMagicError
from rexec_jupyter.magics import tracebacks
from rexec_jupyter.magics.frames import commented

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def read(source: str, shell: InteractiveShell, first_line: int) -> CellNames:
    """Check the syntax, and return what the code does with names.

    Parameters
    ----------
    source
        The code as it stands in the notebook.
    first_line
        Number of its first line in the cell, where the one with the magic is 1.

    Raises
    ------
    SyntaxError
        Python's own, at the line of the cell.
    NestedMagicError
        If it uses rexec itself.
    """
    names = analyse(parse(source, shell, first_line), shell.transform_cell)
    if any(_is_ours(shell, magic) for magic in names.magics):
        raise NestedMagicError(
            "%%rexec and %rx cannot be used in code that runs remotely already.",
            hint="Take them out of the cell.",
        )
    return names


def _is_ours(shell: InteractiveShell, magic: str) -> bool:
    """Tell whether a magic is ``%rexec`` or another name of it."""
    known = shell.magics_manager.magics
    functions = (known["line"].get(magic), known["cell"].get(magic))
    return any(getattr(each, "__module__", "") == f"{__package__}.extension" for each in functions)


def parse(source: str, shell: InteractiveShell, first_line: int, name: str = "") -> ast.Module:
    """Return the syntax tree of the code, with the line numbers of the cell; else as `read`."""
    name = name or f"Cell In[{shell.displayhook.prompt_count}]"
    code = transformed(source, shell, first_line, name)
    try:
        with warnings.catch_warnings(action="ignore"):  # shown where the code runs
            tree: ast.Module = ast.parse(code, name)
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            compile(tree, name, "exec", flags=flags, dont_inherit=True)
    except SyntaxError as error:
        lines = code.splitlines()
        at = min(error.lineno or 1, len(lines)) - 1
        error.text = error.text or (lines[at] if lines else "")
        raise tracebacks.syntax(error, shell) from None
    except ValueError as error:  # such as a null byte
        raise tracebacks.brief(SyntaxError(str(error)), shell) from None
    _check_body(tree, shell, name)
    return tree


def transformed(source: str, shell: InteractiveShell, first_line: int, name: str) -> str:
    """Return what IPython makes of the code, with every line where it is in the cell.

    Raises
    ------
    SyntaxError
        If it cannot be understood.
    """
    # IPython takes them away.
    blank = len(list(takewhile(lambda line: not line.strip(), source.splitlines())))
    try:
        code: str = shell.transform_cell(source)
    except SyntaxError as error:
        error.filename = name
        error.lineno = (error.lineno or 1) + first_line - 1
        raise tracebacks.syntax(error, shell) from None
    return "\n" * (first_line - 1 + blank) + code


def _check_body(tree: ast.Module, shell: InteractiveShell, name: str) -> None:
    """Check the code within a magic such as ``%%time`` too."""
    match tree.body:
        case [ast.Expr(value=ast.Call() as call)]:
            method, arguments = magic_call(call) or ("", [])
            if method == "run_cell_magic" and arguments[0] in CODE_MAGICS:
                parse(arguments[2], shell, call.lineno + 1, name)


def above(source: str, shell: InteractiveShell) -> list[str]:
    """Return the lines of the cell above the code, as comments; the last is for the magic.

    More than that one there are where the cell begins with ``%%time``, say, or blank lines.
    """
    history = shell.history_manager
    cell = history.input_hist_raw[-1] if history is not None else ""
    code = source.rstrip()
    if not code or not cell.rstrip().endswith(code):  # it comes from elsewhere
        return ["# %%rexec"]
    lines = cell.rstrip()[: -len(code)].split("\n")[:-1]
    return [commented(line) for line in lines] or ["# %%rexec"]


def aligned(source: str, above: list[str]) -> str:
    """Make lines count there as in the notebook, with others above the code."""
    first, newline, rest = source.lstrip("\n").partition("\n")
    if first.startswith("%%"):
        # A cell magic within has to stay first. Lines of other languages are left alone.
        is_code = first[2:].split()[:1] and first[2:].split()[0] in CODE_MAGICS
        blank = source[: len(source) - len(source.lstrip("\n"))]
        padding = [*above, *blank.splitlines(), f"# {first.split()[0]}"]
        return "\n".join([first, *padding, rest]) if is_code and newline else source
    code = source.lstrip("\n")  # what is indented as a whole stays so
    indent = code[: len(code) - len(code.lstrip(" \t"))]
    return "\n".join([*(indent + line for line in above), source])


def first_line(source: str) -> str:
    """Return the first line of code, to call the cell by."""
    lines = [line.strip() for line in source.splitlines()]
    code = [line[:80] for line in lines if line and not line.startswith("#")]
    # The first of several that is no magic for those below it.
    return next((line for line in code if not line.startswith("%%")), code[0] if code else "")
