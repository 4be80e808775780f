"""How much a value takes, without pickling it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Types of these packages tell their size quickly, and without running code of the user.
_TELLING = {
    "numpy": "nbytes",
    "pandas": "memory_usage",
    "polars": "estimated_size",
    "pyarrow": "nbytes",
    "torch": "nbytes",
    "xarray": "nbytes",
    "cupy": "nbytes",
}
_PLAIN = (bytes, bytearray, str)
_CONTAINERS = (list, tuple, set, frozenset, dict)
_VISITS = 10_000


def estimate(value: object) -> int:
    """Return about how many bytes a value takes, as a rule less than what its pickle takes.

    Only what holds much in one piece is counted: text, arrays and data frames, by themselves
    or within lists and dictionaries. Looks at a bounded number of items; may be 0.
    """
    seen: set[int] = set()
    waiting = [value]
    total = 0
    while waiting and len(seen) < _VISITS:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if type(item) in _PLAIN:
            total += len(item)  # type: ignore[arg-type] # they have one
        elif type(item) in _CONTAINERS:
            inner: Any = item.values() if isinstance(item, Mapping) else item
            room = _VISITS - len(seen) - len(waiting)
            waiting += [part for part, _ in zip(inner, range(room), strict=False)]
        else:
            total += _told(item)
    return total


def _told(value: Any) -> int:
    attribute = _TELLING.get(type(value).__module__.partition(".")[0])
    if attribute is None:
        return 0
    try:
        told = getattr(value, attribute)
        told = told() if callable(told) else told
        return int(told.sum() if hasattr(told, "sum") else told)
    except Exception:  # noqa: BLE001 - not worth failing for, whatever a version of theirs does
        return 0
