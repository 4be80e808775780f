"""What the broker tells of the servers that registered with it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from rexec_deploy_api.records import Key, Presence, Record

_WAIT = 20.0
_FIRST_DELAY, _LAST_DELAY = 0.2, 5.0
_log = logging.getLogger(__name__)


class Attendance:
    """Follows one broker's list of servers.

    Parameters
    ----------
    url
        Address of the broker's health port.
    token
        Makes what it wants to see.
    changed
        Called for each server of which something changed.

    Attributes
    ----------
    known
        Whether the broker has answered lately.
    """

    def __init__(self, url: str, token: Callable[[], str], changed: Callable[[Key], None]) -> None:
        self.known = False
        self._url = url.rstrip("/") + "/servers"
        self._token = token
        self._changed = changed
        self._client: httpx.AsyncClient | None = None
        self._told: dict[Key, tuple[Presence, float]] = {}
        self._epoch = ""
        self._seq = -1

    def of(self, record: Record) -> Presence | None:
        """Return what is known of a server, the time since it was heard counted in."""
        told = self._told.get(record.key)
        if told is None:
            return None
        presence, at = told
        passed = time.monotonic() - at
        return Presence(
            **{
                **{name: getattr(presence, name) for name in presence.__struct_fields__},
                "idle": presence.idle + passed if presence.idle else 0.0,
                "orphan": presence.orphan + passed if presence.orphan else 0.0,
            }
        )

    async def follow(self) -> None:
        """Ask again and again until cancelled."""
        delay = _FIRST_DELAY
        async with httpx.AsyncClient(timeout=httpx.Timeout(5.0, read=_WAIT + 10.0)) as client:
            self._client = client
            while True:
                try:
                    self._take(await self._ask(client))
                    self.known = True
                    delay = _FIRST_DELAY
                except (httpx.HTTPError, ValueError, TypeError, KeyError) as error:
                    if self.known or delay == _FIRST_DELAY:
                        _log.warning("the broker does not tell who is there: %s", _told(error))
                    self.known = False
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, _LAST_DELAY)

    async def assign(self, server: Key, certificate: str) -> bool:
        """Have a server that nobody uses yet become the one that a certificate names.

        Returns
        -------
        bool
            Whether it was told. That it did so is seen in the list.
        """
        if self._client is None:
            return False
        told = {"user": server.user, "server": server.name, "certificate": certificate}
        try:
            response = await self._client.post(
                f"{self._url}/assign", json=told, headers=self._headers(), timeout=5.0
            )
            response.raise_for_status()
        except httpx.HTTPError as error:
            _log.warning("the broker did not tell a server what it is to be: %s", _told(error))
            return False
        return True

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token()}"}

    async def _ask(self, client: httpx.AsyncClient) -> Mapping[str, Any]:
        query: dict[str, str | float] = {"wait": _WAIT}
        if self.known:
            query["after"] = self._seq
            query["epoch"] = self._epoch
        response = await client.get(self._url, params=query, headers=self._headers())
        response.raise_for_status()
        told: Mapping[str, Any] = response.json()
        return told

    def _take(self, told: Mapping[str, Any]) -> None:
        now = time.monotonic()
        fields = set(Presence.__struct_fields__)
        there = {
            Key(each["user"], each["server"]): Presence(
                **{name: value for name, value in each.items() if name in fields}
            )
            for each in told["servers"]
        }
        self._epoch, self._seq = str(told["epoch"]), int(told["seq"])
        before, self._told = self._told, {key: (value, now) for key, value in there.items()}
        for key in before.keys() | there.keys():
            if before.get(key, (None,))[0] != there.get(key):
                self._changed(key)


def _told(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered {error.response.status_code}"
    return type(error).__name__
