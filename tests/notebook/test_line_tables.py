"""What `%rexec` returns: tables, facts and progress, as text, as HTML and as JSON."""

import json

from rexec_jupyter.core.protocol import JobInfo
from rexec_jupyter.magics.commands.progress import Transfer, speed
from rexec_jupyter.reports import clock, job_table
from rexec_jupyter.widget.table import Column, Facts, Table

COLUMNS = ["name", Column("size", "bytes", right=True)]


def job(number, state="done", ago=10.0):
    return JobInfo(
        job=f"{number:032x}",
        session="s",
        kind="cell",
        label=f"job {number}",
        state=state,
        submitted_ago=ago,
        started_ago=ago,
        duration=1.0,
    )


class Shown:
    """A surface that remembers."""

    def __init__(self):
        self.lines = []

    def show(self, line):
        self.lines.append(line.text())

    settle = show


def test_a_table_is_aligned():
    table = Table([{"name": "a", "size": 5}, {"name": "long name", "size": 1234}], COLUMNS)
    assert repr(table).splitlines() == ["name       bytes", "a              5", "long name   1234"]


def test_wide_characters_are_aligned_too():
    table = Table([{"name": "表", "size": 1}, {"name": "ab", "size": 2}], COLUMNS)
    assert repr(table).splitlines()[1:] == ["表        1", "ab        2"]


def test_a_table_is_a_list_of_dictionaries_with_more_than_is_shown():
    table = Table([{"name": "a", "size": 5, "secret": 1}], COLUMNS)
    assert table == [{"name": "a", "size": 5, "secret": 1}]
    assert json.loads(table.json()) == table
    assert "secret" not in repr(table)


def test_a_column_without_anything_is_left_out():
    assert repr(Table([{"name": "a", "size": None}], COLUMNS)) == "name\na"


def test_an_empty_table_says_so():
    table = Table([], COLUMNS, empty="no files", note="a note")
    assert repr(table) == "no files\na note"
    assert "no files" in table._repr_html_()
    assert json.loads(table.json()) == []


def test_markup_and_terminal_codes_in_values_do_nothing():
    table = Table([{"name": "<b onclick='x'>\x1b[31m\n", "size": 1}], COLUMNS, note="<i>")
    assert "<b" not in table._repr_html_()
    assert "<i>" not in table._repr_html_()
    assert "\x1b" not in repr(table)
    assert len(repr(table).splitlines()) == 3


def test_a_long_text_is_cut_in_the_table_alone():
    table = Table([{"name": "x" * 500}], ["name"])
    assert len(repr(table).splitlines()[1]) == 60
    assert json.loads(table.json())[0]["name"] == "x" * 500


def test_facts_read_as_text_html_and_json():
    facts = Facts({"state": "idle", "names": ["a"]}, title="A session", shown={"state": "<idle>"})
    assert repr(facts) == "A session\nstate  <idle>"
    assert "&lt;idle&gt;" in facts._repr_html_()
    assert json.loads(facts.json()) == {"state": "idle", "names": ["a"]}


def test_open_jobs_come_first_and_are_never_left_out():
    infos = [job(1, ago=1.0), job(2, "running", 50.0), job(3, "queued", 40.0), job(4, ago=2.0)]
    assert [row["name"] for row in job_table(infos)] == ["job 3", "job 2", "job 1", "job 4"]
    few = job_table(infos, limit=1)
    assert [row["state"] for row in few] == ["queued", "running"]
    assert "2 more" in few.note
    assert len(job_table(infos, limit=1, all=True)) == 4


def test_where_only_open_jobs_are_listed_it_is_said_that_none_is_open():
    assert str(job_table([job(1)], limit=0)).splitlines()[0] == "No open jobs."
    assert str(job_table([])) == "No jobs."


def test_a_moment_of_another_day_has_its_date():
    assert clock("2020-02-03T04:05:06+00:00").startswith("2020-02-0")


def test_a_quick_transfer_shows_nothing_and_a_slow_one_a_bar():
    now = [0.0]
    surface = Shown()
    with Transfer(surface, "put", "a.bin", lambda: now[0]) as transfer:
        transfer.moved(10, 100)
    assert surface.lines == []
    with Transfer(surface, "put", "a.bin", lambda: now[0]) as transfer:
        for second in range(1, 5):
            now[0] += 1
            transfer.moved(second * 25_000_000, 100_000_000)
    assert "25 MB of 100 MB · 1.0 s · 25 MB/s" in surface.lines[0]
    assert surface.lines[-1].startswith("✓ put a.bin ████████████████████████ · 100 MB of 100 MB")
    facts = transfer.report("done", target="x")
    assert repr(facts) == "done (100 MB, 4.0 s, 25 MB/s)."
    assert facts["nbytes"] == 100_000_000


def test_a_transfer_tells_what_it_waits_for():
    now = [0.0]
    surface = Shown()
    with Transfer(surface, "put", "a.bin", lambda: now[0]) as transfer:
        now[0] = 1.0
        transfer.waits("no worker is free")
        now[0] = 2.0
        transfer.moved(50_000_000, 100_000_000)
    assert surface.lines[0].endswith("░ · 1.0 s · waiting: no worker is free")
    assert "waiting" not in surface.lines[1]


def test_an_empty_file_is_whole_at_once():
    now = [0.0]
    surface = Shown()
    with Transfer(surface, "get", "empty", lambda: now[0]) as transfer:
        now[0] = 1.0
        transfer.moved(0, 0)
    assert "0 B of 0 B" in surface.lines[-1]
    assert speed(0, 0.0) == ""
