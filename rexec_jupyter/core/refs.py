"""Values that stayed in a session, and what stands for them here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class RemoteRef:
    """Stands for a value that a session keeps, and looks like it.

    Given to a cell of that session, by name or within another value, it is the value itself.

    Parameters
    ----------
    session
        Name of the session.
    name
        What the value is called there.
    data, metadata
        How it was shown there, as in the Jupyter messaging protocol.
    reason
        Why it did not come here; may be empty.
    fetch
        Brings it here.
    incarnation
        Of the session, see `protocol.Started`: another one has other values. 0: not known.
    """

    def __init__(
        self,
        session: str,
        name: str,
        data: Mapping[str, Any],
        metadata: Mapping[str, Any],
        reason: str,
        fetch: Callable[[], Any],
        *,
        incarnation: int = 0,
    ) -> None:
        self._session = session
        self._name = name
        self._data = dict(data)
        self._metadata = dict(metadata)
        self._reason = reason
        self._fetch = fetch
        self._incarnation = incarnation

    def get(self) -> Any:
        """Bring the value here, whatever its size.

        Raises
        ------
        PullError
            If it cannot be brought here, or the session does not keep it any more.
        """
        return self._fetch()

    def __repr__(self) -> str:
        return str(self._data.get("text/plain", f"<{self._name} in session {self._session!r}>"))

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._data, self._metadata

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        why = f" ({self._reason})" if self._reason else ""
        raise AttributeError(
            f"this value stayed in session {self._session!r}{why}: use its {name!r} in a cell"
            " there, or bring the value here with .get()"
        )

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str, int]]:
        return resolve, (self._session, self._name, self._incarnation)

    def __copy__(self) -> RemoteRef:
        return self

    def __deepcopy__(self, memo: object) -> RemoteRef:
        return self


@dataclass(slots=True)
class _Home:
    session: str
    incarnation: int
    namespace: Mapping[str, Any]


_homes: list[_Home] = []


def serve(session: str, incarnation: int, namespace: Mapping[str, Any]) -> None:
    """Have `resolve` find the values of this session, whose interpreter this process is."""
    _homes[:] = [_Home(session, incarnation, namespace)]


def resolve(session: str, name: str, incarnation: int = 0) -> Any:
    """Return the value that a `RemoteRef` stands for, in the session that keeps it.

    Raises
    ------
    LookupError
        If this process is another session's, or none's, or the value is gone.
    """
    for home in _homes:
        if home.session != session:
            break
        if incarnation not in (0, home.incarnation):
            raise LookupError(
                f"a value of session {session!r} ({name}) was lost when that was restarted"
            )
        if name not in home.namespace:
            raise LookupError(f"session {session!r} does not keep {name} any more")
        return home.namespace[name]
    raise LookupError(
        f"a value that stayed in session {session!r} ({name}) can be used in cells of that"
        " session only; bring it here with .get() first"
    )
