"""Parts of the panel's server side that are worth trying alone."""

import asyncio

import pytest

from rexec_jupyter.core.happenings import TextOutput
from rexec_jupyter.labapp.forms import forms
from rexec_jupyter.labapp.lines import Tail, percent
from rexec_jupyter.labapp.looking import Moments
from rexec_jupyter.labapp.messages import Alert, Connection, Job, News
from rexec_jupyter.labapp.seen import Seen, named, news
from rexec_jupyter.labapp.stream import Outbox


def test_what_happened_once_stays_where_it_was():
    moments = Moments()
    assert moments.past(1000.0, 10.0, "a") == 990.0
    assert moments.past(1003.0, 10.5, "a") == 990.0  # an answer that took longer
    assert moments.past(4600.0, 11.0, "a") == 990.0  # the laptop slept
    assert moments.past(1001.0, 13.0, "a") == 988.0  # the first answer took long
    assert moments.past(1001.0, -1.0, "b") == 0.0
    assert moments.past(1001.0, 1.0, "b") == 1000.0


def test_what_can_be_put_off_moves_if_it_is_more_than_a_delay():
    moments = Moments()
    assert moments.about(1000.0, "end") == 1000.0
    assert moments.about(1001.4, "end") == 1000.0
    assert moments.about(999.0, "end") == 1000.0
    assert moments.about(1300.0, "end") == 1300.0


def test_what_is_not_asked_for_any_more_is_forgotten():
    moments = Moments()
    moments.past(1000.0, 10.0, "a")
    moments.sweep()
    moments.sweep()
    assert moments.past(2000.0, 10.0, "a") == 1990.0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("42%|####      | 42/100 [00:01<00:02]", 42),
        ("Epoch 1: 7.5% done", 7),
        ("100%", 100),
        ("nothing", -1),
        ("250%", -1),
        ("1.5.20%", -1),
        ("", -1),
    ],
)
def test_how_much_is_done(line, expected):
    assert percent(line) == expected


def test_the_last_line_is_what_is_seen_of_it():
    tail = Tail()
    tail.take([TextOutput("stdout", "first\nsecond\n\n")])
    assert tail.line.text == "second"
    tail.take([TextOutput("stderr", "\r  1%|\x1b[31m#\x1b[0m"), TextOutput("stderr", "\r  2%|#\r")])
    assert tail.line == ("2%|#", 2)
    tail.take([TextOutput("stdout", "x" * 10_000)])
    assert tail.line.text == "x" * 200


def test_only_what_changed_is_news():
    first = Job(id="a", state="running", open=True)
    second = Job(id="b")
    before = Seen(Connection(), jobs=[second, first])
    assert news(before, Seen(Connection(), jobs=[second, first]), 1.0, usage=[]) is None
    ended = Job(id="a", state="done")
    told = news(before, Seen(Connection(state="idle"), jobs=[ended]), 1.0)
    assert (told.jobs, told.gone, told.alerts) == ([ended], ["b"], None)
    assert told.connection.state == "idle"


def test_who_is_too_slow_is_told_all_there_is_and_no_line_is_lost():
    def line(text):
        return News(now=1.0, installing={"a": [text]})

    async def told():
        outbox = Outbox(lambda: News(now=9.0, all_jobs=True, jobs=[]))
        outbox.put(line("one"))
        first = await outbox.take()
        outbox.put(line("two"))
        outbox.put(line("three"))
        second = await outbox.take()
        later = asyncio.create_task(outbox.take())
        await asyncio.sleep(0)
        outbox.put(line("four"))
        return first, second, await later

    first, second, third = asyncio.run(told())
    assert (first.all_jobs, first.installing) == (False, {"a": ["one"]})
    assert (second.all_jobs, second.installing) == (True, {"a": ["two", "three"]})
    assert (third.all_jobs, third.installing) == (False, {"a": ["four"]})


def test_of_many_jobs_the_newest_and_the_open_ones_are_kept():
    jobs = [Job(id=str(number), open=number == 4999) for number in range(5000)]
    kept = Seen(Connection(), jobs=jobs).jobs
    assert len(kept) == 1001
    assert kept[-1].open


def test_errors_come_first_and_each_once():
    alerts = [Alert(key="a", severity="info"), Alert(key="b"), Alert(key="a", severity="warning")]
    assert [(each.key, each.severity) for each in named(alerts)] == [
        ("b", "error"),
        ("a", "warning"),
    ]


def test_a_form_has_what_can_be_chosen():
    (profile,) = forms(
        [
            {
                "name": "big",
                "cpu": 16,
                "memory": 64 << 30,
                "gpu": 2,
                "image": "one:1",
                "images": ["two:2", "one:1"],
                "python": "3.12",
                "idle_timeout": 3600,
                "max_lifetime": 0,
            }
        ]
    ).profiles
    fields = {field.name: field for field in profile.fields}
    assert (fields["memory"].default, fields["memory"].maximum) == ("64", 64)
    assert fields["memory"].factor == 1 << 30
    assert fields["gpu"].kind == "integer"
    assert fields["image"].choices == ["one:1", "two:2"]
    assert (fields["idle_timeout"].default, fields["idle_timeout"].factor) == ("60", 60)
    assert (fields["max_lifetime"].default, fields["max_lifetime"].maximum) == ("", 0)
    assert "gpu" not in {field.name for field in forms([{"name": "small"}]).profiles[0].fields}
