"""The state machine of a wait: every way from the start of a cell to its end."""

import signal

import pytest

from rexec_jupyter.core.happenings import StateChange
from rexec_jupyter.magics.stopping import HESITATION, Rules, Stops, Vigil


class Wait:
    """A wait with a clock to turn and a stop button to press."""

    def __init__(self, **rules):
        self.now = 100.0
        self.presses = 0
        self.vigil = Vigil(self.now, Rules(**rules))

    def hear(self, state, detail=""):
        self.vigil.heard(self.now, StateChange(state, detail))
        return self

    def after(self, seconds):
        self.now += seconds
        return self.vigil.check(self.now, self.presses)

    def press(self):
        self.presses += 1
        return self.vigil.check(self.now, self.presses)

    @property
    def told(self):
        return " ".join(filter(None, self.vigil.told(self.now)))


@pytest.fixture
def wait():
    return Wait()


def test_a_cell_that_nobody_stops_goes_through_its_phases(wait):
    assert wait.told == "starting"
    assert wait.hear("queued", "2 cells ahead").told == "queued 2 cells ahead"
    assert not wait.vigil.started
    assert wait.hear("queued").told == "starting"
    assert wait.hear("running").told == "running"
    assert wait.vigil.started
    assert wait.after(1e6) is None
    wait.hear("done")
    assert wait.vigil.phase == "ended"
    assert wait.press() is None


@pytest.mark.parametrize("state", [("waiting", ""), ("queued", "1 cell ahead"), ("queued", "")])
def test_stop_before_the_code_began_withdraws_it(wait, state):
    wait.hear(*state)
    assert wait.press() == "interrupt"
    assert wait.vigil.phase == "withdrawing"
    assert "withdrawing" in wait.told
    assert wait.after(1) is None
    wait.hear("cancelled")
    assert wait.after(60) is None
    assert not wait.vigil.started


def test_stop_while_the_code_runs_interrupts_it_once_and_waits_for_what_comes(wait):
    wait.hear("running")
    assert wait.press() == "interrupt"
    assert wait.told == "stopping… press stop again to stop waiting"
    assert wait.after(4.9) is None
    wait.hear("failed")
    assert wait.after(60) is None


def test_a_second_stop_stops_waiting(wait):
    wait.hear("running")
    wait.press()
    wait.after(1)
    assert wait.press() == "detach"
    assert wait.vigil.phase == "detached"
    assert wait.vigil.started
    assert wait.press() is None


def test_two_presses_seen_at_once_stop_waiting(wait):
    wait.hear("running")
    wait.presses = 1
    assert wait.press() == "detach"


def test_code_that_does_not_react_within_the_grace_time_is_left_running():
    wait = Wait(grace=2.0).hear("running")
    wait.press()
    assert wait.after(1.9) is None
    assert wait.after(0.2) == "detach"
    assert wait.after(1) is None


def test_a_withdrawal_that_nobody_confirms_ends_the_wait_too(wait):
    wait.press()
    assert wait.after(5.1) == "detach"
    assert not wait.vigil.started


def test_what_was_to_be_withdrawn_but_began_is_being_stopped(wait):
    wait.hear("queued", "1 cell ahead")
    wait.press()
    wait.hear("running")
    assert wait.vigil.phase == "stopping"
    assert wait.vigil.started
    assert wait.press() == "detach"


def test_a_withdrawn_cell_is_not_queued_again(wait):
    wait.press()
    wait.hear("queued", "1 cell ahead")
    assert wait.vigil.phase == "withdrawing"


@pytest.mark.parametrize("state", ["queued", "running"])
def test_the_first_stop_detaches_where_that_is_wanted(state):
    wait = Wait(on_interrupt="detach").hear(state)
    assert wait.press() == "detach"


def test_a_session_that_does_not_get_ready_is_not_waited_for_any_longer():
    wait = Wait(wait_start=30)
    assert wait.after(29) is None
    assert wait.after(2) == "late"
    assert wait.vigil.phase == "withdrawing"
    wait.hear("cancelled")
    assert wait.after(60) is None


def test_a_late_cell_that_cannot_be_withdrawn_is_left():
    wait = Wait(wait_start=30)
    wait.after(31)
    assert wait.after(5.1) == "detach"


def test_time_behind_other_cells_and_without_connection_is_no_time_of_starting():
    wait = Wait(wait_start=30)
    wait.after(20)
    wait.hear("queued", "1 cell ahead")
    assert wait.after(1000) is None
    wait.hear("queued")
    assert wait.after(9) is None
    wait.hear("reconnecting", "0 s")
    assert wait.after(1000) is None
    wait.hear("connected")
    assert wait.after(2) == "late"


def test_a_lost_connection_is_told_with_its_age_and_then_forgotten(wait):
    wait.hear("running").hear("reconnecting", "12 s")
    assert wait.told == "reconnecting (12 s)…"
    wait.after(3)
    assert wait.told == "reconnecting (15 s)…"
    wait.hear("reconnecting", "15 s")
    assert wait.told == "reconnecting (15 s)…"
    assert wait.hear("connected").told == "running"


def test_a_connection_that_does_not_come_back_ends_the_wait():
    wait = Wait(reconnect_timeout=90).hear("running").hear("reconnecting", "15 s")
    assert wait.after(70) is None
    assert wait.after(6) == "lost"
    assert wait.after(6) is None


def test_stop_works_while_the_connection_is_lost(wait):
    wait.hear("running").hear("reconnecting", "15 s")
    assert wait.press() == "interrupt"
    assert "press stop again" in wait.told
    assert wait.after(5.1) == "detach"


def test_output_of_a_generator_counts_as_running(wait):
    assert wait.hear("streaming").vigil.started


def test_whoever_is_about_to_end_leaves_the_cell_running(wait):
    wait.hear("running")
    wait.presses = 1
    assert wait.vigil.check(wait.now, wait.presses, leaving=True) == "detach"
    assert wait.vigil.phase == "detached"


def test_an_interrupt_counts_only_after_a_restart_would_have_shown():
    now = 100.0
    stops = Stops(clock=lambda: now)
    with stops:
        signal.raise_signal(signal.SIGINT)
        assert stops.count == 0
        stops.press()
        assert stops.count == 1
        now += HESITATION
        assert stops.count == 2
