"""The Kubernetes spawner and its controller in this process, on the real cluster and broker."""

import asyncio
import contextlib
import time
import urllib.parse

from kubernetes.aio import client, config

from rexec_deploy_api.controller import Controller
from rexec_deploy_api.pool import Pool
from rexec_deploy_api.presence import Attendance
from rexec_deploy_api.records import Key, Spec
from rexec_deploy_api.service import Owner, Servers
from rexec_deploy_api.spawner.kubernetes.api import Cluster
from rexec_deploy_api.spawner.kubernetes.settings import KubernetesSettings
from rexec_deploy_api.spawner.kubernetes.spawner import KubernetesSpawner
from tests.cluster import backend as b
from tests.cluster.broker import image
from tests.cluster.kube import get

PATIENCE = 150.0
SALT = b"of the tests on a real cluster .."
MiB = 1 << 20


def small(**changes):
    """Return what a small server is to be."""
    return Spec(**{"profile": "small", "cpu": 1.0, "memory": 400 * MiB} | changes)


def chosen(instance, namespace=b.NAMESPACE, **changes):
    """Return settings of a deployment that takes little and acts soon."""
    settings = {
        "instance": instance,
        "namespace": namespace,
        "lease": f"test-{instance}",
        "lease_seconds": 3,
        "image": image("server"),
        "cache": 0,
        "cpu_request": 0.01,
        "memory_request": 0.1,
        "drain_grace": 2,
    }
    return KubernetesSettings(_env_file=None, **(settings | changes))


class Process:
    """What one deploy API does behind its HTTP interface.

    Parameters
    ----------
    backend
        The broker, and the keys of the deployment.
    instance
        Tells it from others; processes of one instance look after the same servers.
    clock
        Seconds since 1970.
    cluster
        Makes the access to the cluster from a configuration.
    through
        Port on loopback to reach the cluster through.
    stocks
        What is kept ready, by profile.
    """

    def __init__(
        self,
        backend,
        instance,
        *,
        clock=time.time,
        cluster=Cluster,
        through=0,
        stocks=None,
        **settings,
    ):
        self.backend = backend
        self.settings = chosen(instance, **settings)
        self._clock, self._cluster, self._through = clock, cluster, through
        self._stocks = stocks or {}
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self):
        configuration = client.Configuration()
        await config.load_kube_config(client_configuration=configuration)
        if self._through:
            # The certificate of the cluster names its own address.
            configuration.tls_server_name = urllib.parse.urlsplit(configuration.host).hostname
            configuration.host = f"https://127.0.0.1:{self._through}"
        self.cluster = self._cluster(configuration)
        self.spawner = KubernetesSpawner(self.cluster, self.settings, SALT)
        self.names = self.spawner._names
        tickets = self.backend.tickets()
        self.attendance = Attendance(self.backend.health, tickets.status_token, self._changed)
        self.pool = Pool(self.spawner, self.attendance, tickets, self._stocks, self._clock)
        self.servers = Servers(
            self.spawner, self.attendance.of, claim=self.pool.claim, clock=self._clock
        )
        self.controller = Controller(
            self.spawner,
            self.attendance.of,
            tickets.credential,
            self.pool.hand_over,
            clock=self._clock,
        )
        await self.spawner.open(self._changed)
        self.tasks = [
            asyncio.create_task(self.controller.run()),
            asyncio.create_task(self.attendance.follow()),
            asyncio.create_task(self.pool.run()),
        ]
        await self.until(lambda: self.spawner.leads and self.attendance.known, "it leads")
        return self

    async def __aexit__(self, *_):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.spawner.close()

    def _changed(self, key):
        self.servers.changed(key)
        self.controller.changed(key)
        self.pool.changed(key)

    async def until(self, condition, what, patience=PATIENCE):
        """Wait until `condition()` is true; return what it returned."""
        end = time.monotonic() + patience
        while not (found := condition()):
            assert time.monotonic() < end, f"{what}: not within {patience:g} s"
            await asyncio.sleep(0.05)
        return found

    async def spawn(self, user, spec=None, **options):
        """Have a server of a user; return its record."""
        name = options.pop("name", "default")
        record, _ = await self.servers.spawn(Owner(user), name, spec or small(), **options)
        return record

    async def reaches(self, user, *states, name="default"):
        """Wait until the server is in one of these states; return its record."""
        key = Key(user, name)

        def there():
            record = self.spawner.record(key)
            return record if record is not None and record.state in states else None

        try:
            return await self.until(there, f"{user!r} reaches {states}")
        except AssertionError as error:
            told = self.spawner.record(key), self.spawner.observe(key)
            raise AssertionError(f"{error}; it is {told}") from None

    async def ends(self, user, name="default"):
        """Stop a server and wait until nothing of it is left."""
        await self.servers.stop(user, name)
        await self.gone(user, name)

    async def gone(self, user, name="default"):
        """Wait until nothing of a server is left."""
        key = Key(user, name)
        await self.until(lambda: self.spawner.record(key) is None, f"{user!r} ends")
        assert not self.spawner.observe(key)

    def objects(self, kind, user):
        """Return the objects of a kind in the namespace of a user."""
        return get(kind, namespace=self.names.namespace(user))

    def texts(self, user, name="default"):
        """Return what was told of a server."""
        return [event.text for event in self.spawner.record(Key(user, name)).events]


class Door:
    """A way to the cluster's API that can be shut, cut and stalled.

    Attributes
    ----------
    port
        On loopback.
    """

    def __init__(self):
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers = set()
        self._tasks = set()

    async def __aenter__(self):
        configuration = client.Configuration()
        await config.load_kube_config(client_configuration=configuration)
        where = urllib.parse.urlsplit(configuration.host)
        self._where = (where.hostname, where.port or 443)
        self._server = await asyncio.start_server(self._admit, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def shut(self):
        """End all connections and let nobody in."""
        self._open.clear()
        self.cut()

    def unlock(self):
        """Let everybody in."""
        self._open.set()

    def cut(self):
        """End all connections."""
        for writer in list(self._writers):
            writer.transport.abort()

    def stall(self):
        """Let nothing through; connections stay."""
        self._flowing.clear()

    def flow(self):
        """Let things through."""
        self._flowing.set()

    async def _admit(self, reader, writer):
        if not self._open.is_set():
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._where)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pass(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source, sink):
        with contextlib.suppress(OSError):
            while content := await source.read(1 << 16):
                await self._flowing.wait()
                sink.write(content)
                await sink.drain()
        sink.transport.abort()
        self._writers.discard(sink)


class Mortal(Cluster):
    """Access to a cluster that ends for good after some changes, as if the process was killed.

    Attributes
    ----------
    left
        Changes that it may still make.
    died
        Set when it had to make one more.
    """

    left = 0

    def __init__(self, configuration):
        super().__init__(configuration)
        self.died = asyncio.Event()
        self.changes = []

    async def _ask(self, method, path, query=None, body=None, headers=None):
        if self.died.is_set():
            await asyncio.Event().wait()
        # Leases are no step of a spawn.
        if method != "GET" and "/leases" not in path:
            if self.left <= 0:
                self.died.set()
                await asyncio.Event().wait()
            self.left -= 1
            self.changes.append(f"{method} {path}")
        return await super()._ask(method, path, query, body, headers)


def mortal(changes):
    """Return the kind of access that ends after that many changes."""
    return type("Mortal", (Mortal,), {"left": changes})


async def killed_starting(process, user):
    """Have a server of a user until it is ready, or until a `mortal` process was killed.

    Returns
    -------
    bool
        Whether it was killed. Otherwise it ends here all the same.
    """
    asking = asyncio.create_task(process.spawn(user))
    ready = asyncio.create_task(process.reaches(user, "ready"))
    died = asyncio.create_task(process.cluster.died.wait())
    await asyncio.wait({ready, died}, return_when=asyncio.FIRST_COMPLETED)
    killed = died.done()
    for task in (asking, ready, died, *process.tasks, *process.spawner._tasks):
        task.cancel()
    return killed
