"""The browser tests' own footing: JupyterLab starts, a notebook runs and stops, and can be read."""

import pytest

from tests.browser.notebook import screenshot

pytestmark = pytest.mark.browser

COUNT_UNTIL_STOPPED = """\
import time
try:
    print("counting", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print("stopped")
"""


def test_a_cell_runs_and_its_output_is_read(notebook_of, page):
    notebook = notebook_of("plain", "1 + 1", "print('hi')")
    notebook.run_cell(0)
    assert notebook.output_text(0) == "2"
    assert notebook.prompt(0) == "[1]:"
    assert notebook.prompt(1) == "[ ]:"
    notebook.run_all()
    assert notebook.output_text(1) == "hi"
    assert notebook.prompt(1) == "[3]:"
    assert screenshot(page, "plain").stat().st_size > 0


def test_the_stop_button_interrupts(notebook_of):
    notebook = notebook_of("stop", COUNT_UNTIL_STOPPED, "'next'")
    notebook.run_cell(0, wait=False)
    notebook.outputs(0).get_by_text("counting").wait_for()
    notebook.wait_for_kernel("busy")
    assert notebook.prompt(0) == "[*]:"
    notebook.interrupt()
    notebook.wait_until_run()
    assert notebook.output_text(0).split() == ["counting", "stopped"]
    notebook.run_cell(1)
    assert notebook.output_text(1) == "'next'"


def test_cells_out_of_sight_are_read_too(notebook_of):
    sources = [f"print('line\\n' * 20); {number}" for number in range(30)]
    notebook = notebook_of("long", *sources)
    notebook.run_all()
    assert notebook.output_text(0).endswith("line\n0")
    assert notebook.output_text(29).endswith("line\n29")


def test_an_error_is_read_with_its_traceback(notebook_of):
    notebook = notebook_of("error", "1 / 0")
    notebook.run_cell(0)
    assert "ZeroDivisionError: division by zero" in notebook.output_text(0)
