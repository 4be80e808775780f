"""A notebook whose kernel was restarted meets its session again."""

import contextlib

import pytest

from tests.notebook.asking import complete
from tests.notebook.kernel import running_kernel


@contextlib.contextmanager
def notebook(environment):
    with running_kernel(**environment) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        yield kernel


@pytest.fixture
def session(environment):
    """A session that a former kernel left."""
    with notebook(environment) as kernel:
        kernel.run("data = [1, 2, 3]; same = 5")
        cell = kernel.run("%%rexec -s left\ntotal = sum(data)\nsame = 5\nwords = ['a']")
        assert cell.error == ""
    yield "left"
    with notebook(environment) as kernel:
        kernel.run("%rexec stop left -f")


def test_what_cells_assigned_there_wins_and_what_was_sent_goes_anew(environment, session):
    with notebook(environment) as kernel:
        kernel.run("data = [10]; total = 0; same = 5; words = ['b']")
        cell = kernel.run("%%rexec -s left\nprint(data, total, same, words)")
        assert cell.stdout == "[10] 6 5 ['a']\n"
        told = "total,words: the session's own is used, -i total,words sends the one here"
        assert told in cell.status[-1]
        cell = kernel.run("%%rexec -s left --progress-after 1h\nprint(data, total, same, words)")
        assert (cell.stdout, cell.status) == ("[10] 6 5 ['a']\n", [])
        kernel.run("data = [11]; same = 6")
        cell = kernel.run("%%rexec -s left -i total\nprint(data, total, same)")
        assert cell.stdout == "[11] 0 5\n"
        assert "same: the session's own is used" in cell.status[-1]


def test_strict_knows_what_is_there_already(environment, session):
    with notebook(environment) as kernel:
        assert kernel.run("%%rexec -s left --capture strict\ntotal").text == "6"
        kernel.run("words = ['b']")
        cell = kernel.run("%%rexec -s left --capture strict\nprint(words)")
        assert cell.error.startswith("CaptureError: [R10] The session has a value of its own for")
        assert cell.stdout == ""


def test_explain_knows_what_is_there_already(environment, session):
    with notebook(environment) as kernel:
        kernel.run("total = 0; data = [10]")
        kernel.run("%rexec sessions")
        text = kernel.run("%%rexec -s left --explain\ntotal, data, words").text
        own = next(line for line in text.splitlines() if line.startswith("the session's own"))
        assert own.split("  ")[-1].strip() == "total, words"
        assert ["data", "list"] in [line.split()[:2] for line in text.splitlines()]


def test_names_and_attributes_complete_after_the_first_cell(environment, session):
    with notebook(environment) as kernel:
        kernel.run("%%rexec -s left\npass")
        kernel.run("%rexec use left")
        assert "total" in complete(kernel, "%%rexec\ntot|")
        assert complete(kernel, "%%rexec\nwords.app|") == ["append"]
