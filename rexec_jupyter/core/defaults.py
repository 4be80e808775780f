"""What can be set, with its built-in value: the table behind `rexec_jupyter.core.settings`."""

from __future__ import annotations

import dataclasses
import keyword
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import quantities

Capture = Literal["auto", "none", "strict"]
IfBusy = Literal["queue", "fail", "interrupt"]
OnInterrupt = Literal["cancel", "detach"]
Return = Literal["auto", "value", "ref", "none"]
Status = Literal["auto", "widget", "html", "text", "none"]

_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_NONE = frozenset(("", "none", "no", "off"))


def session_name(text: str) -> str:
    """Return the name of a session.

    Raises
    ------
    ValueError
        If it cannot be one.
    """
    if not isinstance(text, str):
        raise TypeError(f"the name of a session is text, not {type(text).__name__}")
    if not 1 <= len(text) <= 64 or not text.isprintable():
        raise ValueError("the name of a session has 1 to 64 characters that can be printed")
    return text


def choice(kind: Any) -> Callable[[str], str]:
    """Return what reads one of the words of a `Literal`."""
    words = get_args(kind)

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is none of {', '.join(words)}")
        return text

    return read


def _boolean(text: str) -> bool:
    try:
        return _WORDS[text.strip().lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither true nor false") from None


def _limit(text: str) -> float | None:
    return None if text.strip().lower() in _NONE else quantities.positive_duration(text)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, (part.strip() for part in text.split(","))))
    for name in names:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ValueError(f"{name!r} is no name of a magic")
    return names


def _write_limit(seconds: float | None) -> str:
    return "none" if seconds is None else quantities.written_duration(seconds)


def _setting(
    default: Any,
    doc: str,
    read: Callable[[str], Any] = str,
    write: Callable[[Any], str] = str,
) -> Any:
    return dataclasses.field(default=default, metadata={"doc": doc, "read": read, "write": write})


def _word(kind: Any, default: str, doc: str) -> Any:
    return _setting(default, doc, choice(kind))


def _switch(default: bool, doc: str) -> Any:  # noqa: FBT001 - it is the default
    return _setting(default, doc, _boolean, lambda value: str(value).lower())


def _time(default: float, doc: str) -> Any:
    return _setting(default, doc, quantities.duration, quantities.written_duration)


def _bytes(default: int, doc: str) -> Any:
    return _setting(default, doc, quantities.size, quantities.written_size)


# ruff: noqa: RUF009 - each call makes a field


@dataclass(frozen=True, kw_only=True, slots=True)
class Defaults:
    """The settings in force. `SETTINGS` tells what each means."""

    url: str = _setting("", "backend to connect to; empty or local: the embedded one")
    session: str = _setting("default", "session that cells run in", session_name)
    profile: str = _setting("", "profile of sessions that are created; empty: the backend's own")
    auto_start: bool = _switch(default=True, doc="create a session that does not exist")
    capture: Capture = _word(Capture, "auto", "which local names go along: auto, none, strict")
    timeout: float | None = _setting(None, "time that code may run", _limit, _write_limit)
    wait_start: float = _time(300.0, "time that a session may take to get ready")
    if_busy: IfBusy = _word(IfBusy, "queue", "if the session is busy: queue, fail, interrupt")
    on_interrupt: OnInterrupt = _word(OnInterrupt, "cancel", "what stop does: cancel, detach")
    return_: Return = _word(Return, "auto", "how the last expression comes: auto, value, ref, none")
    return_max: int = _bytes(p.VALUE, "largest value of a last expression that comes unasked")
    stream: bool = _switch(default=True, doc="show output while it is made")
    quiet: bool = _switch(default=False, doc="show no status line")
    progress: bool = _switch(default=True, doc="show a status line while code runs")
    progress_after: float = _time(1.0, "time after which the status line appears")
    max_send: int = _bytes(100_000_000, "most bytes that go along with a cell")
    max_recv: int = _bytes(100_000_000, "most bytes that -o brings back")
    max_shown: int = _bytes(1_000_000, "most bytes of text shown below a cell")
    status: Status = _word(Status, "auto", "kind of status line: auto, widget, html, text, none")
    noninteractive: bool = _switch(default=False, doc="nobody watches: ask nothing")
    interrupt_grace: float = _time(5.0, "time that code has to react to being stopped")
    reconnect_timeout: float = _time(p.LOST, "time without the backend until waiting ends")
    aliases: tuple[str, ...] = _setting(("rx",), "other names of the magic", _names, ",".join)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes
    ----------
    name
        As people write it, such as ``max_send``.
    attribute
        Of `Defaults`.
    doc
        What it means.
    default
        Built-in value.
    read, write
        From text and to text. `read` raises ValueError with a reason.
    """

    name: str
    attribute: str
    doc: str
    default: Any
    read: Callable[[str], Any]
    write: Callable[[Any], str]


def _described() -> dict[str, Setting]:
    settings = {}
    for field in dataclasses.fields(Defaults):
        name = field.name.rstrip("_")
        told = field.metadata
        settings[name] = Setting(
            name, field.name, told["doc"], field.default, told["read"], told["write"]
        )
    return settings


SETTINGS = _described()
"""Every setting by its name."""
