"""How files of known types are read: what a registration may say about it."""

from collections.abc import Mapping
from typing import Any, Final

from rexec_ep_api.catalog.errors import InvalidError

_LINES: Final = ("header_line", "start_line")
_TABLE: Final = ("delimiter", *_LINES)
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "stream": ("refresh_rate", "data_key"),
    "CSV": (*_TABLE, "comment_char"),
    "TXT": _TABLE,
    "JSON": ("info_key", "additional_key", "data_key"),
    "NetCDF": ("group",),
}
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {"CSV": _TABLE, "TXT": _TABLE}


def check_processing(
    file_type: str | None, processing: Mapping[str, Any] | None, *, complete: bool = False
) -> None:
    """Make sure that what is said about reading a file fits its type.

    Parameters
    ----------
    file_type
        Any; only some are known, and of the others anything may be said.
    processing
        What is said, by key.
    complete
        Whether it must say all that matters and nothing else.

    Raises
    ------
    InvalidError
        If it does not fit.
    """
    fields = _FIELDS.get(file_type or "")
    if fields is None or processing is None:
        return
    for key in fields:
        if key in processing and not _fits(key, processing[key]):
            kind = "a whole number" if key in _LINES else "a text"
            raise InvalidError(f"Invalid input: processing.{key} of {file_type} must be {kind}.")
    if not complete:
        return
    unknown = sorted(processing.keys() - set(fields))
    if unknown:
        raise InvalidError(
            f"Invalid input: processing of {file_type} has no {', '.join(unknown)}; "
            f"it may have {', '.join(fields)}."
        )
    missing = [key for key in _NEEDED.get(file_type or "", ()) if processing.get(key) is None]
    if missing:
        raise InvalidError(f"Invalid input: processing of {file_type} needs {', '.join(missing)}.")


def _fits(key: str, value: Any) -> bool:
    if value is None:
        return True
    if key in _LINES:
        return _is_integer(value) or (isinstance(value, str) and value.strip().isdecimal())
    return isinstance(value, str) or (key == "refresh_rate" and _is_integer(value))


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
