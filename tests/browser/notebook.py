"""What a person does with a notebook in JupyterLab, and what they then see."""

from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.lab import Lab

ARTIFACTS = Path(__file__).parent / "artifacts"
SECONDS = 1000  # in Playwright's milliseconds
OPEN_TIMEOUT = 60 * SECONDS
RUN_TIMEOUT = 60 * SECONDS


def open_notebook(page: Page, lab: Lab, path: str) -> "Notebook":
    """Open the notebook as the only document and wait for its kernel."""
    page.goto(f"{lab.url}/lab/tree/{path}?reset&token={lab.token}", timeout=OPEN_TIMEOUT)
    notebook = Notebook(page)
    expect(notebook.panel).to_be_visible(timeout=OPEN_TIMEOUT)
    notebook.wait_for_kernel("idle")
    return notebook


def screenshot(page: Page, name: str) -> Path:
    """Save what the page shows under `name` among the artifacts."""
    path = ARTIFACTS / f"{name}.png"
    page.screenshot(path=path)
    return path


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

    def wait_until_run(self, timeout: float = RUN_TIMEOUT) -> None:
        """Wait for everything that was run with `wait=False`, and all its output."""
        self.page.wait_for_function("() => window.rexecTestRuns === 0", timeout=timeout)

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

    def outputs(self, index: int) -> Locator:
        return self.cell(index).locator(".jp-OutputArea-output")

    def output_text(self, index: int) -> str:
        """Return the text of the cell's outputs as a person reads it."""
        self.cell(index).scroll_into_view_if_needed()
        return "\n".join(text.strip("\n") for text in self.outputs(index).all_inner_texts())

    def interrupt(self) -> None:
        """Press the toolbar's stop button."""
        self.panel.locator("[data-jp-item-name='interrupt']").get_by_role("button").click()

    def _run(self, command: str, *, wait: bool) -> None:
        # The command behind the run button; unlike a click it tells when the last output is there,
        # which the prompt cannot: after a restart a cell may go from [1] over [*] to [1] unseen.
        self.page.evaluate(
            """command => {
                window.rexecTestRuns = (window.rexecTestRuns ?? 0) + 1;
                window.jupyterapp.commands.execute(command)
                    .finally(() => { window.rexecTestRuns -= 1; });
            }""",
            command,
        )
        if wait:
            self.wait_until_run()
