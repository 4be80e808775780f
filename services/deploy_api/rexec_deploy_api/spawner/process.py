"""Servers as child processes of this one, for one machine.

They end with this process: when it is started again, whatever was running is replaced. What
only containers can give is not here: an image, devices, a memory limit that user code cannot
get around, and files that one user's code cannot read of another's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rexec_deploy_api.records import Cause, Key, Observed, Record
from rexec_deploy_api.spawner.base import Credential, LogQuery, NoLogError, SpawnerError
from rexec_deploy_api.spawner.process_logs import read_log
from rexec_deploy_api.spawner.process_server import Generation, Options, Places
from rexec_deploy_api.spawner.process_store import Store
from rexec_jupyter.core.runtime import UnsafeDirectoryError, private_directory
from rexec_jupyter.local.paths import Paths
from rexec_jupyter.local.processes import Part

_HOUSEKEEPING = 2.0
_LOGS = "logs"
_PARTS = ("agent", "exec", "environment")
# All that servers get of this process's environment, unless told otherwise.
_INHERITED = (
    *("PATH", "USER", "LOGNAME", "LANG", "LC_", "TZ", "TMPDIR", "PYTHON", "VIRTUAL_ENV"),
    *("LD_LIBRARY_PATH", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "http_proxy", "https_proxy"),
    *("no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "UV_", "COVERAGE_"),
)


class ProcessSpawner:
    """Runs servers as child processes; a `Spawner`.

    Open, use and close it in one thread that lasts: its children end with that thread.

    Parameters
    ----------
    directory
        For records and all files of servers; private, with a short name, and for this alone.
    environment
        Environment of the servers' processes; by default the harmless part of our own.
    places
        Where the files of a generation are; by default below `directory`.
    share_files
        Whether clients on this machine may hand over files, which takes the same system user.
    drain
        Seconds that running jobs get when a server is ended.
    """

    def __init__(
        self,
        directory: Path,
        *,
        environment: Mapping[str, str] | None = None,
        places: Callable[[Record], Places] | None = None,
        share_files: bool = False,
        drain: float = 10.0,
    ) -> None:
        self._directory = directory.absolute()
        self._store = Store(self._directory / "servers")
        self._places = places or self._own_places
        self._options = Options(
            environment=_inherited() if environment is None else environment,
            cache=self._directory / "environments",
            share_files=share_files,
            drain=drain,
        )
        self._generations: dict[Key, list[Generation]] = {}
        self._lost: dict[Key, Observed] = {}
        self._changed: Callable[[Key], None] = lambda _: None
        self._upkeep: asyncio.Task[None] | None = None
        self._ready = False

    @property
    def ready(self) -> bool:
        """Whether it is open."""
        return self._ready

    @property
    def leads(self) -> bool:
        """Whether this process acts on records: no other can open them."""
        return self._ready

    async def open(self, changed: Callable[[Key], None]) -> None:
        """Read what is there, and begin.

        Raises
        ------
        BusyError
            If another process does the same.
        OSError
            If the directory cannot be had.
        """
        private_directory(self._directory)
        self._store.open()
        self._changed = changed
        # What ran before ended with whoever ran it.
        for place in self._store.directory.glob("*/[0-9]*"):
            shutil.rmtree(Paths(place).in_memory, ignore_errors=True)
            shutil.rmtree(place, ignore_errors=True)
        self._lost = {
            key: _lost(record) for key, record in self._store.records.items() if record.placed
        }
        self._upkeep = asyncio.get_running_loop().create_task(self._keep_up())
        self._ready = True

    async def close(self) -> None:
        """End all servers in good order; the next to open this replaces them."""
        self._ready = False
        if self._upkeep is not None:
            self._upkeep.cancel()
            await asyncio.gather(self._upkeep, return_exceptions=True)
            self._upkeep = None
        running = [each for some in self._generations.values() for each in some]
        await asyncio.gather(*(each.end() for each in running))
        self._generations.clear()
        self._store.close()

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING)
            for some in self._generations.values():
                for each in some:
                    each.turn_over()

    # ------------------------------------------------------------------------- the records

    def keys(self) -> Sequence[Key]:
        """Return every server of which there is a record."""
        return list(self._store.records)

    def record(self, key: Key) -> Record | None:
        """Return a record."""
        return self._store.records.get(key)

    def records_of(self, user: str) -> Sequence[Record]:
        """Return the records of one user, by name."""
        found = [record for key, record in self._store.records.items() if key.user == user]
        return sorted(found, key=lambda record: record.name)

    async def fetch(self, key: Key) -> Record | None:
        """Return a record."""
        return self._store.records.get(key)

    async def write(self, record: Record) -> Record:
        """Write a record; a new one if its version is empty. Returns it with its new version.

        Raises
        ------
        StaleError
            If it is not the version that is there.
        SpawnerError
            If it cannot be written.
        """
        with _told("The server's record cannot be written"):
            record = self._store.write(record)
        self._changed(record.key)
        return record

    async def erase(self, record: Record) -> None:
        """Remove a record, and everything that belongs to it."""
        key = record.key
        for each in list(self._generations.get(key, ())):
            each.leave(lambda _: None)
            await each.gone()
        self._generations.pop(key, None)
        self._lost.pop(key, None)
        self._store.erase(key)
        self._changed(key)

    # ------------------------------------------------------------------------- the servers

    def observe(self, key: Key) -> Sequence[Observed]:
        """Return what is there for a record, every generation of it."""
        found = [each.observe() for each in self._generations.get(key, ())]
        lost = self._lost.get(key)
        return found if lost is None else [*found, lost]

    async def place(self, record: Record, credential: Callable[[], Credential]) -> None:
        """Start the generation of the record, unless it is there.

        Raises
        ------
        SpawnerError
            If it cannot be started.
        """
        key = record.key
        some = self._generations.setdefault(key, [])
        if any(each.number == record.generation for each in some):
            return
        _check(record)
        with _told("The server cannot have its directories"):
            private_directory(self._options.cache)
            made = Generation(
                record, self._places(record), self._options, lambda: self._changed(key)
            )
            some.append(made)
            try:
                made.start(credential)
            except BaseException:
                made.leave(lambda each: self._forget(key, each))
                raise
        self._changed(key)

    async def displace(self, record: Record, observed: Observed) -> None:
        """Have a generation end in good order."""
        key = record.key
        lost = self._lost.get(key)
        if lost is not None and lost.id == observed.id:
            del self._lost[key]
            self._changed(key)
        for each in self._generations.get(key, ()):
            if each.id == observed.id:
                each.leave(lambda each: self._forget(key, each))

    def _forget(self, key: Key, gone: Generation) -> None:
        some = self._generations.get(key, [])
        some[:] = [each for each in some if each is not gone]
        if not some:
            self._generations.pop(key, None)
        self._changed(key)

    def parts(self, key: Key) -> Mapping[str, Part]:
        """Return the processes of the newest generation by name; none if nothing is there."""
        newest = self._newest(key)
        return newest.parts if newest else {}

    def steady(self, record: Record) -> bool:
        """Tell whether the broker welcomed the record's generation, as its agent told."""
        newest = self._newest(record.key)
        return newest is not None and newest.number == record.generation and newest.steady

    def failed(self, key: Key) -> tuple[str, list[str]] | None:
        """Return the part that did not get to work, and the last lines of its log."""
        newest = self._newest(key)
        return newest.failed if newest else None

    def _newest(self, key: Key) -> Generation | None:
        some = self._generations.get(key, ())
        return max(some, key=lambda each: each.number, default=None)

    async def logs(self, record: Record, query: LogQuery) -> AsyncIterator[bytes]:
        """Yield pieces of a log.

        Raises
        ------
        NoLogError
            If there is none.
        """
        if query.part not in _PARTS:
            names = ", ".join(_PARTS)
            raise NoLogError(Cause("backend", f"There is no such log; there are {names}."))
        key = record.key
        newest = self._newest(key)
        logs = newest.places.logs if newest else self._store.folder(key) / _LOGS

        def going_on() -> bool:
            now = self._store.records.get(key)
            same = now is not None and now.created == record.created
            return same and self._ready and now is not None and now.state != "failed"

        async for piece in read_log(logs / f"{query.part}.log", query, going_on):
            yield piece

    def _own_places(self, record: Record) -> Places:
        folder = self._store.folder(record.key)
        root = private_directory(folder / str(record.generation))
        paths = Paths(root)
        if record.spec.home:
            homes = private_directory(self._directory / "homes")
            work = homes / self._store.folder(Key(record.user, "")).name
        else:
            work = folder / "home"
        return Places(
            keys=paths.keys,
            state=paths.state,
            logs=folder / _LOGS,  # those of the generation before it tell why it ended
            handoff=paths.handoff,
            work=private_directory(work),
            own=(root, paths.in_memory),
        )


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_INHERITED)}


def _lost(record: Record) -> Observed:
    """Return what is left of a generation whose processes ended with those who ran them."""
    cause = Cause("backend", "The service that ran it was started anew.")
    return Observed(id=record.placed, generation=record.generation, phase="ended", cause=cause)


def _check(record: Record) -> None:
    """Refuse what processes cannot have."""
    if moved := [each for each in record.spec.volumes if each.claim != each.path]:
        text = f"{moved[0].claim} cannot be made visible as {moved[0].path} without containers."
        hint = "The administrator has to correct the profile."
        raise SpawnerError(Cause("configuration", text, hint, final=True))


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what the system refuses into words for the owner."""
    try:
        yield
    except UnsafeDirectoryError as error:
        raise SpawnerError(Cause("backend", f"{what}: {error}", final=True)) from error
    except OSError as error:
        text = f"{what}: {error.strerror or error}."
        raise SpawnerError(Cause("backend", text, "Tell whoever runs this service.")) from error
