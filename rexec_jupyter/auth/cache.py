"""Remembering for a short time what was found out about tokens, without keeping the tokens."""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Fingerprints:
    """Turns tokens into keys that tell nothing about them.

    The key of the hash is random and lives as long as the process, so that not even somebody who
    sees its memory and has a list of possible tokens elsewhere can compare the two.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def of(self, token: str) -> bytes:
        """Return the key under which a token is remembered."""
        return hashlib.blake2b(token.encode(), key=self._key, digest_size=32).digest()


class ExpiringCache(Generic[Value]):
    """Holds values for the time that each is given, and never more than so many.

    Parameters
    ----------
    size
        Most values that it holds; what was used longest ago makes room.
    clock
        What tells the time, in seconds.
    """

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._clock = clock
        self._held: OrderedDict[bytes, tuple[float, Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes) -> Value | None:
        """Return what is held under a key, unless its time is over."""
        found = self._held.get(key)
        if found is None:
            return None
        until, value = found
        if until <= self._clock():
            del self._held[key]
            return None
        self._held.move_to_end(key)
        return value

    def put(self, key: bytes, value: Value, seconds: float) -> None:
        """Hold a value for some seconds; not at all if there are none."""
        if seconds <= 0:
            self._held.pop(key, None)
            return
        self._held[key] = (self._clock() + seconds, value)
        self._held.move_to_end(key)
        if len(self._held) > self._size:
            self._held.popitem(last=False)
