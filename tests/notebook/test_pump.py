"""How what happens to a job is shown: in order, in its place, and not too often."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from rexec_jupyter.core.happenings import Display, StateChange, TextOutput
from rexec_jupyter.magics.pump import Screen
from rexec_jupyter.widget.status import Notebook, StatusLine


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Publisher:
    """Keeps what is published."""

    def __init__(self):
        self.published = []

    def publish(self, data, metadata, transient, *, update):
        self.published.append((data.get("text/plain"), transient.get("display_id"), update))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shell():
    shell = InteractiveShell()
    shell.display_pub = Publisher()
    yield shell
    shell.cleanup()


@pytest.fixture
def screen(shell, clock):
    status = StatusLine(Notebook(shell.display_pub.publish), "lab", clock)
    return Screen(shell, status, "lab")


def test_a_quick_cell_shows_its_output_and_nothing_else(screen, shell, capsys):
    screen.show([TextOutput("stdout", "quick\n"), TextOutput("stderr", "oops\n")])
    screen.finish()
    assert capsys.readouterr() == ("quick\n", "oops\n")
    assert shell.display_pub.published == []


def test_a_cell_that_takes_longer_keeps_a_place_for_its_status_above_the_output(
    screen, shell, clock, capsys
):
    screen.show([TextOutput("stdout", "begins\n")])
    assert capsys.readouterr().out == ""
    clock.now += 0.2
    screen.show([])
    assert capsys.readouterr().out == "begins\n"
    assert [shown for shown, _, _ in shell.display_pub.published] == [None]
    screen.finish()


def test_display_ids_of_sessions_are_kept_apart(screen, shell):
    screen.show(
        [
            Display("display", {"text/plain": "a"}, transient={"display_id": "x"}),
            Display("update", {"text/plain": "b"}, transient={"display_id": "x"}),
            Display("display", {"text/plain": "c"}),
        ]
    )
    screen.finish()
    assert shell.display_pub.published == [
        ("a", "rexec-lab-x", False),
        ("b", "rexec-lab-x", True),
        ("c", None, False),
    ]


def test_the_result_is_kept_for_the_end(screen, shell):
    result = Display("result", {"text/plain": "5"})
    screen.show([StateChange("running"), result])
    screen.finish()
    assert screen.result is result
    assert shell.display_pub.published == []
