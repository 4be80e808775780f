"""One broker and the servers of several users, each a process of its own."""

import contextlib
import secrets
import shutil
import tempfile
from pathlib import Path

from rexec_jupyter._connect import connect_to
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust
from rexec_jupyter.core.backend import Address
from tests.backend.agenting import Process
from tests.backend.brokering import PATIENCE, Client, running


class UserServer:
    """Agent and exec of one user."""

    def __init__(self, broker, user, directory, *, workers=1, reach=""):
        self.user = user
        self.directory = directory
        directory.mkdir()
        self.handoff = Path(tempfile.mkdtemp(prefix="rexec-test-"))  # short: sockets lie in it
        self.work = directory / "work"
        self.work.mkdir()
        keys = trust.new_keypair()
        trust.write_keypair(directory / "server.key", keys)
        certificate = broker.signing.certificate(user=user, server="main", key=keys.public.decode())
        (directory / "certificate").write_text(certificate)
        self.agent = Process(
            [
                *("rexec_server", "agent", "--broker", reach or broker.ready["server"]),
                *("--broker-key", broker.keys.public.decode()),
                *("--curve-key-file", directory / "server.key"),
                *("--certificate-file", directory / "certificate"),
                *("--directory", directory / "state", "--handoff", self.handoff),
                *("--slots", workers),
            ],
            directory / "agent.log",
        )
        self.exec = Process(
            [
                *("rexec_server", "exec", "--handoff", self.handoff),
                *("--workers", workers, "--directory", self.work),
            ],
            directory / "exec.log",
        )
        self.agent.start()
        self.exec.start()

    def kill(self, part):
        """Kill the agent or exec, and start it again."""
        process = getattr(self, part)
        process.kill()
        process.start()

    def stop(self):
        self.agent.stop()
        self.exec.stop()
        shutil.rmtree(self.handoff)


class UserBackend:
    """How one user reaches the broker: with tickets signed for that user."""

    def __init__(self, broker, user, secret):
        self.description = f"test backend of {user}"
        self.progress = ""
        self._broker = broker
        self._user = user
        self._secret = secret

    async def locate(self):
        return Address(self._broker.ready["client"], self._broker.keys.public.decode())

    async def revive(self):
        pass

    async def ticket(self, key):
        return self._broker.signing.ticket(user=self._user, key=key), 900.0

    async def close(self):
        pass

    def job_secret(self):
        return self._secret


class Site:
    """The broker, and by user's name the servers."""

    def __init__(self, broker, servers):
        self.broker = broker
        self.servers = servers
        self.secrets = {user: secrets.token_bytes(32) for user in servers}

    def kill_broker(self):
        """Kill the broker and start it again at the same addresses, with the same keys."""
        self.broker.process.kill()
        self.broker.process.wait(PATIENCE)
        self.broker.start(
            *("--client-address", self.broker.ready["client"]),
            *("--server-address", self.broker.ready["server"]),
        )

    def connect(self, user, **options):
        """Return a client of a user, who may have several."""
        backend = UserBackend(self.broker, user, self.secrets[user])
        return connect_to(backend, timeout=PATIENCE, **options)


@contextlib.contextmanager
def running_site(directory, *users):
    with running(directory) as broker, contextlib.ExitStack() as stack:
        servers = {}
        for user in users:
            servers[user] = UserServer(broker, user, directory / user)
            stack.callback(servers[user].stop)
        for user in users:
            with Client(broker, user) as client:
                if client.join().state != "ready":
                    client.expect(p.ServerState, state="ready")
        yield Site(broker, servers)
