"""Servers that are only said to run, for tests of what stands above a spawner."""

import asyncio

from rexec_deploy_api.records import Cause, Observed, decoded, encoded
from rexec_deploy_api.spawner.base import NoLogError, SpawnerError, StaleError


class MemorySpawner:
    """Keeps records, and what is there, in memory; a `Spawner`.

    Attributes
    ----------
    there
        What is observed of each server, by key and generation; a test changes it with `see`.
    fails
        Name of a method to the error that it raises.
    done
        What was done, as pairs of a word and a generation.
    first
        First generation of each server. In all else they are counted from 1 on.
    log
        Pieces that every log has.
    """

    def __init__(self):
        self.ready = False
        self.leads = True
        self.there = {}
        self.fails = {}
        self.done = []
        self.log = [b"one\n", b"two\n"]
        self.going_on = asyncio.Event()
        self.log_closed = asyncio.Event()
        self.first = {}
        self._records = {}
        self._version = 0
        self._changed = lambda _: None

    async def open(self, changed):
        self._changed = changed
        self.ready = True

    async def close(self):
        self.ready = False

    def keys(self):
        return list(self._records)

    def record(self, key):
        return self._records.get(key)

    def records_of(self, user):
        return [record for key, record in sorted(self._records.items()) if key.user == user]

    async def fetch(self, key):
        await self._do("fetch")
        return self._records.get(key)

    async def write(self, record):
        await self._do("write")
        there = self._records.get(record.key)
        if (there.version if there else "") != record.version:
            raise StaleError
        if there is None:
            self.first[record.key] = record.generation
        self._version += 1
        self._records[record.key] = written = decoded(encoded(record), str(self._version))
        self._changed(record.key)
        return written

    async def erase(self, record):
        await self._do("erase")
        self.done.append(("erase", self._number(record)))
        self._records.pop(record.key, None)
        self.there.pop(record.key, None)
        self._changed(record.key)

    def observe(self, key):
        return list(self.there.get(key, {}).values())

    async def place(self, record, credential):
        await self._do("place")
        number = self._number(record)
        if number not in self.there.get(record.key, {}):
            assert credential() is not None
            self.done.append(("place", number))
            self.see(record.key, number, "scheduling")

    async def displace(self, record, observed):
        await self._do("displace")
        number = observed.generation - self.first[record.key] + 1
        self.done.append(("displace", number))
        self.see(record.key, number, None)

    def _number(self, record):
        return record.generation - self.first[record.key] + 1

    def generation(self, key, number):
        """Return what a server's generation of this number is."""
        return self.first[key] + number - 1

    def see(self, key, number, phase, **more):
        """Have a generation observed in this phase, or no more if that is None."""
        if phase is None:
            self.there.get(key, {}).pop(number, None)
        else:
            generation = self.generation(key, number)
            seen = Observed(id=f"{key}-{generation}", generation=generation, phase=phase, **more)
            self.there.setdefault(key, {})[number] = seen
        self._changed(key)

    async def logs(self, record, query):
        if query.previous:
            raise NoLogError(Cause("backend", "There was no process before this one."))
        await self._do("logs")
        try:
            for piece in self.log:
                yield piece
            if query.follow:
                await self.going_on.wait()
                yield b"three\n"
        finally:
            self.log_closed.set()

    async def _do(self, what):
        await asyncio.sleep(0)
        if what in self.fails:
            raise self.fails[what]


def failing(message="The store is away.", *, reason="backend", final=False):
    """Return an error as spawners raise it."""
    return SpawnerError(Cause(reason, message, "Try again later.", final=final))
