"""What a person does with a notebook in JupyterLab, and what they then see."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.lab import Lab

ARTIFACTS = Path(__file__).parent / "artifacts"
SECONDS = 1000  # in Playwright's milliseconds
OPEN_TIMEOUT = 120 * SECONDS
RUN_TIMEOUT = 120 * SECONDS


@contextmanager
def new_page(browser: Browser, **options: Any) -> Iterator[Page]:
    """Open a page in a window of its own; what is slow there is waited for."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
    context.set_default_timeout(OPEN_TIMEOUT)
    try:
        yield context.new_page()
    finally:
        context.close()


def open_lab(page: Page, lab: Lab) -> None:
    """Load JupyterLab, without documents and with room for one."""
    page.goto(f"{lab.url}/lab?reset&token={lab.token}")
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.evaluate("() => window.jupyterapp.restored")
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    close_all(page)


def open_notebook(page: Page, path: str) -> "Notebook":
    """Open the notebook as the only document and wait for its kernel."""
    page.evaluate(
        """async path => {
            window.rexecTestRuns = { left: 0 };
            const { commands, shell } = window.jupyterapp;
            await commands.execute("docmanager:open", { path });
            // There is one whenever nothing else is open.
            [...shell.widgets("main")].filter(({ id }) => id.startsWith("launcher"))
                .forEach(launcher => launcher.close());
        }""",
        path,
    )
    notebook = Notebook(page)
    expect(notebook.panel).to_be_visible(timeout=OPEN_TIMEOUT)
    notebook.wait_for_kernel("idle")
    return notebook


def close_all(page: Page) -> None:
    """Close all documents without saving them."""
    page.evaluate(
        """() => {
            for (const widget of [...window.jupyterapp.shell.widgets("main")]) {
                if (widget.context) {
                    widget.context.model.dirty = false;
                }
                widget.close();
            }
        }"""
    )


def screenshot(page: Page, name: str) -> Path:
    """Save what the page shows under `name` among the artifacts."""
    path = ARTIFACTS / f"{name}.png"
    page.screenshot(path=path)
    return path


def set_theme(page: Page, name: str) -> None:
    """Change JupyterLab's theme, as the settings menu does."""
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name
    )
    page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)
    expect(page.locator("#jupyterlab-splash")).to_have_count(0)


def contrast(element: Locator) -> float:
    """Return the contrast of an element's text with what lies behind it, as WCAG 2 counts it."""
    return element.evaluate(
        """element => {
            const canvas = document.createElement("canvas").getContext("2d");
            const parse = colour => {
                canvas.clearRect(0, 0, 1, 1);
                canvas.fillStyle = colour;
                canvas.fillRect(0, 0, 1, 1);
                const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
                return { rgb: [red, green, blue], alpha: alpha / 255 };
            };
            const over = (top, bottom) =>
                top.rgb.map((value, i) => value * top.alpha + bottom[i] * (1 - top.alpha));
            const behind = [];
            for (let node = element; node; node = node.parentElement) {
                behind.push(parse(getComputedStyle(node).backgroundColor));
            }
            const ground = behind
                .reverse()
                .reduce((below, layer) => over(layer, below), [255, 255, 255]);
            const text = over(parse(getComputedStyle(element).color), ground);
            const luminance = rgb => rgb
                .map(value => value / 255)
                .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
                .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
            const [dark, light] = [luminance(text), luminance(ground)].sort((a, b) => a - b);
            return (light + 0.05) / (dark + 0.05);
        }"""
    )


class Notebook:
    """The notebook in front; its cells count from 0."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.panel: Locator = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def cell(self, index: int) -> Locator:
        return self.panel.locator(".jp-Notebook .jp-Cell").nth(index)

    def prompt(self, index: int) -> str:
        """Return `[3]:` for a cell that ran third, `[*]:` for one that runs or waits."""
        return self.cell(index).locator(".jp-InputArea-prompt").inner_text()

    def run_cell(self, index: int, *, wait: bool = True) -> None:
        self.cell(index).locator(".jp-InputArea-prompt").click()
        self._run("notebook:run-cell", wait=wait)

    def run_all(self, *, wait: bool = True) -> None:
        self._run("notebook:run-all-cells", wait=wait)

    def run_from(self, index: int, *, wait: bool = True) -> None:
        """Run a cell and all below it."""
        self.cell(index).locator(".jp-InputArea-prompt").click()
        self._run("notebook:run-all-below", wait=wait)

    def wait_until_run(self, timeout: float = RUN_TIMEOUT) -> None:
        """Wait for everything that was run with `wait=False`, and all its output."""
        self.page.wait_for_function("() => window.rexecTestRuns.left === 0", timeout=timeout)

    def wait_for_kernel(self, status: str, timeout: float = RUN_TIMEOUT) -> None:
        """Wait until the kernel is connected and `idle`, `busy` or of another status."""
        # Asked of the application: the indicator on the page says idle before there is a kernel.
        self.page.wait_for_function(
            """status => {
                const session = window.jupyterapp?.shell.currentWidget?.sessionContext;
                const kernel = session?.isReady ? session.session?.kernel : null;
                return kernel?.connectionStatus === "connected" && kernel.status === status;
            }""",
            arg=status,
            timeout=timeout,
        )

    def status(self, index: int) -> Locator:
        """Return the status line of a remote cell."""
        return self.cell(index).get_by_role("status")

    def outputs(self, index: int) -> Locator:
        return self.cell(index).locator(".jp-OutputArea-output")

    def output_text(self, index: int) -> str:
        """Return the text of the cell's outputs as a person reads it."""
        self.cell(index).scroll_into_view_if_needed()
        return "\n".join(text.strip("\n") for text in self.outputs(index).all_inner_texts())

    def interrupt(self) -> None:
        """Press the toolbar's stop button."""
        self.panel.locator("[data-jp-item-name='interrupt']").get_by_role("button").click()

    def restart(self) -> None:
        """Restart the kernel as the menu does, and wait for the new one."""
        self.page.evaluate(
            """() => {
                window.rexecTestRestart =
                    window.jupyterapp.commands.execute("notebook:restart-kernel");
            }"""
        )
        self.page.locator(".jp-Dialog").get_by_role("button", name="Confirm").click()
        self.page.evaluate("() => window.rexecTestRestart")
        self.page.evaluate("() => { window.rexecTestRuns = { left: 0 }; }")  # those are torn off
        self.wait_for_kernel("idle")

    def save(self) -> None:
        """Save the notebook and wait until its file is written."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def _run(self, command: str, *, wait: bool) -> None:
        # The command behind the run button; unlike a click it tells when the last output is there,
        # which the prompt cannot: after a restart a cell may go from [1] over [*] to [1] unseen.
        self.page.evaluate(
            """command => {
                // Whatever ends after another beginning was made is not counted there.
                const runs = (window.rexecTestRuns ??= { left: 0 });
                runs.left += 1;
                window.jupyterapp.commands.execute(command).finally(() => { runs.left -= 1; });
            }""",
            command,
        )
        if wait:
            self.wait_until_run()
