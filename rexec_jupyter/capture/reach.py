"""Which of the notebook's variables a function or class takes along when it is sent."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any


def reach(value: object, namespace: Mapping[str, Any]) -> list[str]:
    """Return the variables that a function or class of the notebook uses, whenever it runs.

    Those that its helpers use are among them. Other values, and functions of modules, use none.

    Parameters
    ----------
    value
        Any value.
    namespace
        The notebook's variables.
    """
    found: dict[str, None] = {}
    waiting = [value]
    while waiting:
        for function in _functions(waiting.pop()):
            if function.__globals__ is not namespace:
                continue
            for name in _globals(function.__code__):
                if name in namespace and name not in found:
                    found[name] = None
                    waiting.append(namespace[name])
    return list(found)


def _functions(value: object) -> Iterator[types.FunctionType]:
    if issubclass(type(value), types.FunctionType):
        yield value  # type: ignore[misc] # that is what it is
    elif type(value) is type:
        for member in vars(value).values():
            function = member
            if type(member) in (staticmethod, classmethod):
                function = member.__func__
            elif type(member) is property:
                function = member.fget
            if issubclass(type(function), types.FunctionType):
                yield function


def _globals(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals(constant)
