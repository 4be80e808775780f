"""What the panel says when things go wrong around it, and that it is right again afterwards."""

import contextlib
import os
import signal

import pytest
from playwright.sync_api import Error, expect

import rexec_jupyter as rexec
from tests.backend.embedding import Lease
from tests.browser.lab import new_lab, running, running_lab
from tests.browser.notebook import SECONDS, new_page, open_lab
from tests.browser.panel import Panel

pytestmark = pytest.mark.browser


@contextlib.contextmanager
def shown(chromium, lab, *, clock=False):
    """Show the panel of a JupyterLab in a window of its own."""
    with new_page(chromium) as page:
        if clock:
            page.clock.install()
        open_lab(page, lab)
        yield Panel(page).show()


@contextlib.contextmanager
def using():
    """Use the backend; no session is left there."""
    with rexec.connect("local", timeout=60) as client:
        yield client
        for session in client.sessions():
            client.session(session.session).stop()


@pytest.fixture
def client(backend):
    with using() as client:
        yield client


def test_it_survives_the_jupyter_servers_restart(client, chromium, tmp_path):
    client.session("before").run_cell("x = 1")
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(new_lab(tmp_path))
        with running(lab):
            panel = stack.enter_context(shown(chromium, lab))
            expect(panel.section("sessions")).to_contain_text("before")
        contact = panel.panel.locator(".rexec-Contact")
        expect(contact).to_contain_text("cannot be reached")
        # What was known stays in sight.
        expect(panel.section("sessions")).to_contain_text("before")
        client.session("meanwhile").run_cell("x = 1")
        with running(lab):
            with contextlib.suppress(Error):  # it may have tried again by itself
                contact.get_by_role("button", name="Try again").click(timeout=2 * SECONDS)
            expect(contact).to_be_empty()
            expect(panel.section("sessions")).to_contain_text("meanwhile")


def test_an_hour_of_sleep_is_made_up_for(client, chromium, lab):
    client.session("evening").run_cell("x = 1")
    with shown(chromium, lab, clock=True) as panel:
        sessions = panel.section("sessions")
        expect(sessions).to_contain_text("evening")
        panel.page.clock.fast_forward("01:00:00")
        client.session("morning").run_cell("x = 1")
        expect(sessions).to_contain_text("morning")
        expect(panel.panel.locator(".rexec-Contact")).to_be_empty()


def test_the_end_of_the_backend_is_told_and_its_return_seen(backend, chromium, lab):
    with contextlib.ExitStack() as stack:
        with rexec.connect("local") as client:
            client.session("first").run_cell("x = 1")
            # It keeps the backend as a client does, but starts no other one unseen.
            stack.enter_context(Lease(backend.paths.socket))
        panel = stack.enter_context(shown(chromium, lab))
        connection = panel.section("connection")
        expect(panel.section("sessions")).to_contain_text("first")
        os.kill(backend.status()["pid"], signal.SIGKILL)
        expect(connection).not_to_contain_text("Connected")
        with using() as again:
            again.session("second").run_cell("x = 1")
            expect(connection).to_contain_text("Connected")
            expect(panel.section("sessions")).to_contain_text("second")


def test_the_first_content_is_there_at_once(client, chromium, lab):
    client.session("quick").run_cell("x = 1")
    with shown(chromium, lab) as panel:
        page = panel.page
        expect(panel.section("sessions")).to_contain_text("quick")
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
        expect(contact).to_contain_text("without the rexec extension")
        expect(contact).to_contain_text("Install rexec-jupyter")
