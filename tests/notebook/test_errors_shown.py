"""What a notebook shows of each kind of error: cause, object, next step, and never our frames."""

import os
import re

import pytest

from tests.backend.embedding import private_backend
from tests.notebook.asking import reply
from tests.notebook.kernel import SECONDS, running_kernel, standing_still

OURS = re.compile(r"rexec_jupyter/|rexec_server/|IPython/core")


@pytest.fixture
def shown(kernel):
    """Runs a cell that fails; returns what stands below it."""

    def run(code):
        cell = kernel.run(code)
        assert cell.error, cell.messages
        assert not OURS.search(cell.traceback), cell.traceback
        return cell.traceback

    return run


@pytest.fixture(autouse=True)
def settings(kernel):
    yield
    kernel.run("%rexec config auto_start default")


# ------------------------------------------------------------------------ the catalogue


def test_r01_tells_that_no_server_is_configured(environment):
    with running_kernel(**environment, REXEC_URL="https://rexec.invalid") as kernel:
        kernel.run("%load_ext rexec_jupyter")
        cell = kernel.run("%%rexec\n1")
    assert re.search(r"\[R0[127]\]", cell.error)
    assert "rexec.invalid" in cell.error
    assert not OURS.search(cell.traceback)


def test_r03_lists_the_sessions_and_how_to_start_one(kernel, shown):
    kernel.run("%%rexec -q\n1")
    kernel.run("%rexec config auto_start false")
    text = shown("%%rexec -s missing_one\n1")
    assert "NoSessionError: [R03]" in text
    assert "missing_one" in text
    assert "default" in text
    assert "%rexec start missing_one" in text


def test_r04_tells_that_there_is_no_such_profile(shown):
    text = shown("%%rexec -s sized -p gpu-small\n1")
    assert "SessionMismatchError: [R04]" in text
    assert "gpu-small" in text


def test_r06_tells_what_was_waited_for(kernel, backend):
    kernel.run("%rx 1")
    with standing_still(backend.pid("exec")):
        cell = kernel.start("%%rexec -s slow_start --wait-start 1ms --progress-after 0\n1")
        cell.wait_for_status("withdrawing")
    text = cell.wait().traceback
    assert not OURS.search(text), text
    assert "StartError: [R06]" in text
    assert "slow_start" in text
    assert "--wait-start" in text


@pytest.mark.slow
def test_r07_tells_that_the_server_cannot_be_reached_and_that_the_code_goes_on():
    with private_backend() as backend, running_kernel(**os.environ) as kernel:
        backend.start()  # which may take longer than what is set below
        kernel.run("%load_ext rexec_jupyter")
        kernel.run("%rexec config reconnect_timeout 4s")
        cell = kernel.start("%%rexec -q\nimport time\nprint('on', flush=True)\ntime.sleep(600)")
        cell.wait_for("on")
        with standing_still(backend.pid("broker")):
            cell.wait()
    assert cell.error.startswith("ConnectionLostError: [R07]")
    assert "job" in cell.error
    assert not OURS.search(cell.traceback)


def test_r08_shows_where_the_code_was(kernel, shown):
    text = shown("%%rexec -q -t 1\nimport time\ndef wait():\n    time.sleep(60)\nwait()")
    assert "(rexec:default), line 5" in text
    assert "----> 4     time.sleep(60)" in text
    assert text.endswith("JobTimeoutError: [R08] The code ran longer than 1 s and was interrupted.")
    assert kernel.run("isinstance(__import__('sys').last_value, TimeoutError)").text == "True"


def test_r09_tells_how_the_process_ended_and_its_last_words(shown):
    lines = "\\n".join(f"line {number:02}" for number in range(30))
    text = shown(f"%%rexec -q -s crash\nimport os\nprint('{lines}', flush=True)\nos._exit(3)")
    assert "WorkerLostError: [R09]" in text
    assert "it exited with code 3." in text
    assert "starts anew" in text
    assert text.endswith("\n".join(f"line {number}" for number in range(10, 30)))


def test_r09_names_the_signal(shown):
    kill = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"
    assert "SIGSEGV" in shown(f"%%rexec -q -s crash\n{kill}")


def test_r10_names_what_cannot_be_sent_before_anything_ran(kernel, shown):
    kernel.run("import threading\nlock = threading.Lock()")
    text = shown("%%rexec -q\nran_anyway = 1\nlock")
    assert "CaptureError: [R10]" in text
    assert "nothing was run" in text
    assert re.search(r"lock +_thread\.lock", text)
    assert "-x lock" in text
    assert kernel.value("%rx 'ran_anyway' in globals()") == "False"


def test_r10_lists_the_sizes_of_what_is_too_large(kernel, shown):
    kernel.run("import numpy as np\nbig, small = np.zeros(1_000_000), 'x' * 1000")
    text = shown("%%rexec -q --max-send 1MB\nbig.sum(), small")
    assert "8.0 MB" in text
    assert text.index("big ") < text.index("small ")
    assert "--max-send" in text


def test_r10_names_what_nobody_knows_in_strict_mode(shown):
    text = shown("%%rexec -q --capture strict\nnowhere_at_all + 1")
    assert "[R10]" in text
    assert "nowhere_at_all" in text


def test_r11_names_what_is_missing(kernel, shown):
    kernel.run("first = 'before'")
    text = shown("%%rexec -q -o first,missing_there\nfirst = 1")
    assert "PullError: [R11] The cell ran, but there is no 'missing_there'" in text
    assert kernel.value("first") == "'before'"
    assert kernel.value("%rx first") == "1"


def test_r11_names_what_cannot_be_pickled(shown):
    text = shown("%%rexec -q -o steps\nsteps = (i for i in [1])")
    assert "'steps' (generator)" in text
    assert "stays in the session" in text


def test_r11_lists_the_sizes_of_what_is_too_large(shown):
    text = shown("%%rexec -q -o huge --max-recv 1MB\nimport numpy as np\nhuge = np.zeros(10**6)")
    assert "PullError: [R11]" in text
    assert re.search(r"huge +numpy\.ndarray +8\.0 MB", text)


def test_r13_points_at_the_line_of_the_cell_before_anything_is_sent(kernel, shown):
    cell = kernel.run("%%rexec\nx = 1\nif x\n    y")
    assert cell.error.startswith("SyntaxError: ")
    assert f"Cell In[{cell.number}]" in cell.traceback
    assert re.search(r":3\n +if x\n +\^\n", cell.traceback)
    assert "SyntaxError" in shown("%rx 1 +")


def test_r14_refuses_rexec_within_rexec(shown):
    assert "NestedMagicError: [R14]" in shown("%%rexec\ndef f():\n    %rexec jobs")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("%%rexec --bogos\n1", "unknown option --bogos"),
        ("%%rexec --timeot 3\n1", "did you mean --timeout?"),
        ("%%rexec --mem 8G\n1", "`%rexec start NAME --mem 8G`"),
        ("%%rexec --capture some\n1", "auto, none, strict"),
        ("%%rexec -s 'a b\n1", "quotation mark"),
        ("%%rexec", "body is empty"),
        ("%rexec sesions", "sessions"),
        ("%rexec x = 1", "%rx"),
    ],
)
def test_wrong_usage_is_told_in_one_line(kernel, code, told):
    cell = kernel.run(code)
    (line,) = cell.stderr.splitlines()
    assert line.startswith("UsageError: ")
    assert told in line


# --------------------------------------------------------------- exceptions of the user


def test_an_exception_keeps_its_type_and_shows_remote_frames_in_colour(kernel, shown):
    kernel.run("def divide(a, b):\n    return a / b")
    cell = kernel.run("%%rexec -q\nx = 0\ndivide(1, x)")
    assert cell.error == "ZeroDivisionError: division by zero"
    assert f"Cell In[{cell.number}] (rexec:default), line 3" in cell.traceback
    assert "----> 3 divide(1, x)" in cell.traceback
    assert "----> 2     return a / b" in cell.traceback
    (error,) = cell.of("error")
    assert "\x1b[" in "".join(error["traceback"])
    assert shown("%tb") == cell.traceback


def test_the_frames_are_plain_where_colours_are_off(kernel):
    kernel.run("%colors nocolor")
    try:
        (error,) = kernel.run("%%rexec -q\n1 / 0").of("error")
    finally:
        kernel.run("%colors linux")
    assert "\x1b[" not in "".join(error["traceback"])
    assert "(rexec:default), line 2" in "".join(error["traceback"])


def test_an_exception_can_be_caught_and_tells_its_job(kernel):
    cell = kernel.run(
        "try:\n"
        "    get_ipython().run_cell_magic('rexec', '-q', 'x = 5\\nint(\"no\")')\n"
        "except ValueError as error:\n"
        "    caught = error\n"
        "print(caught.rexec_job.state, caught.rexec_job.session)\n"
        "print(''.join(caught.remote_traceback))"
    )
    assert not cell.error
    assert cell.stdout.startswith("failed default\n")
    assert 'int("no")' in cell.stdout


def test_chained_exceptions_keep_their_frames(shown):
    raising = "except ZeroDivisionError as error:\n    raise KeyError('no') from error"
    text = shown(f"%%rexec -q\ntry:\n    1 / 0\n{raising}")
    assert text.index("ZeroDivisionError: division") < text.index("direct cause")
    assert text.index("direct cause") < text.index("KeyError: 'no'")
    assert text.count("(rexec:default), line") == 2


def test_a_group_of_exceptions_is_shown_whole(kernel, shown):
    code = "raise ExceptionGroup('several', [ValueError('one'), KeyError('two')])"
    cell = kernel.run(f"%%rexec -q\n{code}")
    assert cell.error.startswith("ExceptionGroup: several")
    assert cell.stderr == ""
    assert f"Cell In[{cell.number}] (rexec:default), line 2" in cell.traceback
    assert "ValueError: one" in cell.traceback
    assert "KeyError: 'two'" in cell.traceback
    assert not OURS.search(cell.traceback)
    assert shown("%tb") == cell.traceback


def test_an_exception_whose_type_is_not_here_is_a_remote_error(kernel, shown):
    kernel.run(
        "%%rexec -q\nimport sys, tempfile\nwhere = tempfile.mkdtemp()\nsys.path.insert(0, where)\n"
        "with open(where + '/only_remote.py', 'w') as file:\n"
        "    print('class GridError(Exception): pass', file=file)\n"
        "    print('def fail(): raise GridError(\"no cells\")', file=file)\n"
        "import only_remote"
    )
    text = shown("%%rexec -q\nonly_remote.fail()")
    assert "only_remote.py:2, in fail()" in text
    assert text.endswith("RemoteError: GridError: no cells")
    kernel.run("import sys, rexec_jupyter")
    assert kernel.value("isinstance(sys.last_value, rexec_jupyter.RemoteError)") == "True"


def test_a_long_traceback_is_shortened(shown):
    text = shown("%%rexec -q\ndef again(n): return again(n + 1)\nagain(0)")
    assert "RecursionError" in text
    assert "times more …" in text
    assert len(text.splitlines()) < 100


def test_a_long_traceback_of_different_frames_is_shortened(shown):
    code = "\n".join(f"def f{n}(): return f{n + 1}()" for n in range(90))
    text = shown(f"%%rexec -q\n{code}\ndef f90(): 1 / 0\nf0()")
    assert "frames left out" in text
    assert "f90()" in text
    assert len(text.splitlines()) < 250


def test_exit_ends_the_cell_and_not_the_session(kernel):
    kernel.run("%%rexec -q\nstays = 1")
    cell = kernel.run("%%rexec -q\nexit(3)\nstays = 2")
    assert not cell.error
    assert "exit code 3" in cell.stderr
    assert kernel.value("%rx stays") == "1"


def test_the_debugger_opens_in_the_cell_and_none_of_our_frames(kernel):
    failed = kernel.run("%%rexec -q\n1 / 0")
    cell = kernel.start("%debug")
    for command in ("where", "q"):
        assert "ipdb>" in kernel.client.get_stdin_msg(timeout=SECONDS)["content"]["prompt"]
        kernel.client.input(command)
    assert not cell.wait().error
    assert "run_cell_magic('rexec'" in cell.stdout
    assert "rexec_jupyter" not in cell.stdout
    assert "ZeroDivisionError" in failed.error


@pytest.mark.parametrize(
    "code",
    [
        "%%rexec -q\n1 / 0",
        "%%rexec -q\nraise ExceptionGroup('g', [ValueError()])",
        "%%rexec -q\nif x\n  y",
        "%%rexec --bogus\n1",
        "%%rexec -q -o nothing_there\n1",
        "# comment\n%%rexec\n1",
        "%rexec no_such_subcommand",
        "%rx 1 / 0",
    ],
)
def test_run_all_stops_at_it(kernel, code):
    assert reply(kernel, kernel.client.execute(code))["status"] == "error"
