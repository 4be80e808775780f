"""How what happens to a job is shown: in order, in its place, and not too often."""

from functools import partial

import pytest
from IPython.core.interactiveshell import InteractiveShell

from rexec_jupyter.core.errors import ConnectionLostError, StartError
from rexec_jupyter.core.happenings import (
    ClearOutput,
    Comm,
    Display,
    NamesChanged,
    Payload,
    StateChange,
    TextOutput,
)
from rexec_jupyter.magics.pump import LogSource, Screen, follow
from rexec_jupyter.magics.stopping import DetachedError, Rules, Stops
from rexec_jupyter.widget.status import Notebook, Nowhere, StatusLine


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
def status(shell, clock):
    return StatusLine(Notebook(shell.display_pub.publish), "lab", clock)


@pytest.fixture
def make(shell, status):
    return partial(Screen, shell, status, "lab")


@pytest.fixture
def screen(make):
    return make()


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


def test_what_is_shown_is_capped_with_a_word_about_the_rest(make, capsys):
    screen = make(job="a1b2c3d4e5", max_shown=10)
    screen.show([TextOutput("stdout", "shown\nhidden\n" + "x" * 3_000_000)])
    screen.finish()
    out = capsys.readouterr().out
    assert out == "shown\n\n… 3.0 MB more, `%rexec logs a1b2c3d4`\n"


def test_in_a_notebook_the_word_about_the_rest_is_one_output(make, shell, clock):
    shell.kernel = None
    screen = make(job="a1b2c3d4e5", max_shown=10)
    clock.now += 1
    screen.show([TextOutput("stdout", "x" * 100)])
    screen.show([TextOutput("stdout", "x" * 100)])
    screen.finish()
    told = [shown for shown in shell.display_pub.published if shown[0]]
    place = "rexec-rest-a1b2c3d4e5"
    assert told == [
        ("… 90 B more, `%rexec logs a1b2c3d4`", place, False),
        ("… 190 B more, `%rexec logs a1b2c3d4`", place, True),
    ]


def test_without_streaming_everything_comes_at_the_end(make, clock, capsys):
    screen = make(stream=False)
    for number in range(5):
        clock.now += 1
        screen.show([TextOutput("stdout", f"\r{number}")])
    assert capsys.readouterr().out == ""
    screen.finish()
    assert capsys.readouterr().out == "\r4"


def test_what_was_cleared_meanwhile_is_not_shown_at_the_end(make, clock, capsys):
    screen = make(stream=False)
    for happening in (TextOutput("stdout", "old"), ClearOutput(), TextOutput("stdout", "new")):
        clock.now += 1
        screen.show([happening])
    screen.finish()
    assert "old" not in capsys.readouterr().out


def test_what_is_not_for_the_eye_goes_where_it_belongs(make):
    names, messages = [], []
    screen = make(on_names=names.append, on_comm=messages.append)
    changed = NamesChanged("v1", whole=True, names={})
    message = Comm("comm_msg", {"comm_id": "c"})
    screen.show([changed, message])
    screen.finish()
    assert (names, messages) == ([changed], [message])


def test_the_next_cell_is_proposed(screen, shell):
    screen.show([Payload({"source": "set_next_input", "text": "x = 1", "replace": False})])
    screen.finish()
    assert shell.rl_next_input == "x = 1"


def test_the_status_counts_output(screen, status):
    screen.show([TextOutput("stdout", "12345")])
    assert status.received == 5


# ---------------------------------------------------------------- following


class Script:
    """A job whose happenings are written down; a function among them is called in its turn."""

    id = "a1b2c3d4" * 4
    session = "my lab"
    waits_for = "no server is ready"

    def __init__(self, *batches):
        self.batches = list(batches)
        self.interrupts = 0

    def take(self, timeout):
        batch = self.batches.pop(0) if self.batches else None
        if callable(batch):
            batch()
            return []
        return batch

    def interrupt(self):
        self.interrupts += 1


RUNNING = [StateChange("running")]


@pytest.fixture
def stops():
    return Stops()


@pytest.fixture
def pass_time(clock):
    def passing(seconds):
        def do():
            clock.now += seconds

        return do

    return passing


@pytest.fixture
def watch(make, status, stops, clock):
    def watch(job, rules=None, **kwargs):
        follow(job, make(), status, stops, rules, clock=clock, **kwargs)

    return watch


def test_stop_interrupts_the_job_and_shows_what_comes_after(watch, stops, status, capsys):
    job = Script(RUNNING, stops.press, [TextOutput("stdout", "tidied up")], [])
    watch(job)
    assert job.interrupts == 1
    assert capsys.readouterr().out == "tidied up"
    assert status.stop == "Stop waiting"


def test_a_second_stop_shows_what_there_is_and_tells_how_to_go_on(watch, stops, capsys):
    job = Script(RUNNING, stops.press, [TextOutput("stdout", "still")], stops.press)
    with pytest.raises(DetachedError) as raised:
        watch(job)
    assert capsys.readouterr().out == "still"
    assert str(raised.value) == (
        "cell still running remotely as job a1b2c3d4; `%rexec cancel a1b2c3d4`, or "
        "`%rexec restart 'my lab'` (loses its variables)\n`%rexec attach a1b2c3d4` shows it again."
    )
    assert job.interrupts == 1


def test_a_cell_left_in_the_queue_is_said_to_wait(watch, stops):
    job = Script([StateChange("queued", "1 cell ahead")], stops.press, [])
    with pytest.raises(
        DetachedError, match=r"^cell still waiting remotely as job a1b2c3d4"
    ) as error:
        watch(job, Rules(on_interrupt="detach"))
    assert "restart" not in str(error.value)
    assert job.interrupts == 0


def test_a_session_that_is_late_is_named_with_what_it_waits_for(watch, pass_time):
    job = Script([], pass_time(31), [], [StateChange("cancelled")])
    with pytest.raises(StartError, match=r"my lab.*30 s: no server is ready") as raised:
        watch(job, Rules(wait_start=30))
    assert job.interrupts == 1
    assert "--wait-start" in raised.value.hint
    assert raised.value.job is job


def test_a_cell_that_began_after_all_is_no_late_start(watch, pass_time):
    job = Script([], pass_time(31), [], RUNNING, [StateChange("done")])
    watch(job, Rules(wait_start=30))


def test_a_lost_connection_ends_the_wait_and_keeps_the_job(watch, pass_time, stops):
    job = Script(RUNNING, [StateChange("reconnecting", "15 s")], pass_time(80), [])
    with pytest.raises(ConnectionLostError, match="may still run there") as raised:
        watch(job, Rules(reconnect_timeout=90))
    assert "%rexec attach a1b2c3d4" in raised.value.hint
    assert job.interrupts == 0


class Reader:
    """A log of which a part is read at a time."""

    known = True
    ended = False

    def __init__(self, *parts):
        self.parts = list(parts)

    def read(self, wait):
        part = self.parts.pop(0)
        self.ended = not self.parts
        return part


def test_a_log_is_shown_to_its_end(watch, capsys):
    parts = [[TextOutput("stdout", text)] for text in ("first", " then")]
    watch(None, source=LogSource(Reader(*parts)))
    assert capsys.readouterr().out == "first then"


def test_stop_ends_looking_at_a_log(watch, stops):
    stops.press()
    with pytest.raises(DetachedError):
        watch(None, source=LogSource(Reader([], [])))


def test_an_attached_job_tells_its_state_beside_its_log(stops):
    job = Script()
    job.state = "running"
    source = LogSource(Reader([], [TextOutput("stdout", "x")]), job)
    assert source.take(0) == RUNNING
    assert source.take(0) == [TextOutput("stdout", "x")]
    assert source.take(0) is None


def test_a_job_whose_log_is_gone_has_nothing_to_show():
    reader = Reader([])
    reader.known = False
    assert LogSource(reader).take(0) is None


def test_a_quiet_status_line_stays_quiet(shell, stops, clock, capsys):
    status = StatusLine(Nowhere(), "lab", clock)
    follow(
        Script(RUNNING, [TextOutput("stdout", "x")]), Screen(shell, status, "lab"), status, stops
    )
    assert capsys.readouterr().out == "x"
    assert shell.display_pub.published == []
