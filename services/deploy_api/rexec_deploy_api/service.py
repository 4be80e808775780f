"""What users may ask of their servers, whoever asks in which way: HTTP or the embedded backend."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple

from rexec_deploy_api.lending import lender_of
from rexec_deploy_api.reconcile import Ending, another, ending
from rexec_deploy_api.records import Cause, Event, Key, Presence, Record, Spec
from rexec_deploy_api.spawner.base import LogQuery, Spawner, SpawnerError, StaleError

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
"""Names of servers: they become part of names in Kubernetes."""

_ATTEMPTS = 8
_PATIENCE = 0.05
_SILENCE = 5.0


class NotThereError(LookupError):
    """There is no such server of this user; the text says so."""


class DifferentError(RuntimeError):
    """There is such a server, but it is another one than was asked for; the text says how."""


class TooManyError(RuntimeError):
    """The user has as many servers as one may have; the text names them."""


class Owner(NamedTuple):
    """Whose a server is.

    Attributes
    ----------
    user
        What identifies them to their issuer.
    username
        For people.
    issuer
        Who says so.
    """

    user: str
    username: str = ""
    issuer: str = ""


class View(NamedTuple):
    """One server as its owner sees it."""

    record: Record
    presence: Presence | None
    ending: Ending | None


class _Follower:
    """Somebody who follows a server, and the last that was heard of it.

    It may be gone before they are told that it was about to be.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.gone = False
        self.heard = asyncio.Event()

    def hear(self, record: Record | None) -> None:
        """Take note of how it is now; None if it is gone."""
        if record is None or record.created != self.record.created:
            self.gone = True
        elif not self.gone:
            self.record = record
        self.heard.set()


Claim = Callable[[Key, Spec], Awaitable[Key | None]]


async def _none(key: Key, spec: Spec) -> None:
    del key, spec


class Servers:
    """The servers of all users.

    Parameters
    ----------
    spawner
        Where they run.
    presence
        Tells what the broker says of a server.
    most
        Servers that one user may have at once.
    claim
        Finds one that is kept ready for whoever comes.
    clock
        Seconds since 1970.
    """

    def __init__(
        self,
        spawner: Spawner,
        presence: Callable[[Record], Presence | None],
        *,
        most: int = 5,
        claim: Claim = _none,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._spawner = spawner
        self._presence = presence
        self._most = most
        self._claim = claim
        self._clock = clock
        self._followers: dict[Key, set[_Follower]] = {}

    def changed(self, key: Key) -> None:
        """Wake whoever follows a server."""
        record = self._spawner.record(key)
        for each in self._followers.get(key, ()):
            each.hear(record)

    # -------------------------------------------------------------------------- looking

    def list(self, user: str) -> list[View]:
        """Return the servers of a user."""
        return [self.view(record) for record in self._spawner.records_of(user)]

    def get(self, user: str, name: str) -> View:
        """Return one server.

        Raises
        ------
        NotThereError
            If there is none of this name.
        """
        record = self._spawner.record(Key(user, name))
        if record is None:
            raise NotThereError(f"You have no server named {name!r}.")
        return self.view(record)

    def view(self, record: Record) -> View:
        """Return a record as its owner sees it."""
        presence = self._presence(record)
        if presence is not None and presence.generation != record.generation:
            presence = None
        return View(record, presence, ending(record, presence, self._clock()))

    async def events(self, user: str, name: str, after: int = 0) -> AsyncIterator[Event | None]:
        """Yield what happened and happens to a server, until it is gone; never starts one.

        Yields None now and then while nothing happens.

        Parameters
        ----------
        after
            Number of the last event that is known.

        Raises
        ------
        NotThereError
            If there is none of this name.
        """
        key = Key(user, name)
        record = self.get(user, name).record
        if record.events and after > record.events[-1].seq:
            after = 0  # that was of an earlier server of this name
        with self._following(_Follower(record)) as follower:
            while True:
                follower.heard.clear()
                gone = follower.gone
                for event in follower.record.events:
                    if event.seq > after:
                        after = event.seq
                        yield event
                if gone:
                    break
                try:
                    async with asyncio.timeout(_SILENCE):
                        await follower.heard.wait()
                except TimeoutError:
                    yield None
                    follower.hear(self._spawner.record(key))
        yield Event(after + 1, self._clock(), "state", "gone", "It is gone.")

    @contextlib.contextmanager
    def _following(self, follower: _Follower) -> Iterator[_Follower]:
        """Have `changed` tell somebody of a server."""
        key = follower.record.key
        followers = self._followers.setdefault(key, set())
        followers.add(follower)
        try:
            yield follower
        finally:
            followers.discard(follower)
            if not followers and self._followers.get(key) is followers:
                del self._followers[key]

    def logs(self, user: str, name: str, query: LogQuery) -> AsyncIterator[bytes]:
        """Yield pieces of a log of a server.

        Raises
        ------
        NotThereError
            If there is none of this name.
        """
        record = self.get(user, name).record
        return self._spawner.logs(lender_of(self._spawner, record) or record, query)

    # --------------------------------------------------------------------------- changing

    async def spawn(
        self,
        owner: Owner,
        name: str,
        spec: Spec,
        *,
        force: bool = False,
        timed: Sequence[str] = (),
    ) -> tuple[Record, bool]:
        """Have a server that is as asked for; the same as once if asked for again.

        Parameters
        ----------
        force
            Whether one that is different is to be replaced.
        timed
            Which of `CLOCKS` one that is there is to get.

        Returns
        -------
        record, begun
            Its record, and whether it was started by this call.

        Raises
        ------
        DifferentError
            If there is one that is different, and it is not to be replaced.
        TooManyError
            If the user may have no more.
        SpawnerError
            If it cannot be written down.
        """
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(StaleError):
                return await self._spawn(owner, name, spec, force=force, timed=timed)
            await asyncio.sleep(_PATIENCE)
        raise _contended(name)

    async def _spawn(
        self, owner: Owner, name: str, spec: Spec, *, force: bool, timed: Sequence[str]
    ) -> tuple[Record, bool]:
        now = self._clock()
        record = await self._spawner.fetch(Key(owner.user, name))
        if record is None:
            self._room(owner.user, name)
            lender = await self._claim(Key(owner.user, name), spec)
            fresh = Record(
                user=owner.user,
                name=name,
                spec=spec,
                username=owner.username,
                issuer=owner.issuer,
                # The broker lets no older generation in, even if its record is long gone.
                generation=max(1, int(now)),
                created=now,
                borrowed=lender,
            )
            return await self._spawner.write(fresh.entering(now, "requested", "Asked for.")), True
        same = record.spec.digest == spec.digest
        alive = _alive(record)
        if alive and same and not force:
            return await self._timed(record, spec, timed), False
        if alive and not same and not force:
            raise DifferentError(_difference(record.spec, spec, name))
        if not alive:
            self._room(owner.user, name)
        return await self._renew(record, spec, "Asked for again."), True

    async def _timed(self, record: Record, spec: Spec, timed: Sequence[str]) -> Record:
        """Change the clocks of a server that runs."""
        wanted = {clock: getattr(spec, clock) for clock in timed}
        changed = record.spec.having(**wanted)
        if changed == record.spec:
            return record
        text = "When it ends by itself was changed."
        return await self._spawner.write(
            record.having(spec=changed, warned="").told(self._clock(), text)
        )

    async def restart(self, user: str, name: str) -> Record:
        """Replace a server by a new one like it.

        Raises
        ------
        NotThereError
            If there is none of this name.
        SpawnerError
            If it cannot be written down.
        """
        return await self._change(
            user, name, lambda record: self._renewed(record, record.spec, "Restarted.")
        )

    async def stop(self, user: str, name: str) -> Record | None:
        """Have a server end in good order; None if there is none."""
        try:
            return await self._change(
                user, name, lambda record: record.having(wanted="stopped", cause=None)
            )
        except NotThereError:
            return None

    async def extend(self, user: str, name: str, seconds: float) -> Record:
        """Let no clock end a server within the next `seconds`.

        Raises
        ------
        NotThereError
            If there is none of this name.
        SpawnerError
            If it cannot be written down.
        """

        def longer(record: Record) -> Record:
            until = max(record.extended, self._clock() + seconds)
            return record.having(extended=until, warned="")

        return await self._change(user, name, longer)

    async def _change(self, user: str, name: str, change: Callable[[Record], Record]) -> Record:
        for _ in range(_ATTEMPTS):
            record = await self._spawner.fetch(Key(user, name))
            if record is None:
                raise NotThereError(f"You have no server named {name!r}.")
            with contextlib.suppress(StaleError):
                return await self._spawner.write(change(record))
            await asyncio.sleep(_PATIENCE)
        raise _contended(name)

    def _renewed(self, record: Record, spec: Spec, text: str) -> Record:
        # What ran before has the older generation, so it ends and is not let in any more.
        renewed = another(record).having(
            spec=spec,
            wanted="running",
            failures=0,
            ready_at=0.0,
            extended=0.0,
            warned="",
        )
        return renewed.entering(self._clock(), "requested", text)

    async def _renew(self, record: Record, spec: Spec, text: str) -> Record:
        return await self._spawner.write(self._renewed(record, spec, text))

    def _room(self, user: str, name: str) -> None:
        """Make sure that the user may have one more."""
        records = self._spawner.records_of(user)
        names = [each.name for each in records if _alive(each) and each.name != name]
        if len(names) >= self._most:
            raise TooManyError(
                f"You have {len(names)} servers, as many as one may have: {', '.join(names)}. "
                "Stop one you do not need."
            )


def _alive(record: Record) -> bool:
    return record.wanted == "running" and record.state != "failed"


def _difference(there: Spec, asked: Spec, name: str) -> str:
    if there.profile != asked.profile:
        what = f"its profile is {there.profile!r}, not {asked.profile!r}"
    elif (there.requirements, there.python) != (asked.requirements, asked.python):
        what = "it has other requirements"
    else:
        what = "it has other resources, or another environment"
    return (
        f"Your server {name!r} is not what you ask for: {what}. Stop it first, or ask for it "
        "to be replaced (force, or force_reinstall), which ends what runs there."
    )


def _contended(name: str) -> SpawnerError:
    return SpawnerError(
        Cause(
            "backend",
            f"The server {name!r} is being changed by others all the time.",
            "Try again in a moment.",
        )
    )
