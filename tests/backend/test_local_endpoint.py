"""The endpoint of the embedded backend: it starts when it is wanted, and keeps what it is told."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

import rexec_jupyter as rexec
from rexec_jupyter.core.errors import NotConfiguredError, StartError
from rexec_jupyter.endpoint import AsyncEndpointClient, EndpointClient
from rexec_jupyter.local.paths import data_path
from tests.backend.brokering import PATIENCE, until
from tests.backend.commanding import rexec as command
from tests.backend.commanding import running, told

LAB = {"name": "lab", "title": "Lab"}
RAIN = {"name": "rain", "title": "Rain", "owner_org": "lab"}


def named(name):
    return {"name": name, "title": name.title()}


def api(backend):
    return backend.status()["api"]


def get(url, path="/health"):
    return httpx.get(url + path, timeout=PATIENCE)


# ---------------------------------------------------------------------------- it starts


def test_cells_and_calls_do_not_start_it(fresh):
    with rexec.connect("local") as client:
        assert client.run(len, "abc") == 3
        assert api(fresh)["state"] == "idle"
        assert not fresh.processes("endpoint")
    assert not data_path().exists()


def test_whoever_asks_at_its_address_starts_it(fresh):
    fresh.start()
    found = api(fresh)
    assert get(found["url"]).json()["status"] == "healthy"
    page = httpx.get(found["url"], headers={"Accept": "text/html"}, timeout=PATIENCE)
    assert "<title>Catalog on this computer" in page.text
    assert "swagger-ui" in get(found["docs"], "").text
    until(lambda: api(fresh)["state"] == "ready", "it to be known as ready")
    now = api(fresh)
    assert now["starts"] == 1
    assert (now["url"], now["docs"]) == (found["url"], found["docs"])


def test_a_client_of_it_starts_everything_and_may_do_everything(embedded):
    with EndpointClient.local() as client:
        client.register_organization(named("first"))
        client.register_general_dataset(RAIN | {"owner_org": "first"})
        assert [hit["name"] for hit in client.search_datasets(["rain"], server="local")] == ["rain"]
        assert client.get_user_info()["effective_role"] == "admin"
        assert client.get_system_status()["local_catalog_backend"] == "sqlite"


def test_a_client_in_an_event_loop_finds_it_too(embedded):
    async def use():
        # As in a notebook, where a loop runs in the thread of every cell.
        with EndpointClient.local() as client:
            client.register_organization(named("second"))
        async with await AsyncEndpointClient.local() as client:
            return await client.list_organizations(server="local")

    assert "second" in asyncio.run(use())


def test_a_client_that_must_not_start_it_is_told_that_none_runs(fresh):
    with pytest.raises(NotConfiguredError, match="No rexec server runs"):
        EndpointClient.local(start=False)


def test_the_backend_lasts_as_long_as_a_client_of_its_endpoint(fresh, monkeypatch):
    monkeypatch.setenv("REXEC_LOCAL_LINGER", "0")
    client = EndpointClient.local()
    until(lambda: fresh.status()["users"] == 2, "the leaving of who started it")
    (process,) = fresh.processes("endpoint")
    client.close()
    fresh.await_end()
    assert not process.is_running()
    assert not fresh.paths.endpoint_token.exists()


def test_a_forked_process_does_not_keep_it(fresh, monkeypatch):
    monkeypatch.setenv("REXEC_LOCAL_LINGER", "0")
    script = (
        "import os, sys\n"
        "from rexec_jupyter.endpoint import EndpointClient\n"
        "client = EndpointClient.local()\n"
        "if os.fork() == 0:\n"
        "    sys.stdin.read()\n"
        "    os._exit(0)\n"
        "os._exit(0)\n"
    )
    read, write = os.pipe()
    try:
        subprocess.run([sys.executable, "-c", script, "client of a test"], stdin=read, check=True)
        fresh.await_end()
    finally:
        os.close(read)
        os.close(write)


# ------------------------------------------------------------------- what it is started with


def test_nothing_heavy_is_loaded_by_the_supervisor_or_by_a_client(embedded):
    (supervisor,) = embedded.processes("supervisor")
    heavy = ("pydantic_core", "sqlalchemy", "uvloop", "httptools")
    assert get(api(embedded)["url"]).status_code == 200
    mapped = " ".join(entry.path for entry in supervisor.memory_maps())
    assert not [name for name in heavy if name in mapped]
    script = (
        "import sys; from rexec_jupyter.endpoint import EndpointClient\n"
        "EndpointClient.local().close()\n"
        "print([n for n in ('fastapi', 'pydantic', 'sqlalchemy', 'uvicorn') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_its_token_is_in_a_file_of_the_users_alone_and_nowhere_else(embedded):
    with EndpointClient.local() as client:
        found = api(embedded)
        path = Path(found["token_file"])
        token = path.read_text().strip()
        assert path.stat().st_mode & 0o777 == 0o600
        assert client.token == token
        assert token not in json.dumps(embedded.status())
        assert token not in repr(client)
        (process,) = embedded.processes("endpoint")
        assert token not in " ".join([*process.cmdline(), *process.environ().values()])
        log = embedded.paths.log("endpoint").read_text()
        assert token not in log
        assert "DEVELOPMENT MODE" in log
    for words in (("status",), ("status", "--json"), ("doctor",)):
        assert token not in command(*words).stdout


@pytest.mark.parametrize("token", ["", "testing_token", "x" * 43])
def test_nobody_changes_anything_without_that_token(embedded, token):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = api(embedded)["url"]
    answer = httpx.post(f"{url}/organization", json=LAB, headers=headers, timeout=PATIENCE)
    # An identity service would have to be asked about an unknown token, and there is none.
    assert answer.status_code == (503 if token else 401)


def test_what_configures_other_endpoints_does_not_configure_this_one(fresh, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("EP_NAME=elsewhere\nROOT_PATH=/elsewhere\n")
    for name, value in {
        "AUTH_API_URL": "http://127.0.0.1:9/",
        "TEST_TOKEN": "testing_token",
        "KAFKA_PORT": "tcp://10.0.0.1:9092",
        "REXEC_EP_DATABASE_URL": "sqlite:////nowhere/else",
        "ROOT_PATH": "/nowhere",
        "rexec_ep_max_body": "none",
    }.items():
        monkeypatch.setenv(name, value)
    with EndpointClient.local() as client:
        status = client.get_system_status()
    assert status["auth_api_url"] == ""
    assert status["ep_name"] == "Catalog on this computer"


def test_optional_parts_are_set_in_a_file_beside_its_catalog(fresh):
    data_path().mkdir(mode=0o700)
    (data_path() / ".env").write_text(
        "KAFKA_CONNECTION=true\nKAFKA_HOST=kafka.example.org\nAUTH_API_URL=http://127.0.0.1:9/\n"
    )
    with EndpointClient.local() as client:
        assert client.get_kafka_details()["kafka_host"] == "kafka.example.org"
        assert client.get_system_status()["auth_api_url"] == ""


# ------------------------------------------------------------------------------ it lasts


def test_what_was_registered_and_its_address_outlive_the_backend_unless_that_is_taken(fresh):
    with EndpointClient.local() as client:
        client.register_organization(LAB)
        client.register_general_dataset(RAIN)
        url, token = client.base_url, client.token
    fresh.stop()
    with EndpointClient.local() as client:
        assert client.base_url == url
        assert client.token != token
        assert client.search_datasets(["rain"], server="local")
    fresh.stop()
    taken = urlsplit(url)
    with socket.create_server((taken.hostname, taken.port)), EndpointClient.local() as client:
        assert client.base_url != url
        assert client.search_datasets(["rain"], server="local")


def test_it_is_started_again_when_it_dies_and_nothing_else_is_touched(embedded):
    with EndpointClient.local() as client, rexec.connect("local") as jobs:
        client.register_organization(named("third"))
        before = {name: part["pid"] for name, part in embedded.status()["parts"].items()}
        os.kill(api(embedded)["pid"], signal.SIGKILL)
        until(lambda: api(embedded)["starts"] == 2, "another endpoint")
        assert "third" in client.list_organizations(server="local")
        assert jobs.run(len, "ab") == 2
        assert {name: part["pid"] for name, part in embedded.status()["parts"].items()} == before


# ------------------------------------------------------------------------------- trouble


def test_one_that_cannot_start_is_told_and_cells_run_all_the_same(fresh):
    data_path().mkdir(mode=0o700)
    (data_path() / "catalog.sqlite3").write_text("this is no database" * 100)
    with rexec.connect("local") as client:
        with pytest.raises(StartError, match=r"endpoint on this computer did not start(.|\n)*log"):
            EndpointClient.local()
        assert client.run(len, "abc") == 3
        assert api(fresh)["state"] == "failing"
        assert "endpoint: its process ends as soon as it starts" in command("status").stdout
        assert "endpoint" in command("doctor", "--quiet").stdout


def test_a_directory_open_to_others_is_refused_and_cells_run_all_the_same(fresh):
    data_path().mkdir()
    data_path().chmod(0o755)
    with rexec.connect("local") as client:
        for _ in range(2):
            with pytest.raises(StartError, match="is open to other users"):
                EndpointClient.local()
        assert client.run(len, "abc") == 3
    with pytest.raises(httpx.ConnectError):
        get(api(fresh)["url"])


# ---------------------------------------------------------------------------- it is shown


def test_up_and_status_show_its_address_its_api_page_and_the_file_of_its_token(fresh):
    with running("up") as up:
        up.wait_for("Ctrl-C ends it")
        found = api(fresh)
        until(lambda: api(fresh)["state"] == "ready", "the endpoint")
        shown = command("status").stdout
        for part in ("url", "docs", "token_file"):
            up.wait_for(found[part])
            assert found[part] in shown
        facts = told("status")["api"]
        assert facts["url"] == found["url"]
        assert facts["state"] == "ready"


def test_where_its_data_is_kept_follows_the_environment(monkeypatch, tmp_path):
    for name in ("REXEC_DATA_DIR", "REXEC_RUNTIME_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_path() == tmp_path / ".local/share/rexec"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert data_path() == tmp_path / "data/rexec"
    monkeypatch.setenv("REXEC_RUNTIME_DIR", str(tmp_path / "run"))
    assert data_path() == tmp_path / "run/data"
    monkeypatch.setenv("REXEC_DATA_DIR", str(tmp_path / "own"))
    assert data_path() == tmp_path / "own"
