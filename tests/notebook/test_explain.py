"""What ``--explain`` tells; it sends nothing and connects to nothing."""

import re

import numpy as np

from rexec_jupyter.core.versions import PYTHON
from tests.notebook.kernel import nothing_started, running_kernel
from tests.waiting import wait_for_file


def test_what_would_be_sent_is_told_with_type_size_and_reason(kernel):
    kernel.run("import math\nimport numpy as np\narr = np.zeros(1000); fac = 2; same = [1]")
    kernel.run("%%rexec\nlen(same); made = 1")
    kernel.run("same2 = 3")
    cell = kernel.run(
        "%%rexec --explain -i named=fac -o back --env KEY=abc\n"
        "math.pi * arr.sum() + fac + len(same) + made + nobody"
    )
    lines = dict(
        re.split("  +", line, maxsplit=1) for line in cell.text.splitlines() if "  " in line
    )
    assert lines["session"] == "default (exists)"
    assert lines["packages"] == f"numpy {np.__version__}"
    assert lines["profile"] == "default"
    assert lines["imports"] == "math"
    assert lines["there already"] == "same"
    assert lines["the session's own"] == "made"
    assert lines["assumed to be there"] == "nobody"
    assert lines["environment"] == "KEY"
    assert lines["brought back"] == "back"
    assert "abc" not in cell.text
    assert lines["arr"].startswith("numpy.ndarray")
    assert "kB" in lines["arr"]
    assert lines["arr"].endswith("read by the cell")
    assert lines["named"].endswith("-i")
    assert lines["Python"] == f"{PYTHON} on both sides"
    assert "<table" in cell.result["text/html"]


def test_nothing_is_sent(kernel):
    kernel.run("fresh_one = 1")
    kernel.run("%%rexec --explain\nfresh_one\nassigned_there = 1")
    again = kernel.run("%%rexec --explain\nfresh_one")
    assert "read by the cell" in again.text
    assert kernel.run("%%rexec\n'assigned_there' in globals()").text == "False"


def test_a_name_that_changed_here_is_told_as_such(kernel):
    kernel.run("grows = [1]")
    kernel.run("%%rexec\ngrows")
    kernel.run("grows.append(2)")
    assert "changed here" in kernel.run("%%rexec --explain\ngrows").text


def test_what_cannot_be_sent_is_told_and_is_no_error(kernel):
    kernel.run("gen = (i for i in [1])")
    cell = kernel.run("%%rexec --explain\nlist(gen)")
    assert cell.error == ""
    assert "make it a list first: list(gen)" in cell.text


def test_what_speaks_for_itself_is_short(kernel):
    assert "Nothing would be sent." in kernel.run("%%rexec --explain --fresh\n1").text


def test_packages_are_compared_and_sessions_found(kernel):
    kernel.run("%%rexec\nimport sys; sys.modules['msgspec'].__version__ = '0.1'")
    cell = kernel.run("%%rexec --explain\nimport msgspec, json, no_such_package")
    assert "msgspec 0.1 there, " in cell.text
    assert "no_such_package is missing there" in cell.text
    assert "json" not in cell.text
    cell = kernel.run("%%rexec --explain -s nowhere\nimport msgspec")
    assert "nowhere (does not exist yet)" in cell.text
    assert "compared once the session runs and is idle: msgspec" in cell.text


def test_explaining_waits_for_no_cell(kernel, gate):
    waits = kernel.run(f"%%rexec --bg -j waits\nprint('on', flush=True)\n{wait_for_file(gate)}")
    waits.wait_for("on")
    cell = kernel.run("%%rexec --explain\n1")
    assert "default (busy)" in cell.text
    gate.touch()
    kernel.run("waits.result()")


def test_explaining_needs_no_backend(environment, tmp_path):
    home = tmp_path / "rexec"
    with running_kernel(**environment | {"REXEC_RUNTIME_DIR": str(home)}) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        cell = kernel.run("%%rexec --explain -s lab\n1")
        assert "lab" in cell.text
        assert "once it is connected" in cell.text
        assert nothing_started(home)
