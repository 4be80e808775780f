"""The embedded backend as a whole: how it starts, is shared, and ends."""

import contextlib
import json
import os
import signal
import subprocess
import time

import psutil
import pytest

import rexec_jupyter as rexec
from rexec_jupyter._connect import connect_to
from rexec_jupyter.local.backend import LocalBackend
from tests.backend.brokering import PATIENCE, until
from tests.backend.embedding import Lease, client_process, private_backend
from tests.backend.executing import gone

PARTS = ("broker", "agent", "exec")
USER = """
import os, sys
import rexec_jupyter as rexec
client = rexec.connect("local")
print(client.status().endpoint, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def users():
    """Start processes that use the backend until their standard input ends."""
    with contextlib.ExitStack() as stack:

        def start(script=USER):
            process = stack.enter_context(client_process(script))
            stack.callback(process.kill)
            return process

        yield start


def where(user):
    """Return the endpoint a user found, once it did."""
    endpoint = user.stdout.readline().strip()
    assert endpoint.startswith("tcp://127.0.0.1:")
    return endpoint


def slow(path):
    path.write_text("started")
    while path.read_text() != "go on":
        time.sleep(0.01)
    return "x" * 200_000


def begun(path):
    """Tell whether `slow` is waiting, and writes nothing more to its file."""
    return path.exists() and path.read_text() == "started"


@pytest.fixture
def leave_at_once(monkeypatch):
    monkeypatch.setenv("REXEC_LOCAL_LINGER", "0")


# ---------------------------------------------------------------------------- it starts


def test_it_starts_with_its_first_user_and_a_second_process_uses_the_same(fresh, users):
    first = where(users())
    second = where(users())
    assert first == second
    with rexec.connect("local") as client:
        assert client.status().endpoint == first
        assert client.run(os.getpid) in {process.pid for process in fresh.processes("worker")}
    assert len(fresh.processes("supervisor")) == 1


def test_of_many_that_start_it_at_once_one_does_and_all_use_it(fresh, users):
    starting = [users() for _ in range(4)]
    assert len({where(user) for user in starting}) == 1
    assert len(fresh.processes("supervisor")) == 1
    until(lambda: fresh.status()["users"] == 5, "the leaving of whoever only looked for it")


def test_remote_code_runs_in_a_private_directory_of_its_own(fresh):
    with rexec.connect("local") as client:
        assert client.run(os.getcwd) == str(fresh.paths.work)


def test_the_backend_is_out_of_reach_of_the_terminal_of_its_users(fresh, users):
    user = users()
    where(user)
    own = os.getsid(user.pid)
    for process in fresh.processes():
        with contextlib.suppress(ProcessLookupError):
            assert os.getsid(process.pid) != own


def test_the_parts_are_not_configured_by_variables_meant_for_others(fresh, monkeypatch):
    monkeypatch.setenv("REXEC_BROKER_AUDIENCE", "elsewhere")
    monkeypatch.setenv("REXEC_SERVER_WORKERS", "nonsense")
    with rexec.connect("local") as client:
        assert client.run(abs, -1) == 1


# ------------------------------------------------------------------------------ it ends


def test_when_its_last_user_leaves_nothing_is_left(fresh, users, leave_at_once):
    first, second = users(), users()
    where(first)
    where(second)
    first.stdin.close()
    first.wait(PATIENCE)
    assert fresh.status()["parts"]["broker"]["pid"]
    second.stdin.close()
    fresh.await_end()
    assert not fresh.root.exists()


def test_when_its_last_user_is_killed_nothing_is_left(fresh, users, leave_at_once):
    user = users()
    where(user)
    user.kill()
    fresh.await_end()
    assert not fresh.root.exists()


def test_a_process_forked_from_a_user_does_not_keep_it(fresh, users, leave_at_once):
    forks = """
import os, sys, time
import rexec_jupyter as rexec
client = rexec.connect("local")
print(client.status().endpoint, flush=True)
if child := os.fork():
    print(child, flush=True)
    os._exit(0)
os.closerange(0, 3)
while True:
    time.sleep(60)
"""
    user = users(forks)
    where(user)
    child = int(user.stdout.readline())
    try:
        fresh.await_end()
        assert psutil.pid_exists(child)
    finally:
        os.kill(child, signal.SIGKILL)


def test_it_outlives_its_last_user_for_a_while(fresh, users, monkeypatch):
    monkeypatch.setenv("REXEC_LOCAL_LINGER", "3600")
    user = users()
    first = where(user)
    user.stdin.close()
    user.wait(PATIENCE)
    assert where(users()) == first


def test_what_remote_code_left_running_ends_with_it(fresh):
    def leave_behind():
        command = ["sleep", "3600"]
        return subprocess.Popen(command, start_new_session=True).pid

    with rexec.connect("local") as client:
        left = client.run(leave_behind)
        assert psutil.pid_exists(left)
    fresh.stop()
    until(lambda: gone(left), "its end")


def test_files_that_remote_code_wrote_stay(fresh):
    with rexec.connect("local") as client:
        client.session().run_cell("open('result.txt', 'w').write('42')")
    fresh.stop()
    assert (fresh.paths.work / "result.txt").read_text() == "42"
    assert [path.name for path in fresh.root.iterdir()] == ["work"]


def test_it_ends_only_after_the_jobs_that_run_and_their_results_wait_in_the_next(
    fresh, tmp_path, leave_at_once
):
    path = tmp_path / "progress"
    with rexec.connect("local") as client:
        job = client.submit(slow, path)
        until(lambda: begun(path), "the job")
        status = fresh.paths.state / "status.json"
        until(lambda: '"running":1' in status.read_text(), "the status")
    # It has no user now, and were it not for the job it would end.
    path.write_text("go on")
    fresh.await_end()
    assert {path.name for path in fresh.root.iterdir()} == {"kept", "secret", "state"}
    with rexec.connect("local") as client:
        assert client.attach(job.id).result(PATIENCE) == "x" * 200_000
    fresh.stop()
    assert not fresh.root.exists()


def test_jobs_cannot_hold_up_its_end_forever(fresh, tmp_path, leave_at_once, monkeypatch):
    monkeypatch.setenv("REXEC_LOCAL_ORPHAN_LIMIT", "0")
    path = tmp_path / "progress"
    with rexec.connect("local") as client:
        job = client.submit(slow, path)
        until(lambda: begun(path), "the job")
    fresh.await_end()
    with rexec.connect("local") as client, pytest.raises(rexec.WorkerLostError):
        client.attach(job.id).result(PATIENCE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(fresh, number):
    fresh.start()
    os.kill(fresh.pid("supervisor"), number)
    fresh.await_end()
    assert not fresh.root.exists()


def test_it_is_not_ended_while_jobs_run_unless_that_is_forced(fresh, tmp_path):
    path = tmp_path / "progress"
    fresh.start()
    with rexec.connect("local") as client:
        client.submit(slow, path)
        until(lambda: begun(path), "the job")
        until(lambda: fresh.status()["jobs"]["running"], "the status")
        assert fresh.ask("stop") == {"busy": {"running": 1, "queued": 0}}
        assert fresh.status()["ready"]
        assert fresh.ask("stop", force=True) == {"stopping": True}
    fresh.leave()
    fresh.await_end()


def test_one_that_is_to_be_kept_outlives_its_users(fresh, leave_at_once):
    fresh.start()
    assert fresh.ask("keep") == {"kept": True}
    fresh.leave()
    with private_backend() as other:
        other.start()
        other.leave()
        other.await_end()  # and so would the one that was left before it
    assert fresh.status()["kept"]


def test_who_must_not_start_it_uses_one_that_runs_and_is_told_if_none_does(fresh):
    with pytest.raises(rexec.NotConfiguredError, match="No rexec server runs on this computer"):
        rexec.connect("local", start=False)
    assert not fresh.processes()
    fresh.start()
    with rexec.connect("local", start=False) as client:
        assert client.run(abs, -1) == 1


# ------------------------------------------------------------------------ who only looks


def test_who_only_looks_starts_nothing(fresh):
    with pytest.raises(rexec.NotConfiguredError, match="No rexec server runs on this computer"):
        connect_to(LocalBackend(watch=True))
    assert not fresh.processes()


def test_who_only_looks_sees_everything_and_does_not_count(fresh):
    fresh.start()
    users = 2  # who started it, and who asks
    until(lambda: fresh.status()["users"] == users, "the leaving of who found it")
    with connect_to(LocalBackend(watch=True)) as client:
        assert client.run(abs, -1) == 1
        until(lambda: fresh.status()["users"] == users, "the leaving of who asked before")
        with Lease(fresh.paths.socket) as lease:
            assert lease.ask("watch") == {"watching": True}
            assert lease.ask("status")["users"] == users - 1  # who asks that counts otherwise


def test_it_ends_under_those_who_only_look(fresh, leave_at_once):
    fresh.start()
    with connect_to(LocalBackend(watch=True)) as client:
        assert client.status().state == "connected"
        fresh.leave()
        fresh.await_end()
        until(lambda: client.status().detail.startswith("No rexec server runs"), "the news")
        assert client.status().state == "reconnecting"
        with pytest.raises(rexec.ConnectionLostError, match="did not answer"):
            client.sessions(timeout=0.1)
        assert not fresh.processes()  # and it is not started again


def test_looking_again_and_again_does_not_make_it_live_longer(fresh, monkeypatch):
    monkeypatch.setenv("REXEC_LOCAL_LINGER", "3")

    def ended():
        try:
            with Lease(fresh.paths.socket) as lease:
                return lease.ask("watch") != {"watching": True}
        except (OSError, ValueError):
            return True

    fresh.start()
    left = time.monotonic()
    fresh.leave()
    until(ended, "its end")
    assert time.monotonic() - left > 2.5


def test_who_only_looks_sees_the_next_one(fresh, leave_at_once):
    fresh.start()
    with connect_to(LocalBackend(watch=True)) as client:
        fresh.leave()
        fresh.await_end()
        fresh.start()
        until(lambda: client.status().state == "connected", "it")
        until(lambda: [each.state for each in client.status().servers] == ["ready"], "its server")


# -------------------------------------------------------------------- what can go wrong


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_killed_is_started_again_and_the_client_goes_on(fresh, part):
    with rexec.connect("local") as client:
        fresh.start()
        endpoint = client.status().endpoint
        fresh.kill(part)
        assert fresh.status()["endpoint"] == endpoint
        assert client.submit(abs, -1).result(PATIENCE) == 1
        assert client.status().endpoint == endpoint


def test_a_supervisor_that_is_killed_takes_everything_along_and_the_next_user_starts_another(
    fresh, users
):
    where(users())
    os.kill(fresh.pid("supervisor"), signal.SIGKILL)
    until(lambda: not fresh.processes(), "the end of all processes")
    with rexec.connect("local") as client:
        assert client.run(abs, -1) == 1
    assert len(fresh.processes("supervisor")) == 1


def test_a_client_whose_supervisor_is_killed_finds_the_next_one(fresh):
    with rexec.connect("local") as client:
        old = client.status().endpoint
        os.kill(fresh.pid("supervisor"), signal.SIGKILL)
        until(lambda: not fresh.processes(), "the end of all processes")
        assert client.submit(abs, -1).result(2 * PATIENCE) == 1
        assert client.status().endpoint != old


def test_results_nobody_fetched_outlive_a_supervisor_that_is_killed(fresh, tmp_path):
    path = tmp_path / "progress"
    with rexec.connect("local") as client:
        fresh.start()
        job = client.submit(slow, path)
        until(lambda: begun(path), "the job")
    path.write_text("go on")
    status = fresh.paths.state / "status.json"
    until(lambda: '"running":0,"queued":0,"unfetched":1' in status.read_text(), "the result")
    os.kill(fresh.pid("supervisor"), signal.SIGKILL)
    until(lambda: not fresh.processes(), "the end of all processes")
    with rexec.connect("local") as client:
        assert client.attach(job.id).result(PATIENCE) == "x" * 200_000


def test_garbage_on_the_socket_is_answered_and_harms_nobody(fresh):
    fresh.start()
    with Lease(fresh.paths.socket) as lease:
        for line in (b"\xff\x00\n", b"[1]\n", b'{"ask": "ticket", "key": "short"}\n', b"{}\n"):
            lease.send(line)
            assert "error" in json.loads(lease.lines.readline())
        with contextlib.suppress(ConnectionError):  # it need not read to the end
            lease.send(b"x" * 300_000)
        lease.await_end()
    assert fresh.status()["ready"]
