"""What the panel says when things go wrong around it, and that it is right again afterwards."""

import contextlib
import os
import signal

import pytest
from playwright.sync_api import Error, expect

import rexec_jupyter as rexec
from tests.browser.lab import running_lab
from tests.browser.notebook import SECONDS, open_lab
from tests.browser.panel import SEEN, Panel

pytestmark = pytest.mark.browser


@contextlib.contextmanager
def shown(chromium, lab, *, clock=False):
    """Show the panel of a JupyterLab in a window of its own."""
    context = chromium.new_context(viewport={"width": 1000, "height": 900})
    page = context.new_page()
    if clock:
        page.clock.install()
    try:
        open_lab(page, lab)
        yield Panel(page).show()
    finally:
        context.close()


@pytest.fixture
def client(backend):
    with rexec.connect("local") as client:
        yield client
        for session in client.sessions():
            client.session(session.session).stop()


def test_it_survives_the_jupyter_servers_restart(client, chromium, tmp_path):
    client.session("before").run_cell("x = 1")
    with contextlib.ExitStack() as stack:
        with running_lab(tmp_path) as lab:
            panel = stack.enter_context(shown(chromium, lab))
            expect(panel.section("sessions")).to_contain_text("before", timeout=SEEN)
        contact = panel.panel.locator(".rexec-Contact")
        expect(contact).to_contain_text("cannot be reached", timeout=SEEN)
        # What was known stays in sight.
        expect(panel.section("sessions")).to_contain_text("before")
        client.session("meanwhile").run_cell("x = 1")
        with running_lab(tmp_path, again=lab):
            with contextlib.suppress(Error):  # it may have tried again by itself
                contact.get_by_role("button", name="Try again").click(timeout=2 * SECONDS)
            expect(contact).to_be_empty(timeout=SEEN)
            expect(panel.section("sessions")).to_contain_text("meanwhile", timeout=SEEN)


def test_an_hour_of_sleep_is_made_up_for(client, chromium, lab):
    client.session("evening").run_cell("x = 1")
    with shown(chromium, lab, clock=True) as panel:
        sessions = panel.section("sessions")
        expect(sessions).to_contain_text("evening", timeout=SEEN)
        panel.page.clock.fast_forward("01:00:00")
        client.session("morning").run_cell("x = 1")
        expect(sessions).to_contain_text("morning", timeout=3 * SEEN)
        expect(panel.panel.locator(".rexec-Contact")).to_be_empty(timeout=SEEN)


def test_the_end_of_the_backend_is_told_and_its_return_seen(client, backend, chromium, lab):
    client.session("first").run_cell("x = 1")
    with shown(chromium, lab) as panel:
        connection = panel.section("connection")
        expect(panel.section("sessions")).to_contain_text("first", timeout=SEEN)
        os.kill(backend.status()["pid"], signal.SIGKILL)
        expect(connection).not_to_contain_text("Connected", timeout=3 * SEEN)
        with rexec.connect("local", timeout=60) as again:
            again.session("second").run_cell("x = 1")
            expect(connection).to_contain_text("Connected", timeout=3 * SEEN)
            expect(panel.section("sessions")).to_contain_text("second", timeout=SEEN)


def test_the_first_content_is_there_at_once(client, chromium, lab):
    client.session("quick").run_cell("x = 1")
    with shown(chromium, lab) as panel:
        page = panel.page
        expect(panel.section("sessions")).to_contain_text("quick", timeout=SEEN)
        page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        expect(panel.panel).to_be_hidden()
        panel.show()
        # It is not read anew: what is known is drawn in the moment in which it is shown.
        text = page.evaluate("() => document.querySelector('#rexec-panel').innerText")
        assert "quick" in text


def test_without_its_server_extension_the_page_says_what_to_install(chromium, tmp_path):
    config = tmp_path / ".jupyter"
    config.mkdir()
    (config / "jupyter_server_config.json").write_text(
        '{"ServerApp": {"jpserver_extensions": {"rexec_jupyter.labapp": false}}}'
    )
    with running_lab(tmp_path) as lab, shown(chromium, lab) as panel:
        contact = panel.panel.locator(".rexec-Contact")
        expect(contact).to_contain_text("without the rexec extension", timeout=30 * SECONDS)
        expect(contact).to_contain_text("Install rexec-jupyter")
