"""A real PostgreSQL: Debian's package, run for these tests alone, on a socket in a directory."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

import psycopg
import pytest

_ABSENT = (
    "PostgreSQL is not installed, so nothing is tested against it "
    "(on Debian: apt-get install postgresql)"
)
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
}
# Losing everything when the machine stops is no loss to a test.
_FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
}


class PostgresServer:
    """A server with databases for tests, gone with its context.

    Parameters
    ----------
    programs
        The directory of its programs.
    durable
        Whether it keeps what it was told even if the machine stops, which takes longer.
    """

    def __init__(self, programs, *, durable=False):
        self._programs = programs
        self._settings = _SETTINGS if durable else _SETTINGS | _FORGETFUL
        # Not pytest's directory: its path may be too long for a socket, and is for root alone.
        self._directory = Path(tempfile.mkdtemp(prefix="rexec-pg-"))
        self._data = self._directory / "data"
        # The server refuses to run as root.
        self._account = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}

    def __enter__(self):
        try:
            if self._account:
                owner = pwd.getpwnam("nobody")
                os.chown(self._directory, owner.pw_uid, owner.pw_gid)
            self._run(
                "initdb",
                *("--pgdata", self._data, "--username", "rexec", "--auth", "trust"),
                *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
            )
            settings = [f"-c {name}={value}" for name, value in self._settings.items()]
            options = " ".join([f"-k {self._directory}", *settings])
            log = self._directory / "log"
            self._run(
                "pg_ctl",
                *("start", "--pgdata", self._data, "--wait", "--silent", "--log", log),
                *("--options", options),
            )
        except BaseException:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_):
        try:
            self.kill()
        finally:
            shutil.rmtree(self._directory)

    def start(self):
        """Have it answer."""
        settings = [f"-c {name}={value}" for name, value in _SETTINGS.items()]
        options = " ".join([f"-k {self._directory}", *settings])
        log = self._directory / "log"
        self._run(
            "pg_ctl",
            *("start", "--pgdata", self._data, "--wait", "--silent", "--log", log),
            *("--options", options),
        )

    def kill(self):
        """End it as a crash would; what was committed is there once it is started again."""
        self._run("pg_ctl", "stop", "--pgdata", self._data, "--mode", "immediate", "--silent")

    def new_database(self, options=""):
        """Return the URL of an empty database."""
        name = f"catalog_{uuid.uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {options}")
        return self.url(name)

    def url(self, database):
        """Return the URL of a database."""
        return f"postgresql://rexec@/{database}?host={self._directory}"

    def _run(self, program, *arguments):
        done = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT if program == "initdb" else subprocess.DEVNULL,
            text=True,
            check=False,
            **self._account,
        )
        if done.returncode:
            log = self._directory / "log"
            told = done.stdout or (log.read_text() if log.exists() else "")
            raise RuntimeError(f"{program} failed: {told}")


def programs():
    """Return the directory of PostgreSQL's programs, the newest, or None."""
    installed = Path("/usr/lib/postgresql")
    if versions := sorted(installed.glob("*/bin"), key=lambda path: float(path.parent.name)):
        return versions[-1]
    found = shutil.which("initdb")
    return Path(found).parent if found else None


@pytest.fixture(scope="session")
def postgres_server():
    """A running server; where there is none, tests of it are skipped, but not in CI."""
    found = programs()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(_ABSENT)
        pytest.skip(_ABSENT)
    with PostgresServer(found) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog_url(request, tmp_path):
    """The address of an empty database of its own."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalog.sqlite3'}"
    return request.getfixturevalue("postgres_server").new_database()
