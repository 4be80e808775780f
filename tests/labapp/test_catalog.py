"""Searching the catalogs of endpoints that tell little, or that know no pages."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from rexec_jupyter.core.errors import AuthenticationError, NotConfiguredError
from rexec_jupyter.labapp.catalog import Catalog
from tests.endpoint.answering import Answering, Reply

ALL = ["local", "global", "pre_ckan"]


@pytest.fixture
def server(monkeypatch, tmp_path):
    with Answering() as server:
        monkeypatch.setenv("REXEC_CONFIG_DIR", str(tmp_path))
        monkeypatch.setenv("REXEC_URL", server.url)
        monkeypatch.setenv("REXEC_TOKEN", "a-token")
        yield server


@pytest.fixture
def catalog(server):
    with ThreadPoolExecutor(1) as pool:
        yield Catalog(pool)


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (Reply(404, {"detail": "Not Found"}), ALL),
        (Reply(200, {}), ALL),
        (Reply(200, {"pre_ckan_enabled": False}), ["local", "global"]),
        (
            Reply(200, {"local_catalog_backend": "mongodb", "pre_ckan_enabled": True}),
            ["local", "global", "pre_ckan"],
        ),
        (
            Reply(200, {"local_catalog_backend": "none", "pre_ckan_enabled": False}),
            ["global"],
        ),
        (
            Reply(
                200,
                {
                    "local_catalog_backend": "sqlite",
                    "global_enabled": False,
                    "pre_ckan_enabled": False,
                },
            ),
            ["local"],
        ),
    ],
)
def test_an_endpoint_has_the_catalogs_that_it_does_not_deny(server, catalog, answer, names):
    server.answer("GET", "/status/", answer)
    assert asyncio.run(catalog.offered()).names == names


def test_whoever_may_not_ask_is_told(server, catalog):
    server.answer("GET", "/status/", Reply(401, {"detail": "Invalid or expired token"}))
    with pytest.raises(AuthenticationError, match="Invalid or expired token"):
        asyncio.run(catalog.offered())


def test_a_catalog_that_the_endpoint_refuses_is_named(server, catalog):
    detail = "Pre-CKAN is disabled and cannot be used."
    server.answer("POST", "/search", Reply(400, {"detail": detail}))
    with pytest.raises(NotConfiguredError, match="does not search the catalog of what is to be"):
        asyncio.run(catalog.search("rain", "pre_ckan", 0, 20))
    with pytest.raises(NotConfiguredError) as caught:
        asyncio.run(catalog.search("rain", "pre_ckan", 0, 20))
    assert detail in caught.value.message
    assert "another catalog" in caught.value.hint


def test_an_endpoint_that_knows_no_pages_is_shown_in_pages(server, catalog):
    every = [{"name": f"rain-{number}"} for number in range(5)]
    server.answer("GET", "/search", Reply(200, every))
    for offset, names, more in ((0, ["rain-0", "rain-1"], True), (4, ["rain-4"], False)):
        found = asyncio.run(catalog.search("rain", "global", offset, 2))
        assert ([one.name for one in found.datasets], found.more) == (names, more)
        assert found.total == 5
