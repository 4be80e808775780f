"""`%rexec jobs`, `attach`, `result`, `cancel`, `logs` and `rerun`, after a restart too."""

import json

import pytest

from tests.backend.brokering import until
from tests.notebook.kernel import SECONDS, running_kernel

HELD = """\
import os, time
print("first line", flush=True)
while not os.path.exists({gate!r}):
    time.sleep(0.01)
print("last line")
"""
WHOLE = "first line\nlast line\n"
ENDLESS = "import time\nwhile True: time.sleep(0.02)"


def jobs(kernel):
    return {job["name"]: job for job in json.loads(kernel.run("%rexec jobs --all --json").stdout)}


def held(gate, body=""):
    return HELD.format(gate=str(gate)) + body


def left(kernel, name, gate, body=""):
    """Start a cell that is held, and stop waiting for it; return the beginning of its id."""
    options = f"-s jobs -n {name} --on-interrupt detach"
    cell = kernel.start(f"%%rexec {options}\n{held(gate, body)}")
    cell.wait_for("first line")
    kernel.interrupt()
    cell.wait()
    job = jobs(kernel)[name]
    assert job["state"] == "running"
    assert f"job {job['id'][:8]}" in cell.traceback
    return job["id"][:8]


@pytest.fixture
def another(environment):
    """Another kernel, as after a restart."""
    with running_kernel(**environment) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        yield kernel


def test_jobs_are_listed_with_name_state_start_and_duration(kernel):
    kernel.run("%%rexec -s jobs -n well\npass")
    kernel.run("%%rexec -s jobs -n badly\n1 / 0")
    listed = jobs(kernel)
    assert listed["well"]["state"] == "done"
    assert listed["badly"]["state"] == "failed"
    assert listed["well"]["started"]
    assert listed["well"]["duration"] >= 0
    cell = kernel.run("%rexec jobs")
    assert cell.text.splitlines()[0].split() == [
        *("job", "name", "session", "state", "started", "duration")
    ]
    assert cell.text.splitlines()[1].split()[1] == "badly"


def test_open_jobs_come_first_and_the_rest_is_limited(kernel):
    kernel.run("%%rexec -s open -a -n open\nimport time\nwhile True: time.sleep(0.02)")
    kernel.run("%%rexec -s jobs -n newer\npass")
    lines = kernel.run("%rexec jobs --limit 1").text.splitlines()
    assert lines[1].split()[1] == "open"
    assert len(lines) == 3
    assert "more: %rexec jobs --all" in lines[2]
    kernel.run("%rexec cancel open")


def test_a_job_that_was_left_is_shown_from_its_first_line_and_ends_as_its_cell(kernel, gate):
    job = left(kernel, "left", gate, "42")
    cell = kernel.start(f"%rexec attach {job}")
    cell.wait_for("first line")
    gate.touch()
    assert cell.wait().stdout == WHOLE
    assert cell.text == "42"
    assert kernel.value("_ + 0") == "42"


def test_a_job_in_the_background_is_shown_from_its_first_line_and_keeps_its_value(kernel, gate):
    kernel.run(f"%%rexec -s jobs -n aside --noblock\n{held(gate, '42')}")
    cell = kernel.start("%rexec attach aside")
    cell.wait_for("first line")
    gate.touch()
    assert cell.wait().stdout == WHOLE
    assert cell.text == "42"
    assert kernel.run("%rexec attach aside").text == "42"
    assert kernel.run("%rexec result aside").text == "42"


def test_the_error_of_a_job_that_was_left_is_raised_here(kernel, gate):
    job = left(kernel, "left-failing", gate, "int('x')")
    gate.touch()
    cell = kernel.run(f"%rexec attach {job}")
    assert cell.error.startswith("ValueError: invalid literal")
    assert "int('x')" in cell.traceback
    assert "rexec_jupyter" not in cell.traceback


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "restarted"])
def test_a_job_outlives_the_kernel_that_is_gone_while_it_runs(environment, another, gate, killed):
    name = "left-by-killed" if killed else "left-by-restarted"
    code = held(gate, "made = 6\n'the value'")
    with running_kernel(**environment) as first:
        first.run("%load_ext rexec_jupyter")
        first.start(f"%%rexec -s jobs -n {name} -o made\n{code}").wait_for("first line")
        first.manager.shutdown_kernel(now=killed, restart=not killed)
    assert jobs(another)[name]["state"] == "running"
    cell = another.start(f"%rexec attach {name}")
    cell.wait_for("first line")
    gate.touch()
    assert cell.wait().stdout == WHOLE
    assert cell.text == "'the value'"
    assert another.value("made") == "6"


def test_attaching_takes_nothing_from_the_cell_that_waits(kernel, another, gate):
    own = kernel.start(f"%%rexec -s jobs -n shared\n{held(gate)}'for its own cell'")
    own.wait_for("first line")
    other = another.start("%rexec attach shared")
    other.wait_for("first line")
    gate.touch()
    assert other.wait().stdout == WHOLE
    assert not other.error
    assert own.wait().text == "'for its own cell'"


def test_a_job_that_waits_is_attached_to_until_its_turn_comes(kernel, another):
    kernel.run(f"%%rexec -s queue -a -n in-front\n{ENDLESS}")
    kernel.run("%%rexec -s queue -a -n behind\nprint('its turn')\n5")
    shown = another.start("%rexec attach behind")
    shown.wait_for_status("⟳")
    kernel.run("%rexec cancel in-front")
    assert shown.wait().stdout == "its turn\n"
    assert not shown.error


def test_stop_stops_a_job_that_is_attached_to(kernel, another, gate):
    left(kernel, "to-be-stopped", gate)
    cell = another.start("%rexec attach to-be-stopped")
    cell.wait_for("first line")
    another.interrupt()
    assert cell.wait().error.startswith("KeyboardInterrupt")
    assert jobs(another)["to-be-stopped"]["state"] == "cancelled"


def test_what_a_job_showed_is_there_after_its_result_was_fetched(kernel):
    kernel.run("%%rexec -s jobs -n fetched\nprint('shown')\n7")
    cell = kernel.run("%rexec attach fetched")
    assert cell.stdout == "shown\n"
    assert not cell.error
    kernel.run("%%rexec -s jobs -n fetched-failing\nprint('shown')\n{}['missing key']")
    cell = kernel.run("%rexec attach fetched-failing")
    assert cell.stdout == "shown\n"
    assert cell.error == "KeyError: 'missing key'"
    assert "{}['missing key']" in cell.traceback


def test_a_job_that_was_ended_from_outside_says_how_to_whoever_comes_later(kernel):
    kernel.run("%%rexec -s crash -n crashing\nimport os\nprint('bye')\nos._exit(3)")
    cell = kernel.run("%rexec attach crashing")
    assert cell.stdout == "bye\n"
    assert cell.error.startswith("WorkerLostError: [R09]")
    kernel.run("%%rexec -s crash -n too-long -t 0.2\nimport time\nwhile True: time.sleep(0.01)")
    assert kernel.run("%rexec attach too-long").error.startswith("JobTimeoutError: [R08]")
    assert "it has none" in kernel.run("%rexec result too-long").stderr


def test_without_a_name_the_last_job_is_meant(kernel):
    kernel.run("%%rexec -s jobs -n the-last\nprint('of the last')")
    assert kernel.run("%rexec logs").text == "of the last"


def test_a_job_is_found_by_its_name_in_the_notebook(kernel):
    kernel.run("%%rexec -s jobs -a -j bound\nprint('by name')\n[1, 2]")
    kernel.run("bound.result()")
    assert kernel.run("%rexec result bound").text == "[1, 2]"
    assert kernel.run("%rexec logs bound").text == "by name\n[1, 2]"


def test_a_result_is_given_a_name(kernel, gate):
    job = left(kernel, "with-result", gate, "{'a': 1}")
    gate.touch()
    cell = kernel.run(f"%rexec result {job} -o fetched_here")
    assert cell.text.startswith("fetched_here is the result of job")
    assert kernel.value("fetched_here") == "{'a': 1}"
    assert kernel.run("%rexec result with-result").text == "{'a': 1}"
    assert json.loads(kernel.run("%rexec result with-result --json").stdout) == {"a": 1}
    assert "is no name" in kernel.run("%rexec result -o 3x").stderr


def test_a_job_without_a_value_to_fetch_says_why(kernel, another, gate):
    kernel.run("%%rexec -s jobs -n fetched-at-once\n7")
    # That it was fetched is told to the server a moment after it was.
    until(
        lambda: "fetched before" in another.run("%rexec result fetched-at-once").stderr,
        "the server knows that it was fetched",
    )
    left(kernel, "valueless", gate, "x = 1")
    gate.touch()
    assert "no expression" in kernel.run("%rexec result valueless").stderr


def test_a_job_that_does_not_exist_is_told(kernel):
    for verb in ("attach", "result", "cancel", "logs", "rerun"):
        cell = kernel.run(f"%rexec {verb} no-such-job")
        assert "no-such-job" in cell.error + cell.stderr, verb
        assert "rexec_jupyter" not in cell.traceback


def test_a_job_of_another_kernel_is_cancelled_and_its_cell_is_told(kernel, another):
    cell = kernel.start(
        "%%rexec -s elsewhere -n elsewhere\nimport time\nprint('on')\nwhile True: time.sleep(0.02)"
    )
    cell.wait_for("on")
    told = another.run("%rexec cancel elsewhere")
    assert "cancelled" in told.text
    assert "Cancelled" in cell.wait().error
    assert "had ended before" in another.run("%rexec cancel elsewhere").text


def test_every_job_is_cancelled_at_once(kernel):
    for number in range(3):
        kernel.run(
            f"%%rexec -s many -a -n many-{number}\nimport time\nwhile True: time.sleep(0.02)"
        )
    kernel.run("%rexec cancel --all")
    states = {jobs(kernel)[f"many-{number}"]["state"] for number in range(3)}
    assert states == {"cancelled"}
    assert kernel.run("%rexec cancel --all").text == "No jobs run or wait."


def test_a_log_is_shown_whole_or_its_end(kernel):
    kernel.run("%%rexec -s jobs -n printing\nfor i in range(100): print('line', i)")
    assert kernel.run("%rexec logs printing").text.splitlines()[0] == "line 0"
    assert kernel.run("%rexec logs printing --tail 2").text == "line 98\nline 99"
    told = json.loads(kernel.run("%rexec logs printing --tail 1 --json").stdout)
    assert told["text"] == "line 99\n"


def test_the_log_of_a_session_is_that_of_its_cells(kernel):
    kernel.run("%%rexec -s logged\nprint('one')")
    kernel.run("%%rexec -s logged\nprint('two')")
    assert kernel.run("%rexec logs logged").text == "one\ntwo"


def test_a_log_is_followed_until_stop_is_pressed(kernel, another, gate):
    left(kernel, "followed", gate)
    cell = another.start("%rexec logs followed --follow")
    cell.wait_for("first line")
    another.interrupt()
    assert "goes on" in cell.wait().error
    assert jobs(another)["followed"]["state"] == "running"
    another.run("%rexec cancel followed")


def test_there_is_no_pod(kernel):
    assert "there is no pod" in kernel.run("%rexec logs --pod").stderr


def test_code_is_put_into_the_next_cell_and_not_run(kernel):
    kernel.run("%%rexec -s jobs -n to-rerun\nprint('again')\nagain = 1")
    request = kernel.client.execute("%rexec rerun to-rerun", reply=True, timeout=SECONDS)
    (payload,) = request["content"]["payload"]
    assert payload["source"] == "set_next_input"
    assert payload["text"].splitlines() == ["%%rexec -s jobs", "print('again')", "again = 1"]


def test_the_newest_of_several_jobs_with_one_label_is_meant(kernel):
    for text in ("older", "newer"):
        kernel.run(f"%%rexec -s jobs -n again\nprint({text!r})")
    assert kernel.run("%rexec logs again").text == "newer"


def test_a_log_reads_as_html_and_one_without_text_says_so(kernel):
    kernel.run("%%rexec -s jobs -n markup\nprint('<b>bold</b>')")
    assert "&lt;b&gt;bold" in kernel.run("%rexec logs markup").result["text/html"]
    kernel.run("%%rexec -s jobs -n silent\npass")
    assert kernel.run("%rexec logs silent").text.endswith("is done and showed nothing.")
