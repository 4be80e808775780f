"""What kernels tell the panel, in files: what is read of them, and what is not."""

import os
import re
import signal
import stat
import subprocess
import sys
import time

import msgspec
import pytest

from rexec_jupyter.core.errors import NotConfiguredError
from rexec_jupyter.core.kernels import UNUSABLE, Kernel, KernelFile, kernels
from rexec_jupyter.core.logins import endpoint_address
from rexec_jupyter.core.settings import Settings

ONE, OTHER = "https://one.example.org/ep", "https://other.example.org"
root_only = pytest.mark.skipif(os.getuid() != 0, reason="needs two users")


class Place:
    """A runtime directory, and the settings of a kernel."""

    def __init__(self, folder):
        self.root = folder / "run"
        self.folder = self.root / "kernels"
        self.environment = {"REXEC_CONFIG_DIR": str(folder / "config")}
        self.settings = Settings(self.environment)
        self.file = KernelFile("an-id", self.settings)

    def told(self):
        """Return what is told of the kernel, once it has looked whether that is still so."""
        self.file.refresh()
        (kernel,) = kernels()
        return kernel

    @property
    def path(self):
        (path,) = self.folder.iterdir()
        return path

    def leave(self, name, kernel="left"):
        path = self.folder / name
        path.write_bytes(msgspec.json.encode(Kernel(id=kernel, settings="/")))
        path.chmod(0o600)
        return path


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("REXEC_RUNTIME_DIR", str(tmp_path / "run"))
    place = Place(tmp_path)
    yield place
    place.file.remove()


def process(code, *, wait=True):
    """Start Python in a process of its own."""
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    if wait:
        output, _ = started.communicate()
        assert started.returncode == 0
        return output
    return started


def test_what_is_saved_holds_though_the_kernel_has_not_looked(place):
    assert place.told().backend == "local"
    before = place.path.read_bytes()
    saved = Settings(place.environment)
    saved.set("url", ONE + "/", save=True)
    assert kernels()[0].backend == ONE
    saved.unset("url", save=True)
    assert kernels()[0].backend == "local"
    saved.path.write_text("url = [")
    assert kernels()[0].backend == UNUSABLE
    assert place.path.read_bytes() == before


def test_what_a_kernel_set_itself_goes_before_and_its_environment_after(place):
    place.environment["REXEC_URL"] = ONE
    assert place.told().backend == ONE
    Settings(place.environment).set("url", OTHER, save=True)
    assert place.told().backend == OTHER
    place.settings.configure({"url": "local"})
    assert place.told().backend == "local"
    place.settings.set("url", ONE)
    assert place.told().backend == ONE
    place.settings.unset("url")
    place.settings.configure({})
    assert place.told().backend == OTHER


@pytest.mark.parametrize(
    "url", ["https://ada:s3cret@a.example.org", "https://a.example.org?t=s3cret", "s3cret"]
)
def test_no_secret_is_written(place, url):
    place.settings.set("url", url)
    place.environment["REXEC_URL"] = url
    kernel = place.told()
    assert (kernel.own, kernel.usual) == (UNUSABLE, UNUSABLE)
    assert b"s3cret" not in place.path.read_bytes()
    with pytest.raises(NotConfiguredError) as caught:
        endpoint_address(url)
    assert caught.value.hint
    assert "s3cret" not in str(caught.value)


def test_only_its_owner_reads_it_while_it_is_there(place):
    assert kernels() == []
    assert not place.root.exists()
    place.file.refresh()
    for path, mode in ((place.path, 0o600), (place.folder, 0o700), (place.root, 0o700)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    place.file.remove()
    assert list(place.folder.iterdir()) == []
    place.file.remove()


def test_it_is_written_only_if_something_changed_or_it_was_cleared_away(place):
    place.told()
    first = place.path.stat()
    place.told()
    assert (place.path.stat().st_ino, place.path.stat().st_mtime_ns) == (
        first.st_ino,
        first.st_mtime_ns,
    )
    place.path.unlink()
    assert place.told().id == "an-id"


def test_a_process_that_is_gone_tells_nothing(place):
    place.file.refresh()
    path = place.leave("999999999-7.json")
    draft = place.leave(".999999999-7.json.0a1b2c3d")
    assert [kernel.id for kernel in kernels()] == ["an-id"]
    assert not path.exists()
    assert not draft.exists()


def test_another_process_with_the_same_number_tells_nothing(place):
    place.file.refresh()
    pid, began = re.fullmatch(r"(\d+)-(\d+)\.json", place.path.name).groups()
    assert int(pid) == os.getpid()
    path = place.leave(f"{pid}-{int(began) - 1}.json")
    assert [kernel.id for kernel in kernels()] == ["an-id"]
    assert not path.exists()


def test_a_kernel_that_was_killed_tells_nothing_even_before_it_is_reaped(place):
    code = (
        "from rexec_jupyter.core import kernels, settings\n"
        "kernels.KernelFile('doomed', settings.current()).refresh()\n"
        "print('told', flush=True)\nimport time\ntime.sleep(60)\n"
    )
    doomed = process(code, wait=False)
    try:
        assert doomed.stdout.readline() == "told\n"
        assert [kernel.id for kernel in kernels()] == ["doomed"]
    finally:
        doomed.kill()
    os.waitid(os.P_PID, doomed.pid, os.WEXITED | os.WNOWAIT)
    assert kernels() == []
    assert list(place.folder.iterdir()) == []
    assert doomed.wait() == -signal.SIGKILL
    doomed.stdout.close()


def test_a_fork_of_the_kernel_does_not_take_it_away(place):
    place.file.refresh()
    child = os.fork()
    if not child:
        place.file.remove()
        os._exit(0)
    os.waitpid(child, 0)
    assert [kernel.id for kernel in kernels()] == ["an-id"]


def test_what_is_not_ours_or_not_understood_is_left_alone(place):
    place.file.refresh()
    mine = place.path
    content = mine.read_bytes()
    notes = place.folder / "notes.txt"
    notes.write_text("of somebody")
    assert len(kernels()) == 1
    for wrong in (b"", b"{", b"[]", b'{"id": 1, "settings": ""}', b"\xff", b" " * 100_000):
        mine.write_bytes(wrong)
        assert kernels() == []
    mine.write_bytes(content)
    mine.chmod(0o644)
    assert kernels() == []
    mine.unlink()
    outside = place.root / "outside"
    outside.write_bytes(content)
    outside.chmod(0o600)
    mine.symlink_to(outside)
    assert kernels() == []
    mine.unlink()
    os.mkfifo(mine, 0o600)
    assert kernels() == []
    mine.unlink()
    mine.mkdir()
    assert kernels() == []
    mine.rmdir()
    for path in (notes, outside):
        path.unlink()


@root_only
def test_a_file_of_another_user_is_not_read(place):
    place.file.refresh()
    os.chown(place.path, 65534, -1)
    assert kernels() == []


def test_a_folder_that_is_open_to_others_is_not_read_or_written(place):
    place.file.refresh()
    place.folder.chmod(0o755)
    assert kernels() == []
    place.settings.set("url", ONE)
    with pytest.raises(OSError, match="open to other users"):
        place.file.refresh()
    place.folder.chmod(0o700)
    assert place.told().backend == ONE


def test_many_come_and_go_while_somebody_looks(place):
    code = (
        "from rexec_jupyter.core import kernels, settings\n"
        "file = kernels.KernelFile('x' * 40, settings.current())\n"
        "for _ in range(300):\n    file.refresh()\n    file.remove()\n"
    )
    started = [process(code, wait=False) for _ in range(3)]
    seen = 0
    deadline = time.monotonic() + 100
    while any(each.poll() is None for each in started):
        assert time.monotonic() < deadline
        found = kernels()
        assert all(kernel.id == "x" * 40 for kernel in found)
        seen += len(found)
    for each in started:
        each.stdout.close()
        assert each.returncode == 0
    assert seen
    assert kernels() == []
    assert list(place.folder.iterdir()) == []
