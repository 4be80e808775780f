"""``%%rexec`` as a person meets it: a real JupyterLab on a real embedded backend."""

import shutil
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.notebook import SECONDS, open_notebook, screenshot

pytestmark = pytest.mark.browser

EXAMPLES = Path(__file__).parents[2] / "examples"
LOAD = "%load_ext rexec_jupyter"
START = 60 * SECONDS


def wait_for_file(path):
    """Return code that waits, where it runs, for the test to touch a file."""
    return f"import os, time\nwhile not os.path.exists({str(path)!r}):\n    time.sleep(0.02)\n"


def test_prints_arrive_live_and_a_figure_and_a_table_are_shown(lab, page, tmp_path):
    go = tmp_path / "go"
    notebook = open_notebook(
        page,
        lab,
        lab.write_notebook(
            "live.ipynb",
            LOAD,
            "rows = [1, 2, 3]",
            f"%%rexec\nprint('before', sum(rows), flush=True)\n{wait_for_file(go)}print('after')",
            "%%rexec\nimport matplotlib.pyplot as plt\nplt.plot(rows)\nplt.show()",
            "%%rexec\nimport pandas as pd\npd.DataFrame({'value': rows})",
        ),
    )
    notebook.run_all(wait=False)
    expect(notebook.outputs(2).get_by_text("before 6")).to_be_visible(timeout=START)
    expect(notebook.cell(2).get_by_role("status")).to_contain_text("running")
    assert notebook.prompt(2) == "[*]:"
    screenshot(page, "live-running")
    go.touch()
    notebook.wait_until_run()
    expect(notebook.cell(2).get_by_role("status")).to_contain_text("sent rows")
    assert "after" in notebook.output_text(2)
    expect(notebook.cell(3).locator("img[src^='data:image/png']")).to_be_visible()
    expect(notebook.cell(4).locator("table.dataframe tbody tr")).to_have_count(3)
    assert notebook.cell(4).locator(".jp-OutputArea-prompt").last.inner_text() == "[5]:"
    screenshot(page, "live-done")


def test_stop_stops_the_remote_code(lab, page):
    notebook = open_notebook(
        page,
        lab,
        lab.write_notebook(
            "stop-remote.ipynb",
            LOAD,
            "%%rexec\nimport time\nsteps = 0\nprint('on', flush=True)\n"
            "while True:\n    time.sleep(0.01)\n    steps += 1",
            "a = %rx steps\nb = %rx steps\na == b > 0",
        ),
    )
    notebook.run_cell(0)
    notebook.run_cell(1, wait=False)
    expect(notebook.outputs(1).get_by_text("on", exact=True)).to_be_visible(timeout=START)
    notebook.wait_for_kernel("busy")
    notebook.interrupt()
    notebook.wait_until_run()
    expect(notebook.cell(1).get_by_role("status")).to_contain_text("stopped")
    assert "KeyboardInterrupt" in notebook.output_text(1)
    screenshot(page, "stopped")
    notebook.run_cell(2)
    assert notebook.output_text(2) == "True"


def test_an_error_stops_running_all_cells(lab, page):
    notebook = open_notebook(
        page,
        lab,
        lab.write_notebook(
            "error-remote.ipynb",
            LOAD,
            "def ratio(a, b):\n    return a / b",
            "%%rexec\nprint('soon')\nratio(1, 0)",
            "print('reached')",
        ),
    )
    notebook.run_all()
    told = notebook.output_text(2)
    assert "ZeroDivisionError: division by zero" in told
    assert "ratio(1, 0)" in told
    assert "rexec_jupyter" not in told
    assert notebook.prompt(3) == "[ ]:"
    assert notebook.output_text(3) == ""
    screenshot(page, "error-remote")


def test_output_of_a_cell_that_is_not_waited_for_lands_below_it(lab, page, tmp_path):
    go = tmp_path / "go"
    notebook = open_notebook(
        page,
        lab,
        lab.write_notebook(
            "noblock.ipynb",
            LOAD,
            f"%%rexec --noblock\nprint('begun', flush=True)\n{wait_for_file(go)}print('ended')\n42",
            "job = _\nprint('meanwhile')",
            "job.result()",
        ),
    )
    for index in range(3):
        notebook.run_cell(index)
    assert "meanwhile" in notebook.output_text(2)
    expect(notebook.outputs(1).get_by_text("begun", exact=True)).to_be_visible(timeout=START)
    go.touch()
    notebook.run_cell(3)
    assert notebook.output_text(3) == "42"
    expect(notebook.outputs(1).get_by_text("ended")).to_be_visible()
    expect(notebook.cell(1).get_by_role("status")).to_contain_text("✓")
    assert notebook.output_text(2) == "meanwhile"
    screenshot(page, "noblock")


def test_the_demo_runs_to_its_end(lab, page):
    shutil.copytree(EXAMPLES / "data", lab.root / "examples" / "data")
    shutil.copy(EXAMPLES / "demo.ipynb", lab.root / "examples")
    cells = nbformat.read(EXAMPLES / "demo.ipynb", as_version=4).cells
    code = [index for index, cell in enumerate(cells) if cell.cell_type == "code"]
    notebook = open_notebook(page, lab, "examples/demo.ipynb")
    notebook.run_all(wait=False)
    # Not until run: JupyterLab counts itself done at the error that the demo makes on purpose.
    prompt = notebook.cell(code[-1]).locator(".jp-InputArea-prompt")
    expect(prompt).to_have_text(f"[{len(code)}]:", timeout=2 * START)
    outputs = notebook.panel.locator(".jp-OutputArea-output")
    expect(outputs.filter(has_text="Traceback (most recent call last)")).to_have_count(1)
    expect(notebook.panel.get_by_role("status").filter(has_text="⟳")).to_have_count(0)
    page.set_viewport_size({"width": 1280, "height": 2000})
    for index in range(0, len(cells), 10):
        notebook.cell(index).evaluate("cell => cell.scrollIntoView()")
        screenshot(page, f"demo-{index}")
