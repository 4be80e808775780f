"""The magics in IPython in a terminal."""

import signal
import sys

import pexpect
import pytest

from tests.notebook.kernel import SECONDS
from tests.waiting import wait_for_file


@pytest.fixture
def terminal(environment):
    command = ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=nocolor"]
    options = ["--HistoryManager.enabled=False", "--TerminalInteractiveShell.confirm_exit=False"]
    terminal = pexpect.spawn(
        sys.executable, [*command, *options], env=environment, encoding="utf-8", timeout=SECONDS
    )
    terminal.setecho(False)
    terminal.expect_exact("In [1]: ")
    yield terminal
    terminal.kill(signal.SIGKILL)
    terminal.wait()
    terminal.close()


def run(terminal, code):
    """Type code and return what appears until the next prompt."""
    terminal.send(f"{code}\n")
    terminal.expect(r"In \[\d+\]: ")
    return terminal.before


def test_cells_lines_and_errors(terminal, gate):
    run(terminal, "%load_ext rexec_jupyter")
    run(terminal, "typed = 20")
    assert "Out[3]: 21" in run(terminal, "%rx typed + 1")
    told = run(terminal, "get_ipython().run_cell_magic('rexec', '', 'print(\"hi\")\\ntyped + 2')")
    assert "hi" in told
    assert "Out[4]: 22" in told
    failed = run(terminal, "%rx 1 / 0")
    assert "ZeroDivisionError: division by zero" in failed
    assert "rexec_jupyter" not in failed
    run(terminal, f"code = {wait_for_file(gate)!r}")
    terminal.send("get_ipython().run_cell_magic('rexec', '', code)\n")
    terminal.expect(r"\r\x1b\[2K⟳ default · running \d\d:\d\d")
    gate.touch()
    terminal.expect(r"✓ default · \d")
