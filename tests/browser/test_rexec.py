"""``%%rexec`` as a person meets it: cells that run, end, fail and are saved in a notebook."""

import nbformat
import pytest
from playwright.sync_api import expect

from tests.backend.brokering import until
from tests.browser.notebook import screenshot
from tests.waiting import wait_for_file

pytestmark = pytest.mark.browser

KEY = 32  # shorter lines of a key file are no keys
WIDGET = "application/vnd.jupyter.widget-view+json"


def test_output_arrives_live_below_a_status_that_ends_as_plain_html(
    lab, backend, remote_notebook_of, page, gate
):
    notebook = remote_notebook_of(
        "live",
        "rows = [1, 2, 3]",
        f"%%rexec\nprint('before', sum(rows), flush=True)\n{wait_for_file(gate)}print('after')",
        "%%rexec\nprint('quick')",
    )
    notebook.run_from(1, wait=False)
    expect(notebook.outputs(2).get_by_text("before 6")).to_be_visible()
    expect(notebook.status(2)).to_contain_text("running")
    expect(notebook.cell(2).get_by_role("button", name="Stop")).to_be_visible()
    assert notebook.prompt(2) == "[*]:"
    screenshot(page, "live-running")
    gate.touch()
    notebook.wait_until_run()
    expect(notebook.status(2)).to_contain_text("sent rows")
    expect(notebook.cell(2).locator(".jupyter-widgets")).to_have_count(0)
    assert notebook.output_text(2).splitlines()[-2:] == ["before 6", "after"]
    assert notebook.output_text(3) == "quick"
    screenshot(page, "live-done")

    notebook.save()
    saved = lab.root / "live.ipynb"
    outputs = nbformat.read(saved, as_version=4).cells[2].outputs
    assert not [output for output in outputs if WIDGET in output.get("data", {})]
    status = outputs[0].data
    assert 'role="status"' in "".join(status["text/html"])
    assert "✓ default" in status["text/plain"]
    assert "sent rows" in status["text/plain"]
    text = saved.read_text()
    assert lab.token not in text
    keys = [line for line in _lines(backend.paths.keys) if len(line) >= KEY]
    assert keys
    assert not [key for key in keys if key in text]


def test_an_error_stops_running_all_cells(remote_notebook_of, page):
    notebook = remote_notebook_of(
        "error-remote",
        "def ratio(a, b):\n    return a / b",
        "%%rexec\nprint('soon')\nratio(1, 0)",
        "print('reached')",
    )
    notebook.run_from(1)
    told = notebook.output_text(2)
    assert "ZeroDivisionError: division by zero" in told
    assert "ratio(1, 0)" in told
    assert "rexec_jupyter" not in told
    assert notebook.prompt(3) == "[ ]:"
    assert notebook.output_text(3) == ""
    screenshot(page, "error-remote")


def test_output_of_a_cell_that_is_not_waited_for_lands_below_it(remote_notebook_of, page, gate):
    notebook = remote_notebook_of(
        "noblock",
        f"%%rexec --noblock\nprint('begun', flush=True)\n{wait_for_file(gate)}print('ended')\n42",
        "job = _\nprint('meanwhile')",
        "job.result()",
    )
    for index in (1, 2):
        notebook.run_cell(index)
    assert "meanwhile" in notebook.output_text(2)
    expect(notebook.outputs(1).get_by_text("begun", exact=True)).to_be_visible()
    expect(notebook.status(1)).to_contain_text("running")
    screenshot(page, "noblock-running")
    gate.touch()
    notebook.run_cell(3)
    assert notebook.output_text(3) == "42"
    expect(notebook.outputs(1).get_by_text("ended")).to_be_visible()
    expect(notebook.status(1)).to_contain_text("✓")
    assert notebook.output_text(2) == "meanwhile"
    screenshot(page, "noblock")


def test_magics_of_ipython_work_above_it(remote_notebook_of):
    notebook = remote_notebook_of(
        "above",
        "%%capture captured\n%%rexec\nprint('kept')\n1 + 1",
        "captured.stdout",
        "%%time\n%%rexec\nprint('timed')",
    )
    notebook.run_from(1)
    assert notebook.output_text(1) == ""
    assert notebook.output_text(2) == "'kept\\n'"
    told = notebook.output_text(3)
    assert told.startswith("timed")
    assert "Wall time:" in told


def test_a_flood_of_output_leaves_the_notebook_usable(remote_notebook_of, page, gate):
    flood = (
        "%%rexec\nimport os\nnumber = 0\n"
        f"while number < 300_000 or not os.path.exists({str(gate)!r}):\n"
        "    print('line', number, 'x' * 80)\n    number += 1\nprint('the end')"
    )
    notebook = remote_notebook_of("flood", flood, "'still here'", "")
    notebook.run_cell(1, wait=False)
    pointer = notebook.outputs(1).get_by_text("more, `%rexec logs")
    expect(pointer).to_be_visible()
    notebook.cell(3).locator(".cm-content").click()
    page.keyboard.type("typed = 'meanwhile'")
    expect(notebook.cell(3)).to_contain_text("typed = 'meanwhile'")
    page.locator(".lm-MenuBar-item").get_by_text("Edit", exact=True).click()
    expect(page.locator(".lm-Menu")).to_be_visible()
    page.keyboard.press("Escape")
    assert notebook.prompt(1) == "[*]:"
    gate.touch()
    notebook.wait_until_run()
    shown = notebook.outputs(1).filter(has_text="line 0 ")
    until(lambda: 500_000 < len(shown.inner_text()) < 2_000_000, "the beginning of the flood")
    expect(pointer).to_contain_text("MB more")
    notebook.cell(2).scroll_into_view_if_needed()
    screenshot(page, "flood")
    notebook.run_cell(2)
    assert notebook.output_text(2) == "'still here'"
    logs = "text = %rexec logs --tail 1\nprint(text)"
    notebook.cell(3).locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(logs)
    notebook.run_cell(3)
    assert "the end" in notebook.output_text(3)


def _lines(directory):
    for path in directory.rglob("*"):
        if path.is_file():
            yield from path.read_text(errors="replace").splitlines()
