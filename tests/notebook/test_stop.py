"""The stop button, timeouts and slow starts, with real code in a real session."""

import re

from tests.notebook.kernel import running_kernel, standing_still

# Nothing looks for signals in there, and it goes on for hours. One that comes before is ignored.
STUCK = """\
import itertools, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
print('in', flush=True)
sum(itertools.repeat(0, 10**13))
"""
COUNT = """\
import os, time
print('first line', flush=True)
while not os.path.exists({gate!r}):
    time.sleep(0.02)
print('last line', flush=True)
'counted'
"""


def stopped(cell):
    return cell.error.startswith("KeyboardInterrupt")


def job_of(cell):
    return re.search(r"job (\w{8})", cell.error)[1]


def test_a_cell_that_is_stopped_in_the_queue_never_runs_and_disturbs_nobody(kernel, gate):
    kernel.run("%%rexec -s line\nran = []")
    first = kernel.run(f"%%rexec -s line --bg -j first\n{COUNT.format(gate=str(gate))}")
    first.wait_for("first line")
    second = kernel.start("%%rexec -s line --progress-after 0\nran.append('second')")
    second.wait_for_status("1 cell ahead")
    kernel.interrupt()
    second.wait()
    assert stopped(second)
    assert "still running" not in second.error
    assert second.status[-1].startswith("■ line · stopped")
    assert kernel.value("first.done()") == "False"
    gate.touch()
    assert kernel.value("first.result()") == "'counted'"
    assert kernel.run("%%rexec -s line\nran").text == "[]"


def test_a_cell_that_is_stopped_while_its_session_starts_never_runs_and_the_session_comes_up(
    kernel, backend
):
    kernel.run("%rx 1")  # the backend is up, this session is not
    with standing_still(backend.pid("exec")):  # or it could be too quick for the stop button
        cell = kernel.start("%%rexec -s rising --progress-after 0\nran = True")
        cell.wait_for_status("starting")
        kernel.interrupt()
        cell.wait_for_status("withdrawing")
    cell.wait()
    assert stopped(cell)
    assert kernel.run("%%rexec -s rising\n'ran' in globals()").text == "False"


def test_code_that_cannot_be_interrupted_is_left_with_advice_that_works(environment):
    with running_kernel(**environment | {"REXEC_INTERRUPT_GRACE": "0.5"}) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        cell = kernel.start(f"%%rexec -s stuck\n{STUCK}")
        cell.wait_for("in")
        kernel.interrupt()
        cell.wait()
        assert stopped(cell)
        assert f"`%rexec cancel {job_of(cell)}`" in cell.error
        restart = re.search(r"`%rexec (restart stuck)` \(loses its variables\)", cell.error)
        assert kernel.run(f"%rexec {restart[1]} -f").error == ""
        assert kernel.run("%%rexec -s stuck\n'free'").text == "'free'"


def test_a_stuck_cell_that_times_out_says_that_its_session_is_stuck(kernel):
    cell = kernel.run(f"%%rexec -s slow -t 0.5\n{STUCK}")
    assert cell.error.startswith("JobTimeoutError: [R08]")
    assert "may still run" in cell.error
    assert "%rexec restart slow" in cell.traceback
    assert kernel.run("%rexec restart slow -f").error == ""


def test_a_cell_that_was_left_shows_everything_to_whoever_attaches(kernel, gate):
    cell = kernel.start(f"%%rexec -s far --on-interrupt detach\n{COUNT.format(gate=str(gate))}")
    cell.wait_for("first line")
    kernel.interrupt()
    cell.wait()
    assert stopped(cell)
    job = job_of(cell)
    again = kernel.start(f"%rexec attach {job}")
    again.wait_for("first line")
    gate.touch()
    again.wait()
    assert again.stdout == "first line\nlast line\n"
    assert again.text == "'counted'"


def test_stop_while_attached_interrupts_the_code(kernel, gate):
    cell = kernel.run(f"%%rexec -s far --bg -j job\n{COUNT.format(gate=str(gate))}")
    cell.wait_for("first line")
    job = kernel.value("job.id[:8]").strip("'")
    again = kernel.start(f"%rexec attach {job}")
    again.wait_for("first line")
    kernel.interrupt()
    again.wait()
    assert stopped(again)
    kernel.run("import concurrent.futures; concurrent.futures.wait([job])")
    assert kernel.value("job.done()") == "True"


def test_a_cell_that_waits_too_long_for_its_session_is_withdrawn(kernel, backend):
    kernel.run("%rx 1")
    with standing_still(backend.pid("exec")):
        cell = kernel.start("%%rexec -s late --wait-start 10ms --progress-after 0\nran = True")
        cell.wait_for_status("withdrawing")
    cell.wait()
    assert cell.error.startswith("StartError: [R06]")
    assert "late" in cell.error
    assert kernel.run("%%rexec -s late\n'ran' in globals()").text == "False"


def test_output_can_wait_for_the_end(kernel, gate):
    cell = kernel.start(f"%%rexec --no-stream\n{COUNT.format(gate=str(gate))}")
    cell.wait_for_status("running")
    assert cell.stdout == ""
    gate.touch()
    cell.wait()
    assert cell.stdout == "first line\nlast line\n"
