"""A function call to the parts of its payload, or an error that names what cannot go."""

from __future__ import annotations

import functools
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.errors import CaptureError
from rexec_jupyter.core.values import UnpicklableError, dump, type_name

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""This Python's version, as in `protocol.Submit`."""


class Prepared:
    """A function that was pickled once, for many calls; it arrives as the function itself."""

    __slots__ = ("_pickle", "label")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.label = label_of(function)
        stream, *buffers = _dump_named(function, _name_of(function))
        # Out-of-band buffers cannot be nested; a function that carries arrays is rare.
        self._pickle = _dump_in_band(function) if buffers else bytes(stream)

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self._pickle,)


def _dump_in_band(function: Callable[..., Any]) -> bytes:
    import cloudpickle  # noqa: PLC0415 - rarely needed

    return bytes(cloudpickle.dumps(function, protocol=5))


def label_of(function: Callable[..., Any]) -> str:
    """Return a name of a function for lists."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", None) or type_name(function)
    return str(name)[:200]


def _name_of(function: Callable[..., Any]) -> str:
    return f"the function {label_of(function)}, or something it refers to,"


def dump_call(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[p.Buffer]:
    """Return the parts of a call.

    Raises
    ------
    CaptureError
        If something cannot be pickled; it says what.
    """
    try:
        return dump((function, args, kwargs))
    except UnpicklableError as error:
        # The whole does not tell which of them it was.
        if not isinstance(function, Prepared):
            _dump_named(function, _name_of(function))
        for position, value in enumerate(args, 1):
            _dump_named(value, f"argument {position}")
        for keyword, value in kwargs.items():
            _dump_named(value, f"argument {keyword!r}")
        raise _capture_error("the call", error) from error


def _dump_named(value: Any, name: str) -> list[p.Buffer]:
    try:
        return dump(value, name)
    except UnpicklableError as error:
        raise _capture_error(name, error) from error


def _capture_error(name: str, error: UnpicklableError) -> CaptureError:
    name = name[0].upper() + name[1:]
    return CaptureError(
        f"{name} ({error.kind}) cannot be sent: {error.reason}. Nothing was executed.",
        hint="Create or load it in the remote code instead, or pass plain data it is made from.",
    )
