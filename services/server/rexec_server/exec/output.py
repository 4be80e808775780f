"""Standard streams of processes that run user code.

Every write goes to the file descriptor at once: nothing is lost when the process is killed,
subprocesses and C code write to the same pipe in their turn, and what is on its way is seen
even while other code holds the interpreter.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable

from rexec_jupyter.core import protocol as p


class _Descriptor(io.RawIOBase):
    """Writes all of what it is given, which a plain file may not if a signal arrives."""

    mode = "w"

    def __init__(self, descriptor: int, name: str, before: Callable[[int], None] | None) -> None:
        self.name = name
        self._descriptor = descriptor
        self._before = before

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: p.Buffer, /) -> int:  # type: ignore[override] # io has another Buffer
        if self._before is not None:
            self._before(self._descriptor)
        size = len(data)
        written = os.write(self._descriptor, data)
        while written < size:
            written += os.write(self._descriptor, memoryview(data)[written:])
        return size

    def close(self) -> None:
        """Keep the descriptor open: it is not only ours."""


def text_stream(
    descriptor: int, name: str, before: Callable[[int], None] | None = None
) -> io.TextIOWrapper:
    """Return a text stream such as ``sys.stdout``.

    Parameters
    ----------
    descriptor
        Where to write.
    name
        Such as ``<stdout>``.
    before
        Called with the descriptor before each write.
    """
    return io.TextIOWrapper(
        _Descriptor(descriptor, name, before),
        encoding="utf-8",
        errors="backslashreplace",
        write_through=True,
    )


def no_input(*_: object, **__: object) -> str:
    """Stand in for `input`: nobody is there to answer.

    Raises
    ------
    EOFError
        Always.
    """
    raise EOFError(
        "remote code cannot ask for input: ask in a local cell and pass the answer as a variable"
    )
