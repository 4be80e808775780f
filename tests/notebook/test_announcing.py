"""Which backend a notebook uses is told, while it has the extension loaded."""

import os
import stat

import pytest

from rexec_jupyter.core.kernels import FOLDER, UNUSABLE, kernels
from tests.backend.brokering import until
from tests.notebook.kernel import running_kernel

LOAD, UNLOAD = "%load_ext rexec_jupyter", "%unload_ext rexec_jupyter"
ONE, OTHER = "https://one.example.org/ep", "https://other.example.org"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where a kernel tells it; what is set there is in the environment of the kernel."""
    monkeypatch.setenv("REXEC_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("REXEC_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "run" / FOLDER


@pytest.fixture
def fresh(place):
    """A kernel without the extension."""
    assert not place.exists()
    with running_kernel(**os.environ) as kernel:
        yield kernel


def told():
    return [kernel.backend for kernel in kernels()]


def test_it_is_told_what_was_set_but_not_saved_until_the_extension_is_unloaded(fresh, place):
    assert told() == []
    fresh.run(LOAD)
    (file,) = place.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert told() == ["local"]
    fresh.run(f"%rexec config url {ONE}")
    assert told() == [ONE]
    fresh.run(f"%rexec config url default\n%config RexecMagics.url = '{OTHER}'")
    assert told() == [OTHER]
    fresh.run(f"%rexec config url {ONE}\n1 / 0")  # after a cell that fails too
    assert told() == [ONE]
    fresh.run("%rexec config url https://ada:s3cret@a.example.org")
    assert told() == [UNUSABLE]
    assert b"s3cret" not in file.read_bytes()
    fresh.run(UNLOAD)
    assert list(place.iterdir()) == []
    fresh.run(LOAD)
    assert len(told()) == 1


def test_it_is_told_by_the_environment_and_no_longer_when_the_kernel_ends(place, monkeypatch):
    monkeypatch.setenv("REXEC_URL", ONE)
    with running_kernel(**os.environ) as kernel:
        kernel.run(LOAD)
        assert told() == [ONE]
        kernel.run("%rexec config url local --save")
        assert told() == ["local"]
        kernel.manager.shutdown_kernel(now=False)
        assert list(place.iterdir()) == []


def test_a_kernel_that_is_killed_tells_nothing(fresh, place):
    fresh.run(LOAD)
    assert told() == ["local"]
    (file,) = place.iterdir()
    os.kill(int(file.name.partition("-")[0]), 9)
    until(lambda: not told(), "the end of the kernel")
    assert list(place.iterdir()) == []


def test_cells_run_where_nothing_can_be_told(fresh, place):
    place.parent.mkdir(mode=0o755)
    place.parent.chmod(0o755)
    assert not fresh.run(LOAD).error
    assert not fresh.run(f"%rexec config url {ONE}").error
    assert fresh.value("6 * 7") == "42"
    assert list(place.parent.iterdir()) == []
    place.parent.chmod(0o700)
    fresh.run("pass")
    assert told() == [ONE]
