"""A JupyterLab and a Chromium for all browser tests, a fresh page for each."""

import os

import pytest
from playwright.sync_api import sync_playwright

from tests.backend.embedding import private_backend
from tests.browser.lab import running_lab
from tests.browser.notebook import screenshot

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


@pytest.fixture(scope="package")
def lab(tmp_path_factory):
    with private_backend(), running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


# Not for the whole session: while it is open no other test could use asyncio.run.
@pytest.fixture(scope="package")
def chromium():
    executable = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def page(lab, chromium, request):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    yield page
    if request.node.stash.get(FAILED, False):
        screenshot(page, f"failed-{request.node.name}")
    context.close()
    lab.shut_down_kernels()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report
