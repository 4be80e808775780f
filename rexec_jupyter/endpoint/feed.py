"""What happens to a server: events as they come, and in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

DEFAULT = "default"
"""The server of every session that has none of its own."""

GOING = frozenset(("requested", "scheduling", "pulling", "installing", "starting"))
"""States of a server that is not ready yet."""

OVER = frozenset(("failed", "stopping", "gone"))
"""States in which a server runs nothing, and will not."""

_LONGEST_LINE = 64 * 1024
_MOST_DIGITS = 18
_PHASES = {
    "requested": "was asked for",
    "scheduling": "waits for a place with enough room",
    "pulling": "waits for its image",
    "installing": "installs the packages",
    "starting": "starts",
    "ready": "is ready",
}


class News(NamedTuple):
    """Something that happened to a server.

    Attributes
    ----------
    number
        By which it is known which ones came already.
    kind
        ``state``, ``problem``, ``warning`` or ``notice``.
    """

    number: int
    kind: str
    state: str
    text: str
    hint: str = ""

    @property
    def phase(self) -> str:
        """What the server does, for people."""
        return _PHASES.get(self.state, f"is {self.state}")

    @property
    def more(self) -> str:
        """What there is to say beside that."""
        return "" if self.kind == "state" else f"{self.text} {self.hint}".strip().rstrip(".")


class Feed:
    """Reads a stream of server-sent events, piece by piece."""

    def __init__(self) -> None:
        self._rest = b""
        self._number, self._data = 0, ""

    def take(self, piece: bytes) -> Iterator[News | None]:
        """Yield the news that are complete with a piece, and None for what keeps it alive."""
        *lines, rest = (self._rest + piece).split(b"\n")
        self._rest = rest if len(rest) <= _LONGEST_LINE else b""  # nobody sends such lines
        for line in lines:
            field, _, value = line.decode(errors="replace").rstrip("\r").partition(":")
            value = value.removeprefix(" ")
            if line.startswith(b":"):
                yield None
            elif field == "id" and value.isdecimal() and len(value) <= _MOST_DIGITS:
                self._number = int(value)
            elif field == "data":
                self._data = value
            elif not field and not value and self._data:
                if (news := _news(self._number, self._data)) is not None:
                    yield news
                self._data = ""


def _news(number: int, data: str) -> News | None:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):  # the latter for what is nested too deep
        return None
    if not isinstance(told, dict):
        return None
    texts = (str(told.get(name) or "") for name in ("kind", "state", "text", "hint"))
    return News(number, *texts)
