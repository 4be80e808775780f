"""The commands that look after a catalog: migrate, backup and restore."""

import concurrent.futures
import stat
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tests.endpoint.canary import secret
from tests.endpoint.service import Endpoint


@pytest.fixture
def catalog(tmp_path):
    """Return an endpoint that is not started, with a database of its own."""

    def settings(url, directory="service"):
        (tmp_path / directory).mkdir(exist_ok=True)
        return Endpoint(tmp_path / directory, {"REXEC_EP_DATABASE_URL": url})

    return settings


@pytest.fixture
def new_url(tmp_path, postgres_server):
    """Return addresses of empty databases."""
    return {
        "sqlite": lambda: f"sqlite:///{tmp_path}/{secret('catalog')[-8:]}.sqlite3",
        "postgresql": postgres_server.new_database,
    }


def told(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("before", "after"), [("sqlite", "postgresql"), ("postgresql", "sqlite")])
def test_a_backup_of_a_running_service_is_restored_into_either_kind_of_database(
    tmp_path, identity, new_url, before, after
):
    file = tmp_path / "backup"
    settings = {"AUTH_API_URL": identity.url}
    dataset = {
        "name": "rain",
        "title": "Regen 雨",
        "owner_org": "lab",
        "extras": {"depth": {"mm": [1, 2.5, None]}},
        "tags": ["a", "b"],
        "resources": [{"url": "https://example.org/rain.csv", "name": "rain", "format": "CSV"}],
    }
    found = []
    for kind in (before, after):
        (tmp_path / kind).mkdir()
        url = new_url[kind]()
        endpoint = Endpoint(tmp_path / kind, settings | {"REXEC_EP_DATABASE_URL": url})
        if kind == after:
            assert "1 datasets" in told(endpoint.run("restore", file))
        with endpoint, endpoint.client(identity.token("writer")) as client:
            if kind == before:
                new = {"name": "lab", "title": "Lab"}
                assert client.post("/organization", json=new).status_code == 201
                assert client.post("/dataset", json=dataset).status_code == 201
                assert "1 datasets" in told(endpoint.run("backup", file))
                assert stat.S_IMODE(file.stat().st_mode) == 0o600
            found.append(client.get("/search", params={"terms": "regen", "server": "local"}).json())
    assert found[0] == found[1]
    assert len(found[0]) == 1


def test_a_catalog_that_holds_something_is_replaced_only_if_asked(identity, new_url, tmp_path):
    file = tmp_path / "backup"
    settings = {"AUTH_API_URL": identity.url, "REXEC_EP_DATABASE_URL": new_url["sqlite"]()}
    endpoint = Endpoint(tmp_path, settings)
    told(endpoint.run("backup", file))
    with endpoint, endpoint.client(identity.token("writer")) as client:
        assert client.post("/organization", json={"name": "lab", "title": "L"}).status_code == 201
        refused = endpoint.run("restore", file)
        assert refused.returncode == 1
        assert "not empty" in refused.stderr
        assert "lab" in client.get("/organization").json()
        told(endpoint.run("restore", "--replace", file))
        assert client.get("/organization").json() == ["services"]


def test_half_a_backup_is_refused_as_a_whole(catalog, new_url, tmp_path):
    endpoint = catalog(new_url["sqlite"]())
    file = tmp_path / "backup"
    told(endpoint.run("backup", file))
    file.write_bytes(file.read_bytes()[:-20])
    refused = endpoint.run("restore", file)
    assert refused.returncode == 3
    assert "Traceback" not in refused.stderr


def test_files_that_cannot_be_are_named(catalog, new_url, tmp_path):
    endpoint = catalog(new_url["sqlite"]())
    for command in ("backup", "restore"):
        refused = endpoint.run(command, tmp_path / "nowhere" / "backup")
        assert refused.returncode == 1
        assert "No such file or directory" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_migrating_twice_changes_nothing(catalog, new_url):
    endpoint = catalog(new_url["postgresql"]())
    assert told(endpoint.run("migrate")) == told(endpoint.run("migrate"))


def test_only_what_another_attempt_cannot_mend_ends_in_a_code_of_its_own(catalog, new_url):
    url = new_url["postgresql"]()
    endpoint = catalog(url)
    told(endpoint.run("migrate"))
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    refused = endpoint.run("migrate")
    assert (refused.returncode, "newer version" in refused.stderr) == (3, True)
    assert catalog("postgresql://somebody@127.0.0.1:1/x").run("migrate").returncode == 1


def test_a_database_that_comes_late_is_waited_for(new_url, tmp_path):
    url = new_url["postgresql"]()
    name = urlsplit(url).path[1:]
    postgres = urlunsplit(urlsplit(url)._replace(path="/postgres"))
    endpoint = Endpoint(tmp_path, {"REXEC_EP_DATABASE_URL": url, "REXEC_EP_DATABASE_WAIT": "60"})
    with (
        concurrent.futures.ThreadPoolExecutor(1) as aside,
        psycopg.connect(postgres, autocommit=True) as connection,
    ):
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        waiting = aside.submit(endpoint.run, "migrate")
        with pytest.raises(concurrent.futures.TimeoutError):
            waiting.result(5)
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        done = waiting.result(60)
    assert "present version" in told(done)


def test_a_database_that_is_not_there_is_told_without_its_password(catalog):
    password = secret("password")
    refused = catalog(f"postgresql://somebody:{password}@127.0.0.1:1/x").run("migrate")
    assert refused.returncode == 1
    assert "127.0.0.1" in refused.stderr
    assert password not in refused.stderr + refused.stdout


def test_without_a_catalog_there_is_nothing_to_look_after(tmp_path):
    refused = Endpoint(tmp_path, {"CKAN_LOCAL_ENABLED": "false"}).run("backup", "x")
    assert refused.returncode == 3
    assert "CKAN_LOCAL_ENABLED" in refused.stderr


def test_the_commands_tell_what_they_are_for(tmp_path):
    text = told(Endpoint(tmp_path, {}).run("--help"))
    for command in ("serve", "migrate", "backup", "restore", "openapi"):
        assert f"\n  {command} " in text
