"""What is known here of the names in sessions, without asking: what their cells told."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rexec_jupyter.core.happenings import NameInfo, NamesChanged


@dataclass(frozen=True, slots=True)
class _Listing:
    version: str = ""
    names: dict[str, NameInfo] = field(default_factory=dict)
    # By name: those of its type may have been told with another one.
    attributes: dict[str, list[str]] = field(default_factory=dict)
    types: dict[str, list[str]] = field(default_factory=dict)


_NOTHING = _Listing()


class NamesCache:
    """The names of each session, as of the last cell that ran there from here.

    Cells in the background write to it from threads of their own. A listing is never changed,
    only replaced, so that reading needs no lock.
    """

    def __init__(self) -> None:
        self._listings: dict[str, _Listing] = {}
        self._lock = threading.Lock()

    def update(self, session: str, change: NamesChanged) -> None:
        """Take note of a change; one whose beginning was missed is left out.

        Parameters
        ----------
        session
            Name of the session.
        change
            What a cell told at its end.
        """
        with self._lock:
            before = _NOTHING if change.whole else self._listings.get(session, _NOTHING)
            if not change.whole and not before.version:
                return
            self._listings[session] = _applied(before, change)

    def version(self, session: str) -> str:
        """Return the version of the listing, for `protocol.Submit.known`; "" if there is none."""
        return self._listings.get(session, _NOTHING).version

    def sessions(self) -> list[str]:
        """Return the names of the sessions something is known of."""
        return list(self._listings)

    def names(self, session: str) -> dict[str, NameInfo]:
        """Return what is known of each name; not to be changed."""
        return self._listings.get(session, _NOTHING).names

    def attributes(self, session: str, name: str) -> list[str]:
        """Return the public attributes of a variable; not to be changed."""
        return self._listings.get(session, _NOTHING).attributes.get(name, [])

    def clear(self, session: str) -> None:
        """Forget a session: it lost its variables, or has new ones that nobody told."""
        with self._lock:
            self._listings.pop(session, None)


def _applied(before: _Listing, change: NamesChanged) -> _Listing:
    names = {**before.names, **change.names}
    attributes, types = dict(before.attributes), dict(before.types)
    for name, info in change.names.items():
        if info.attributes is not None:
            types[info.type] = info.attributes
        attributes[name] = types.get(info.type, [])
    for name in change.gone:
        names.pop(name, None)
        attributes.pop(name, None)
    return _Listing(change.version, names, attributes, types)
