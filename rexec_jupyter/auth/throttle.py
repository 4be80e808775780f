"""Slowing down who guesses passwords."""

import ipaddress
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rexec_jupyter.auth.errors import RefusedError

_WINDOW: Final = 60.0
_MOST_ADDRESSES: Final = 10_000


class TooManyError(Exception):
    """Too many logins failed.

    Parameters
    ----------
    retry_after
        Seconds after which another try is let through.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            f"Too many logins from your address failed. Try again in {retry_after} seconds."
        )
        self.retry_after = retry_after


class LoginThrottle:
    """Lets only so many logins of an address fail within a minute.

    Logins that succeed do not count, so that a class behind one address can log in at once.

    Parameters
    ----------
    failures
        How many may fail.
    clock
        What tells the time, in seconds.
    """

    def __init__(self, failures: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = failures
        self._clock = clock
        self._counted: OrderedDict[str, deque[float]] = OrderedDict()

    @contextmanager
    def attempt(self, address: str) -> Iterator[None]:
        """Let a login through, or not; it counts as failed if it raises `RefusedError`.

        Raises
        ------
        TooManyError
            If it is not let through.
        """
        place = _place(address)
        now = self._clock()
        # While it is under way it counts as failed: else a thousand at once would all pass.
        counted = self._recent(place, now)
        if len(counted) >= self._most:
            raise TooManyError(max(1, math.ceil(counted[0] + _WINDOW - now)))
        counted.append(now)
        failed = False
        try:
            yield
        except RefusedError:
            failed = True
            raise
        finally:
            if not failed and now in counted:
                counted.remove(now)

    def _recent(self, place: str, now: float) -> deque[float]:
        counted = self._counted.setdefault(place, deque())
        self._counted.move_to_end(place)
        while counted and counted[0] <= now - _WINDOW:
            counted.popleft()
        if len(self._counted) > _MOST_ADDRESSES:
            self._counted.popitem(last=False)
        return counted


def _place(address: str) -> str:
    """Return what counts as one address: of IPv6, everybody has a whole network."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
