"""What JupyterLab offers while somebody types a remote cell: Tab, Shift-Tab and the pager."""

import pytest
from playwright.sync_api import expect

from tests.browser.notebook import screenshot

pytestmark = pytest.mark.browser

WORK = "%%rexec\nimport pandas as pd\nframe_there = pd.DataFrame({'price': [1]})"


def type_into(notebook, index, text):
    """Put the cursor to the end of a cell and type."""
    editor = notebook.cell(index).locator(".cm-content")
    editor.click()
    notebook.page.keyboard.press("Control+End")
    notebook.page.keyboard.type(text)
    return editor


def test_tab_completes_options_and_remote_names(remote_notebook_of, page):
    notebook = remote_notebook_of("tab", WORK, "%%rexec --", "%%rexec\n")
    notebook.run_cell(1)
    type_into(notebook, 2, "")
    page.keyboard.press("Tab")
    completer = page.locator(".jp-Completer")
    expect(completer.get_by_text("--capture", exact=True)).to_be_visible()
    expect(completer.get_by_text("frame_there")).to_have_count(0)
    screenshot(page, "completion-options")
    page.keyboard.press("Escape")
    editor = type_into(notebook, 3, "fra")
    page.keyboard.press("Tab")
    expect(completer.get_by_text("frame_there", exact=True)).to_be_visible()
    page.keyboard.press("Enter")
    expect(editor).to_contain_text("frame_there")
    page.keyboard.type(".pri")
    page.keyboard.press("Tab")
    expect(completer.get_by_text("price", exact=True)).to_be_visible()
    page.keyboard.press("Enter")
    expect(editor).to_contain_text("frame_there.price")


def test_the_pager_and_shift_tab_show_help(remote_notebook_of, page):
    notebook = remote_notebook_of("help", WORK, "%rx frame_there?", "%%rexec -q\n1")
    notebook.run_cell(1)
    notebook.run_cell(2)
    expect(page.get_by_text("Two-dimensional, size-mutable").first).to_be_visible()
    screenshot(page, "remote-help")
    notebook.cell(3).locator(".cm-content").click()
    page.keyboard.press("Control+Home")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "Shift+Tab"):
        page.keyboard.press(key)
    expect(page.locator(".jp-Tooltip").get_by_text("--session NAME")).to_be_in_viewport()
    screenshot(page, "shift-tab")
