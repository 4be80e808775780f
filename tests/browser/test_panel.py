"""The panel as a whole: where it is found, and that it and kernels agree."""

import pytest
from playwright.sync_api import expect

from tests.browser.notebook import (
    Notebook,
    new_page,
    open_lab,
    open_notebook,
    screenshot,
    set_theme,
)
from tests.browser.panel import SECTIONS, Panel
from tests.waiting import wait_for_file

pytestmark = pytest.mark.browser

LOAD = "%load_ext rexec_jupyter"


@pytest.fixture
def panel(page):
    return Panel(page).show()


def source(notebook, index):
    return notebook.cell(index).locator(".cm-content")


def execute(page, command):
    # What a command returns may be of any size.
    page.evaluate(
        "async command => { await window.jupyterapp.commands.execute(command); }", command
    )


def test_the_launcher_makes_a_notebook_whose_cells_run_remotely(page, lab):
    execute(page, "launcher:create")
    page.locator(".jp-LauncherCard:visible", has_text="Notebook with rexec").click()
    notebook = Notebook(page)
    expect(notebook.cell(1)).to_be_visible()
    notebook.wait_for_kernel("idle")
    expect(source(notebook, 0)).to_have_text(LOAD)
    expect(source(notebook, 1)).to_contain_text("%%rexec")
    expect(notebook.cell(0).locator(".jp-InputArea-prompt")).to_have_text("[1]:")
    page.keyboard.press("Enter")
    page.keyboard.press("Control+End")
    page.keyboard.type("6 * 7")
    notebook.run_cell(1)
    assert "42" in notebook.output_text(1)


def test_the_button_above_a_notebook_turns_a_cell_into_a_remote_one_and_back(page, lab):
    notebook = open_notebook(page, lab.write_notebook("turn.ipynb", "20 + 1"))
    button = notebook.panel.locator("[data-jp-item-name='rexec-remote']").get_by_role("button")
    button.click()
    expect(source(notebook, 1)).to_have_text("%%rexec20 + 1")
    # What the magic needs is there, and ran.
    expect(source(notebook, 0)).to_have_text(LOAD)
    expect(notebook.cell(0).locator(".jp-InputArea-prompt")).to_have_text("[1]:")
    expect(button).to_have_attribute("aria-pressed", "true")
    notebook.run_cell(1)
    assert "21" in notebook.output_text(1)
    button.click()
    expect(source(notebook, 1)).to_have_text("20 + 1")
    expect(button).to_have_attribute("aria-pressed", "false")


def test_what_a_kernel_runs_is_seen_at_once_and_can_be_cancelled(
    page, panel, remote_notebook_of, gate
):
    code = f"%%rexec\n# wait for it\nprint('begun', flush=True)\n{wait_for_file(gate)}"
    notebook = remote_notebook_of("seen", code)
    panel.show()
    notebook.run_cell(1, wait=False)
    jobs = panel.section("jobs")
    row = jobs.get_by_role("listitem").filter(has_text="running").first
    expect(row).to_be_visible()
    expect(page.locator(".rexec-Status")).to_contain_text("1 running")
    expect(panel.section("sessions")).to_contain_text("busy")
    row.get_by_role("button", name="Cancel").click()
    notebook.wait_until_run()
    expect(page.locator(".rexec-Status")).not_to_contain_text("running")
    expect(panel.section("sessions")).to_contain_text("idle")


def test_two_windows_see_the_same(page, panel, lab, chromium, remote_notebook_of, gate):
    notebook = remote_notebook_of("two", f"%%rexec\n{wait_for_file(gate)}")
    panel.show()
    with new_page(chromium, viewport={"width": 900, "height": 700}) as other:
        open_lab(other, lab)
        seen = Panel(other).show()
        notebook.run_cell(1, wait=False)
        for each in (panel, seen):
            running = each.section("jobs").get_by_role("listitem").filter(has_text="running")
            expect(running.first).to_be_visible()
        seen.section("jobs").get_by_role("button", name="Cancel").first.click()
        notebook.wait_until_run()
        for each in (panel, seen):
            expect(each.section("sessions")).to_contain_text("idle")


@pytest.mark.parametrize("theme", ["Light", "Dark", "Dark High Contrast"])
def test_axe_finds_nothing_serious_at_any_width(page, panel, remote_notebook_of, theme, gate):
    notebook = remote_notebook_of("axe", f"%%rexec\n{wait_for_file(gate)}")
    notebook.run_cell(1, wait=False)
    set_theme(page, f"JupyterLab {theme}")
    try:
        for name in SECTIONS:
            panel.section(name)
        expect(panel.section("sessions")).to_contain_text("busy")
        for width in (200, 320, 700):
            panel.resize(width)
            screenshot(page, f"panel-{theme.replace(' ', '-').lower()}-{width}")
            assert panel.findings() == []
            assert panel.panel.evaluate("node => node.scrollWidth - node.clientWidth") <= 0
    finally:
        gate.touch()
        set_theme(page, "JupyterLab Light")
        notebook.wait_until_run()


def test_notebook_7_has_the_panel_and_the_button_too(chromium, lab, backend):
    with new_page(chromium) as page:
        path = lab.write_notebook("seven.ipynb", "6 * 7")
        page.goto(f"{lab.url}/notebooks/{path}?token={lab.token}")
        button = page.locator("[data-jp-item-name='rexec-remote']").get_by_role("button")
        button.click()
        expect(page.locator(".jp-Cell").nth(1)).to_contain_text("%%rexec")
        # However early the button was pressed, what the magic needs runs.
        expect(page.locator(".jp-Cell .jp-InputArea-prompt").first).to_have_text("[1]:")
        page.get_by_text("View", exact=True).click()
        page.get_by_text("Left Sidebar").hover()
        page.get_by_text("Show Remote execution").click()
        panel = Panel(page)
        expect(panel.panel).to_be_visible()
        expect(panel.section("connection")).to_contain_text("this computer")
        assert panel.findings() == []
    lab.shut_down_kernels()


def test_a_notebook_that_uses_another_backend_is_told_while_it_does(
    page, panel, lab, remote_notebook_of
):
    url = "https://one.example.org/ep"
    set_url, take_back = f"%rexec config url {url}", "%rexec config url default"
    notebook = remote_notebook_of("apart", set_url, take_back)
    connection = panel.show().section("connection")
    expect(connection).to_contain_text("this computer")
    lines = connection.get_by_role("list", name="Notebooks that run elsewhere")
    told = lines.get_by_text(f"“apart.ipynb” uses {url} instead")
    try:
        notebook.run_cell(1)
        expect(told).to_be_visible()
        screenshot(page, "panel-elsewhere")
        assert panel.findings() == []
        notebook.run_cell(2)
        expect(told).to_have_count(0)
        notebook.run_cell(1)
        connection.get_by_role("button", name="here and in notebooks without").click()
        expect(told).to_have_count(0)
        expect(connection.locator("dd", has_text=url)).to_be_visible()
        connection.get_by_role("button", name="Use this computer").click()
        expect(told).to_be_visible()
        lab.shut_down_kernels()
        expect(told).to_have_count(0)
    finally:
        lab.request("POST", "/rexec/api/connection", {"url": "local"})
