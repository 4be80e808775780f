"""What jobs have shown, through the panel's server side."""

import json
import time

import pytest

from tests.waiting import wait_for_file


def text(log, *kinds):
    return "".join(piece["text"] for piece in log["pieces"] if piece["kind"] in (kinds or "stdout"))


def test_a_log_is_followed_to_its_end(kernel, jupyter, tab, gate):
    source = f"print('ä' * 10)\n{wait_for_file(gate)}\nprint('after')\nraise ValueError('so')"
    job = kernel.session().submit_cell(source)
    tab.until(lambda tab: tab.job(id=job.id, state="running"))
    log, shown = {"next": 0}, ""
    while not shown.endswith("\n"):
        log = jupyter.get(f"jobs/{job.id}/log", after=log["next"], wait=10)
        shown += text(log, "stdout")
    assert (shown, log["ended"], log["state"]) == ("ä" * 10 + "\n", False, "running")
    began = time.monotonic()
    quiet = jupyter.get(f"jobs/{job.id}/log", after=log["next"], wait=0.2)
    assert quiet["pieces"] == []
    assert time.monotonic() - began < 15
    gate.touch()
    shown = ""
    while not log["ended"]:
        log = jupyter.get(f"jobs/{job.id}/log", after=log["next"], wait=10)
        shown += text(log, "stdout")
    assert shown == "after\n"
    assert "ValueError: so" in text(log, "error")
    assert "\x1b[" not in text(log, "error")
    assert log["state"] == "failed"
    whole = jupyter.get(f"jobs/{job.id}/log")
    assert whole["ended"]
    assert [piece["kind"] for piece in whole["pieces"]] == ["stdout", "error"]
    assert whole["skipped"] == 0


def test_what_the_panel_cannot_show_is_told(kernel, jupyter):
    source = (
        "import sys\nfrom IPython.display import HTML, display\n"
        "print('<script>alert(1)</script>')\nprint('oh', file=sys.stderr)\n"
        "display(HTML('<b>x</b>'))"
    )
    job = kernel.session().submit_cell(source)
    job.result(60)
    pieces = jupyter.get(f"jobs/{job.id}/log")["pieces"]
    assert {piece["kind"] for piece in pieces} == {"stdout", "stderr", "display"}
    assert "<script>" in pieces[0]["text"]
    assert "<b>" not in json.dumps(pieces)


@pytest.mark.parametrize("line", [200, 2_000_000])
def test_of_a_large_log_no_more_is_sent_than_anybody_can_read(kernel, jupyter, line):
    job = kernel.session().submit_cell(
        f"for _ in range(20_000_000 // {line}):\n    print('x' * {line})"
    )
    job.result(60)
    began = time.monotonic()
    log = jupyter.get(f"jobs/{job.id}/log", tail=10_000)
    assert time.monotonic() - began < 30
    assert len(json.dumps(log)) < 1_200_000
    assert log["skipped"] > 10_000_000
    assert log["size"] > log["skipped"]
    few = jupyter.get(f"jobs/{job.id}/log", tail=1)
    assert len(text(few, "stdout")) <= min(line + 1, 1_000_000)
    first = jupyter.get(f"jobs/{job.id}/log", after=0)
    assert 0 < first["next"] < first["size"]
    assert not first["ended"]


def test_logs_that_there_are_not(running, jupyter):
    told = jupyter.get(f"jobs/{'0' * 32}/log")
    assert (told["known"], told["pieces"], told["ended"]) == (False, [], True)
    jupyter.refused(404, "GET", "jobs/nonsense/log")
    jupyter.refused(422, "GET", f"jobs/{'0' * 32}/log?tail=x")
    jupyter.refused(422, "GET", f"jobs/{'0' * 32}/log?after=-1")
