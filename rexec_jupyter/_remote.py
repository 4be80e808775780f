"""`remote`: a decorator for functions that run on a worker whenever they are called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from rexec_jupyter._api import run, seconds
from rexec_jupyter.core.calls import Prepared, WithEnvironment, label_of
from rexec_jupyter.core.console import OnInterrupt
from rexec_jupyter.core.job import Job
from rexec_jupyter.core.session import Session
from rexec_jupyter.core.settings import current

P = ParamSpec("P")
R = TypeVar("R")


class RemoteFunction(Generic[P, R]):
    """A function that runs on a worker. Made by `remote`.

    Sent to a worker it is the function itself: what runs remotely calls it as any other.

    Attributes
    ----------
    local
        The function itself, to call it here.
    """

    __wrapped__: Callable[P, R]

    def __init__(self, function: Callable[P, R], options: Mapping[str, Any]) -> None:
        self.local = function
        self._options = dict(options)
        functools.update_wrapper(self, function)

    def __repr__(self) -> str:
        return f"<remote function {label_of(self.local)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self.local,)

    def __get__(self, instance: object, owner: type | None = None) -> RemoteFunction[..., R]:
        if instance is None:
            return cast("RemoteFunction[..., R]", self)
        bound: Any = self.local
        return RemoteFunction(bound.__get__(instance, owner), self._options)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it remotely, show its output here, and return its value; see `Client.run`."""
        value: R = run(_bound(self.local, kwargs), *args, **self._options)
        return value

    def submit(self, /, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Call it remotely and do not wait; see `Client.submit`."""
        job: Job[R] = run(_bound(self.local, kwargs), *args, block=False, **self._options)
        return job

    def map(self, *iterables: Iterable[Any]) -> Iterator[R]:
        """Call it on the items of iterables, several at once; yield in their order."""
        where, options = self._where(), self._options
        function: Any = self.local
        if options["env"]:
            function = WithEnvironment(function, options["env"])
        spec = {"session": where.name, "timeout": seconds(options["timeout"]) or 0.0}
        label = options["name"] or label_of(self.local)
        calls = zip(*iterables, strict=False)
        return where.client.map_calls(Prepared(function), calls, label=label, **spec)

    async def aio(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it remotely and await its value; cancelling the task ends the call."""
        return await self.submit(*args, **kwargs)

    def _where(self) -> Session:
        session = self._options["session"]
        if isinstance(session, Session):
            return session
        return Session(session or current().now().session, profile=self._options["profile"])


def _itself(function: Callable[P, R]) -> Callable[P, R]:
    return function


def _bound(function: Callable[..., R], kwargs: Mapping[str, Any]) -> Callable[..., R]:
    return functools.partial(function, **kwargs) if kwargs else function


@overload
def remote(function: Callable[P, R], /) -> RemoteFunction[P, R]: ...


@overload
def remote(
    *,
    session: Session | str | None = None,
    profile: str | None = None,
    name: str = "",
    timeout: float | str | None = None,
    wait_start: float | str | None = None,
    on_interrupt: OnInterrupt | None = None,
    stream: bool | None = None,
    max_send: int | str | None = None,
    env: Mapping[str, str] | None = None,
) -> Callable[[Callable[P, R]], RemoteFunction[P, R]]: ...


def remote(  # noqa: PLR0913 - each is an option of a call
    function: Callable[P, R] | None = None,
    /,
    *,
    session: Session | str | None = None,
    profile: str | None = None,
    name: str = "",
    timeout: float | str | None = None,
    wait_start: float | str | None = None,
    on_interrupt: OnInterrupt | None = None,
    stream: bool | None = None,
    max_send: int | str | None = None,
    env: Mapping[str, str] | None = None,
) -> Any:
    """Make a function run on a worker whenever it is called.

    ``f(x)`` waits and returns the value, ``f.submit(x)`` returns a `Job`, ``f.map(xs)``
    iterates over the values for many arguments, ``await f.aio(x)`` awaits the value, and
    ``f.local(x)`` runs it here. A method is sent with the object that it belongs to.

    Parameters
    ----------
    function
        The function, where the decorator has no arguments.
    session
        Session, or the name of one, on whose server it runs. Calls share no variables.
    profile, name, timeout, wait_start, on_interrupt, stream, max_send, env
        As for `run`.

    Examples
    --------
    >>> @remote(timeout="5m")
    ... def area(radius: float) -> float:
    ...     return 3.14159 * radius**2
    """
    options = {
        "session": session,
        "profile": profile,
        "name": name,
        "timeout": timeout,
        "wait_start": wait_start,
        "on_interrupt": on_interrupt,
        "stream": stream,
        "max_send": max_send,
        "env": env,
    }

    def decorate(function: Callable[P, R]) -> RemoteFunction[P, R]:
        if isinstance(function, classmethod):
            raise TypeError("write @classmethod above @remote: what it makes is no function yet")
        if not callable(function):
            raise TypeError(f"remote is for functions, not for {type(function).__name__}")
        return RemoteFunction(function, options)

    return decorate if function is None else decorate(function)
