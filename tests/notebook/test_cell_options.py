"""What each option of ``%%rexec`` does, in a real notebook kernel on a real backend."""

import re

import pytest

from tests.notebook.kernel import running_kernel
from tests.waiting import wait_for_file

# ---------------------------------------------------------------- what goes along


def test_excluded_names_stay_here(kernel):
    kernel.run("mine = 1")
    cell = kernel.run("%%rexec -s bare -x mine\nmine")
    assert cell.error.startswith("NameError")
    assert kernel.run("%%rexec -s bare\nmine").text == "1"


def test_without_capture_only_named_variables_go_along(kernel):
    kernel.run("a = 1; b = 2")
    cell = kernel.run("%%rexec -s bare2 --capture none -i b\n'a' in globals(), b")
    assert cell.text == "(False, 2)"


def test_strict_capture_refuses_names_that_nobody_knows(kernel):
    cell = kernel.run("%%rexec --capture strict\nprint('ran', unheard_of_name)")
    assert cell.error.startswith("CaptureError: [R10] Nobody knows unheard_of_name")
    assert cell.stdout == ""
    kernel.run("%%rexec\nmade_over_there = 3")
    assert kernel.run("%%rexec --capture strict\nmade_over_there").text == "3"


def test_that_the_session_has_its_own_value_is_said_once(kernel):
    kernel.run("%%rexec\ngrade = 'theirs'")
    kernel.run("grade = 'mine'")
    first = kernel.run("%%rexec\ngrade")
    assert first.text == "'theirs'"
    assert "grade: the session's own is used, -i grade sends the one here" in first.status[-1]
    assert kernel.run("%%rexec --progress-after 1h\ngrade").status == []
    assert kernel.run("%%rexec -i grade\ngrade").text == "'mine'"


def test_one_line_says_it_as_text(kernel):
    kernel.run("%%rexec\nrank = 'theirs'")
    kernel.run("rank = 'mine'")
    cell = kernel.run("%rx rank")
    assert (cell.text, cell.status) == ("'theirs'", [])
    assert "-i rank sends the one here" in cell.stderr


def test_a_value_that_was_brought_here_is_no_conflict(kernel):
    kernel.run("%%rexec -o shared\nshared = [1, 2]")
    cell = kernel.run("%%rexec\nshared")
    assert "session's own" not in "".join(cell.status)
    kernel.run("shared.append(3)")
    assert "session's own" in kernel.run("%%rexec\nshared").status[-1]


def test_what_a_cell_changed_in_place_is_not_sent_again(kernel):
    kernel.run("table = {'a': 1}")
    kernel.run("%%rexec\ntable['b'] = 2")
    kernel.run("table['c'] = 3")
    assert kernel.run("%%rexec\ntable").text == "{'a': 1, 'b': 2}"


def test_a_function_that_brings_its_own_value_along_is_told(kernel):
    kernel.run("factor2 = 1\ndef times(x): return factor2 * x")
    kernel.run("%%rexec\nfactor2 = 10")
    cell = kernel.run("%%rexec\ntimes(2)")
    assert cell.text == "2"
    assert "times comes from here, with factor2 from here, not the session's" in cell.status[-1]


def test_an_array_over_the_limit_is_refused_with_a_table_and_nothing_is_sent(kernel):
    kernel.run("import numpy as np; huge = np.zeros(250_000_000); few = np.zeros(10)")
    cell = kernel.run("%%rexec -s untouched\nprint('ran')\nhuge.sum() + few.sum()")
    assert cell.error.startswith("CaptureError: [R10]")
    assert re.search(r"huge +numpy.ndarray +2.0 GB +larger than the limit", cell.traceback)
    assert re.search(r"few +numpy.ndarray +80 B", cell.traceback)
    assert "rexec_jupyter" not in cell.traceback
    assert cell.stdout == ""
    assert "untouched" not in kernel.run("%rexec sessions").text
    kernel.run("del huge")


def test_the_limit_can_be_set(kernel):
    kernel.run("text = 'x' * 5000")
    assert kernel.run("%%rexec --max-send 4kB\nlen(text)").error.startswith("CaptureError: [R10]")
    assert kernel.run("%%rexec --max-send 6kB\nlen(text)").text == "5000"


# ---------------------------------------------------------------- what comes back


def test_more_than_the_limit_is_not_brought_back_and_nothing_assigned(kernel):
    cell = kernel.run(
        "%%rexec -o big_one,small_one --max-recv 1kB\nbig_one = 'x' * 5000\nsmall_one = 1"
    )
    assert cell.error.startswith("PullError: [R11]")
    assert "big_one" in cell.error
    assert kernel.run("small_one").error.startswith("NameError")
    assert kernel.run("%%rexec\nlen(big_one)").text == "5000"


def test_names_are_brought_back_all_or_none(kernel):
    kernel.run("%%rexec\nimport threading")
    cell = kernel.run("%%rexec -o good_one,bad_one\ngood_one, bad_one = 1, threading.Lock()")
    assert cell.error.startswith("PullError: [R11]")
    assert kernel.run("good_one").error.startswith("NameError")


def test_one_remote_name_may_get_two_names_here(kernel):
    kernel.run("%%rexec -o left=both,right=both\nboth = 5")
    assert kernel.value("left, right") == "(5, 5)"


def test_the_result_can_stay_there_as_a_reference(kernel):
    cell = kernel.run("%%rexec --return ref\n[1, 2, 3]")
    assert cell.text == "[1, 2, 3]"
    kernel.run("ref = _")
    assert kernel.value("type(ref).__name__, ref.get()") == "('RemoteRef', [1, 2, 3])"
    assert kernel.run("%%rexec\nsum(ref)").text == "6"


def test_the_result_can_be_left_out(kernel):
    assert kernel.run("%%rexec --return none\n'not wanted'").result == {}


def test_a_large_result_can_be_brought_as_a_value(kernel):
    cell = kernel.run("%%rexec --return value\nimport numpy as np\nnp.zeros(500_000)")
    assert cell.error == ""
    assert kernel.value("_.nbytes") == "4000000"


def test_a_result_that_must_come_and_cannot_is_an_error(kernel):
    cell = kernel.run("%%rexec --return value\nimport threading\nthreading.Lock()")
    assert cell.error.startswith("PullError: [R11]")
    assert "--return ref" in cell.error


# ---------------------------------------------------------------- where it runs


def test_a_fresh_cell_sees_nothing_and_leaves_nothing(kernel):
    kernel.run("%%rexec\nkept = 1")
    kernel.run("along = 2")
    cell = kernel.run("%%rexec --fresh -o found\nfound = 'kept' in globals(), along\nnew = 1")
    assert cell.error == ""
    assert kernel.value("found") == "(False, 2)"
    assert kernel.run("%%rexec\nkept, 'new' in globals(), 'found' in globals()").text == (
        "(1, False, False)"
    )


def test_a_local_cell_runs_here_after_the_same_checks(kernel):
    here = kernel.value("import os; os.getpid()")
    cell = kernel.run(
        "%%rexec --local --env WHERE=here -o out=inner\ninner = os.environ['WHERE']\nos.getpid()"
    )
    assert cell.text == here
    assert kernel.value("out, os.environ.get('WHERE')") == "('here', None)"
    kernel.run("import threading; lock = threading.Lock()")
    assert kernel.run("%%rexec --local\nlock.locked()").error.startswith("CaptureError: [R10]")


def test_an_error_in_a_local_cell_looks_like_one(kernel):
    cell = kernel.run("%%rexec --local\nx = 1\n1 / 0")
    assert cell.error == "ZeroDivisionError: division by zero"
    assert f"Cell In[{cell.number}], line 3" in cell.traceback
    assert "----> 3 1 / 0" in cell.traceback
    assert "rexec_jupyter" not in cell.traceback
    assert "UsageError" in kernel.run("%%rexec --local\nawait f()").stderr


@pytest.mark.parametrize("option", ["-p default", "--profile default"])
def test_the_one_profile_there_is_can_be_named(kernel, option):
    assert kernel.run(f"%%rexec {option}\n1").text == "1"


def test_another_profile_is_refused(kernel):
    cell = kernel.run("%%rexec -p gpu-small\n1")
    assert cell.error.startswith("SessionMismatchError: [R04] There is no profile 'gpu-small'")


def test_a_session_is_not_created_where_that_is_switched_off(kernel):
    kernel.run("%%rexec\n1")
    kernel.run("%config RexecMagics.auto_start = False")
    try:
        cell = kernel.run("%%rexec -s never_made\n1")
        assert cell.error.startswith("NoSessionError: [R03] There is no session 'never_made'")
        assert "default" in cell.error
        assert "%rexec start never_made" in cell.error
        assert kernel.run("%%rexec\n1").text == "1"
    finally:
        kernel.run("%config RexecMagics.auto_start = True")


# ---------------------------------------------------------------- waiting and showing


def test_a_cell_that_is_waited_for_can_be_bound_to_a_name(kernel):
    assert kernel.run("%%rexec -j done_job\n6 * 7").text == "42"
    assert kernel.value("done_job.done(), done_job.result()") == "(True, 42)"
    kernel.run("%%rexec -j failed_job\n1 / 0")
    assert kernel.value("type(failed_job.exception()).__name__") == "'ZeroDivisionError'"


def test_a_cell_that_is_not_waited_for_can_be_bound_to_a_name(kernel):
    cell = kernel.run("%%rexec --bg -j later\n6 * 7")
    assert "job" in cell.text
    assert kernel.value("later.result()") == "42"


def test_what_is_on_its_way_is_not_touched_by_what_comes_next(kernel):
    kernel.run("import numpy as np; ones = np.ones(5_000_000)")
    started = kernel.run("%%rexec --bg -j summing\nones.sum()\n")
    assert started.error == ""
    kernel.run("ones[:] = 0")
    assert kernel.value("float(summing.result())") == "5000000.0"


def test_a_busy_session_can_be_left_alone(kernel):
    kernel.run("import pathlib, tempfile; gate = pathlib.Path(tempfile.mkdtemp()) / 'go'")
    cell = kernel.run(
        "%%rexec --bg -s busy -j blocker\nimport time\nprint('on', flush=True)\n"
        "while not gate.exists():\n    time.sleep(0.02)"
    )
    cell.wait_for("on")
    refused = kernel.run("%%rexec -s busy --if-busy fail\n1")
    assert "[R05]" in refused.error
    assert "busy" in refused.error
    kernel.run("gate.touch(); blocker.result()")
    assert kernel.run("%%rexec -s busy --if-busy fail\n1").text == "1"


def test_a_busy_session_can_be_interrupted(kernel):
    cell = kernel.run(
        "%%rexec --bg -s busy3 -j blocker\nimport time\nprint('on', flush=True)\ntime.sleep(600)"
    )
    cell.wait_for("on")
    assert kernel.run("%%rexec -s busy3 --if-busy interrupt\n'mine'").text == "'mine'"
    kernel.run("import concurrent.futures; concurrent.futures.wait([blocker])")
    assert kernel.value("blocker.done()") == "True"


def test_cells_of_a_session_queue(kernel):
    cells = [
        kernel.start(f"%%rexec\nqueued = globals().get('queued', 0) + {n}\nqueued") for n in (1, 10)
    ]
    assert [cell.wait().text for cell in cells] == ["1", "11"]


def test_output_can_be_shown_at_the_end(kernel):
    cell = kernel.run(
        "%%rexec --no-stream -q\nimport sys, time\nprint('one', flush=True)\ntime.sleep(0.4)\n"
        "print('two', flush=True)\ntime.sleep(0.4)\n"
    )
    assert [c["text"] for c in cell.of("stream")] == ["one\ntwo\n"]


def test_the_status_line_can_come_at_once_or_only_at_the_end(kernel, gate):
    early = kernel.start(f"%%rexec --progress-after 0\n{wait_for_file(gate)}")
    early.wait_for_status("running")
    gate.touch()
    early.wait()
    late = kernel.run("%%rexec --no-progress\nimport time\ntime.sleep(1.2)")
    assert [line for line in late.status if "running" in line] == []


# ---------------------------------------------------------------- odd bodies


@pytest.mark.parametrize("body", ["# nothing", "# nothing\n\n   # at all\n", "\n\n", "pass"])
def test_a_body_without_code_does_nothing(kernel, body):
    cell = kernel.run(f"%%rexec\n{body}")
    assert (cell.error, cell.stdout, cell.stderr, cell.result) == ("", "", "", {})


def test_an_empty_body_is_refused(kernel):
    cell = kernel.run("%%rexec -q")
    assert "cell body is empty" in cell.stderr


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("x = 1\n\ny = (", 4),
        ("x = '", 2),
        ("if True:\nx = 1", 3),
        ("%%time\nx = 1\ny = = 2", 4),
        ("!ls\nx = )", 3),
        ("\n\ny = = 2", 4),
        ("\n%%time\ny = = 2", 4),
    ],
)
def test_a_syntax_error_is_found_here_at_its_line(kernel, body, line):
    cell = kernel.run(f"%%rexec\n{body}")
    assert re.match(r"(SyntaxError|IndentationError)", cell.error)
    assert f"line {line}" in cell.error
    assert "^" in cell.traceback


# ---------------------------------------------------------------- defaults


def test_defaults_are_set_where_ipython_users_look(kernel):
    kernel.run("%config RexecMagics.session = 'configured'")
    try:
        kernel.run("%%rexec\nset_there = 'configured'")
        assert kernel.run("%%rexec -s configured\nset_there").text == "'configured'"
        assert "max_send" in kernel.run("%config RexecMagics").stdout
        wrong = kernel.run("%config RexecMagics.timeout = 'soon'")
        assert "'soon' is no duration" in wrong.error + wrong.stderr
    finally:
        kernel.run("%config RexecMagics.session = None")
        kernel.run("%config RexecMagics.timeout = None")  # IPython keeps what was refused
    assert kernel.run("%%rexec\n'set_there' in globals()").text == "False"


def test_other_names_can_be_given_and_taken_ones_are_left_alone(kernel):
    kernel.run("%config RexecMagics.aliases = ['rx', 'far', 'time']")
    try:
        assert kernel.run("%%far\n1 + 1").text == "2"
        assert kernel.value("%far 2 + 2") == "4"
        assert "[R14]" in kernel.run("%%rexec\nif True:\n    %far 1").error
        assert kernel.run("%%rexec\n%time 5").error == ""
        assert "Wall time" in kernel.run("%%time\n1").stdout
    finally:
        kernel.run("%config RexecMagics.aliases = ['rx']")
    assert "not found" in kernel.run("%%far\n1").stderr
    assert kernel.value("%rx 3") == "3"


def test_defaults_come_from_files_the_environment_and_the_notebook(environment, tmp_path):
    (tmp_path / "rexec_config.py").write_text("c.RexecMagics.session = 'of the file'")
    notebook = tmp_path / "work.ipynb"
    notebook.write_text('{"cells": [], "metadata": {"rexec": {"return": "none"}}}')
    surroundings = {
        "REXEC_CONFIG_DIR": str(tmp_path),
        "REXEC_PROFILE": "default",
        "JPY_SESSION_NAME": str(notebook),
    }
    with running_kernel(**environment | surroundings) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        assert "of the file" in kernel.run("%%rexec --explain\n1").text
        assert kernel.value("%config RexecMagics.session") == "'of the file'"
        assert kernel.run("%%rexec\n5").result == {}
        assert kernel.run("%%rexec --return auto\n5").text == "5"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("c.RexecMagics.timeout = 'soon'", "'soon' is no duration"),
        ("1 / 0", "cannot be read: ZeroDivisionError: division by zero"),
    ],
)
def test_a_wrong_configuration_file_is_named(environment, tmp_path, content, complaint):
    (tmp_path / "rexec_config.py").write_text(content)
    with running_kernel(**environment | {"REXEC_CONFIG_DIR": str(tmp_path)}) as kernel:
        loaded = kernel.run("%load_ext rexec_jupyter")
        assert loaded.error.startswith("NotConfiguredError: [R01]")
        assert complaint in loaded.error
        assert "rexec_jupyter/magics" not in loaded.traceback


def test_a_wrong_environment_variable_is_named_when_a_cell_needs_it(environment):
    with running_kernel(**environment | {"REXEC_TIMEOUT": "soon"}) as kernel:
        assert kernel.run("%load_ext rexec_jupyter").error == ""
        for cell in ("%%rexec\n1", "%rx 1"):
            refused = kernel.run(cell)
            assert refused.error.startswith("NotConfiguredError: [R01]")
            assert "REXEC_TIMEOUT" in refused.error
            assert "rexec_jupyter/magics" not in refused.traceback
