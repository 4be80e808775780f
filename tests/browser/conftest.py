"""A JupyterLab and a page of Chromium for all browser tests, a fresh notebook for each."""

import os

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.backend.embedding import private_backend
from tests.browser.lab import running_lab
from tests.browser.notebook import SECONDS, close_all, new_page, open_lab, open_notebook, screenshot

CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

FAILED = pytest.StashKey[bool]()

# What does not come at all is found all the same, and what is slow is no defect.
expect.set_options(timeout=60 * SECONDS)


def pytest_itemcollected(item):
    """Give those of this folder longer than others: they wait for whole JupyterLabs."""
    item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="package")
def backend():
    with private_backend() as backend:
        yield backend


@pytest.fixture(scope="package")
def lab(backend, tmp_path_factory):
    assert backend.root  # in the environment, for the kernels
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


# Not for the whole session: while it is open no other test could use asyncio.run.
@pytest.fixture(scope="package")
def chromium():
    executable = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


# JupyterLab takes seconds to load, a notebook in it next to nothing.
@pytest.fixture(scope="package")
def window(lab, chromium):
    with new_page(chromium) as page:
        open_lab(page, lab)
        yield page


@pytest.fixture
def page(lab, window, request):
    yield window
    failed = request.node.stash.get(FAILED, False)
    if failed:
        screenshot(window, f"failed-{request.node.name}")
    close_all(window)
    lab.shut_down_kernels()
    if failed:
        open_lab(window, lab)  # whatever it left open there


@pytest.fixture
def gate(tmp_path):
    """What remote cells wait for; `touch` lets them go on."""
    path = tmp_path / "gate"
    yield path
    path.touch()  # whatever went wrong, nothing waits on


@pytest.fixture
def notebook_of(lab, page):
    """Return a function that saves code cells as a notebook and opens it."""
    return lambda name, *cells: open_notebook(page, lab.write_notebook(f"{name}.ipynb", *cells))


@pytest.fixture
def remote_notebook_of(notebook_of):
    """Return a function that does so with the extension loaded by a cell in front, cell 0."""

    def opened(name, *cells):
        notebook = notebook_of(name, "%load_ext rexec_jupyter", *cells)
        notebook.run_cell(0)
        return notebook

    return opened


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report
