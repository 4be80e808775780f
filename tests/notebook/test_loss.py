"""A notebook whose connection breaks under a running cell loses and doubles nothing."""

import os
import re
import signal

import pytest

from tests.backend.embedding import private_backend
from tests.notebook.kernel import running_kernel, standing_still

LINES = 300
COUNTING = f"""\
%%rexec
import os, time
for number in range({LINES}):
    print(number, flush=True)
    while number == 20 and not os.path.exists(gate):
        time.sleep(0.01)
print("last")
"at the end"
"""
EVERY = [*map(str, range(LINES)), "last"]


def lines(cell):
    return cell.stdout.split()


@pytest.mark.slow
def test_a_broker_that_is_killed_is_waited_for_and_nothing_is_lost(gate):
    with private_backend() as backend, running_kernel(**os.environ) as kernel:
        kernel.run(f"%load_ext rexec_jupyter\ngate = {str(gate)!r}")
        cell = kernel.start(COUNTING)
        cell.wait_for("20\n")
        # Silent first: the next one may be there before the status line could tell.
        os.kill(backend.pid("broker"), signal.SIGSTOP)
        cell.wait_for_status("reconnecting (")
        backend.kill("broker")
        gate.touch()
        cell.wait()
        assert lines(cell) == EVERY
        assert (cell.error, cell.text) == ("", "'at the end'")
        assert cell.status[-1].startswith("✓ default")
        assert kernel.value("%rx len('next')") == "4"


@pytest.mark.slow
def test_a_cell_that_was_given_up_is_attached_and_shows_all(gate):
    environment = {"REXEC_RECONNECT_TIMEOUT": "4s"}
    with private_backend() as backend, running_kernel(**os.environ | environment) as kernel:
        backend.start()  # which may take longer than that
        kernel.run(f"%load_ext rexec_jupyter\ngate = {str(gate)!r}")
        kernel.run("%rx 1")
        cell = kernel.start(COUNTING)
        cell.wait_for("20\n")
        with standing_still(backend.pid("broker")):
            cell.wait()
        assert cell.error.startswith("ConnectionLostError: [R07]")
        assert "tcp://127.0.0.1:" in cell.error
        job = re.search(r"`%rexec attach (\w+)` shows it", cell.error)
        gate.touch()
        attached = kernel.run(f"%rexec attach {job[1]}")
        assert lines(attached) == EVERY
        assert (attached.error, attached.text) == ("", "'at the end'")
