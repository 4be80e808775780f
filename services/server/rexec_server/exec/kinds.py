"""What can be told of a value without running any code of the user's.

Types are asked through the descriptors of ``type`` itself, never through their own
``__getattribute__``, properties, ``__dir__``, ``__len__`` or ``__repr__``. Sizes are known of
builtin types and those of NumPy and pandas alone, and only of exactly these.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from types import GetSetDescriptorType, ModuleType
from typing import Any

ATTRIBUTES = 300
"""Attributes that are told of one value at most."""
_OF_MODULES = 1000
"""The same for modules, of which many have far more."""
KEYS = 100
"""Keys or columns that are told of one value at most."""
_MAX_KEY = 100
_MAX_NAME = 200
_MAX_BITS = 128
_MAX_COLUMNS = 1000

_mro: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
_contents: Callable[[type], Any] = type.__dict__["__dict__"].__get__
_qualname: Callable[[type], object] = type.__dict__["__qualname__"].__get__
_module: Callable[[type], object] = type.__dict__["__module__"].__get__
_of_module: Callable[[ModuleType], dict[str, Any]] = vars(ModuleType)["__dict__"].__get__

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found out about one value."""

    summary: str = ""
    nbytes: int = -1
    attributes: Names = ()
    keys: Names = ()


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """What values of one type have in common.

    Attributes
    ----------
    cls, name
        The type and what to call it.
    state
        Returns something that differs as soon as what is to be told of a value differs;
        cheap, as it is called for each variable after each cell.
    find
        Finds out what is to be told.
    """

    cls: type
    name: str
    state: Callable[[Any], object]
    find: Callable[[Any], Found]


def kind_of(cls: type) -> Kind:
    """Return the kind of values of this type."""
    name = _name(cls)
    attributes = _public(_listed(cls), ATTRIBUTES)
    for known, make in (("builtins", _builtin), ("numpy", _numpy), ("pandas", _pandas)):
        if name.startswith(known) or (known == "builtins" and "." not in name):
            found = make(cls, attributes)
            if found is not None:
                return Kind(cls, name, *found)
    if _is_one(type, _mro(cls)):
        return Kind(cls, name, id, lambda value: Found(attributes=_of_class(value)))
    if _is_one(ModuleType, _mro(cls)):
        return Kind(cls, name, lambda value: (id(value), len(_of_module(value))), _of_a_module)
    return Kind(cls, name, *_instances(cls, attributes))


_Asking = tuple[Callable[[Any], object], Callable[[Any], Found]]


def _builtin(cls: type, attributes: Names) -> _Asking | None:
    if _is_one(cls, _SCALARS):
        return _scalar, lambda value: Found(_scalar(value), -1, attributes)
    if cls is dict:
        return _dictionaries(attributes)
    unit = next((unit for kind, unit in _SIZED if kind is cls), None)
    if unit is None:
        return None
    counts_bytes = _is_one(cls, (str, bytes, bytearray))

    def find(value: Any) -> Found:
        nbytes = sys.getsizeof(value) if counts_bytes else -1
        return Found(_counted(len(value), unit), nbytes, attributes)

    return len, find


def _dictionaries(attributes: Names) -> _Asking:
    def state(value: dict[Any, Any]) -> tuple[int, Names]:
        return len(value), _keys(value, KEYS)

    def find(value: dict[Any, Any]) -> Found:
        keys = _printable(_keys(value, KEYS))
        return Found(_counted(len(value), "items"), -1, attributes, keys)

    return state, find


def _counted(count: int, unit: str) -> str:
    return f"{count:,} {unit if count != 1 else unit[:-1]}"


def _printable(keys: Iterable[object]) -> Names:
    """Return those that are text somebody could have typed."""
    texts = (key for key in keys if type(key) is str and len(key) <= _MAX_KEY)
    return tuple(text for text in texts if text.isprintable())


_SCALARS = (bool, int, float, complex, type(None))
_SIZED = (
    (str, "characters"),
    (bytes, "bytes"),
    (bytearray, "bytes"),
    *((kind, "items") for kind in (list, tuple, set, frozenset, range)),
)


def _scalar(value: Any) -> str:
    if type(value) is int and value.bit_length() > _MAX_BITS:
        return ""
    return repr(value)


def _numpy(cls: type, attributes: Names) -> _Asking | None:
    if cls is not _exported("numpy", "ndarray"):
        return None

    def find(value: Any) -> Found:
        return Found(f"{_shape(value.shape)} {value.dtype}".strip(), value.nbytes, attributes)

    return lambda value: (value.shape, str(value.dtype)), find


def _pandas(cls: type, attributes: Names) -> _Asking | None:
    if cls is _exported("pandas", "Series"):

        def find(value: Any) -> Found:
            return Found(f"{_shape(value.shape)} {value.dtype}", int(value.nbytes), attributes)

        return lambda value: (value.shape, str(value.dtype)), find
    if cls is not _exported("pandas", "DataFrame"):
        return None

    def find_frame(value: Any) -> Found:
        few = value.shape[1] <= _MAX_COLUMNS
        nbytes = int(value.memory_usage(index=False).sum()) if few else -1
        columns = value.columns[:ATTRIBUTES].tolist()
        every = dict.fromkeys((*_public(columns, ATTRIBUTES), *attributes))
        listed, keys = tuple(islice(every, ATTRIBUTES)), _printable(columns[:KEYS])
        return Found(_shape(value.shape), nbytes, listed, keys)

    # Another column makes another index of columns, while this one is kept.
    return lambda value: (value.shape, _Same(value.columns)), find_frame


class _Same:
    """Equal to another if it holds the same object, whatever that itself says."""

    __slots__ = ("_held",)

    def __init__(self, held: object) -> None:
        self._held = held

    def __eq__(self, other: object) -> bool:
        return type(other) is _Same and other._held is self._held

    __hash__ = None  # type: ignore[assignment]


def _instances(cls: type, attributes: Names) -> _Asking:
    read = _reader(cls)
    if read is None:
        found = Found(attributes=attributes)
        return lambda value: None, lambda value: found  # noqa: ARG005 - one answer for all

    def state(value: Any) -> Names:
        return _keys(read(value), ATTRIBUTES)

    def find(value: Any) -> Found:
        own = _public(state(value), ATTRIBUTES)
        every = dict.fromkeys((*own, *attributes)) if own else attributes
        return Found(attributes=tuple(islice(every, ATTRIBUTES)) if own else attributes)

    return state, find


def _reader(cls: type) -> Callable[[Any], object] | None:
    """Return what reads the ``__dict__`` of an instance; None if only user code can."""
    for base in _mro(cls):
        if "__dict__" in _contents(base):
            found = _contents(base)["__dict__"]
            if type(found) is GetSetDescriptorType:
                return found.__get__
            return None
    return None


def _keys(contents: object, limit: int) -> Names:
    if not isinstance(contents, dict):
        return ()
    return tuple(key for key in islice(dict.keys(contents), limit) if type(key) is str)


def _is_one(cls: type, kinds: Iterable[type]) -> bool:
    """Tell whether a type is one of these; ``in`` might call its metaclass's ``__eq__``."""
    return any(kind is cls for kind in kinds)


def _listed(cls: type) -> Iterable[object]:
    return (key for base in _mro(cls) for key in _contents(base))


def _of_class(cls: type) -> Names:
    return _public(_listed(cls), ATTRIBUTES)


def _of_a_module(module: ModuleType) -> Found:
    return Found(attributes=_public(list(_of_module(module)), _OF_MODULES))


def _public(names: Iterable[object], limit: int) -> Names:
    """Return those that can follow a dot, each once, in order."""
    fit = (name for name in names if type(name) is str and name[:1] != "_" and name.isidentifier())
    return tuple(sorted(islice(dict.fromkeys(fit), limit)))


def _name(cls: type) -> str:
    module, name = _module(cls), _qualname(cls)
    text = name if type(name) is str else "?"
    if type(module) is str and module not in ("builtins", "__main__"):
        text = f"{module}.{text}"
    return (text if text.isprintable() else ascii(text))[:_MAX_NAME]


def _exported(module: str, name: str) -> object:
    """Return what a module that was imported calls by that name."""
    found = sys.modules.get(module)
    return _of_module(found).get(name) if type(found) is ModuleType else None


def _shape(shape: Iterable[int]) -> str:
    return " x ".join(f"{length:,}" for length in shape)
