"""The embedded backend under test: what belongs to it, and proof that nothing is left of it."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from rexec_jupyter.local.backend import LocalBackend
from rexec_jupyter.local.paths import Paths
from tests.backend.brokering import PATIENCE, until

CLIENT = "client of a test"
ROLES = {
    "supervisor": "rexec_jupyter.local",
    "broker": "rexec_broker",
    "endpoint": "rexec_ep_api",
    "agent": "rexec_server agent",
    "exec": "rexec_server exec",
    "worker": "rexec_server.exec.calls",
    "kernel": "rexec_server.exec.kernel",
}


class Lease:
    """One user of a backend, with nothing of `LocalBackend`."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self.socket.settimeout(PATIENCE)
        self.lines = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, line):
        self.socket.sendall(line)

    def ask(self, question, **details):
        self.send(json.dumps({"ask": question} | details).encode() + b"\n")
        return json.loads(self.lines.readline())

    def await_end(self):
        with contextlib.suppress(ConnectionError):
            while self.lines.readline():
                pass

    def close(self):
        self.lines.close()
        self.socket.close()


class Embedded:
    """The embedded backend in one runtime directory, whether it runs or not."""

    def __init__(self, root):
        self.paths = Paths(root)
        self.leases = []

    @property
    def root(self):
        return self.paths.root

    def start(self, **options):
        """Start it, or use the one that runs; it stays at least until `leave`."""

        async def enter():
            backend = LocalBackend(**options)
            try:
                await backend.locate()
                self.leases.append(Lease(self.paths.socket))
            finally:
                await backend.close()

        asyncio.run(enter())
        return self

    def leave(self):
        """Cease to use it."""
        while self.leases:
            self.leases.pop().close()

    def ask(self, question, **details):
        with Lease(self.paths.socket) as lease:
            return lease.ask(question, **details)

    def status(self):
        return self.ask("status")

    def pid(self, part):
        """Return the process id of the supervisor, broker, agent or exec; None if it is gone."""
        status = self.status()
        return status["pid"] if part == "supervisor" else status["parts"][part]["pid"]

    def kill(self, part):
        """Kill a part and wait until another one is ready in its place."""
        before = self.status()["parts"][part]["starts"]
        os.kill(self.pid(part), signal.SIGKILL)
        until(
            lambda: self.status()["ready"] and self.status()["parts"][part]["starts"] > before,
            f"another {part}",
        )

    def processes(self, role=None):
        """Return all processes of this backend, or those of one role, whoever their parent is."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if (
                    process.status() != psutil.STATUS_ZOMBIE
                    and process.environ().get("REXEC_RUNTIME_DIR") == str(self.root)
                    and ROLES.get(role, "") in " ".join(process.cmdline())
                    and not _is_client(process)
                ):
                    found.append(process)
        return found

    def remains(self):
        """Return the processes that are left, and what any of them needed."""
        paths = [self.paths.socket, self.paths.lock, self.paths.keys, self.paths.in_memory]
        return self.processes() + [path for path in paths if path.exists()]

    def stop(self):
        self.leave()
        # It may be ending just now: then it says nothing any more.
        with contextlib.suppress(OSError, ValueError), Lease(self.paths.socket) as lease:
            lease.ask("stop", force=True)
            lease.await_end()
        self.await_end()

    def await_end(self, patience=PATIENCE):
        deadline = time.monotonic() + patience
        while (left := self.remains()) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not left, f"left behind: {left}"


def _is_client(process):
    return process.pid == os.getpid() or process.cmdline()[-1:] == [CLIENT]


def client_process(script, **options):
    """Start a process that uses the backend; it says what it wants on its standard output."""
    return subprocess.Popen(
        [sys.executable, "-c", script, CLIENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


@contextlib.contextmanager
def private_backend():
    """An embedded backend of the test's own, for every process of the test; not started."""
    root = Path(tempfile.mkdtemp(prefix="rexec-test-"))  # short: sockets lie in it
    backend = Embedded(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REXEC_RUNTIME_DIR", str(root))
        try:
            yield backend
            backend.stop()
        finally:
            for process in backend.processes():
                with contextlib.suppress(psutil.Error):
                    process.kill()
            shutil.rmtree(root, ignore_errors=True)
            shutil.rmtree(backend.paths.in_memory, ignore_errors=True)
