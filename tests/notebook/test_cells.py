"""``%%rexec`` in a real notebook kernel, on a real embedded backend."""

import re

import pytest

from tests.notebook.kernel import SECONDS, nothing_started, running_kernel
from tests.waiting import wait_for_file

IGNORE_ONE_INTERRUPT = """\
import time
print("running", flush=True)
left = 1
while True:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("ignored", flush=True)
        if not left:
            raise
        left -= 1
"""


# ---------------------------------------------------------------- running and capturing


def test_a_cell_runs_in_another_process_and_its_last_expression_is_the_result(kernel):
    here = kernel.value("import os; os.getpid()")
    there = kernel.run("%%rexec\nimport os\nos.getpid()")
    assert there.text.isdigit()
    assert there.text != here
    assert kernel.value("_") == there.text
    assert kernel.value("_ + 0") == there.text


def test_what_a_cell_assigns_lives_there_and_not_here(kernel):
    kernel.run("%%rexec\nonly_there = [1, 2]")
    assert kernel.run("only_there").error.startswith("NameError")
    assert kernel.value("%rx only_there") == "[1, 2]"


def test_local_names_go_along_once_and_again_when_they_changed(kernel):
    kernel.run("numbers = [1, 2]; other = 'x'")
    first = kernel.run("%%rexec\nsum(numbers)")
    assert first.text == "3"
    assert "sent numbers" in first.status[-1]
    again = kernel.run("%%rexec\nsum(numbers)")
    assert again.text == "3"
    assert "sent" not in "".join(again.status)
    kernel.run("numbers.append(10)")
    assert kernel.run("%%rexec\nsum(numbers)").text == "13"


def test_functions_modules_and_classes_of_the_notebook_go_along(kernel):
    kernel.run(
        "import math as m\nfactor = 2\n"
        "class Box:\n    def __init__(self, x): self.x = x\n"
        "def double(box): return Box(factor * m.floor(box.x))\n"
    )
    cell = kernel.run("%%rexec\nbox = double(Box(2.5))\nprint(m.pi)\nbox.x")
    assert cell.text == "4"
    assert cell.stdout.startswith("3.14")


def test_what_was_assigned_there_wins_unless_it_is_forced(kernel):
    kernel.run("%%rexec\nlevel = 'theirs'")
    kernel.run("level = 'mine'")
    assert kernel.value("%rx level") == "'theirs'"
    assert kernel.run("%%rexec -i level\nlevel").text == "'mine'"
    assert kernel.run("%%rexec -i renamed=level\nrenamed").text == "'mine'"


def test_results_are_fetched_all_or_none(kernel):
    cell = kernel.run("%%rexec -o first,here=second\nfirst, second = 1, {'a': 2}")
    assert "received first, here" in cell.status[-1]
    assert kernel.value("first, here") == "(1, {'a': 2})"
    failed = kernel.run("%%rexec -o third,missing_there\nthird = 3")
    assert "missing_there" in failed.error
    assert kernel.run("third").error.startswith("NameError")


def test_sessions_have_variables_of_their_own(kernel):
    kernel.run("%%rexec\nwhere = 'default'")
    assert kernel.run("%%rexec -s other\n'where' in globals()").text == "False"
    assert kernel.run("%%rexec\nwhere").text == "'default'"


# ---------------------------------------------------------------- output


def test_output_arrives_in_order(kernel):
    cell = kernel.run(
        "%%rexec -q\nimport sys\nfrom IPython.display import HTML, display\n"
        "print('one', flush=True)\ndisplay(HTML('<b>two</b>'))\nprint('three', flush=True)\n"
        "print('four', file=sys.stderr, flush=True)\n'five'"
    )
    assert cell.kinds == ["stdout", "display_data", "stdout", "stderr", "execute_result"]
    assert cell.displays[0]["text/html"] == "<b>two</b>"
    assert (cell.stdout, cell.stderr, cell.text) == ("one\nthree\n", "four\n", "'five'")


def test_a_display_is_updated_from_a_later_cell(kernel):
    first = kernel.run(
        "%%rexec -q\nfrom IPython.display import display\n"
        "handle = display('before', display_id=True)"
    )
    then = kernel.run("%%rexec -q\nhandle.update('after')")
    (shown,) = first.of("display_data")
    (update,) = then.of("update_display_data")
    assert update["data"]["text/plain"] == "'after'"
    assert update["transient"]["display_id"] == shown["transient"]["display_id"]


def test_a_data_frame_looks_as_there_and_is_a_data_frame_here(kernel):
    kernel.run("import pandas as pd")
    cell = kernel.run("%%rexec\npd.options.display.max_rows = 4\npd.DataFrame({'a': range(9)})")
    assert "<table" in cell.result["text/html"]
    assert cell.result["text/html"].count("<tr") < 8
    assert kernel.value("type(_).__name__, len(_)") == "('DataFrame', 9)"


def test_a_figure_is_drawn_there(kernel):
    cell = kernel.run("%%rexec -q\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
    assert "image/png" in cell.displays[0]


def test_a_large_value_stays_there_and_is_shown_here(kernel):
    cell = kernel.run("%%rexec\nimport numpy as np\nlarge = np.zeros(1_000_000)\nlarge")
    assert cell.text.startswith("array([0., 0.")
    kernel.run("far = _")
    assert "bring the value here with .get()" in kernel.run("far.mean()").error
    assert kernel.value("far.get().shape") == "(1000000,)"
    assert kernel.run("%%rexec\nfar is large, type(far).__name__").text == "(True, 'ndarray')"


@pytest.mark.parametrize("cell", ["%%rexec\n5;", "%%rexec\nNone", "%%rexec\nx = 5", "%rx 5;"])
def test_nothing_is_shown_where_there_is_nothing_to_show(kernel, cell):
    assert kernel.run(cell).result == {}


def test_capture_and_time_work_on_top(kernel):
    kernel.run(
        "%%capture caught\n%%rexec\nprint('in')\nfrom IPython.display import display\n"
        "display('d')\n'result'"
    )
    assert kernel.value("caught.stdout, len(caught.outputs)") == "('in\\n', 2)"
    timed = kernel.run("%%time\n%%rexec\n'result'")
    assert "Wall time" in timed.stdout
    assert timed.text == "'result'"


def test_shell_commands_magics_and_await_work_there(kernel):
    kernel.run("word = 'ahoy'")
    assert "ahoy" in kernel.run("%%rexec\n!echo {word}").stdout
    assert "Wall time" in kernel.run("%%rexec\n%%time\nlen(word)").stdout
    assert kernel.run("%%rexec\nimport asyncio\nawait asyncio.sleep(0, 'slept')").text == "'slept'"


def test_a_slow_cell_has_a_status_line_that_ends_as_text(kernel, gate):
    cell = kernel.start(f"%%rexec\n{wait_for_file(gate)}")
    cell.wait_for_status("running")
    gate.touch()
    assert re.fullmatch(r"⟳ default · running \d\d:\d\d · Stop: ■ button", cell.status[-1])
    assert re.fullmatch(r"✓ default · \d+\.\d s", cell.wait().status[-1])
    assert kernel.run("%%rexec -q\nimport time\ntime.sleep(1.3)").status == []


def test_the_status_line_does_not_tear_output_apart(kernel):
    cell = kernel.run(
        "%%rexec\nimport time\nfor i in range(4):\n    print(i, flush=True)\n    time.sleep(0.4)"
    )
    assert cell.kinds[0] == "display_data"
    assert cell.stdout == "0\n1\n2\n3\n"
    assert cell.kinds.count("display_data") == 1


def test_what_is_said_of_a_quick_cell_stands_above_its_output_too(kernel):
    kernel.run("%%rexec\npass")
    kernel.run("goes_along = [1]")
    # However busy the machine is, this counts as quick.
    cell = kernel.run("%%rexec --progress-after 1h\nprint(goes_along)")
    assert cell.kinds == ["display_data", "stdout", "update_display_data"]
    assert "sent goes_along" in cell.status[-1]
    cell = kernel.run("%%rexec --progress-after 1h\nprint(goes_along)")
    assert (cell.kinds[-1], cell.status) == ("stdout", [])


# ---------------------------------------------------------------- one line


def test_a_line_has_a_value_and_is_all_code(kernel):
    kernel.run("pair = (3, 4)")
    assert kernel.value("x = %rx pair[0] + 1\nx") == "4"
    assert kernel.value("x = %rx {'a': [n for n in pair]}\nx") == "{'a': [3, 4]}"
    assert kernel.value("x = %rx '$pair {pair}'\nx") == "'$pair {pair}'"
    assert kernel.value("%rx pair") == "(3, 4)"


def test_the_help_explains_the_options(kernel):
    for question in ("%%rexec?", "%%rx?", "%rexec?"):
        reply = kernel.client.execute(question, reply=True, timeout=SECONDS)
        assert "--timeout" in reply["content"]["payload"][0]["data"]["text/plain"]
    assert "did you mean --session?" in kernel.run("%%rx --sesion a\n1").stderr


# ---------------------------------------------------------------- mistakes and errors


def test_nothing_is_contacted_before_something_is_to_be_run(environment, tmp_path):
    home = tmp_path / "rexec"
    with running_kernel(**environment | {"REXEC_RUNTIME_DIR": str(home)}) as kernel:
        assert kernel.run("%load_ext rexec_jupyter").error == ""
        assert "nothing runs yet" in kernel.run("%rexec").text
        kernel.run("import threading; lock = threading.Lock()")
        assert kernel.run("%%rexec\nlock").error.startswith("CaptureError: [R10]")
        assert kernel.run("%%rexec\nx = (").error.startswith("SyntaxError")
        assert kernel.run("%%rexec\n%rx 1").error.startswith("NestedMagicError: [R14]")
        assert "did you mean --session?" in kernel.run("%%rexec --sesion a\n1").stderr
        assert "fixed at start" in kernel.run("%%rexec --mem 8G\n1").stderr
        assert "is not defined here" in kernel.run("%%rexec -i nothing\n1").error
        assert "--timeout" in kernel.run("%%rexec -h\n1").stdout
        assert kernel.run("%unload_ext rexec_jupyter").error == ""
        assert "not found" in kernel.run("%%rexec\n1").stderr
        assert nothing_started(home)


def test_a_syntax_error_is_pythons_own_and_tells_the_line_of_the_cell(kernel):
    cell = kernel.run("%%rexec\nx = 1\ny = = 2")
    assert cell.error.startswith("SyntaxError: invalid syntax (Cell In[")
    assert "line 3)" in cell.error
    assert f"In[{cell.number}]" in cell.error
    assert "y = = 2" in cell.traceback
    assert "rexec_jupyter" not in cell.traceback
    assert kernel.run("%%rexec\nclass A:\n    a = 1\n  b = 2").error.startswith("IndentationError")


def test_an_error_keeps_its_type_and_shows_the_remote_frames_alone(kernel):
    kernel.run("def divide(a, b):\n    return a / b")
    cell = kernel.run("%%rexec\nx = 1\ndivide(x, 0)")
    assert cell.error == "ZeroDivisionError: division by zero"
    assert f"Cell In[{cell.number}] (rexec:default), line 3" in cell.traceback
    assert "----> 3 divide(x, 0)" in cell.traceback
    assert f"Cell In[{cell.number - 1}], line 2, in divide(a, b)" in cell.traceback
    assert "----> 2     return a / b" in cell.traceback
    assert "rexec_jupyter" not in cell.traceback
    assert "interactiveshell.py" not in cell.traceback
    assert "ZeroDivisionError" in kernel.run("%tb").traceback
    caught = kernel.run(
        "try:\n    get_ipython().run_cell_magic('rexec', '', '1 / 0')\n"
        "except ZeroDivisionError as error:\n    print('caught', error)"
    )
    assert caught.stdout == "caught division by zero\n"


def test_cells_after_an_error_do_not_run(kernel, gate):
    first = kernel.start(f"%%rexec\n{wait_for_file(gate)}1 / 0")
    second = kernel.start("print('ran')")
    gate.touch()  # both are there by now
    first.wait()
    second.wait()
    assert second.stdout == ""


def test_names_that_could_not_be_loaded_there_are_sent_again(kernel):
    kernel.run("class Shy:\n    def __reduce__(self): return (int, ('no number',))\nshy = Shy()")
    for _ in range(2):
        cell = kernel.run("%%rexec\nshy")
        assert cell.error.startswith("CaptureError: [R10]")
        assert "'shy'" in cell.error


def test_a_name_that_a_failed_cell_did_not_assign_goes_along_next_time(kernel):
    kernel.run("late = 'mine'")
    kernel.run("%%rexec\nif True:\n    1 / 0\nlate = 'theirs'")
    missed = kernel.run("%%rexec\nlate")
    assert missed.error.startswith("NameError")
    assert "'late' exists here: run the cell again" in missed.traceback
    assert kernel.run("%%rexec\nlate").text == "'mine'"


def test_leaving_the_code_leaves_the_session_alive(kernel):
    kernel.run("%%rexec\nstill_there = 1")
    left = kernel.run("%%rexec\nimport sys\nsys.exit(3)")
    assert left.error == ""
    assert "exit code 3" in left.stderr
    assert kernel.run("%%rexec\nstill_there").text == "1"


def test_a_local_error_stays_plain(kernel):
    assert "Traceback (most recent call last)" in kernel.run("never_defined").traceback


def test_code_that_takes_too_long_is_stopped(kernel):
    cell = kernel.run("%%rexec -t 1\nimport time\ntime.sleep(60)")
    assert cell.error.startswith("JobTimeoutError: [R08]")
    assert kernel.run("%%rexec\n'alive'").text == "'alive'"


def test_a_session_that_crashed_gets_everything_again(kernel):
    kernel.run("kept_here = 5")
    kernel.run("%%rexec -s fragile\nmade_there = kept_here")
    crash = kernel.run("%%rexec -s fragile\nimport os\nos._exit(3)")
    assert crash.error.startswith("WorkerLostError: [R09]")
    again = kernel.run("%%rexec -s fragile\nkept_here, 'made_there' in globals()")
    assert again.text == "(5, False)"
    assert "its variables were lost" in again.status[-1]


# ---------------------------------------------------------------- the stop button


def test_stop_interrupts_the_remote_code_and_keeps_its_variables(kernel):
    cell = kernel.start("%%rexec\nimport time\nsteps = 7\nprint('on', flush=True)\ntime.sleep(600)")
    cell.wait_for("on")
    kernel.interrupt()
    cell.wait()
    assert cell.error.startswith("KeyboardInterrupt")
    assert "Stopped after" not in cell.traceback  # the status line says it
    assert "time.sleep(600)" in cell.traceback
    assert cell.status[-1].startswith("■ default · stopped")
    assert kernel.run("%%rexec\nsteps").text == "7"


def test_where_there_is_no_status_line_the_traceback_says_what_was_stopped(kernel):
    cell = kernel.start("%%rexec -q\nimport time\nprint('on', flush=True)\ntime.sleep(600)")
    cell.wait_for("on")
    kernel.interrupt()
    cell.wait()
    assert "s in session default." in cell.traceback
    assert cell.status == []


def test_code_that_handles_being_stopped_ends_as_it_wants(kernel):
    cell = kernel.start(
        "%%rexec\nimport time\nprint('on', flush=True)\ntry:\n    time.sleep(600)\n"
        "except KeyboardInterrupt:\n    print('tidied up')\n'kept'"
    )
    cell.wait_for("on")
    kernel.interrupt()
    cell.wait()
    assert cell.error == ""
    assert cell.stdout == "on\ntidied up\n"
    assert cell.text == "'kept'"


def test_a_second_stop_leaves_the_job_running(kernel):
    cell = kernel.start(f"%%rexec -s stubborn\n{IGNORE_ONE_INTERRUPT}")
    cell.wait_for("running")
    kernel.interrupt()
    cell.wait_for_status("press stop again to stop waiting")
    cell.wait_for("ignored")
    kernel.interrupt()
    cell.wait()
    assert cell.error.startswith("KeyboardInterrupt: cell still running remotely as job")
    advised = re.search(r"`(%rexec cancel \w+)`", cell.error)
    assert kernel.run(advised[1]).error == ""
    assert kernel.run("%%rexec -s stubborn\n'free'").text == "'free'"


def test_code_that_does_not_react_to_being_stopped_is_left_running(kernel):
    cell = kernel.start(f"%%rexec -s deaf\n{IGNORE_ONE_INTERRUPT}")
    cell.wait_for("running")
    kernel.interrupt()
    cell.wait()
    assert "ignored" in cell.stdout
    assert cell.error.startswith("KeyboardInterrupt: cell still running remotely as job")
    assert "detached" in cell.status[-1]
    assert kernel.run("%rexec stop deaf -f").error == ""


# ---------------------------------------------------------------- not waiting


def test_a_cell_that_is_not_waited_for_prints_below_itself(kernel):
    kernel.run("import pathlib, tempfile; flag = pathlib.Path(tempfile.mkdtemp()) / 'go'")
    cell = kernel.run(
        "%%rexec --noblock -n tick -o counted\nimport time\n"
        "print('started', flush=True)\nwhile not flag.exists():\n    time.sleep(0.02)\n"
        "print('released', flush=True)\ncounted = 3\n'value'"
    )
    assert "tick" in cell.text
    assert "session default" in cell.text
    kernel.run("job = _")
    cell.wait_for("started")
    assert kernel.value("job.done()") == "False"
    other = kernel.run("flag.touch(); print('mine'); job.result()")
    assert other.text == "'value'"
    assert other.stdout == "mine\n"
    cell.wait_for("released")
    assert kernel.value("counted") == "3"
    cell.wait_for_status("✓ default")


def test_a_cell_that_is_not_waited_for_can_be_cancelled(kernel):
    cell = kernel.run("%%rexec --bg\nimport time\nprint('on', flush=True)\ntime.sleep(600)")
    kernel.run("job = _")
    cell.wait_for("on")
    assert kernel.value("job.cancel()") == "True"
    assert kernel.run("job.result()").error.startswith("CancelledError")
    cell.wait_for_status("stopped")
    assert kernel.value("job.cancelled(), job.state") == "(True, 'cancelled')"


def test_an_error_of_a_cell_that_is_not_waited_for_is_shown_below_it(kernel):
    cell = kernel.run("%%rexec --bg\n1 / 0")
    kernel.run("job = _")
    cell.wait_for("ZeroDivisionError: division by zero")
    assert kernel.run("job.result()").error == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("%%time\n%%rexec\na = 1\n1/0", 4),
        ("%%capture held\n%%time\n%%rexec\n\n1/0", 5),
        ("\n\n%%rexec\n1/0", 4),
        ("%%rexec\n%%time\na = 1\n1/0", 4),
        ("%%rexec\n%%capture held\na = 1\n1/0", 4),
        ("%%time\n%%rexec --local\n\n1/0", 4),
    ],
)
def test_lines_are_those_of_the_notebooks_cell_whatever_else_stands_in_it(kernel, cell, line):
    traceback = kernel.run(cell).traceback
    assert f"line {line}" in traceback or f"<timed exec>:{line}" in traceback
    assert "ZeroDivisionError: division by zero" in traceback


def test_a_syntax_error_below_another_magic_is_at_its_line_too(kernel):
    assert "3" in re.findall(
        r"File Cell In\[\d+\]:(\d+)", kernel.run("%%time\n%%rexec\n(").traceback
    )
