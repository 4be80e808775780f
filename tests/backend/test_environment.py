"""The installer of packages: real uv, the real package index."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from rexec_server.environment.needs import needs
from rexec_server.environment.place import Place, places
from rexec_server.environment.room import make_room

PACKAGES = "humanize==4.12.0\nsix\n"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def start(cache, requirements, *arguments, digest="d1", prefix=(), **variables):
    """Start the installer; `requirements` is the content of the file."""
    file = cache.parent / f"{cache.name}-{digest}.txt"
    file.write_text(requirements)
    return subprocess.Popen(
        [
            *prefix,
            *(sys.executable, "-m", "rexec_server", "environment"),
            *("--requirements", file, "--cache", cache, "--digest", digest, *arguments),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "UV_HTTP_RETRIES": "0", **variables},
    )


def install(cache, requirements, *arguments, **settings):
    """Run the installer; return its exit code, its log and what it wrote to stderr."""
    process = start(cache, requirements, *arguments, **settings)
    log, errors = process.communicate()
    return process.returncode, log, errors


def refused(cache, requirements, *arguments, **settings):
    """Run the installer, which fails; return the log and what it told."""
    report = cache / "report.json"
    code, log, errors = install(cache, requirements, *arguments, "--report", report, **settings)
    assert code == 3, errors
    told = json.loads(errors.splitlines()[-1])
    assert json.loads(report.read_text()) == told
    assert set(told) == {"reason", "message", "hint"}
    assert told["hint"]
    assert "\n" not in told["message"]
    assert told["message"] in log
    return log, told


def whole(cache):
    """Return the names of the environments, and see to it that nothing is half there."""
    assert not any((cache / "drafts").iterdir())
    return sorted(entry.name for entry in (cache / "envs").iterdir())


def test_install_and_use_again(cache):
    code, log, errors = install(cache, PACKAGES)
    assert (code, errors) == (0, "")
    assert " + humanize==4.12.0" in log.splitlines()
    assert "\x1b" not in log
    (name,) = whole(cache)
    python = cache / "envs" / name / "bin" / "python"
    script = (
        "import humanize, six, msgspec, rexec_server, ipykernel, sys;"
        "print(humanize.__version__, six.__file__, msgspec.__file__, sys.prefix, sep='\\n')"
    )
    shown = subprocess.check_output([python, "-c", script], text=True).splitlines()
    assert shown[0] == "4.12.0"
    assert shown[1].startswith(str(cache))  # there are two; the user's counts
    assert not shown[2].startswith(str(cache))
    assert shown[3] == str(cache / "envs" / name)
    code, log, _ = install(cache, PACKAGES)
    assert code == 0
    assert log == "The packages are there already.\n"


def test_no_packages_at_all(cache):
    code, log, errors = install(cache, "\n", digest="none")
    assert (code, errors) == (0, "")
    assert "warning" not in log


def test_files_are_linked(cache):
    install(cache, PACKAGES)
    (module,) = (cache / "envs").glob("d1-*/lib/python*/site-packages/six.py")
    assert module.stat().st_nlink > 1


def test_scripts_work_where_the_environment_is(cache):
    assert install(cache, "tabulate\n", digest="scripts")[0] == 0
    (script,) = (cache / "envs").glob("scripts-*/bin/tabulate")
    assert "Usage" in subprocess.check_output([script, "--help"], text=True)


@pytest.mark.parametrize(
    ("requirements", "told"),
    [
        ("rexec-no-such-package-xyz\n", "There is no package rexec-no-such-package-xyz in the"),
        ("six==99.0\n", "No version of six is what is asked for"),
        ("six>=99\nhumanize\n", "only six<=1"),
        ("pandas==2.2.0\nnumpy<1.20\n", "do not go together: pandas==2.2.0 depends on numpy"),
        ("tensorflow==2.3.0\n", "tensorflow 2.3.0 is not made for Python 3."),
        ("scipy==1.7.3\nnumpy==1.13\n", "numpy"),
        ("ipykernel==6.29.5\n", "The server itself needs ipykernel>="),
        ("msgspec<0.15\n", "The server itself needs msgspec>="),
        ("--index-url http://127.0.0.1:9/\n", "A line of the requirements is none"),
        ("six; echo hello\n", "A line of the requirements is none"),
        ("pkg @ https://user:secret@127.0.0.1:9/pkg-1.0-py3-none-any.whl\n", "cannot be reached"),
    ],
)
def test_failure_is_told(cache, requirements, told):
    log, failure = refused(cache, requirements, digest="failing")
    assert told in failure["message"]
    assert "secret" not in log + json.dumps(failure)
    assert not any(name.startswith("failing") for name in whole(cache))


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="there is none for newer ones only")
def test_package_for_a_newer_python(cache):
    _, failure = refused(cache, "numpy>=2.5\n", digest="newer")
    assert failure["message"] == "numpy>=2.5.0 needs Python >=3.12, and the server has 3.11."


def test_package_that_cannot_be_built(cache):
    _, failure = refused(cache, "pickle5==0.0.11\n", digest="build")
    assert failure["message"].startswith("pickle5 0.0.11 had to be built, and that failed: ")
    assert len(failure["message"]) < 600
    assert "pickle5" in failure["hint"]


def test_no_network(cache):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        index = f"http://me:secret@127.0.0.1:{unused.getsockname()[1]}/simple"
        log, failure = refused(cache, "idna\n", digest="offline", UV_DEFAULT_INDEX=index)
    assert "package index cannot be reached at http://127.0.0.1" in failure["message"]
    assert "Connection refused" in failure["message"]
    assert "secret" not in log


def test_another_python(cache):
    _, failure = refused(cache, PACKAGES, "--python", "3.8")
    assert failure["reason"] == "configuration"
    assert "There is no Python 3.8 here" in failure["message"]


def test_place_that_cannot_be_used(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "locks").write_text("")
    _, failure = refused(tmp_path / "cache", PACKAGES)
    assert failure["reason"] == "configuration"
    assert f"cannot be used: File exists: {tmp_path}" in failure["message"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_disk_full(tmp_path):
    cache = tmp_path / "small"
    cache.mkdir()
    mount = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=3m none "$0" && exec "$@"')
    process = start(cache, "numpy\n", prefix=(*mount, cache))
    log, errors = process.communicate()
    assert process.returncode == 3, errors
    assert "making room, and trying again" in log
    assert "no room for the packages" in json.loads(errors.splitlines()[-1])["message"]


def test_whoever_asks_for_rexec_gets_the_one_that_runs(cache):
    assert install(cache, "rexec-jupyter\nsix\n", digest="ours")[0] == 0
    assert not list((cache / "envs").glob("ours-*/lib/python*/site-packages/rexec_*"))


def test_variables_that_reach_uv_are_few(cache):
    # An option by the back door, and a secret.
    code, _, errors = install(
        cache,
        "idna\n",
        digest="vars",
        UV_TARGET="/nowhere",
        UV_CONSTRAINT="/nowhere",
        UV_OFFLINE="",
    )
    assert code == 0, errors


def test_several_at_once(tmp_path):
    processes = [start(tmp_path, PACKAGES) for _ in range(4)]
    logs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sum(" + humanize==4.12.0" in log for log in logs) == 1
    assert len(whole(tmp_path)) == 1


@pytest.fixture
def stalling():
    """The address of a package index that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_while_it_installs(tmp_path, stalling, number):
    index = f"http://127.0.0.1:{stalling.getsockname()[1]}/simple"
    process = start(tmp_path, PACKAGES, UV_DEFAULT_INDEX=index)
    connection, _ = stalling.accept()  # it is in the middle of it
    assert len(list((tmp_path / "drafts").iterdir())) == 1
    process.send_signal(number)
    process.communicate()
    assert process.returncode == (143 if number == signal.SIGTERM else -9)
    with connection:
        while connection.recv(4096):  # uv went along
            pass
    assert not list((tmp_path / "envs").glob("*"))
    code, _, errors = install(tmp_path, PACKAGES)
    assert code == 0, errors
    assert len(whole(tmp_path)) == 1


# ------------------------------------------------------------------------------- its limit


def made_up(cache, key, age, size=1024 * 1024):
    """Make an environment that was last used that many seconds ago."""
    place = Place(cache, key)
    (place.directory / "bin").mkdir(parents=True)
    place.python.write_bytes(b"x" * size)
    place.lock.take(shared=False)
    os.utime(place.lock.fileno(), (time.time() - age,) * 2)
    place.lock.release()
    return place


def test_limit_removes_what_was_not_used_for_longest(tmp_path):
    old, used, newer, fresh = (
        made_up(tmp_path, key, age)
        for key, age in (("old", 9000), ("used", 8000), ("newer", 7000), ("fresh", 1))
    )
    used.lock.take(shared=True)
    said, asked = [], []
    make_room(tmp_path, 3 * 1024 * 1024 + 100_000, asked.append, said.append)
    assert [place.complete for place in (old, used, newer, fresh)] == [False, True, True, True]
    assert len(said) == 1
    assert "old" in said[0]
    assert not asked
    assert not (tmp_path / "locks" / "old").exists()
    make_room(tmp_path, 0, asked.append, said.append)
    assert [place.complete for place in (used, newer, fresh)] == [True, False, True]
    assert asked == ["prune", "clean"]


def test_linked_files_count_once(tmp_path):
    first = made_up(tmp_path, "first", 9000)
    second = made_up(tmp_path, "second", 9000)
    second.python.unlink()
    second.python.hardlink_to(first.python)
    make_room(tmp_path, 1024 * 1024 + 100_000, lambda _: None, lambda _: None)
    assert first.complete
    assert second.complete


def test_what_is_half_there_goes(tmp_path):
    (tmp_path / "drafts" / "one~4711").mkdir(parents=True)
    (tmp_path / "drafts" / "one~4711" / "file").write_bytes(b"x" * 10_000)
    made_up(tmp_path, "other", 1)
    make_room(tmp_path, 0, lambda _: None, lambda _: None)
    assert not list((tmp_path / "drafts").iterdir())
    assert [place.key for place in places(tmp_path)] == ["other"]


def test_limit_of_the_command(tmp_path):
    install(tmp_path, "six\n", digest="first")
    (lock,) = (tmp_path / "locks").iterdir()
    os.utime(lock, (1, 1))
    code, log, _ = install(tmp_path, PACKAGES, "--limit", "1", digest="second")
    assert code == 0
    assert "Removing an environment that was not used lately: first-" in log
    assert [name.partition("-")[0] for name in whole(tmp_path)] == ["second"]
    assert not (tmp_path / "uv" / "archive-v0").exists()


@pytest.mark.parametrize("key", ["", ".", "..", "a/b", "../a", "a\nb", "~a"])
def test_a_key_is_no_path(tmp_path, key):
    with pytest.raises(ValueError, match="cannot name"):
        Place(tmp_path, key)


def test_what_the_server_needs_is_found_to_the_last():
    needed = needs()
    assert needed["cloudpickle"] == ">=3.1,<4"
    assert needed["tornado"].startswith(">=")  # not ours: ipykernel's
    assert "fastapi" not in needed
