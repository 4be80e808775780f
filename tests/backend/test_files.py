"""Files to the server and back: complete or not at all, whatever happens meanwhile."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import rexec_jupyter as rexec
from rexec_jupyter.core import files
from tests.backend.brokering import PATIENCE, until
from tests.backend.embedding import CLIENT

SIZES = [0, 1, files.PIECE - 1, files.PIECE, 3 * files.PIECE + 5]


@pytest.fixture(scope="module")
def session(embedded):
    with rexec.connect("local") as client:
        yield client.session()


@pytest.fixture
def here(tmp_path):
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def there(tmp_path):
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def filled(path, size):
    path.write_bytes(os.urandom(size))
    return path


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_goes_there_and_comes_back(session, here, there, size):
    source = filled(here / "data.bin", size)
    assert session.put(source, f"{there}/copy.bin") == f"{there}/copy.bin"
    assert (there / "copy.bin").read_bytes() == source.read_bytes()
    back = session.get(f"{there}/copy.bin", here / "back.bin")
    assert back == here / "back.bin"
    assert back.read_bytes() == source.read_bytes()
    assert names(there) == ["copy.bin"]
    assert names(here) == ["back.bin", "data.bin"]


def test_progress_is_told_from_nothing_to_all(session, here, there):
    size = 3 * files.PIECE + 5
    source = filled(here / "data.bin", size)
    told = []
    session.put(source, str(there), progress=lambda *numbers: told.append(numbers))
    assert told == [(min(piece * files.PIECE, size), size) for piece in range(5)]
    sent, told[:] = told.copy(), []
    session.get(f"{there}/data.bin", here / "back", progress=lambda *numbers: told.append(numbers))
    assert told == sent


@pytest.mark.parametrize("name", ["with space.txt", "größe – 数.csv", "'quoted'.txt", "-x"])
def test_names_of_any_characters_are_kept(session, here, there, name):
    source = filled(here / name, 10)
    session.put(source, str(there))
    assert names(there) == [name]
    (here / "back").mkdir()
    assert session.get(f"{there}/{name}", here / "back").name == name


def test_relative_paths_start_where_cells_run(session, here, monkeypatch):
    monkeypatch.chdir(here)
    filled(here / "relative.txt", 10)
    path = session.put("relative.txt")
    try:
        answer = session.run_cell("import os; os.path.abspath('relative.txt')", value=True)
        assert answer.value == path
        (here / "relative.txt").unlink()
        assert session.get("relative.txt") == here / "relative.txt"
        assert "relative.txt" in [entry.name for entry in session.ls()]
    finally:
        Path(path).unlink()


def test_the_mode_is_kept_and_what_exists_is_replaced_as_a_whole(session, here, there):
    source = filled(here / "run.sh", 100)
    source.chmod(0o750)
    target = filled(there / "run.sh", 7)
    with target.open("rb") as before:
        session.put(source, str(target))
        assert len(before.read()) == 7  # the old file was not written to
    assert target.stat().st_mode & 0o777 == 0o750
    filled(here / "back", 7)
    session.get(str(target), here / "back")
    assert (here / "back").stat().st_mode & 0o777 == 0o750
    assert (here / "back").read_bytes() == source.read_bytes()


def test_a_link_at_the_destination_leads_to_the_file_there_and_is_replaced_here(
    session, here, there
):
    source = filled(here / "source", 10)
    real = filled(there / "real", 1)
    (there / "link").symlink_to(real)
    assert session.put(source, str(there / "link")) == str(real)
    assert real.read_bytes() == source.read_bytes()
    outside = filled(there / "outside", 3)
    (here / "link").symlink_to(outside)
    session.get(str(real), here / "link")
    assert not (here / "link").is_symlink()
    assert outside.stat().st_size == 3


def test_directories_are_refused_with_a_way_out(session, here, there):
    (here / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match=r"pack it .*tar.*folder"):
        session.put(here / "folder", str(there))
    with pytest.raises(IsADirectoryError, match="tar"):
        session.get(str(there), here)
    source = filled(here / "name", 1)
    (there / "name").mkdir()
    with pytest.raises(IsADirectoryError, match="name"):
        session.put(source, str(there))
    assert names(there) == ["name"]


def test_what_does_not_exist_is_named(session, here, there):
    with pytest.raises(FileNotFoundError, match="nothing"):
        session.put(here / "nothing")
    with pytest.raises(FileNotFoundError, match=r"no such file on the server.*nothing"):
        session.get(f"{there}/nothing", here)
    source = filled(here / "file", 1)
    with pytest.raises(FileNotFoundError, match=r"no such directory on the server.*missing"):
        session.put(source, f"{there}/missing/file")
    with pytest.raises(FileNotFoundError, match=r"no such directory on the server.*missing"):
        session.ls(f"{there}/missing")
    with pytest.raises(FileNotFoundError, match="missing"):
        session.get(str(source), here / "missing" / "file")
    assert names(here) == ["file"]


def test_remote_errors_show_none_of_our_remote_frames(session, there):
    with pytest.raises(FileNotFoundError) as caught:
        session.get(f"{there}/nothing")
    assert caught.value.__cause__ is None


def test_a_pipe_is_refused_and_not_waited_for(session, here, there):
    os.mkfifo(here / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        session.put(here / "pipe", str(there))
    with pytest.raises(OSError, match="no regular file"):
        session.get(str(here / "pipe"), there / "copy")
    assert names(there) == []


def test_a_file_that_does_not_fit_is_refused_before_anything_is_sent(session, here, there):
    room = os.statvfs(here)
    with (here / "huge").open("wb") as file:
        file.truncate(room.f_bavail * room.f_frsize + 2**36)  # sparse
    told = []
    with pytest.raises(OSError, match="No space") as caught:
        session.put(here / "huge", str(there), progress=lambda *_: told.append(1))
    assert caught.value.errno == 28
    with pytest.raises(OSError, match="No space"):
        session.get(str(here / "huge"), there)
    assert not told
    assert names(there) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_no_permission_is_told(session, here, there):
    source = filled(here / "file", 1)
    there.chmod(0o500)
    with pytest.raises(PermissionError, match="No permission on the server"):
        session.put(source, str(there))
    source.chmod(0)
    with pytest.raises(PermissionError, match="No permission on the server"):
        session.get(str(source), here / "copy")


def test_a_file_that_changes_while_it_is_sent_is_not_stored(session, here, there):
    source = filled(here / "log", 6 * files.PIECE)

    def change(done, total):
        if done == 0:
            with source.open("r+b") as file:
                file.write(b"changed")
                file.seek(-1, 2)
                file.write(b"!")

    def change_at_the_end(done, total):
        if done == total:
            change(0, total)

    for meddle in (change_at_the_end, lambda done, _: done and os.truncate(source, 10)):
        with pytest.raises(rexec.CaptureError, match="changed while it was sent"):
            session.put(source, str(there), progress=meddle)
        until(lambda: names(there) == [], "the temporary file to go")


def test_a_file_that_changes_while_it_is_fetched_is_not_stored(session, here, there):
    source = filled(there / "log", 6 * files.PIECE)

    def change(done, total):
        if done == total:
            with source.open("r+b") as file:
                file.write(b"changed")

    for meddle in (change, lambda done, _: done and os.truncate(source, 10)):
        with pytest.raises(rexec.PullError, match="changed on the server"):
            session.get(str(source), here, progress=meddle)
        assert names(here) == []


def test_what_a_progress_callback_raises_ends_the_transfer_without_a_trace(session, here, there):
    source = filled(here / "data", 10 * files.PIECE)
    stored = filled(there / "stored", 10 * files.PIECE)

    def stop(done, _):
        if done:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        session.put(source, str(there), progress=stop)
    until(lambda: names(there) == ["stored"] or None, "the temporary file to go")
    with pytest.raises(RuntimeError, match="enough"):
        session.get(str(stored), here, progress=stop)
    assert names(here) == ["data"]


def test_transfers_are_no_jobs_of_the_users(session, here, there):
    before = [job.job for job in session.client.jobs()]
    session.put(filled(here / "data", 10), str(there))
    assert [job.job for job in session.client.jobs()] == before


def test_the_name_here_is_never_for_the_server_to_choose(session, here, there):
    inner = here / "inner"
    inner.mkdir()
    filled(there / "file", 1)
    for source in (f"{there}/..", f"{there}/.", "..", "~", "/"):
        with pytest.raises(IsADirectoryError):
            session.get(source, inner)
    session.get(f"{there}/../there/file", inner)
    assert names(inner) == ["file"]
    assert names(here) == ["inner"]


def test_a_directory_is_listed(session, there):
    filled(there / "b.txt", 3)
    (there / "a").mkdir()
    (there / "c").symlink_to(there / "nowhere")
    listed = session.ls(str(there))
    assert [(entry.name, entry.kind) for entry in listed] == [
        ("a", "directory"),
        ("b.txt", "file"),
        ("c", "link"),
    ]
    assert listed[1].size == 3
    assert abs(listed[1].modified - (there / "b.txt").stat().st_mtime) < 1
    (alone,) = session.ls(str(there / "b.txt"))
    assert alone.name == str(there / "b.txt")


def test_many_threads_transfer_at_once(session, here, there):
    sources = [filled(here / f"data{number}", files.PIECE + number) for number in range(4)]
    threads = [threading.Thread(target=session.put, args=(path, str(there))) for path in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert names(there) == names(here)
    assert all((there / path.name).read_bytes() == path.read_bytes() for path in sources)


def test_it_is_told_what_a_transfer_waits_for(session, here, there):
    source = filled(here / "data", 10)
    gate = here / "gate"
    told = []

    def on_wait(reason):
        told.append(reason)
        gate.touch()

    busy = [session.client.submit(wait_for, gate) for _ in range(2)]
    session.put(source, str(there), on_wait=on_wait)
    assert set(told) == {"no worker is free"}  # about once a second
    assert [job.result(PATIENCE) for job in busy] == ["went through"] * 2
    assert session.get(f"{there}/data", here / "back", on_wait=told.append) == here / "back"


def wait_for(path):
    while not path.exists():
        time.sleep(0.01)
    return "went through"


def test_a_transfer_that_is_given_up_before_its_turn_leaves_nothing(session, here, there):
    source = filled(here / "data", 10)
    gate = here / "gate"

    def give_up(_):
        raise KeyboardInterrupt

    busy = [session.client.submit(wait_for, gate) for _ in range(2)]
    with pytest.raises(KeyboardInterrupt):
        session.put(source, str(there), on_wait=give_up)
    gate.touch()
    assert [job.result(PATIENCE) for job in busy] == ["went through"] * 2
    assert [session.client.submit(abs, -1).result(PATIENCE) for _ in range(4)] == [1] * 4
    until(lambda: names(there) == [], "what it had begun to go")


def test_what_a_killed_transfer_left_is_removed_a_day_later(session, here, there):
    source = filled(here / "data", 10)
    abandoned, recent = (f".rexec-{digit * 32}.part" for digit in "ab")
    for place in (here, there):
        filled(place / recent, 1)
        filled(place / abandoned, 1)
        os.utime(place / abandoned, (0, time.time() - 25 * 3600))
        filled(place / ".rexec-mine.part", 1)
        os.utime(place / ".rexec-mine.part", (0, 0))
    session.put(source, str(there))
    assert names(there) == [recent, ".rexec-mine.part", "data"]
    session.get(f"{there}/data", here / "back")
    assert names(here) == [recent, ".rexec-mine.part", "back", "data"]


# ------------------------------------------------------------------------------ faults


@pytest.mark.parametrize("part", ["broker", "agent", "exec"])
@pytest.mark.parametrize("way", ["put", "get"])
def test_a_transfer_goes_on_when_a_part_is_killed_midway(fresh, here, there, part, way):
    fresh.start()
    size = 12 * files.PIECE
    source = filled((here if way == "put" else there) / "data", size)
    killed = []

    def kill(done, total):
        if done >= total // 2 and not killed:
            killed.append(part)
            os.kill(fresh.pid(part), signal.SIGKILL)

    with rexec.connect("local") as client:
        session = client.session()
        target = there if way == "put" else here
        if way == "put":
            session.put(source, str(target), progress=kill)
        else:
            session.get(str(source), target, progress=kill)
    assert killed
    assert names(target) == ["data"]
    assert (target / "data").read_bytes() == source.read_bytes()


def test_ctrl_c_midway_stops_and_leaves_nothing(embedded, here, there):
    filled(here / "data", 8 * files.PIECE)
    script = textwrap.dedent(f"""
        import sys, threading
        import rexec_jupyter as rexec
        client = rexec.connect("local")
        def progress(done, total):
            if done:
                print("midway", flush=True)
                threading.Event().wait()
        try:
            client.session().put({str(here / "data")!r}, {str(there)!r}, progress=progress)
        except KeyboardInterrupt:
            print("stopped", flush=True)
            client.close()
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script, CLIENT], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "midway\n"
        assert len(names(there)) == 1  # it is on its way
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopped\n"
        assert process.wait(PATIENCE) == 0
    until(lambda: names(there) == [], "the temporary file to go")
