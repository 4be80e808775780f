"""The demo notebook in JupyterLab, from its first cell to its last."""

import shutil
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.notebook import SECONDS, open_notebook, screenshot

pytestmark = pytest.mark.browser

EXAMPLES = Path(__file__).parents[2] / "examples"
WHOLE = 300 * SECONDS
EVERY = 10  # cells to a picture


def test_the_demo_runs_to_its_end(lab, page):
    shutil.copytree(EXAMPLES / "data", lab.root / "examples" / "data")
    shutil.copy(EXAMPLES / "demo.ipynb", lab.root / "examples")
    cells = nbformat.read(EXAMPLES / "demo.ipynb", as_version=4).cells
    code = [index for index, cell in enumerate(cells) if cell.cell_type == "code"]
    notebook = open_notebook(page, "examples/demo.ipynb")
    notebook.run_all(wait=False)
    # Not until run: JupyterLab counts itself done at the error that the demo makes on purpose.
    prompt = notebook.cell(code[-1]).locator(".jp-InputArea-prompt")
    expect(prompt).to_have_text(f"[{len(code)}]:", timeout=WHOLE)
    outputs = notebook.panel.locator(".jp-OutputArea-output")
    expect(outputs.filter(has_text="Traceback (most recent call last)")).to_have_count(1)
    expect(notebook.panel.get_by_role("status").filter(has_text="⟳")).to_have_count(0)
    page.set_viewport_size({"width": 1280, "height": 2000})
    for index in range(0, len(cells), EVERY):
        notebook.cell(index).evaluate("cell => cell.scrollIntoView()")
        screenshot(page, f"demo-{index}")
    page.set_viewport_size({"width": 1280, "height": 900})
