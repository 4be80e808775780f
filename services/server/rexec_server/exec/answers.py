"""What a cell that has ended is answered with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rexec_jupyter.core import values
from rexec_jupyter.core.errors import NestedMagicError
from rexec_jupyter.core.guards import aligned, readable
from rexec_server import handoff as h
from rexec_server.exec import failures, payloads

Answer = tuple[h.Message, bytes]
_MAX_ROWS = 20


class RefusedError(Exception):
    """The cell cannot run, or its values cannot be sent; args are a code and a text."""


@dataclass(slots=True)
class Ran:
    """How the code of a cell ended.

    Attributes
    ----------
    error
        What it raised.
    traceback
        The lines that tell so.
    shown
        The error that was shown last, as in the Jupyter messaging protocol.
    interrupted
        It was interrupted where it awaited something.
    value, ref
        Its last expression, and the name under which the session keeps that.
    """

    error: BaseException | None = None
    traceback: Sequence[str] = ()
    shown: Mapping[str, Any] | None = None
    interrupted: bool = False
    value: Any = None
    ref: str = ""
    duration: float = field(default=0.0, kw_only=True)


def answer(cell: h.RunCell, ran: Ran, namespace: Mapping[str, Any], files: Path) -> Answer:
    """Make the answer to a cell.

    Parameters
    ----------
    namespace
        Where its outputs are.
    files
        Where large values go.
    """
    error, shown = ran.error, ran.shown
    # While IPython winds a cell up it shows the exception and keeps no trace of it.
    late = error is None and shown is not None and shown["ename"] == "KeyboardInterrupt"
    if ran.interrupted or late or isinstance(error, KeyboardInterrupt):
        lines = failures.shortened(ran.traceback)
        return h.Interrupted(job=cell.job, traceback=lines, duration=ran.duration), b""
    if error is None and shown is not None:
        # The code went well; showing the value of its last expression did not.
        name, text = shown["ename"], shown["evalue"]
        return failures.unsent(cell.job, name, text, ran.traceback, ran.duration), b""
    try:
        if error is None or isinstance(error, SystemExit):
            return _success(cell, ran, namespace, files)
    except RefusedError as refusal:
        error = refusal
    if isinstance(error, RefusedError):
        code, text = error.args
        return failures.refused(cell.job, code, text, ran.duration)
    if isinstance(error, NestedMagicError):
        text = f"{error.message} {error.hint}"
        return failures.refused(cell.job, error.code, text, ran.duration)
    return failures.failed(cell.job, error, ran.traceback, files, ran.duration)


def exit_code(error: SystemExit) -> tuple[int, str]:
    """Return the code that a process would have ended with, and what it would have said."""
    if error.code is None:
        return 0, ""
    if isinstance(error.code, int):
        return error.code, ""
    return 1, str(error.code)


def _success(cell: h.RunCell, ran: Ran, namespace: Mapping[str, Any], files: Path) -> Answer:
    missing = [name for name in cell.outputs if name not in namespace]
    if missing:
        listed = ", ".join(map(repr, missing))
        raise RefusedError("R11", f"The cell ran, but there is no {listed} to bring back.")
    outputs = {name: namespace[name] for name in cell.outputs}
    try:
        parts = values.dump_cell_result(
            outputs,
            ran.value,
            has_value=cell.value and ran.value is not None,
            value_limit=cell.value_limit,
            max_recv=cell.max_recv,
            ref=ran.ref,
        )
        result, data = payloads.store(files, parts)
    except values.UnpicklableError as error:
        text = (
            f"{error.name!r} ({error.kind}) cannot be brought back: {error.reason}."
            " The cell ran; the value stays in the session. Bring back plain data made of it."
        )
        raise RefusedError("R11", text) from error
    except values.OversizeError as error:
        raise RefusedError("R11", _oversize(error)) from error
    except OSError as error:
        raise RefusedError("R05", f"There is no room for the cell's values: {error}.") from error
    message = h.Returned(nbytes=len(data), job=cell.job, result=result, duration=ran.duration)
    return message, data


def _oversize(error: values.OversizeError) -> str:
    total = sum(nbytes for _, nbytes in error.sizes.values())
    largest = sorted(error.sizes.items(), key=lambda item: -item[1][1])
    rows = [(name, kind, readable(nbytes)) for name, (kind, nbytes) in largest]
    more = [f"  … and {len(rows) - _MAX_ROWS} more"] if len(rows) > _MAX_ROWS else []
    heading = (
        f"The cell ran, but what it is to bring back takes {readable(total)}, more than"
        f" max_recv allows ({readable(error.limit)}). Nothing was sent."
    )
    return "\n".join(
        [
            heading,
            *aligned([("name", "type", "size"), *rows[:_MAX_ROWS]]),
            *more,
            "Ask for fewer names, reduce them in the session, or raise max_recv.",
        ]
    )
