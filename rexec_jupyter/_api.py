"""rexec without magics: `run`, and the client that is used where none is named."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any, Literal, get_args

from rexec_jupyter._connect import connect
from rexec_jupyter.capture.choice import Capture as Taken
from rexec_jupyter.capture.explain import Explanation, Plan, There, used_packages
from rexec_jupyter.capture.explain import explain as explain_
from rexec_jupyter.capture.inquiry import find, inquire, look
from rexec_jupyter.capture.scripts import Gathering
from rexec_jupyter.core import quantities
from rexec_jupyter.core.ambient import Ambient, default_client, provide
from rexec_jupyter.core.calls import WithEnvironment, environment, label_of
from rexec_jupyter.core.cells import IfBusy
from rexec_jupyter.core.client import Client
from rexec_jupyter.core.console import Hoard, OnInterrupt, attend, show
from rexec_jupyter.core.defaults import Capture as Mode
from rexec_jupyter.core.defaults import Defaults
from rexec_jupyter.core.errors import PullError, RexecError
from rexec_jupyter.core.executor import Executor
from rexec_jupyter.core.generator import RemoteGenerator
from rexec_jupyter.core.happenings import Display, Happening
from rexec_jupyter.core.job import Job
from rexec_jupyter.core.outcomes import CellResult
from rexec_jupyter.core.session import Session
from rexec_jupyter.core.settings import current

__all__ = ["Executor", "Session", "default_client", "run"]

Return = Literal["auto", "value", "ref", "none"]
"""How the value of a last expression comes: if it is small, always, as a reference, not."""
_ANY_SIZE = 2**62

provide(Ambient(lambda timeout: connect(timeout=timeout), lambda: current().now().url or "local"))


def run(  # noqa: PLR0913 - each is an option of a cell
    code: str | Callable[..., Any],
    /,
    *args: Any,
    in_: Mapping[str, Any] | Iterable[str] | None = None,
    out: Mapping[str, str] | Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    session: Session | str | None = None,
    profile: str | None = None,
    fresh: bool = False,
    capture: Mode | None = None,
    block: bool = True,
    name: str = "",
    timeout: float | str | None = None,
    wait_start: float | str | None = None,
    if_busy: IfBusy | None = None,
    on_interrupt: OnInterrupt | None = None,
    return_: Return | None = None,
    stream: bool | None = None,
    max_send: int | str | None = None,
    max_recv: int | str | None = None,
    env: Mapping[str, str] | None = None,
    explain: bool = False,
    local: bool = False,
    client: Client | None = None,
) -> Any:
    """Run code in a session, or call a function on a worker, and show its output here.

    Each keyword is the option of ``%%rexec`` of that name, and None means what the settings
    say. ``in_``, ``out``, ``exclude``, ``capture``, ``fresh``, ``if_busy``, ``return_`` and
    ``explain`` concern code alone. Of the options of cells these have no keyword: ``--job``,
    since without `block` the job is what is returned; and ``--quiet``, ``--progress`` and
    ``--progress-after``, since only notebooks have a status line.

    Parameters
    ----------
    code
        Source text as in a notebook cell, or a function.
    *args
        Arguments of the function; `functools.partial` takes keyword arguments too.
    in_
        Variables that the code needs: values by name, or names of variables that there are
        where `run` is called.
    out
        Names to return: as they are, or by the names that they are to have here.
    exclude
        Names not to send.
    capture
        Which variables that there are where `run` is called go along besides those of `in_`:
        with ``auto`` those that the code reads, though a value stays that the session gave to
        the name itself; with ``strict`` nothing is run if the code reads a name that nobody
        knows, or that has two values; with ``none`` no others. Each time they go along anew.
    session
        Where to run it.
    profile
        Settings that the session is to be made with.
    fresh
        Run it in a new interpreter, which ends with it.
    block
        Wait for it. Otherwise a `Job` is returned at once.
    name
        For people, shown in lists.
    timeout
        How long it may run: seconds, or text such as ``5m``.
    wait_start
        How long it may take until it starts, not counting the time behind other cells.
    if_busy
        What to do if cells run or wait in the session: ``queue``, ``fail``, ``interrupt``.
    on_interrupt
        What Ctrl-C does: ``cancel`` it, or ``detach`` from it.
    return_
        How the value of a last expression comes: ``auto`` (as itself if it is small, else as
        a `RemoteRef`), ``value``, ``ref`` or ``none``.
    stream
        Show output while it is made, and not all of it at the end.
    max_send, max_recv
        Bytes that what is sent, and `out`, may take: a number, or text such as ``100MB``; 0
        means no limit.
    env
        Environment variables, set while it runs.
    explain
        Run nothing, and return a `capture.explain.Explanation` of what would go along.
    local
        Run it in this process instead.
    client
        Through which to run it, if not by that of this process.

    Returns
    -------
    dict, Any or Job
        With `out` the values by name, otherwise the value of the last expression or of the
        function; without `block` a job.

    Raises
    ------
    CaptureError
        If something cannot be sent, or is too large; nothing was executed.
    PullError
        If something cannot be brought here; it was executed.
    BaseException
        What the code raised.
    RexecError
        If it could not run.
    """
    settings = current().now()
    options = _Options(
        settings,
        timeout=timeout,
        wait_start=wait_start,
        on_interrupt=on_interrupt,
        stream=stream,
        max_send=max_send,
        max_recv=max_recv,
    )
    where = session if isinstance(session, Session) else _session(session, client, profile)
    if not isinstance(code, str):
        if in_ is not None or out is not None or fresh or capture or explain:
            raise TypeError(
                "in_, out, capture, fresh and explain are for code; a function takes arguments"
            )
        function = WithEnvironment(code, env) if env else code
        label = name or label_of(code)
        return _call(function, args, where, options, label=label, local=local, block=block)
    if args:
        raise TypeError("code takes no arguments; give it variables with in_")
    mode = capture or settings.capture
    if mode not in get_args(Mode):
        raise ValueError(f"capture is 'auto', 'none' or 'strict', not {mode!r}")
    exclude = frozenset(_by_name(exclude))
    scope = _scope(inspect.currentframe())
    given = {n: value for n, value in _inputs(in_, scope).items() if n not in exclude}
    gathering = Gathering(code, scope, given, exclude, mode, options.max_send)
    wanted = _by_name(out)
    if explain:
        plan = Plan(where.name, profile or "", fresh, wanted, env or {}, options.max_send)
        return _explanation(gathering, where, plan)
    if local:
        chosen = {name: gathering.variables[name] for name in gathering.choose().items}
        with environment(env or {}):
            return _run_here(code, chosen, wanted)
    where.reach(options.wait_start)
    if mode == "strict" and not fresh and find(where.client, where.name) is not None:
        inquire(where, gathering.heard, if_busy=if_busy or settings.if_busy)
    taken = gathering.choose()
    how = return_ or settings.return_
    limits = {"auto": settings.return_max, "value": _ANY_SIZE, "ref": 0, "none": 0}
    job = where.submit_cell(
        code,
        names=taken.pickled if block else taken.copied(),
        outputs=list(wanted.values()),
        value=how != "none",
        value_limit=limits[how],
        timeout=options.timeout,
        label=name or _first_line(code),
        stream=block,
        env=env,
        fresh=fresh,
        if_busy=if_busy or settings.if_busy,
        max_recv=options.max_recv,
        keep={} if fresh else taken.keep,
        strict=gathering.strict,
    )
    if not block:
        return job
    shown = options.attend(job, lambda: job.ended)
    result = job.result()
    if out is not None:
        return {here: result.outputs[there] for here, there in wanted.items()}
    return _value(result, how, where, job, shown)


def _session(name: str | None, client: Client | None, profile: str | None) -> Session:
    return Session(name or current().now().session, client, profile=profile)


class _Options:
    """What applies to code and functions alike, with the settings' values filled in."""

    def __init__(self, settings: Defaults, **given: Any) -> None:
        def value(name: str) -> Any:
            return getattr(settings, name) if given[name] is None else given[name]

        self.timeout = seconds(value("timeout"))
        self.wait_start = seconds(value("wait_start"))
        self.on_interrupt: OnInterrupt = value("on_interrupt")
        if self.on_interrupt not in ("cancel", "detach"):
            raise ValueError(f"on_interrupt is 'cancel' or 'detach', not {self.on_interrupt!r}")
        self.stream: bool = value("stream")
        self.max_send = _bytes(value("max_send"))
        self.max_recv = _bytes(value("max_recv"))

    def attend(self, job: Job[Any], ready: Callable[[], bool]) -> Display | None:
        """Show what a job shows until `ready`; return how its result was shown."""
        hoard = Hoard()
        result: list[Display] = []

        def take(happenings: list[Happening]) -> None:
            result.extend(
                each for each in happenings if isinstance(each, Display) and each.kind == "result"
            )
            # The value is returned; shown it is only where the caller wants that.
            others = [each for each in happenings if each not in result]
            (show if self.stream else hoard)(others)

        try:
            attend(job, ready, take, on_interrupt=self.on_interrupt, wait_start=self.wait_start)
        finally:
            hoard.release()
        return result[-1] if result else None


def seconds(value: float | str | None) -> float | None:
    """Return a duration in seconds; ``5m`` and the like are understood too.

    Raises
    ------
    ValueError
        If it is none, such as a negative one.
    """
    if isinstance(value, str):
        return quantities.duration(value)
    if value is not None and not value >= 0:
        raise ValueError(f"a duration is not negative: {value!r}")
    return value


def _bytes(value: int | str) -> int:
    return quantities.size(value) if isinstance(value, str) else value


def _call(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    where: Session,
    options: _Options,
    *,
    label: str,
    local: bool,
    block: bool,
) -> Any:
    if local:
        return function(*args)
    where.reach(options.wait_start)
    job = where.submit_call(
        function,
        args,
        label=label,
        timeout=options.timeout,
        max_send=options.max_send,
        stream=block,
    )
    if not block:
        return job
    options.attend(job, job.done)
    value = job.result()
    if isinstance(value, RemoteGenerator):
        value.attended(attend)
    return value


def _scope(frame: FrameType | None) -> dict[str, Any]:
    """Return the variables that there are where `run` was called."""
    caller = frame.f_back if frame is not None else None
    return {**caller.f_globals, **caller.f_locals} if caller is not None else {}


def _explanation(gathering: Gathering, where: Session, plan: Plan) -> Explanation:
    client = where.client
    there = There()
    packages: set[str] = set()
    taken: Taken | RexecError
    for asking in (True, False):
        try:
            taken = gathering.choose()
        except RexecError as error:
            taken = error
        packages = used_packages(gathering.names.imports, taken)
        if not asking or plan.fresh:
            break
        there = look(where, gathering.heard, packages=packages)
    return explain_(taken, plan, client, there, packages)


def _inputs(
    names: Mapping[str, Any] | Iterable[str] | None, scope: Mapping[str, Any]
) -> dict[str, Any]:
    """Return values by name; those of names alone are looked up where `run` was called."""
    if isinstance(names, Mapping):
        return dict(names)
    found = _by_name(names)
    for name in found.values():
        if name not in scope:
            raise NameError(f"name {name!r} is not defined; nothing was executed", name=name)
    return {there: scope[here] for there, here in found.items()}


def _by_name(names: Mapping[str, str] | Iterable[str] | None) -> dict[str, str]:
    if isinstance(names, Mapping):
        return dict(names)
    if isinstance(names, str):
        names = names.split(",")
    return {name: name for each in names or () if (name := each.strip())}


def _value(
    result: CellResult, mode: Return, where: Session, job: Job[Any], shown: Display | None
) -> Any:
    if result.has_value:
        return result.value
    if mode == "value" and result.reason:
        raise PullError(
            f"The code ran, but its value cannot be brought here: {result.reason}.",
            hint="It stays in the session; return plain data, or use return_='ref'.",
            job=job,
        )
    if result.ref and mode != "none" and result.reason:
        return where.reference(result, shown)
    return None


def _run_here(code: str, names: dict[str, Any], wanted: dict[str, str]) -> Any:
    """Run plain Python in this process, as far as that can be done without an interpreter."""
    scope = {"__name__": "__main__", **names}
    tree = ast.parse(code, "<rexec local>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<rexec local>", "exec"), scope)  # noqa: S102 - what was asked for
    value = None
    if isinstance(last, ast.Expr):
        expression = ast.Expression(last.value)
        value = eval(compile(expression, "<rexec local>", "eval"), scope)  # noqa: S307 - as above
    return {here: scope[there] for here, there in wanted.items()} if wanted else value


def _first_line(code: str) -> str:
    lines = (line.strip() for line in code.splitlines())
    return next((line[:80] for line in lines if line and not line.startswith("#")), "")
