"""Frames of STOMP 1.2, and the news of files that a Pelican event server sends in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_ESCAPED = {"\\": "\\\\", "\r": "\\r", "\n": "\\n", ":": "\\c"}
_MEANT = {escaped: plain for plain, escaped in _ESCAPED.items()}
_PLAIN = re.compile(r"[\\\r\n:]")
_ESCAPE = re.compile(r"\\.", re.DOTALL)
_BLANK = re.compile(r"\r?\n\r?\n")
_UNESCAPED = ("CONNECT", "CONNECTED")


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; that of a heartbeat has no command."""

    command: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""

    def encode(self) -> bytes:
        """Return it as it is sent."""
        escape = _same if self.command in _UNESCAPED else _escape
        lines = [f"{escape(name)}:{escape(value)}" for name, value in self.headers.items()]
        return ("\n".join([self.command, *lines, "", self.body]) + "\0").encode()

    @classmethod
    def decode(cls, content: bytes | str) -> Frame:
        """Read what was received."""
        text = content if isinstance(content, str) else content.decode(errors="replace")
        head, *bodies = _BLANK.split(text.lstrip("\r\n"), maxsplit=1)
        body = "".join(bodies)
        command, *lines = head.split("\n")
        command = command.strip("\r\0")
        meant = _same if command in _UNESCAPED else _unescape
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.rstrip("\r").partition(":")
            if colon:
                headers.setdefault(meant(name), meant(value))  # the first one counts
        return cls(command, headers, body.rstrip("\r\n").rstrip("\0"))


@dataclass(frozen=True)
class PelicanEvent:
    """The news that there is an object in a Pelican namespace.

    Attributes
    ----------
    name
        Its name without the namespace.
    url
        Where it is, for `pelican_read` and `pelican_fetch`.
    size
        Bytes.
    mod_time
        When it was changed, as the event server writes it.
    event_id
        The same if the same news comes again.
    destination
        Subscription that it came by.
    """

    name: str
    url: str
    size: int
    mod_time: str
    event_id: str = ""
    destination: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.size} bytes)"


def event_id(frame: Frame) -> str:
    """Return what is the same if the same news comes again."""
    try:
        told = _object(frame.body).get("uuid")
    except ValueError:
        told = None
    # The id of a message is another one each time, with some servers.
    return str(told or frame.headers.get("message-id", "unknown-message"))


def event(frame: Frame) -> PelicanEvent:
    """Return the news in a frame.

    Raises
    ------
    ValueError
        If there is none, or something is missing.
    """
    told = _object(frame.body)
    for name in ("name", "url", "mod_time"):
        if not (isinstance(told.get(name), str) and told[name]):
            raise ValueError(f"event {name!r} must be a non-empty string")
    size = told.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError("event 'size' must be a non-negative integer")
    return PelicanEvent(
        told["name"],
        told["url"],
        size,
        told["mod_time"],
        event_id(frame),
        frame.headers.get("destination", ""),
    )


def _object(body: str) -> dict[str, Any]:
    try:
        told = json.loads(body)
        if isinstance(told, str):  # some servers write JSON in JSON
            told = json.loads(told)
    except ValueError:
        raise ValueError("event body is not valid JSON") from None
    if not isinstance(told, dict):
        raise ValueError("event body must be a JSON object")  # noqa: TRY004 - as above
    return told


def _same(text: str) -> str:
    return text


def _escape(text: str) -> str:
    return _PLAIN.sub(lambda match: _ESCAPED[match[0]], text)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: _MEANT.get(match[0], match[0][1:]), text)
