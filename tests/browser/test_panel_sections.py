"""Every section of the panel, with a real backend behind it."""

import contextlib
import re
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import cloudpickle
import pytest
from playwright.sync_api import Error, expect

import rexec_jupyter as rexec
from rexec_jupyter.endpoint.client import EndpointClient
from rexec_jupyter.endpoint.errors import ConflictError, InvalidError
from tests.backend.brokering import until
from tests.browser.notebook import SECONDS, set_theme
from tests.browser.panel import SECTIONS, Panel
from tests.endpoint.canary import secret
from tests.endpoint.ckan_server import CkanServer
from tests.endpoint.service import Endpoint
from tests.waiting import wait_for_file

pytestmark = pytest.mark.browser

# The server has no tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

EVIL = "<img src=x onerror=\"document.title='broken'\">&amp;"
ARABIC = "تدريب النموذج"
LOUD = """
import sys
sys.stdout.write("\\x1b[31mred\\x1b[0m\\n")
sys.stdout.write("10%\\r55%\\n")
for number in range({lines}):
    print("line", number, "x" * 90)
"""


@pytest.fixture
def panel(page):
    return Panel(page).show()


@pytest.fixture
def client(backend):
    with rexec.connect("local") as client:
        yield client
        for session in client.sessions():
            client.session(session.session).stop()


@pytest.fixture
def files(tmp_path):
    """The address at which the test's files can be had."""
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def stopped(page, panel):
    """The embedded backend does not run."""
    connection = panel.section("connection")
    stop = connection.get_by_role("button", name="Stop the backend")
    said = connection.get_by_text("Stopped", exact=True)
    expect(stop.or_(said)).to_be_visible()
    with contextlib.suppress(Error):  # it ends by itself if nobody uses it
        if stop.count():
            panel.press(connection, "Stop the backend")
    expect(said).to_be_visible()


def test_the_embedded_backend_is_started_kept_and_stopped(page, panel, stopped):
    connection = panel.section("connection")
    connection.get_by_role("button", name="Start the backend").click()
    expect(connection).to_contain_text("Connected")
    expect(connection).to_contain_text("until it is stopped")
    expect(panel.section("servers")).to_contain_text("Python 3")
    connection.get_by_role("button", name="Stop the backend").click()
    expect(connection).to_contain_text("Stopped")


def test_nothing_is_lost_unasked(page, panel, client):
    session = client.session("precious")
    session.run_cell("weights = [1, 2, 3]")
    sessions = panel.section("sessions")
    stop = sessions.get_by_role("button", name="Stop session precious")
    expect(stop).to_be_visible()
    stop.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 variable (weights)")
    dialog.get_by_role("button", name="Keep it").click()
    assert session.run_cell("weights", value=True).value == [1, 2, 3]
    stop.click()
    dialog.get_by_role("button", name="Do it all the same").click()
    expect(stop).to_have_count(0)
    until(
        lambda: (
            {each.state for each in client.sessions() if each.session == "precious"} <= {"stopped"}
        ),
        "its end",
    )


def test_a_session_is_started_by_its_form_and_used_in_the_notebook(
    page, panel, client, remote_notebook_of
):
    notebook = remote_notebook_of("use", "")
    panel.show()
    sessions = panel.section("sessions")
    sessions.get_by_role("button", name="Start a session").click()
    form = sessions.get_by_role("form", name="Start a session")
    form.get_by_label("Name").fill("maps")
    form.get_by_role("button", name="Start", exact=True).click()
    use = sessions.get_by_role("button", name="use session maps")
    expect(use).to_be_visible()
    notebook.cell(1).click()
    use.click()
    expect(notebook.cell(1).locator(".cm-content")).to_have_text("%rexec use maps")
    notebook.run_cell(1)
    assert "maps" in notebook.output_text(1)


def test_names_are_text_whatever_is_in_them(page, panel, client, gate):
    client.session(EVIL).run_cell("x = 1")
    client.session(ARABIC).run_cell("x = 1")
    client.submit_call(wait_until, [str(gate)], label=EVIL)
    sessions, jobs = panel.section("sessions"), panel.section("jobs")
    expect(sessions).to_contain_text(EVIL)
    expect(sessions).to_contain_text(ARABIC)
    expect(jobs).to_contain_text(EVIL)
    # Text that runs the other way leaves the rest of its row as it is.
    expect(sessions.locator("bdi", has_text=ARABIC).first).to_be_visible()
    jobs.get_by_role("button", name="Log of").first.click()
    expect(jobs.get_by_role("log")).to_be_visible()
    sessions.get_by_role("button", name=f"Stop session {EVIL}").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Keep it").click()
    assert panel.panel.locator("img").count() == 0
    assert page.title() != "broken"


def test_five_hundred_jobs_are_a_short_list_to_draw(page, panel, client):
    jobs = [client.submit_call(abs, [-number], label=f"number {number}") for number in range(500)]
    assert [job.result(60) for job in jobs] == list(range(500))
    section = panel.section("jobs")
    rows = section.get_by_role("listitem")
    expect(section.get_by_role("option", name=re.compile(r"All \([5-9]\d\d\)"))).to_have_count(1)
    assert rows.count() < 60
    assert int(rows.first.get_attribute("aria-setsize")) >= 500
    section.get_by_role("searchbox").fill("number 77")
    expect(rows).to_have_count(1)
    rows.first.get_by_role("button", name="Log of number 77").click()
    expect(section.get_by_role("log")).to_be_visible()
    section.get_by_role("searchbox").fill("")


def test_a_log_is_followed_and_its_end_is_told(page, panel, client, gate):
    code = LOUD.format(lines=50_000) + wait_for_file(gate) + "print('the very end')"
    job = client.session("loud").submit_cell(code)
    section = panel.section("jobs")
    section.get_by_role("listitem").filter(has_text="loud").get_by_role("button").first.click()
    log = section.get_by_role("log")
    expect(log).to_contain_text("line 49999")
    # Five megabytes, of which the page has the end.
    assert log.locator(".rexec-Log-line").count() < 10_000
    gate.touch()
    expect(log).to_contain_text("the very end")
    expect(section.get_by_role("region", name="Log of")).to_contain_text("done")
    job.result(60)
    bottom = "node => node.scrollHeight - node.clientHeight - node.scrollTop"
    until(lambda: log.evaluate(bottom) < 20, "the bottom of the log")


def test_progress_and_load_are_seen(page, panel, client, gate):
    busy = "print('10%\\r 42%|####      | 42/100', end='', flush=True)\n"
    code = (
        busy
        + f"data = bytearray(200_000_000)\nimport os\nwhile not os.path.exists({str(gate)!r}): pass"
    )
    client.session("busy").submit_cell(code)
    bar = panel.section("jobs").get_by_role("progressbar").first
    expect(bar).to_have_attribute("aria-valuenow", "42")
    usage = panel.section("usage")
    expect(usage).to_contain_text("cores")
    # Of a core it has what others leave it; a server that does nothing takes less.
    page.wait_for_function(
        r"""() => {
            const text = document.querySelector('[data-section=usage]').innerText;
            const cores = Number(/([0-9.]+) of [0-9.]+ cores/.exec(text)?.[1] ?? 0);
            const megabytes = Number(/([0-9.]+) MB/.exec(text)?.[1] ?? 0);
            return cores > 0.04 && megabytes > 200;
        }""",
        timeout=60 * SECONDS,
    )


def test_a_dataset_is_found_and_the_code_that_loads_it_inserted(
    page, panel, client, remote_notebook_of, tmp_path, files
):
    (tmp_path / "rain.csv").write_text("hour,mm\n1,0.5\n2,1.5\n")
    name = f"rain-{time.time_ns()}"
    register(name, f"Rain {EVIL}", f"{files}/rain.csv")
    notebook = remote_notebook_of("data", "")
    panel.show()
    catalog = panel.section("catalog")
    catalog.get_by_role("searchbox").fill(name)
    catalog.get_by_role("button", name="Search", exact=True).click()
    expect(catalog).to_contain_text(EVIL)
    notebook.cell(1).click()
    catalog.get_by_role("button", name="Insert the code that loads sums").click()
    expect(notebook.cell(1).locator(".cm-content")).to_contain_text("read_csv")
    notebook.run_cell(1)
    assert "mm" in notebook.output_text(1)
    assert page.title() != "broken"


@pytest.fixture
def catalogs(tmp_path_factory):
    """An endpoint with a catalog of its own and the global one behind it, and a token for it."""
    directory = tmp_path_factory.mktemp("endpoint")
    token = secret("admin")
    with CkanServer() as everybody:
        lab = everybody.add_organization("snow-lab")
        for number in range(30):
            everybody.add_package(f"snow-{number:02}", lab)
        resources = [{"name": "depths", "url": "https://e.org/depths.csv", "format": "CSV"}]
        everybody.add_package("depths", lab, notes="snow", resources=[*resources, {"url": "/x"}])
        settings = {
            "REXEC_EP_DEVELOPMENT": "true",
            "TEST_TOKEN": token,
            "CKAN_GLOBAL_URL": everybody.url,
        }
        with Endpoint(directory, settings) as endpoint:
            yield endpoint.url, token


def test_the_catalog_to_search_is_chosen_by_the_keyboard_in_a_narrow_panel(
    page, panel, remote_notebook_of, catalogs
):
    url, token = catalogs
    connection, catalog = panel.section("connection"), panel.section("catalog")
    notebook = remote_notebook_of(
        "far",
        f"%rexec config url {url} --save",
        f"%rexec logout --url {url}\n%rexec config url local --save",
    )
    panel.show()
    which = catalog.get_by_role("combobox", name="Which catalog")
    try:
        expect(which).to_have_count(0)
        notebook.run_cell(1)
        expect(connection.locator("dd", has_text=url)).to_be_visible()
        connection.get_by_role("button", name="Log in").first.click()
        form = connection.get_by_role("form", name="Log in to an endpoint")
        form.get_by_label("Token", exact=True).fill(token)
        form.get_by_role("button", name="Log in").click()
        expect(which.get_by_role("option")).to_have_text(["This endpoint", "Global catalog"])
        panel.resize(200)
        which.focus()
        page.keyboard.press("Tab")
        page.keyboard.type("snow")
        page.keyboard.press("Enter")
        said = catalog.get_by_role("status")
        expect(said).to_contain_text("Nothing was found")
        page.keyboard.press("Shift+Tab")
        expect(which).to_be_focused()
        page.keyboard.press("ArrowDown")
        expect(said).to_have_text("The first 20 datasets")
        expect(which).to_be_focused()
        resources = catalog.locator(".rexec-Resource")
        expect(resources).to_have_count(2)
        depths, relative = resources.all()
        expect(depths.get_by_role("button")).to_have_attribute("title", re.compile("read_csv"))
        expect(relative.get_by_role("button")).to_have_attribute("aria-disabled", "true")
        assert panel.panel.evaluate("panel => panel.scrollWidth <= panel.clientWidth")
        assert panel.findings() == []
        page.keyboard.press("ArrowUp")
        expect(said).to_contain_text("Nothing was found")
        expect(catalog.get_by_role("listitem")).to_have_count(0)
    finally:
        notebook.run_cell(2)
    expect(connection).to_contain_text("this computer")
    expect(which).to_have_count(0)


def test_everything_is_reached_by_the_keyboard_alone(page, panel, client, remote_notebook_of):
    client.session("keys").run_cell("x = 1")
    for name in SECTIONS:
        panel.section(name)
    expect(panel.section("sessions")).to_contain_text("keys")
    panel.panel.evaluate(
        """panel => {
            const kinds = 'button, a[href], input, select, textarea, summary';
            const there = () => [...panel.querySelectorAll(kinds)]
                .filter(node => node.checkVisibility() && node.tabIndex >= 0);
            const before = new Set(there());
            window.rexecTestReached = new Set();
            // What comes or goes meanwhile may be reached or not.
            window.rexecTestMissed = () => there()
                .filter(node => before.has(node) && !window.rexecTestReached.has(node))
                .map(node => node.outerHTML);
        }"""
    )
    panel.panel.locator(".rexec-Section-toggle").first.focus()
    reached = 1
    while page.evaluate("() => !!document.activeElement?.closest('#rexec-panel')"):
        look = page.evaluate(
            """() => {
                const node = document.activeElement;
                window.rexecTestReached.add(node);
                const frames = [null, "::after"].map(part => getComputedStyle(node, part));
                return [node.outerHTML, frames.some(({ outlineStyle }) => outlineStyle !== "none")];
            }"""
        )
        assert look[1] or reached == 1, look  # the first one was not reached by a key
        page.keyboard.press("Tab")
        reached += 1
        assert reached < 300
    assert page.evaluate("() => window.rexecTestMissed()") == []


def test_what_a_notebook_is_told_holds_here_and_an_alert_leads_to_what_mends_it(
    page, panel, remote_notebook_of
):
    url = "http://127.0.0.1:9/lab"
    notebook = remote_notebook_of(
        "agree", f"%rexec config url {url} --save", "%rexec config url local --save"
    )
    panel.show()
    connection = panel.section("connection")
    try:
        notebook.run_cell(1)
        expect(connection).to_contain_text("Not logged in")
        alerts = panel.panel.locator(".rexec-Alerts").get_by_role("listitem")
        alert = alerts.filter(has_text="There is no token for")
        expect(alert).to_be_visible()
        for theme in ("Light", "Dark"):
            set_theme(page, f"JupyterLab {theme}")
            panel.picture_of(panel.panel.locator(".rexec-Alerts"), f"alerts-{theme.lower()}")
        alert.get_by_role("button", name="Log in").click()
        form = connection.get_by_role("form", name="Log in to an endpoint")
        expect(form.get_by_label("Address")).to_have_value(url)
        form.get_by_label("Token", exact=True).fill("no-such-token")
        form.get_by_role("button", name="Log in").click()
        # Nobody is there to ask.
        expect(form).to_contain_text("Connection refused")
        assert "no-such-token" not in page.content()
    finally:
        set_theme(page, "JupyterLab Light")
        notebook.run_cell(2)
    expect(connection).to_contain_text("this computer")
    expect(alerts).to_have_count(0)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures_of_the_sections(page, panel, client, gate, theme):
    register("rainfall-2026", "Rainfall, hourly sums", "https://data.example.org/2026.csv")
    client.session("analysis").run_cell("x = 1")
    loading = client.submit_call(abs, [-1], label="load_gauges")
    loading.result(60)
    code = f"for step in range(30): print(f'epoch {{step}}', flush=True)\n{wait_for_file(gate)}"
    client.session("training").submit_cell(code, label="train the model")
    set_theme(page, f"JupyterLab {theme}")
    page.set_viewport_size({"width": 1280, "height": 1600})
    try:
        panel.resize(360)
        expect(panel.section("sessions")).to_contain_text("busy")
        row = panel.section("jobs").get_by_role("listitem").filter(has_text="train the model")
        row.filter(has_text="running").get_by_role("button", name="Log of").click()
        expect(panel.section("jobs").get_by_role("log")).to_contain_text("epoch 29")
        catalog = panel.section("catalog")
        catalog.get_by_role("searchbox").fill("rainfall")
        catalog.get_by_role("button", name="Search", exact=True).click()
        expect(catalog).to_contain_text("hourly sums")
        # Some seconds of it.
        line = "() => (document.querySelector('.rexec-Plot-line')?.getTotalLength() ?? 0) > 20"
        page.wait_for_function(line, timeout=60 * SECONDS)
        for name in SECTIONS:
            panel.picture_of(panel.section(name), f"{name}-{theme.lower()}")
    finally:
        gate.touch()
        page.set_viewport_size({"width": 1280, "height": 900})
        set_theme(page, "JupyterLab Light")


def register(name, title, url):
    """Have a dataset in the catalog of the embedded backend."""
    with EndpointClient.local() as endpoint:
        with contextlib.suppress(ConflictError, InvalidError):
            endpoint.register_organization({"name": "hydrology", "title": "Hydrology"})
        resources = [{"name": "sums", "format": "CSV", "url": url}]
        dataset = {"name": name, "title": title, "owner_org": "hydrology", "resources": resources}
        with contextlib.suppress(ConflictError, InvalidError):
            endpoint.register_general_dataset(dataset)


def wait_until(path):
    import time
    from pathlib import Path

    while not Path(path).exists():
        time.sleep(0.02)
