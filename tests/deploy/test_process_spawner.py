"""Servers as processes of this machine."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from rexec_deploy_api.environments import parse
from rexec_deploy_api.records import Key, Record, Spec, Volume
from rexec_deploy_api.spawner.base import StaleError
from rexec_deploy_api.spawner.process import ProcessSpawner
from rexec_deploy_api.spawner.process_store import BusyError, Store
from rexec_deploy_api.tickets import Broker, Tickets
from rexec_jupyter.local.keeper import Keeper
from rexec_jupyter.local.processes import Part
from tests.backend.brokering import running
from tests.deploy.spawner_contract import SpawnerContract, states, user
from tests.deploy.spawner_setup import Setup
from tests.places import short_directory
from tests.processes import command

__all__ = ["user"]

PATIENCE = 60.0


class ProcessSetup(Setup):
    """Servers in a directory, and a broker beside it."""

    def __init__(self, directory, tickets, address, health):
        self.directory = directory
        super().__init__(tickets, address, health, PATIENCE)

    async def make(self):
        return ProcessSpawner(self.directory)

    def processes(self, key):
        async def look():
            return [part.pid for part in self.spawner.parts(key).values() if part.pid]

        return self.do(look())

    def remains(self, key):
        folder = self.spawner._store.folder(key)
        return [path for path in [folder] if path.exists()] + [
            process
            for process in psutil.Process().children(recursive=True)
            if str(folder) in " ".join(command(process))
        ]

    def kill(self, key):
        # Whoever keeps them alive must not see them end one by one.
        async def kill():
            generation = self.spawner._newest(key)
            await generation._end(kindly=False)

        self.do(kill())

    def kill_from_within(self, user):
        def kill():
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)

        self.call(user, kill)


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    with short_directory() as directory, running(tmp_path_factory.mktemp("broker")) as broker:
        host, _, port = broker.ready["client"].removeprefix("tcp://").rpartition(":")
        where = Broker(host, int(port), broker.ready["server"], broker.keys.public.decode())
        made = ProcessSetup(
            directory,
            Tickets(broker.signing, os.urandom(32), where),
            broker.ready["client"],
            f"http://{broker.ready['health']}",
        )
        try:
            yield made
        finally:
            made.close()


class TestProcesses(SpawnerContract):
    """Servers are processes."""


def failure(setup, user):
    """Return why a server that was asked for is not to be had."""
    setup.events(user, until=lambda event: event.state == "failed")
    cause = setup.record(user).cause
    assert cause.final
    return cause


def described(lines):
    environment = parse(lines)
    return {
        "python": environment.python,
        "requirements": environment.lines,
        "requirements_digest": environment.digest,
    }


# ------------------------------------------------------------------------------ packages


def test_packages_are_installed_first(setup, user):
    setup.spawn(user, **described(["six==1.17.0"]))
    told = states(setup.events(user, until=lambda event: event.state == "ready"))
    assert told == ["requested", "installing", "starting", "ready"]
    with setup.client(user) as client:
        cell = client.session().submit_cell("import six; six.__file__", value=True)
        assert str(setup.directory / "environments") in cell.result(PATIENCE).value
    assert "six==1.17.0" in setup.logs(user, part="environment")


def test_packages_that_are_not_to_be_had_are_named(setup, user):
    setup.spawn(user, **described(["rexec-no-such-package-xyz"]))
    cause = failure(setup, user)
    assert cause.reason == "package"
    assert "rexec-no-such-package-xyz" in cause.message
    assert cause.hint
    setup.until(lambda: not setup.processes(Key(user, "default")))
    assert "rexec-no-such-package-xyz" in setup.logs(user, part="environment")
    assert not list(setup.spawner._store.folder(Key(user, "default")).glob("[0-9]*"))


# ----------------------------------------------------------------------- what goes wrong


def test_one_that_cannot_start_fails_at_once_and_tells_why(setup, user):
    setup.spawn(user, memory=-1)
    cause = failure(setup, user)
    assert cause.reason == "configuration"
    assert "Invalid value for '--memory'" in cause.message
    setup.until(lambda: setup.observed(user) == [])


def test_storage_elsewhere_needs_containers(setup, user):
    setup.spawn(user, volumes=(Volume("/srv/data", "/data"),))
    assert "cannot be made visible as /data" in failure(setup, user).message


def test_something_in_the_way_of_its_files_is_told(setup, user):
    folder = setup.spawner._store.folder(Key(user, "default"))
    folder.mkdir(mode=0o700)
    (folder / "logs").touch(0o600)
    setup.spawn(user)
    assert "logs is not a directory" in failure(setup, user).message


def test_an_agent_that_is_killed_is_started_again_and_results_stay(setup, user):
    first = setup.up(user)
    with setup.client(user) as client:
        job = client.submit(abs, -1)
        assert job.result(PATIENCE) == 1

        async def agent():
            return setup.spawner.parts(Key(user, "default"))["agent"]

        os.kill(setup.do(agent()).pid, signal.SIGKILL)
        setup.until(lambda: setup.do(agent()).starts == 2)
        assert client.attach(job.id).result(PATIENCE) == 1
    assert setup.record(user).generation == first.generation


# ---------------------------------------------------------------------- one after another

KEEPER = """
import asyncio, sys
from pathlib import Path
from rexec_deploy_api.controller import Controller
from rexec_deploy_api.records import Key, Spec
from rexec_deploy_api.service import Owner, Servers
from rexec_deploy_api.spawner.base import Credential
from rexec_deploy_api.spawner.process import ProcessSpawner
from rexec_jupyter.core.trust import new_keypair

async def main():
    spawner = ProcessSpawner(Path(sys.argv[1]))
    pair = new_keypair()
    credential = Credential(*pair, "none", "tcp://127.0.0.1:9", pair.public.decode())
    controller = Controller(spawner, lambda record: None, lambda record: credential)
    await spawner.open(controller.touch)
    running = asyncio.create_task(controller.run())
    await Servers(spawner, lambda record: None).spawn(Owner("ann"), "default", Spec(profile="x"))
    key = Key("ann", "default")
    while len(parts := spawner.parts(key)) < 2 or not spawner.record(key).placed:
        await asyncio.sleep(0.01)
    print(*(part.pid for part in parts.values()), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def directory():
    with short_directory() as path:
        yield path


@pytest.fixture
def keeper(directory):
    """A process with a server, and the ids of the server's processes."""
    process = subprocess.Popen(
        [sys.executable, "-c", KEEPER, directory], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process, [int(word) for word in process.stdout.readline().split()]
    finally:
        process.kill()
        process.communicate()


async def reopened(directory):
    """Return the records there, and what is there of them."""
    spawner = ProcessSpawner(directory)
    await spawner.open(lambda _: None)
    try:
        keys = list(spawner.keys())
        return {key: (spawner.record(key), list(spawner.observe(key))) for key in keys}
    finally:
        await spawner.close()


def test_servers_end_with_a_keeper_that_is_killed_and_the_next_knows(directory, keeper):
    process, pids = keeper
    with pytest.raises(BusyError, match="Another process"):
        asyncio.run(reopened(directory))
    process.kill()
    process.wait()
    deadline = time.monotonic() + PATIENCE
    while any(psutil.pid_exists(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    ((record, (lost,)),) = asyncio.run(reopened(directory)).values()
    assert (lost.id, lost.phase) == (record.placed, "ended")
    assert "started anew" in lost.cause.message
    assert not list(directory.glob("servers/*/[0-9]*"))


@pytest.mark.parametrize("content", [b"", b'{"user": 1}', b"\xff", b"copy"])
def test_a_damaged_record_is_set_aside(directory, content, caplog):
    store = Store(directory / "servers")
    store.open()
    good, bad = (
        store.write(Record(user=user, name="default", spec=Spec(profile="x")))
        for user in ("ann", "bob")
    )
    file = store.folder(bad.key) / "record.json"
    if content == b"copy":  # of another server's record
        content = (store.folder(good.key) / "record.json").read_bytes()
    file.write_bytes(content)
    store.close()
    store.open()
    assert list(store.records) == [good.key]
    assert "it is set aside" in caplog.text
    assert not file.exists()
    assert file.with_suffix(".damaged").read_bytes() == content
    with pytest.raises(StaleError):
        store.write(good)
    store.write(store.records[good.key].having(wanted="stopped"))
    store.close()


def test_users_of_any_name_have_folders_of_their_own(tmp_path):
    store = Store(tmp_path)
    keys = [
        *(Key("a", "bc"), Key("ab", "c"), Key("", ""), Key("../x", "y"), Key("a\0b", "c")),
        *(
            Key("A", "bc"),
            Key("\udc80", "x"),
            Key("é", "x"),
            Key("e\u0301", "x"),
            Key("a" * 999, "x"),
        ),
    ]
    folders = [store.folder(key) for key in keys]
    assert len({str(folder).casefold() for folder in folders}) == len(keys)
    assert {folder.parent for folder in folders} == {tmp_path}


def test_a_system_without_handles_of_processes_is_asked_now_and_then(tmp_path, monkeypatch):
    def refused(pid):
        raise OSError("not here")

    monkeypatch.setattr(os, "pidfd_open", refused)

    async def watch():
        ends = asyncio.Queue()
        part = Part("part", ["/bin/true"], tmp_path / "log", {}, announces=False)
        keeper = Keeper(part, lambda keeper: ends.put_nowait(keeper.part.code))
        keeper.start()
        found = [await ends.get() for _ in range(4)]
        keeper.hold()
        await keeper.end(1.0)
        return found

    assert asyncio.run(watch()) == [None, 0, 0, 0]
