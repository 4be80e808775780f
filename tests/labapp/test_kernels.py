"""The panel's server side beside real kernels that use other backends than it shows."""

import pytest

from rexec_jupyter.core.settings import Settings
from tests.labapp.jupyter import Jupyter, Kernel

ONE = "https://one.example.org/ep"
SOON = 30.0


@pytest.fixture
def notebook(jupyter):
    """A kernel of this Jupyter server, with rexec loaded."""
    kernel = Kernel(jupyter)
    try:
        kernel.run("%load_ext rexec_jupyter")
        yield kernel
    finally:
        kernel.end()


def elsewhere(tab, expected, patience=60.0):
    tab.until(lambda tab: tab.elsewhere == expected, patience=patience)


def test_what_a_kernel_uses_instead_is_told_soon_and_by_all_tabs(jupyter, notebook, tab):
    tab.until(lambda tab: tab.connection.get("backend") == "embedded")
    with jupyter.stream() as other:
        for each in (tab, other):
            elsewhere(each, [])
        notebook.run(f"%rexec config url {ONE}")
        for each in (tab, other):
            elsewhere(each, [{"kernel": notebook.id, "url": ONE}], SOON)
    assert jupyter.get("state")["elsewhere"] == tab.elsewhere
    notebook.run("%rexec config url https://ada:s3cret@one.example.org")
    elsewhere(tab, [{"kernel": notebook.id, "url": ""}])
    assert b"s3cret" not in bytes(jupyter.received)
    notebook.run("%rexec config url default")
    elsewhere(tab, [], SOON)


def test_it_is_told_against_what_is_chosen_here_at_once(jupyter, notebook, tab):
    settings = Settings({"REXEC_CONFIG_DIR": str(jupyter.directory / "rexec")})
    notebook.run(f"%rexec config url {ONE}")
    elsewhere(tab, [{"kernel": notebook.id, "url": ONE}])
    try:
        jupyter.do("POST", "connection", url=ONE)
        elsewhere(tab, [], SOON)
        jupyter.do("POST", "connection", url="local")
        elsewhere(tab, [{"kernel": notebook.id, "url": ONE}], SOON)
        # One without a backend of its own follows, though it has not looked yet.
        notebook.run("%rexec config url default")
        elsewhere(tab, [])
        before = len(tab.news)
        jupyter.do("POST", "connection", url=ONE)
        tab.until(lambda tab: tab.connection["backend"] == "endpoint")
        assert not any(news.get("elsewhere") for news in tab.news[before:])
    finally:
        settings.unset("url", save=True)
    tab.until(lambda tab: tab.connection["backend"] == "embedded")


def test_an_environment_that_only_the_jupyter_server_has(embedded, tmp_path):
    assert embedded.root
    with Jupyter(tmp_path, REXEC_URL=ONE) as jupyter, jupyter.stream() as tab:
        kernel = Kernel(jupyter)
        try:
            kernel.run("import os; del os.environ['REXEC_URL']\n%load_ext rexec_jupyter")
            elsewhere(tab, [{"kernel": kernel.id, "url": "local"}])
        finally:
            kernel.end()
        elsewhere(tab, [], SOON)
