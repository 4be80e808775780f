"""What a person does with the panel, and what they then see."""

import os
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.backend.brokering import until
from tests.browser.notebook import ARTIFACTS

AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"
SECTIONS = ("connection", "servers", "sessions", "jobs", "usage", "environment", "catalog")
PICTURES = Path(os.environ.get("REXEC_PICTURES") or ARTIFACTS)


class Panel:
    """The panel in the sidebar, shown."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.panel: Locator = page.locator("#rexec-panel")

    def show(self) -> "Panel":
        """Show it as the command does."""
        self.page.evaluate("() => { window.jupyterapp.commands.execute('rexec:show'); }")
        expect(self.panel).to_be_visible()
        return self

    def section(self, name: str) -> Locator:
        """Return a section, opened: connection, servers, sessions, jobs, usage, …."""
        section = self.panel.locator(f"[data-section={name}]")
        toggle = section.locator(".rexec-Section-toggle")
        if toggle.get_attribute("aria-expanded") == "false":
            toggle.click()
        return section

    def resize(self, width: int) -> None:
        """Give the panel a width, by dragging its edge; JupyterLab itself would stop at 250."""
        self.page.evaluate(
            """() => {
                document.body.style.setProperty('--jp-sidebar-min-width', '150px');
                window.jupyterapp.shell.collapseLeft();
                window.jupyterapp.shell.activateById('rexec-panel');
            }"""
        )
        expect(self.panel).to_be_visible()
        until(lambda: self._drag(width), f"a panel {width} pixels wide")

    def _drag(self, width: int) -> bool:
        """Drag its edge; tell whether it has the width, for it may have been moving still."""
        box = self.panel.bounding_box()
        edge = self.page.locator("#jp-main-split-panel > .lm-SplitPanel-handle").first
        handle = edge.bounding_box()
        assert box
        assert handle
        x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + width - box["width"], y, steps=4)
        self.page.mouse.up()
        # What the mouse did is drawn after that.
        self.page.evaluate(
            "() => new Promise(drawn => requestAnimationFrame(() => setTimeout(drawn)))"
        )
        own = self.panel.evaluate("panel => panel.clientWidth")
        return bool(abs(own - width) < 30)

    def press(self, section: Locator, name: str) -> None:
        """Press a button, and have it done even if something is lost."""
        section.get_by_role("button", name=name).click()
        dialog = self.page.get_by_role("dialog")
        expect(dialog.or_(section.get_by_text("Stopped", exact=True))).to_be_visible()
        if dialog.count():
            dialog.get_by_role("button", name="Do it all the same").click()

    def picture_of(self, section: Locator, name: str) -> None:
        """Save what a section looks like; for the documentation, if REXEC_PICTURES names it."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        section.screenshot(path=PICTURES / f"{name}.png", animations="disabled")

    def findings(self) -> list[dict[str, Any]]:
        """Return what axe finds that is serious or critical."""
        if not self.page.evaluate("() => Boolean(window.axe)"):
            self.page.add_script_tag(path=AXE)
        found = self.page.evaluate("() => window.axe.run('#rexec-panel')")
        return [
            {"id": each["id"], "nodes": [node["html"] for node in each["nodes"]]}
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]
