"""The status line: when it appears, and what it says."""

import pytest

from rexec_jupyter.widget.status import (
    STOP,
    STOP_WAITING,
    Line,
    Notebook,
    StatusLine,
    clock_time,
    duration,
    size,
)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Page:
    """A surface that keeps what it was shown."""

    def __init__(self):
        self.lines = []
        self.settled = None

    def show(self, line):
        self.lines.append(line.text())

    def settle(self, line):
        self.settled = line.text()

    def aside(self):
        pass

    def cleared(self):
        pass


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def page():
    return Page()


@pytest.fixture
def status(page, clock):
    return StatusLine(page, "default", clock)


def test_a_quick_cell_shows_nothing(status, page, clock):
    status.enter("running")
    clock.now += 0.9
    status.beat()
    status.end("done")
    assert page.lines == []
    assert page.settled is None


def test_a_slow_cell_shows_its_time_once_a_second(status, page, clock):
    status.enter("running")
    for _ in range(30):
        clock.now += 0.1
        status.beat()
    assert page.lines == [f"⟳ default · running 00:0{n}" for n in (1, 2)]
    status.end("done")
    assert page.settled == "✓ default · 3.0 s"


def test_a_quick_cell_that_sent_something_says_so(status, page):
    status.end("done", ["sent 2 names (34 kB)"])
    assert page.settled == "✓ default · 0 ms · sent 2 names (34 kB)"


def test_a_slow_failure_names_the_error(status, page, clock):
    clock.now += 42.71
    status.end("failed", ["ValueError", "job 12ab"])
    assert page.settled == "✗ default · ValueError · 42.7 s · job 12ab"


def test_starting_is_shown_at_once(status, page):
    status.enter("starting", "the embedded backend", at_once=True)
    assert page.lines == ["⟳ default · starting (the embedded backend) 00:00"]


def test_the_html_is_readable_by_everyone():
    line = Line("⟳", "<my lab>", ("a & b",), "00:01", ("out 3 kB",), "Stop: ■", live=True)
    markup = line.markup()
    assert 'role="status"' in markup
    assert 'aria-live="polite"' in markup
    assert "&lt;my lab&gt;" in markup
    assert "a &amp; b" in markup
    assert 'a &amp; b <span aria-hidden="true">00:01</span>' in markup
    assert '<span aria-hidden="true">out 3 kB</span>' in markup
    assert "Stop: ■" in markup
    assert "Stop: ■" not in line.markup(hint=False)
    assert "var(--jp-ui-font-color2, #" in markup
    assert "<progress aria-label=" in markup
    assert "prefers-reduced-motion" in markup


def test_what_stays_in_a_saved_notebook_has_nothing_that_moves():
    markup = Line("✓", "default", ("1.2 s",)).markup()
    assert 'role="status"' in markup
    assert "<progress" not in markup
    assert "<style" not in markup


def test_the_line_tells_profile_output_and_how_to_stop(page, clock):
    status = StatusLine(page, "default", clock, profile="gpu-small")
    status.enter("running")
    status.received, status.armed, status.stop = 3100, True, STOP
    clock.now += 42
    status.beat()
    told = "⟳ default · gpu-small · running 00:42 · out 3.1 kB · Stop: ■ button"
    assert page.lines == [told]
    status.stop = STOP_WAITING
    status.enter("stopping… press stop again to stop waiting", at_once=True)
    told = "stopping… press stop again to stop waiting · 00:42 · out 3.1 kB"
    assert page.lines[-1].endswith(told)


def test_when_the_line_appears_can_be_chosen(page, clock):
    status = StatusLine(page, "default", clock, progress_after=0.2)
    clock.now += 0.3
    status.beat()
    assert len(page.lines) == 1


def test_without_progress_only_what_is_worth_telling_is_told_at_the_end(page, clock):
    status = StatusLine(page, "default", clock, progress=False)
    status.enter("running", at_once=True)
    clock.now += 50
    status.beat()
    status.end("failed", ["ValueError"])
    assert (page.lines, page.settled) == ([], None)
    status.end("done", ["sent a (3 MB)"])
    assert page.settled == "✓ default · 50.0 s · sent a (3 MB)"


def test_in_the_notebook_one_output_is_updated_until_the_output_is_cleared():
    published = []
    surface = Notebook(lambda **message: published.append(message))
    line = Line("✓", "default", ())
    surface.show(line)
    surface.show(line)
    surface.cleared()
    surface.settle(line)
    assert [message["update"] for message in published] == [False, True, False]
    assert len({message["transient"]["display_id"] for message in published}) == 1
    assert published[0]["data"]["text/plain"] == "✓ default"


def test_in_the_notebook_the_line_stands_above_the_output():
    published = []
    surface = Notebook(lambda **message: published.append((message["update"], message["data"])))
    line = Line("✓", "default", ())
    shown = {"text/html": line.markup(), "text/plain": line.text()}
    surface.aside()
    surface.aside()
    surface.show(line)
    assert published == [(False, {}), (True, shown)]
    surface.cleared()
    surface.aside()
    assert published[2:] == [(False, shown)]


def test_a_line_of_text_has_no_html():
    published = []
    Notebook(lambda **message: published.append(message["data"]), html=False).show(
        Line("✓", "default", ())
    )
    assert published == [{"text/plain": "✓ default"}]


def test_times_and_sizes_are_written_as_people_do():
    assert [duration(s) for s in (0.04, 42.71, 99.96, 3723)] == [
        "40 ms",
        "42.7 s",
        "01:39",
        "1:02:03",
    ]
    assert [clock_time(s) for s in (0.9, 62, 3723)] == ["00:00", "01:02", "1:02:03"]
    sizes = [0, 340, 999, 1200, 34_000, 999_400, 1_234_567, 2.5e9]
    assert [size(n) for n in sizes] == [
        *("0 B", "340 B", "999 B", "1.2 kB", "34 kB", "999 kB", "1.2 MB", "2.5 GB"),
    ]
