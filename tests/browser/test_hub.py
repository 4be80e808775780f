"""The panel in the JupyterLab that a JupyterHub gives its users."""

import pytest
from playwright.sync_api import expect

from tests.browser.notebook import new_page
from tests.browser.panel import Panel
from tests.labapp.hub import Hub

pytestmark = pytest.mark.browser


@pytest.fixture
def hub(backend, tmp_path):
    """A hub; nobody is logged in."""
    assert backend.root  # in the environment
    with Hub(tmp_path) as hub:
        yield hub


def test_who_logs_in_to_a_hub_has_a_live_panel(hub, backend, chromium):
    with new_page(chromium) as page:
        page.goto(f"{hub.url}/hub/login")
        page.get_by_label("Username").fill("ann")
        page.get_by_label("Password").fill("any")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{hub.url}/user/ann/lab**")
        page.locator(".rexec-Status").click()
        panel = Panel(page)
        contact = panel.panel.locator(".rexec-Contact")
        connection = panel.section("connection")
        expect(connection).to_contain_text("No rexec server runs")
        expect(contact).to_be_empty()
        connection.get_by_role("button", name="Start").click()
        expect(connection).to_contain_text("Connected")
        expect(contact).to_be_empty()
        panel.press(connection, "Stop")
        expect(connection).to_contain_text("Stopped")
