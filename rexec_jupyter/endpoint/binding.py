"""Makes methods of clients from operations: the same for threads and for event loops."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from rexec_jupyter.endpoint.exchange import Steps
from rexec_jupyter.endpoint.paging import Pages
from rexec_jupyter.endpoint.transport import AsyncDriver, Driver

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class HasDriver(Protocol):
    """A client."""

    _driver: Driver


class HasAsyncDriver(Protocol):
    """An asynchronous client."""

    _driver: AsyncDriver


def sync(operation: Callable[P, Steps[T]]) -> Callable[Concatenate[HasDriver, P], T]:
    """Make a method that takes the operation's steps and returns their result."""

    def method(self: HasDriver, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._driver.run(operation(*args, **kwargs))

    return dressed(method, operation, "{}")


def asynchronous(
    operation: Callable[P, Steps[T]],
) -> Callable[Concatenate[HasAsyncDriver, P], Coroutine[Any, Any, T]]:
    """Make a coroutine method that takes the operation's steps and returns their result."""

    async def method(self: HasAsyncDriver, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._driver.run(operation(*args, **kwargs))

    return dressed(method, operation, "{}")


def paged(search: Callable[P, Pages[T]]) -> Callable[Concatenate[HasDriver, P], Iterator[T]]:
    """Make a method that yields the items of all pages."""

    def method(self: HasDriver, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        pages = search(*args, **kwargs)
        while pages.more:
            yield from pages.take(self._driver.run(pages.next()))

    return dressed(method, search, "Iterator[{}]")


def asynchronously_paged(
    search: Callable[P, Pages[T]],
) -> Callable[Concatenate[HasAsyncDriver, P], AsyncIterator[T]]:
    """Make a method that yields the items of all pages, for `async for`."""

    async def method(
        self: HasAsyncDriver, /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncIterator[T]:
        pages = search(*args, **kwargs)
        while pages.more:
            for item in pages.take(await self._driver.run(pages.next())):
                yield item

    return dressed(method, search, "AsyncIterator[{}]")


def here(function: Callable[P, T]) -> Callable[Concatenate[object, P], T]:
    """Make a method of something that does not concern the endpoint."""

    def method(_: object, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)

    return dressed(method, function)


def aside(function: Callable[P, T]) -> Callable[Concatenate[object, P], Coroutine[Any, Any, T]]:
    """Make a coroutine method of the same, which does not hold up the event loop."""

    async def method(_: object, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(function, *args, **kwargs)

    return dressed(method, function)


def dressed(method: F, original: Callable[..., Any], returns: str = "") -> F:
    """Give a method the name, text and parameters of what it was made from, and its result."""
    update_wrapper(method, original)
    signature = inspect.signature(original)
    if returns:  # what the steps lead to, not the steps
        outer = str(signature.return_annotation)
        told = returns.format(outer[outer.index("[") + 1 : -1])
        signature = signature.replace(return_annotation=told)
        method.__annotations__ = {**original.__annotations__, "return": told}
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    vars(method)["__signature__"] = signature.replace(
        parameters=[own, *(each for each in signature.parameters.values() if each.name != "self")]
    )
    del vars(method)["__wrapped__"]  # it has another signature, and is a generator function
    return method
