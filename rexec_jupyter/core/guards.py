"""Limits on what may be sent, with a table of what takes the room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import values
from rexec_jupyter.core.errors import CaptureError, SessionMismatchError

_SHOWN = 10
_MOST_PARTS = 10_000
"""As `protocol.Payload` allows."""
_Spec: Any = msgspec.defstruct(
    "_Spec",
    [
        (field.name, field.type, None)
        for field in msgspec.structs.fields(p.Submit)
        if not field.required
    ],
)


def readable(nbytes: float) -> str:
    """Return a number of bytes for people, such as ``1.2 MB``."""
    units = ("bytes", "kB", "MB", "GB", "TB")
    power = 0
    while nbytes >= 1000 and power + 1 < len(units):
        nbytes /= 1000
        power += 1
    digits = 1 if power and nbytes < 100 else 0
    return f"{nbytes:.{digits}f} {units[power]}"


def check_size(parts: Sequence[p.Buffer], names: Mapping[str, Any], limit: int) -> None:
    """Refuse to send names that take more than `limit` bytes; 0 is no limit.

    Raises
    ------
    CaptureError
        With a table of the names that take most.
    """
    total = sum(map(len, parts))
    if not limit or total <= limit:
        return
    sizes = {name: sum(map(len, values.dump(value, name))) for name, value in names.items()}
    largest = sorted(sizes, key=lambda name: -sizes[name])
    shown = [(name, values.type_name(names[name]), readable(sizes[name])) for name in largest]
    more = [f"  … and {len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
    raise CaptureError(
        f"What is to be sent takes {readable(total)}, more than max_send allows "
        f"({readable(limit)}). Nothing was executed.\n"
        + "\n".join([*aligned(shown[:_SHOWN]), *more])
        + "\n",
        hint="Leave some out, load them remotely, transfer a file with put, or raise max_send.",
    )


def check_spec(spec: Mapping[str, Any], parts: Sequence[p.Buffer]) -> None:
    """Refuse a submission that the other side could not read: it would leave it unanswered.

    Raises
    ------
    ValueError
        If a field of `protocol.Submit` is out of its range; it says which.
    CaptureError
        If there are too many parts.
    """
    try:
        msgspec.convert(spec, _Spec)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise ValueError(f"{where.rstrip('`')}: {what[:1].lower()}{what[1:]}") from None
    if len(parts) > _MOST_PARTS:
        raise CaptureError(
            f"What is to be sent has {len(parts):,} separate buffers, more than "
            f"{_MOST_PARTS:,}. Nothing was executed.",
            hint="Send fewer names at once, or put their values into one.",
        )


def aligned(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return lines for names with their types and sizes, in columns."""
    name, kind, size = (max(len(row[column]) for row in rows) for column in range(3))
    return [f"  {row[0]:{name}}  {row[1]:{kind}}  {row[2]:>{size}}" for row in rows]


def check_profile(profile: str | None, backend: str) -> None:
    """Refuse a profile: no backend of this version has any but its own.

    Raises
    ------
    SessionMismatchError
        If one is asked for.
    """
    if profile and profile != "default":
        raise SessionMismatchError(
            f"There is no profile {profile!r}: all sessions of the {backend} are alike.",
            hint="Leave the profile out.",
        )
