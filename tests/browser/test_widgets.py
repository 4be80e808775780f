"""The live status line, and widgets of remote code, in a real JupyterLab."""

import nbformat
import pytest
from playwright.sync_api import expect

from tests.backend.brokering import until
from tests.browser.notebook import SECONDS, open_lab, open_notebook, screenshot
from tests.waiting import wait_for_file

pytestmark = pytest.mark.browser

FOREVER = """\
%%rexec --progress-after 0.2
import time
steps = 1
print("on", flush=True)
while True:
    time.sleep(0.01)
    steps += 1
"""
STOOD_STILL = "a = %rx steps\nb = %rx steps\na == b > 0"


def test_the_live_view_has_a_stop_button_that_works_while_the_cell_blocks(
    lab, remote_notebook_of, page
):
    notebook = remote_notebook_of("view", FOREVER, STOOD_STILL)
    notebook.run_cell(1, wait=False)
    status = notebook.status(1)
    expect(status).to_contain_text("running")
    button = notebook.cell(1).get_by_role("button", name="Stop")
    expect(button).to_be_visible(timeout=10 * SECONDS)
    expect(status).not_to_contain_text("■ button")
    expect(status).to_contain_text("out 3 B")
    assert notebook.prompt(1) == "[*]:"
    notebook.wait_for_kernel("busy")  # although the widgets' requests to the kernel ended
    screenshot(page, "view-running")
    button.click()
    notebook.wait_until_run()
    expect(status).to_contain_text("stopped")
    expect(button).to_have_count(0)
    expect(notebook.cell(1).locator("progress")).to_have_count(0)
    assert "KeyboardInterrupt" in notebook.output_text(1)
    screenshot(page, "view-stopped")
    notebook.run_cell(2)
    assert notebook.output_text(2) == "True"
    notebook.save()
    saved = nbformat.read(lab.root / "view.ipynb", as_version=4)
    shown = [output.data for output in saved.cells[1].outputs if "data" in output]
    assert any("stopped" in data.get("text/html", "") for data in shown)
    assert not any("widget-view" in kind for data in shown for kind in data)


def test_nothing_moves_when_the_live_view_ends(remote_notebook_of, page, gate):
    cell = "%%rexec --progress-after 0\nprint('on', flush=True)\n" + wait_for_file(gate)
    notebook = remote_notebook_of("jump", cell)
    notebook.run_cell(1, wait=False)
    button = notebook.cell(1).get_by_role("button", name="Stop")
    expect(button).to_be_visible()
    session = notebook.status(1).locator("b")
    printed = notebook.outputs(1).get_by_text("on", exact=True)
    expect(printed).to_be_visible()
    places = session.bounding_box(), printed.bounding_box()
    gate.touch()
    notebook.wait_until_run()
    expect(button).to_have_count(0)
    until(lambda: (session.bounding_box(), printed.bounding_box()) == places, "the same places")


def test_a_remote_slider_moves_there_and_here(remote_notebook_of, page):
    slider = (
        "%%rexec -q\nimport ipywidgets\nslider = ipywidgets.IntSlider(value=3)\n"
        "double = ipywidgets.Label('6')\n"
        "slider.observe(lambda c: setattr(double, 'value', str(2 * c['new'])), 'value')\n"
        "display(slider, double)"
    )
    notebook = remote_notebook_of("slider", slider, "%rx slider.value")
    notebook.run_cell(1)
    handle = notebook.cell(1).get_by_role("slider")
    expect(handle).to_be_visible()
    handle.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(notebook.outputs(1).get_by_text("16", exact=True)).to_be_visible()
    screenshot(page, "slider")
    notebook.run_cell(2)
    assert notebook.output_text(2) == "8"


@pytest.mark.parametrize("local", [False, True])
def test_a_remote_slider_still_works_after_the_page_was_loaded_anew(
    lab, remote_notebook_of, page, local
):
    name = f"reload-{local}"
    slider = (
        "%%rexec -q\nimport ipywidgets\nslider = ipywidgets.IntSlider(value=3)\n"
        "double = ipywidgets.Label('6')\n"
        "slider.observe(lambda c: setattr(double, 'value', str(2 * c['new'])), 'value')\n"
        "display(slider, double)"
    )
    own = "import ipywidgets\nipywidgets.Label('a local one')" if local else "1"
    notebook = remote_notebook_of(name, slider, own, "%rx slider.value")
    notebook.run_cell(1)
    notebook.run_cell(2)
    handle = notebook.cell(1).get_by_role("slider")
    handle.focus()
    page.keyboard.press("ArrowRight")
    expect(notebook.outputs(1).get_by_text("8", exact=True)).to_be_visible()
    notebook.save()
    open_lab(page, lab)
    notebook = open_notebook(page, f"{name}.ipynb")
    handle = notebook.cell(1).get_by_role("slider")
    expect(handle).to_be_visible()
    expect(handle).to_have_attribute("aria-valuenow", "4.0")
    handle.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(notebook.outputs(1).get_by_text("16", exact=True)).to_be_visible()
    if local:
        expect(notebook.outputs(2).get_by_text("a local one")).to_be_visible()
    screenshot(page, "reloaded")
    notebook.run_cell(3)
    assert notebook.output_text(3) == "8"
