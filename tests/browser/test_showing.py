"""What remote code shows in JupyterLab: as local code would, in light and in dark."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.notebook import contrast, screenshot, set_theme
from tests.waiting import wait_for_file

pytestmark = pytest.mark.browser

READABLE = 4.5  # of WCAG 2, level AA
UPDATED = """\
%%rexec
from IPython.display import HTML, display
handle = display(HTML("<i>begun</i>"), display_id=True)
handle.update(HTML("<b>complete</b>"))
"""


@pytest.fixture
def dark(page):
    set_theme(page, "JupyterLab Dark")
    yield
    set_theme(page, "JupyterLab Light")


def test_libraries_show_what_they_show_locally(remote_notebook_of, page):
    notebook = remote_notebook_of(
        "rich",
        "%%rexec\nfrom tqdm import tqdm\nfor _ in tqdm(range(20), desc='plain'): pass",
        "%%rexec\nfrom tqdm.auto import tqdm\nfor _ in tqdm(range(20), desc='auto'): pass",
        "%%rexec\nimport matplotlib.pyplot as plt\nplt.figure(figsize=(4, 2))\nplt.plot([1, 3])\n"
        "plt.show()",
        "%%rexec\nimport pandas as pd\npd.DataFrame({'value': [1, 2, 3]})",
        "%%rexec\nimport rich\nrich.print('[bold red]rich[/] text')",
        UPDATED,
        "%%rexec\nimport plotly.graph_objects as go\n"
        "go.Figure(go.Scatter(y=[1, 3, 2]), layout={'height': 250})",
    )
    notebook.run_from(1)
    assert "plain: 100%" in notebook.output_text(1)
    expect(notebook.cell(2).locator(".jupyter-widgets").get_by_text("auto: 100%")).to_be_visible()
    expect(notebook.cell(3).locator("img[src^='data:image/png']")).to_be_visible()
    expect(notebook.cell(4).locator("table.dataframe tbody tr")).to_have_count(3)
    expect(notebook.cell(4).locator(".jp-OutputArea-prompt").last).to_have_text("[5]:")
    expect(notebook.cell(5).get_by_text("rich", exact=True)).to_have_css("font-weight", "700")
    expect(notebook.outputs(6).get_by_text("complete")).to_be_visible()
    expect(notebook.outputs(6).get_by_text("begun")).to_have_count(0)
    expect(notebook.cell(7).locator(".js-plotly-plot .main-svg").first).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 1800})
    notebook.cell(0).scroll_into_view_if_needed()
    screenshot(page, "libraries")
    page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_status_and_tables_are_readable(remote_notebook_of, page, request, gate, theme):
    if theme == "dark":
        request.getfixturevalue("dark")
    notebook = remote_notebook_of(
        f"readable-{theme}",
        "rows = list(range(1000))",
        f"%%rexec --progress-after 0 -o total\n{wait_for_file(gate)}total = sum(rows)\ntotal",
        "%rexec",
        "%rexec jobs",
        "%rexec who",
        "%%rexec --explain\nrows[:3]",
        "%%rexec --progress-after 0 -n failing\ntotal / 0",
    )
    notebook.run_from(1, wait=False)
    button = notebook.cell(2).get_by_role("button", name="Stop")
    expect(button).to_be_visible()
    screenshot(page, f"running-{theme}")
    assert contrast(notebook.status(2)) >= READABLE
    assert contrast(button) >= READABLE
    gate.touch()
    notebook.wait_until_run()
    expect(notebook.status(2)).to_contain_text(re.compile(r"received total \(\d+ B\)"))
    expect(notebook.status(7)).to_contain_text("ZeroDivisionError")
    page.set_viewport_size({"width": 1280, "height": 1400})
    screenshot(page, f"tables-{theme}")
    page.set_viewport_size({"width": 1280, "height": 900})
    seen = 0
    texts = notebook.panel.locator(".rexec-status, .rexec-status b, .rexec-table :is(td, th)")
    texts = texts.or_(notebook.panel.locator(".jp-RenderedHTMLCommon > div"))
    for element in texts.all():
        seen += 1
        assert contrast(element) >= READABLE, element.inner_text()
    assert seen > 20
