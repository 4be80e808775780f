"""The embedded backend's private directory, and what is told if it cannot start."""

import asyncio
import os
import socket
import stat
import subprocess
import sys

import psutil
import pytest

import rexec_jupyter as rexec
from rexec_jupyter.core.errors import NotConfiguredError, SessionMismatchError, StartError
from rexec_jupyter.core.runtime import runtime_directory
from rexec_jupyter.local import paths as local_paths
from rexec_jupyter.local import processes
from rexec_jupyter.local.backend import LocalBackend
from rexec_jupyter.local.paths import Paths
from tests.backend.brokering import until

root_only = pytest.mark.skipif(os.getuid() != 0, reason="needs two users")


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def refusal():
    """Return why a backend cannot be had."""
    with pytest.raises(StartError) as caught:
        rexec.connect("local")
    assert caught.value.code == "R06"
    return str(caught.value)


@pytest.fixture
def named(tmp_path, monkeypatch):
    """The runtime directory; not made yet."""
    monkeypatch.setenv("REXEC_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


# ------------------------------------------------------------------ the private directory


def test_nobody_else_can_enter_or_read_anything_of_it(fresh):
    fresh.root.rmdir()
    with rexec.connect("local") as client:
        client.run(abs, -1)
        places = [fresh.root, fresh.paths.handoff]
        assert [mode(place) for place in places] == [0o700, 0o700]
        assert mode(fresh.paths.socket) == 0o600
        assert mode(fresh.paths.secret) == 0o600
        keys = list(fresh.paths.keys.iterdir())
        assert len(keys) == 4
        assert {mode(key) for key in keys} == {0o600}


def test_a_symbolic_link_in_its_place_is_refused(named, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    named.symlink_to(tmp_path / "elsewhere")
    assert f"{named} is a symbolic link" in refusal()
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("bits", [0o777, 0o770, 0o701])
def test_a_directory_open_to_others_is_refused(named, bits):
    named.mkdir()
    named.chmod(bits)
    assert f"{named} is open to other users (mode {bits:o}, not 700)" in refusal()
    assert list(named.iterdir()) == []


@root_only
def test_a_directory_of_somebody_else_is_refused(named):
    named.mkdir(mode=0o700)
    os.chown(named, 12345, -1)
    assert f"{named} belongs to another user (uid 12345, not 0)" in refusal()


def test_a_file_in_its_place_is_refused(named):
    named.touch()
    text = refusal()
    assert f"{named} is not a directory" in text
    assert "REXEC_RUNTIME_DIR" in text


def test_a_name_too_long_for_sockets_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("REXEC_RUNTIME_DIR", str(tmp_path / ("x" * 100)))
    assert "too long for sockets" in refusal()


def test_the_directory_is_the_one_named_else_the_logins_else_a_temporary_one(monkeypatch, tmp_path):
    monkeypatch.setenv("REXEC_RUNTIME_DIR", str(tmp_path / "a" / "b"))
    assert runtime_directory() == tmp_path / "a" / "b"
    monkeypatch.delenv("REXEC_RUNTIME_DIR")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_directory() == tmp_path / "rexec"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "absent"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert runtime_directory() == tmp_path / f"rexec-{os.getuid()}"


@pytest.mark.parametrize("reason", ["absent", "small", "taken"])
def test_large_values_pass_on_disk_where_memory_will_not_do(tmp_path, monkeypatch, reason):
    paths = Paths(tmp_path)
    memory = tmp_path / "shm"
    monkeypatch.setattr(local_paths, "_SHARED_MEMORY", memory)
    if reason == "small":
        memory.mkdir()
        monkeypatch.setattr(local_paths, "_LARGE_VALUES", 1 << 60)
    elif reason == "taken":
        paths.in_memory.mkdir(parents=True)
        paths.in_memory.chmod(0o777)
    assert paths.handoff == tmp_path / "handoff"
    assert mode(paths.handoff) == 0o700


@root_only
def test_another_user_who_reaches_the_socket_is_not_served(fresh):
    fresh.start()
    fresh.root.chmod(0o711)
    fresh.paths.socket.chmod(0o666)
    script = f"""
import socket
end = socket.socket(socket.AF_UNIX)
end.connect({str(fresh.paths.socket)!r})
try:
    print(end.recv(100))
except ConnectionError:
    print(b"")
"""
    answer = subprocess.run(
        ["/usr/bin/python3", "-c", script], user=65534, cwd="/", capture_output=True, check=True
    )
    assert answer.stdout == b"b''\n"
    until(lambda: fresh.status()["users"] == 2, "the leaving of all others")
    fresh.root.chmod(0o700)


# --------------------------------------------------------------------- it does not start


def locate(**options):
    async def attempt():
        backend = LocalBackend(**options)
        try:
            return await backend.locate()
        finally:
            await backend.close()

    return asyncio.run(attempt())


def test_a_part_that_cannot_start_is_named_with_the_end_of_its_log(fresh, tmp_path):
    with pytest.raises(StartError) as caught:
        locate(directory=tmp_path / "absent")
    assert "its exec ends as soon as it starts" in str(caught.value)
    assert f"Directory '{tmp_path}/absent' does not exist." in str(caught.value)
    fresh.await_end()


def test_a_supervisor_that_cannot_start_is_told_with_the_end_of_its_log(
    fresh, tmp_path, monkeypatch
):
    (tmp_path / "argparse.py").write_text("raise ImportError('not this time')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(StartError) as caught:
        locate()
    assert "its supervisor ends as soon as it starts" in str(caught.value)
    assert "ImportError: not this time" in str(caught.value)
    monkeypatch.delenv("PYTHONPATH")
    assert locate().endpoint.startswith("tcp://127.0.0.1:")


def test_something_in_the_way_of_its_files_is_told(fresh):
    (fresh.root / "keys").touch()
    with pytest.raises(StartError, match=r"keys is not a directory"):
        locate()
    fresh.await_end()


def test_a_stale_socket_is_no_obstacle(fresh):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(fresh.paths.socket))
    assert locate().endpoint.startswith("tcp://127.0.0.1:")


def test_settings_other_than_those_it_runs_with_are_refused(fresh):
    fresh.start(workers=1)
    with pytest.raises(SessionMismatchError, match="workers=1, not 3"):
        locate(workers=3)
    assert locate(workers=1) == locate()


def test_the_environment_decides_what_nobody_else_does(fresh, monkeypatch):
    monkeypatch.setenv("REXEC_LOCAL_WORKERS", "1")
    monkeypatch.setenv("REXEC_LOCAL_MEMORY", "1.5GB")
    monkeypatch.setenv("REXEC_LOCAL_LINGER", "77")
    fresh.start()
    settings = fresh.status()["settings"]
    told = (settings["workers"], settings["memory"], settings["linger"])
    assert told == (1, 1_500_000_000, 77)
    monkeypatch.setenv("REXEC_LOCAL_WORKERS", "7")
    locate()  # whoever comes later takes what there is
    with pytest.raises(SessionMismatchError, match="workers=1, not 3"):
        locate(workers=3)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LINGER", "soon"),
        ("LINGER", "-1"),
        ("ORPHAN_LIMIT", "nan"),
        ("WORKERS", "0"),
        ("WORKERS", "many"),
        ("MEMORY", "-1"),
        ("MEMORY", "enough"),
    ],
)
def test_what_cannot_be_understood_is_refused(monkeypatch, name, text):
    monkeypatch.setenv(f"REXEC_LOCAL_{name}", text)
    with pytest.raises(NotConfiguredError, match=f"REXEC_LOCAL_{name} cannot be used: '{text}'"):
        LocalBackend()


def test_it_is_described_for_people():
    assert LocalBackend().description == "embedded backend"


# ------------------------------------------------------------------------ parts and logs


def test_a_part_that_the_system_does_not_start_is_tried_again_later(tmp_path):
    log = tmp_path / "part.log"
    part = processes.Part("part", [str(tmp_path / "absent")], log, {}, announces=True)
    descriptors = psutil.Process().num_fds()
    delays = []
    for _ in range(8):
        part.start(100.0)
        assert part.pid is None
        os.close(part.ready_fd)
        delays.append(round(part.due - 100.0, 3))
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert "it cannot be started" in log.read_text()
    assert psutil.Process().num_fds() <= descriptors  # what was closed before may only go now


def test_a_log_that_has_grown_large_is_turned_over(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "LOG_BYTES", 100)
    log = tmp_path / "part.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"a" * 80)
        processes.turn_over(log)
        assert log.stat().st_size == 80
        writer.write(b"b" * 80)
        processes.turn_over(log)
        writer.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "part.old.log").read_bytes() == b"a" * 20 + b"b" * 80


def test_only_the_end_of_a_log_is_shown(tmp_path):
    log = tmp_path / "part.log"
    log.write_text("\n".join(map(str, range(100_000))))
    assert processes.tail(log, 2) == ["99998", "99999"]
    assert processes.tail(tmp_path / "absent", 2) == []


def test_the_supervisor_loads_nothing_of_http():
    script = "import sys, rexec_jupyter.local.supervisor; print(*sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "rexec_deploy_api.controller" in shown
    # Nor anything of cryptography and ZeroMQ, which take longer than all the rest.
    assert not {"httpx", "fastapi", "uvicorn", "pydantic", "jwt", "cryptography", "zmq"} & {*shown}


def test_the_supervisor_is_not_for_people():
    command = [sys.executable, "-m", "rexec_jupyter.local", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "rexec_jupyter.connect() starts it" in shown
