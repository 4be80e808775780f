"""Recognises large tables of text without pickling them again.

Text in tables of pandas and NumPy lies in arrays of references to Python's strings, which take
long to pickle. Strings never change: where all references are the same, so is the text. That
holds only as long as the strings exist, so they are kept as long as the table itself.
"""

from __future__ import annotations

import ctypes
import io
import pickle
import sys
import weakref
from datetime import date
from decimal import Decimal
from typing import Any

import cloudpickle

from rexec_jupyter.core.trust import payload_digest

_LARGE = 10_000
"""References in an array for which this is worth while."""
_UNCHANGING = frozenset((str, bytes, int, float, bool, complex, type(None), date, Decimal))


class Print:
    """What one value is recognised by.

    Parameters
    ----------
    value
        The value.
    digest, kept
        As `_look` returns them.
    """

    def __init__(self, value: object, digest: bytes, kept: list[Any]) -> None:
        self._digest = digest
        self._kept = kept
        self._of = weakref.ref(value, self._release)

    def matches(self, value: object) -> bool:
        """Tell whether a value is the same, with the same content as when this was taken."""
        if self._of() is not value:
            return False
        found = _look(value)
        return found is not None and found[0] == self._digest and bool(self._kept)

    def _release(self, _: object) -> None:
        self._kept.clear()


def print_of(value: object) -> Print | None:
    """Take the print of a value; None if pickling it is as quick, or would be safer."""
    if "numpy" not in sys.modules:
        return None
    found = _look(value)
    if found is None or not all(map(_is_plain, found[1])):
        return None
    try:
        return Print(value, *found)
    except TypeError:  # nothing can refer to it weakly
        return None


def _look(value: object) -> tuple[bytes, list[Any]] | None:
    """Return a digest of the value, and the arrays of which it covers the references alone."""
    stream = io.BytesIO()
    pickler = _Pickler(stream)
    try:
        pickler.dump(value)
        if not pickler.kept:
            return None
        buffers = [buffer.raw() for buffer in pickler.buffers]
    except Exception:  # noqa: BLE001 - __reduce__ of anybody's class; pickling will tell
        return None
    return payload_digest([stream.getvalue(), *buffers]), pickler.kept


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc] # it has no types
    def __init__(self, stream: io.BytesIO) -> None:
        self.buffers: list[pickle.PickleBuffer] = []
        self.kept: list[Any] = []
        self._array = sys.modules["numpy"].ndarray
        super().__init__(stream, protocol=5, buffer_callback=self.buffers.append)

    def reducer_override(self, obj: Any) -> Any:
        """Put a digest of its references in place of an array."""
        if type(obj) is self._array and obj.dtype.kind == "O" and obj.size >= _LARGE:
            copy = obj.copy()
            self.kept.append(copy)
            references = (ctypes.c_char * copy.nbytes).from_address(copy.ctypes.data)
            digest = payload_digest([memoryview(references).cast("B")])
            return tuple, ((obj.shape, obj.strides, digest),)
        return super().reducer_override(obj)


def _is_plain(array: Any) -> bool:
    kinds = set(map(type, array.ravel()))
    pandas: Any = sys.modules.get("pandas")
    unchanging = _UNCHANGING | ({type(pandas.NA)} if pandas is not None else set())
    return kinds <= unchanging
