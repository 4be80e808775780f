"""Keys of objects, and which of them can be asked for over HTTP."""

import re
from typing import Final

from rexec_ep_api.integrations.errors import ImpossibleError

_LONGEST: Final = 1024
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def checked_key(key: str) -> str:
    """Return a key if an object with it can be asked for over HTTP.

    Raises
    ------
    ImpossibleError
        If it cannot.
    """
    reason = ""
    if not key:
        reason = "it is empty"
    elif _CONTROL.search(key):
        reason = "it holds control characters"
    elif len(key.encode(errors="replace")) > _LONGEST:
        reason = f"it is longer than {_LONGEST} bytes"
    elif {".", ".."} & set(key.split("/")):
        reason = "a part of it is . or .., which would be taken for a way up"
    if reason:
        shown = key if len(key) <= 80 else f"{key[:80]}…"
        raise ImpossibleError(f"{shown!r} cannot be the key of an object: {reason}.")
    return key
