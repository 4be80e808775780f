"""Durations and sizes as people write them."""

from __future__ import annotations

import re

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)\s*"
_DURATION = re.compile(rf"{_NUMBER}(ms|s|m|min|h|d|)", re.ASCII)
_SECONDS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(rf"{_NUMBER}([kmgt]?)(i?)b?", re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def duration(text: str) -> float:
    """Return the seconds in ``30``, ``30s``, ``500ms``, ``5m``, ``2h`` or ``1d``.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is no duration; write 30, 30s, 5m or 2h")
    return float(match[1]) * _SECONDS[match[2]]


def positive_duration(text: str) -> float:
    """Return the seconds in a text; as `duration`, but 0 is refused too."""
    seconds = duration(text)
    if not seconds:
        raise ValueError(f"{text!r} is no duration one can wait for; write 30, 30s, 5m or 2h")
    return seconds


def size(text: str) -> int:
    """Return the bytes in ``4096``, ``100MB``, ``1.5 GB`` or ``1 GiB``.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is no size; write 100MB, 1.5 GB or 1 GiB")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** _POWERS[match[2]])


def written_duration(seconds: float) -> str:
    """Return a duration as `duration` reads it, as short as can be."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:g}s"


def written_size(nbytes: int) -> str:
    """Return a size as `size` reads it, as short as can be."""
    for power, letter in ((4, "T"), (3, "G"), (2, "M"), (1, "K")):
        for infix, base in (("i", 1024), ("", 1000)):
            if nbytes and nbytes % base**power == 0:
                return f"{nbytes // base**power}{'k' if letter + infix == 'K' else letter}{infix}B"
    return f"{nbytes}B"
