"""Stopping remote cells in JupyterLab: by either button, twice, and by a restart of the kernel."""

import pytest
from playwright.sync_api import expect

from tests.browser.notebook import screenshot
from tests.waiting import wait_for_file

pytestmark = pytest.mark.browser

ENDLESS = (
    "%%rexec\nimport time\nsteps = 1\nprint('on', flush=True)\n"
    "while True:\n    time.sleep(0.01)\n    steps += 1"
)
STUBBORN = """\
%%rexec -n stubborn
import os, time
told = False
while True:
    try:
        told = told or print("line one", flush=True) is None
        while not os.path.exists({gate!r}):
            time.sleep(0.05)
        break
    except KeyboardInterrupt:
        print("not now", flush=True)
print("last line")
"""


def test_the_toolbars_stop_button_stops_the_remote_code(remote_notebook_of, page):
    stood_still = "a = %rx steps\nb = %rx steps\na == b > 0"
    notebook = remote_notebook_of("stop-remote", ENDLESS, stood_still)
    notebook.run_cell(1, wait=False)
    expect(notebook.outputs(1).get_by_text("on", exact=True)).to_be_visible()
    notebook.wait_for_kernel("busy")
    notebook.interrupt()
    notebook.wait_until_run()
    expect(notebook.status(1)).to_contain_text("stopped")
    assert "KeyboardInterrupt" in notebook.output_text(1)
    screenshot(page, "stopped")
    notebook.run_cell(2)
    assert notebook.output_text(2) == "True"


def test_two_stops_leave_it_running_and_attach_shows_it_from_its_first_line(
    remote_notebook_of, page, gate
):
    notebook = remote_notebook_of(
        "detach", STUBBORN.format(gate=str(gate)), "%rexec attach", "'next'"
    )
    notebook.run_cell(1, wait=False)
    expect(notebook.outputs(1).get_by_text("line one")).to_be_visible()
    expect(notebook.status(1)).to_contain_text("running")
    notebook.interrupt()
    expect(notebook.outputs(1).get_by_text("not now")).to_be_visible()
    expect(notebook.status(1)).to_contain_text("press stop again to stop waiting")
    screenshot(page, "stopping")
    notebook.cell(1).get_by_role("button", name="Stop waiting").press("Enter")
    notebook.wait_until_run()
    expect(notebook.status(1)).to_contain_text("detached")
    assert "cell still running remotely as job" in notebook.output_text(1)
    assert "last line" not in notebook.output_text(1)
    screenshot(page, "detached")
    notebook.run_cell(2, wait=False)
    expect(notebook.outputs(2).get_by_text("line one")).to_be_visible()
    gate.touch()
    notebook.wait_until_run()
    lines = notebook.output_text(2).splitlines()
    assert lines.index("line one") < lines.index("not now") < lines.index("last line")
    screenshot(page, "attached")


def test_a_restart_of_the_kernel_loses_no_output(remote_notebook_of, page, gate):
    notebook = remote_notebook_of(
        "restart",
        f"%%rexec -n survivor\nprint('first', flush=True)\n{wait_for_file(gate)}print('last')\n42",
        "%rexec jobs",
        "%rexec attach survivor",
    )
    notebook.run_cell(1, wait=False)
    expect(notebook.outputs(1).get_by_text("first")).to_be_visible()
    notebook.restart()
    notebook.run_cell(0)
    notebook.run_cell(2)
    row = notebook.cell(2).locator("tr").filter(has_text="survivor").first
    expect(row).to_contain_text("running")
    notebook.run_cell(3, wait=False)
    expect(notebook.outputs(3).get_by_text("first")).to_be_visible()
    gate.touch()
    notebook.wait_until_run()
    lines = notebook.output_text(3).splitlines()
    assert lines.index("first") < lines.index("last")
    assert lines[-1] == "42"
    screenshot(page, "attached-after-a-restart")
