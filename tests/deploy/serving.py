"""The real deploy API on a socket, in a thread, above a spawner in memory."""

import asyncio
import contextlib
import json
import socket
import threading
import time

import httpx
import uvicorn

from rexec_deploy_api.app import create_app
from rexec_deploy_api.records import Key, Presence
from rexec_deploy_api.settings import DeploySettings
from rexec_jupyter.core.credentials import SigningKey
from rexec_jupyter.core.trust import new_keypair
from tests.deploy.memory_spawner import MemorySpawner
from tests.waiting import PATIENCE, until


def settings(directory, identity, **changed):
    """Return settings with keys of their own."""
    if not (directory / "signing.pem").exists():
        SigningKey.generate().write(directory / "signing.pem")
        (directory / "secret").write_bytes(bytes(range(32)))
    values = {
        "auth_api_url": identity.url,
        "signing_key_file": directory / "signing.pem",
        "secret_file": directory / "secret",
        "broker_key": new_keypair().public.decode(),
        "broker_host": "broker.example.org",
        "broker_health_url": "http://127.0.0.1:9",
        "app_root_path": "/rexec",
    }
    return DeploySettings(_env_file=None, **(values | changed))


class Service:
    """A deploy API that runs; use it in a ``with`` statement.

    Attributes
    ----------
    spawner
        Its `MemorySpawner`.
    url
        Where it is.
    """

    def __init__(self, chosen):
        self.spawner = None
        self.app = create_app(chosen, self._make)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        config = uvicorn.Config(
            self.app,
            http="rexec_jupyter.web.protocol:Protocol",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run)
        self._loop = None

    def _run(self):
        self._server.run(sockets=[self._door])

    async def _make(self, *_):
        self._loop = asyncio.get_running_loop()
        self.spawner = MemorySpawner()
        return self.spawner

    def __enter__(self):
        self._thread.start()
        until(lambda: self._server.started or not self._thread.is_alive(), "the service")
        assert self._thread.is_alive()
        return self

    def __exit__(self, *_):
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        self._door.close()
        assert not self._thread.is_alive()

    def client(self, token=None, root=""):
        """Return a client, with a bearer token or without."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url + root, headers=headers, timeout=PATIENCE)

    def do(self, work, *arguments, **options):
        """Call something in the thread of the service."""

        async def called():
            return work(*arguments, **options)

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(PATIENCE)

    def see(self, user, name, generation, phase, **more):
        """Have the spawner observe something."""
        self.do(self.spawner.see, Key(user, name), generation, phase, **more)

    def greet(self, user, name, generation, **told):
        """Have the broker tell of a server."""
        attendance = self.app.state.running.attendance
        key = Key(user, name)
        presence = Presence(self.spawner.generation(key, generation), "ready", **told)

        def take():
            attendance._told[key] = (presence, time.monotonic())
            attendance._changed(key)

        self.do(take)

    def record(self, user, name="default"):
        """Return what is kept of a server."""
        return self.do(self.spawner.record, Key(user, name))

    def age(self, user, seconds, name="default"):
        """Have a server been ready for so much longer."""

        def ready_before():
            record = self.spawner.record(Key(user, name))
            aged = record.having(ready_at=record.ready_at - seconds)
            self.spawner._records[record.key] = aged
            self.spawner._changed(record.key)

        self.do(ready_before)

    def clean(self):
        """Forget all servers."""

        def forget():
            if self.app.state.running.controller._looking:
                return False  # what is under way would be taken for what comes
            self.spawner._records.clear()
            self.spawner.there.clear()
            self.spawner.done.clear()
            self.spawner.fails.clear()
            self.spawner.going_on.clear()
            self.spawner.log_closed.clear()
            self.spawner.log[:] = [b"one\n", b"two\n"]
            self.app.state.running.attendance._told.clear()
            return True

        until(lambda: self.do(forget), "what is under way")


@contextlib.contextmanager
def serving(directory, identity, **changed):
    """Run a deploy API."""
    with Service(settings(directory, identity, **changed)) as service:
        yield service


def events_in(lines):
    """Yield the events in the lines of a stream, as pairs of number and content."""
    number = None
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            number = int(value)
        elif name == "data":
            yield number, json.loads(value)
