"""A function call to the parts of its payload, or an error that names what cannot go."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import pickle
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import cloudpickle

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.errors import CaptureError
from rexec_jupyter.core.values import SCALARS, UnpicklableError, dump, type_name


class Prepared:
    """A function that was pickled once, for many calls; it arrives as the function itself."""

    __slots__ = ("_pickle", "label")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.label = label_of(function)
        stream, *buffers = _dump_named(function, _name_of(function))
        # Out-of-band buffers cannot be nested; a function that carries arrays is rare.
        self._pickle = cloudpickle.dumps(function) if buffers else bytes(stream)

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self._pickle,)


class _Known(NamedTuple):
    """A function that was prepared, and what it depends on."""

    code: CodeType
    needs: dict[str, Any]
    prepared: Prepared


_ABSENT: Any = object()
_known: WeakKeyDictionary[FunctionType, _Known] = WeakKeyDictionary()


def prepared(function: FunctionType) -> FunctionType | Prepared:
    """Return a function such that it is pickled only once, if that makes no difference.

    It makes none to a function that depends on nothing but modules: neither on other globals,
    nor on variables around it, nor on defaults.
    """
    if function.__closure__ or function.__defaults__ or function.__kwdefaults__:
        return function
    outside = function.__globals__
    known = _known.get(function)
    if (
        known is not None
        and known.code is function.__code__
        and all(outside.get(name, _ABSENT) is value for name, value in known.needs.items())
    ):
        return known.prepared
    needs = {name: outside.get(name, _ABSENT) for name in _names(function.__code__)}
    modules = [value for value in needs.values() if value is not _ABSENT]
    registered = cloudpickle.list_registry_pickle_by_value()
    if function.__dict__ or any(
        type(module) is not ModuleType
        or sys.modules.get(module.__name__) is not module
        or module.__name__.partition(".")[0] in registered
        for module in modules
    ):
        return function
    known = _known[function] = _Known(function.__code__, needs, Prepared(function))
    return known.prepared


def _names(code: CodeType) -> set[str]:
    """Return the names that code, and what is defined in it, may look up outside."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


class WithEnvironment:
    """A function that finds these environment variables set while it runs.

    Where it runs it may be a coroutine function or a generator function too.
    """

    def __init__(self, function: Callable[..., Any], environment: Mapping[str, str]) -> None:
        self._function = function
        self._environment = dict(environment)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        with environment(self._environment):
            value = self._function(*args, **kwargs)
            if inspect.iscoroutine(value):
                return asyncio.run(value)
        return self._generate(value) if inspect.isgenerator(value) else value

    def _generate(self, items: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        with environment(self._environment):
            return (yield from items)


def call_each(function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Call a function with each of several arguments; return what came of them."""
    return [function(*args) for args in calls]


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def label_of(function: Callable[..., Any]) -> str:
    """Return a name of a function for lists."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", None) or type_name(function)
    return str(name)[:200]


def _name_of(function: Callable[..., Any]) -> str:
    return f"the function {label_of(function)}, or something it refers to,"


def dump_call(
    function: Callable[..., Any] | Prepared, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[p.Buffer]:
    """Return the parts of a call.

    Raises
    ------
    CaptureError
        If something cannot be pickled; it says what.
    """
    if isinstance(function, FunctionType):
        function = prepared(function)
    if isinstance(function, Prepared) and _are_scalars(args, kwargs):
        return [pickle.dumps((function, args, kwargs), protocol=5)]
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


def _are_scalars(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    return all(type(value) in SCALARS for value in args) and all(
        type(value) in SCALARS for value in kwargs.values()
    )


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
