"""Records of servers as files in one directory, which one process at a time works on."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
from hashlib import blake2b
from pathlib import Path

from rexec_deploy_api.records import Key, Record, decoded, encoded
from rexec_deploy_api.spawner.base import StaleError
from rexec_jupyter.core.runtime import private_directory

_RECORD = "record.json"
_log = logging.getLogger(__name__)


class BusyError(RuntimeError):
    """Another process works on the directory."""


class Store:
    """Records in a directory, each in a folder of its own beside what belongs to its server.

    A file is replaced at once or not at all. It does not wait for the disk: what ends the
    machine also ends the servers.

    Parameters
    ----------
    directory
        For this alone; made if need be.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.records: dict[Key, Record] = {}
        self._lock: int | None = None

    def open(self) -> None:
        """Read what is there. What cannot be read is set aside.

        Raises
        ------
        BusyError
            If another process has it open.
        OSError
            If the directory cannot be had.
        """
        private_directory(self.directory)
        lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise BusyError(
                f"Another process looks after the servers in {self.directory}."
            ) from None
        self._lock = lock
        self.records.clear()
        for path in sorted(self.directory.glob(f"*/{_RECORD}")):
            self._load(path)

    def close(self) -> None:
        """Leave it to others."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def folder(self, key: Key) -> Path:
        """Return where a server's files are; users' names may hold anything."""
        digest = blake2b(digest_size=10)
        for word in key:
            digest.update(word.encode(errors="surrogatepass") + b"\0")
        return self.directory / digest.hexdigest()

    def write(self, record: Record) -> Record:
        """Write a record; return it with its new version.

        Raises
        ------
        StaleError
            If it is not the version that is there.
        OSError
            If that is impossible.
        """
        there = self.records.get(record.key)
        if record.version != (there.version if there else ""):
            raise StaleError(f"the server {record.name!r} was changed meanwhile")
        folder = private_directory(self.folder(record.key))
        draft = folder / f".{_RECORD}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(encoded(record))
        draft.replace(folder / _RECORD)
        written = record.having(version=secrets.token_hex(8))
        self.records[record.key] = written
        return written

    def erase(self, key: Key) -> None:
        """Remove a record, and all files of its server."""
        self.records.pop(key, None)
        folder = self.folder(key)
        # The record first: whoever is stopped in between leaves nothing that is taken for one.
        (folder / _RECORD).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def _load(self, path: Path) -> None:
        try:
            record = decoded(path.read_bytes(), secrets.token_hex(8))
            if self.folder(record.key) != path.parent:
                raise ValueError("the record is that of another server")  # noqa: TRY301
        except (OSError, ValueError) as error:
            _log.error("%s: %s; it is set aside, and its server is gone", path, error)
            path.replace(path.with_suffix(".damaged"))
        else:
            self.records[record.key] = record
