"""The process: how it starts, what it says when it cannot, and how it ends."""

import os
import signal
import socket
import threading
from urllib.parse import urlsplit

import httpx
import psutil
import psycopg
import pytest

from tests.endpoint.canary import secret
from tests.endpoint.service import PATIENCE, Endpoint, until

SECRET = secret("password")


@pytest.fixture
def starting(tmp_path, identity):
    """Start services with settings of the test's own; all of them end with it."""
    started = []

    def start(*arguments, **settings):
        endpoint = Endpoint(tmp_path, {"AUTH_API_URL": identity.url} | settings, *arguments)
        started.append(endpoint)
        return endpoint.start()

    yield start
    for endpoint in started:
        endpoint.stop(signal.SIGKILL)


def failure(starting, *arguments, **settings):
    with pytest.raises(AssertionError, match="did not start") as caught:
        starting(*arguments, **settings)
    return str(caught.value)


def alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_ends_it_soon_and_in_good_order(starting, workers):
    endpoint = starting("--workers", workers)
    with endpoint.client() as client:
        assert client.get("/health").status_code == 200
        processes = psutil.Process(endpoint.process.pid).children(recursive=True)
        assert endpoint.stop() == 0  # with the connection of the client still open
    psutil.wait_procs(processes, timeout=PATIENCE)  # the system may take a moment to forget them
    assert not [process for process in processes if alive(process)]
    assert endpoint.log_lines()[-1]["level"] == "info"


def test_all_workers_count_into_the_same_metrics(starting):
    endpoint = starting("--workers", "2")
    asked = 40
    for _ in range(asked):
        httpx.get(f"{endpoint.url}/organization").raise_for_status()
    all_of_them = f'requests_total{{method="GET",route="/organization",status="200"}} {asked}.0'
    # Each is counted once its answer has left, perhaps by another worker than the one that tells.
    until(lambda: all_of_them in httpx.get(f"{endpoint.url}/metrics").text, "the whole count")


def test_workers_do_not_outlive_the_process_above_them(starting):
    endpoint = starting("--workers", "2")
    workers = psutil.Process(endpoint.process.pid).children(recursive=True)
    endpoint.process.kill()
    endpoint.process.wait()
    until(lambda: not any(alive(process) for process in workers), "the end of the workers")


def test_a_port_that_is_taken_is_named(starting):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = failure(starting, "--port", port)
    assert f"cannot listen at 127.0.0.1, port {port}: Address already in use" in text
    assert "--port" in text


@pytest.mark.parametrize("workers", [1, 2])
def test_settings_that_cannot_be_are_named_without_their_values(starting, workers):
    text = failure(
        starting,
        *("--workers", workers),
        REXEC_EP_MAX_BODY=SECRET,
        SWAGGER_VERSION="one",
        AUTH_API_URL=f"https://name:{SECRET}@idp.example.org",
    )
    assert "REXEC_EP_MAX_BODY" in text
    assert "SWAGGER_VERSION: clients compare it" in text
    assert "AUTH_API_URL" in text
    assert "Traceback" not in text
    assert SECRET not in text


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://somebody:{SECRET}@127.0.0.1:1/catalog",
        f"mysql://somebody:{SECRET}@127.0.0.1/catalog",
        "sqlite:////proc/nowhere/catalog.sqlite3",
    ],
    ids=["unreachable", "unknown kind", "impossible file"],
)
def test_a_catalog_that_cannot_be_opened_is_told_without_its_password(starting, url):
    text = failure(starting, REXEC_EP_DATABASE_URL=url)
    assert "catalog" in text
    assert SECRET not in text


def test_the_database_is_kept_from_one_run_to_the_next(starting, identity):
    first = starting()
    token = identity.token("writer")
    with first.client(token) as client:
        body = {"name": "lab", "title": "Lab"}
        assert client.post("/organization", json=body).status_code == 201
    first.stop()
    with starting().client() as client:
        assert "lab" in client.get("/organization").json()


def test_without_an_identity_service_tokens_are_refused_with_what_to_configure(starting):
    endpoint = starting(AUTH_API_URL=None)
    with endpoint.client(secret("token")) as client:
        answer = client.get("/status/")
        assert answer.status_code == 503
        assert "AUTH_API_URL" in answer.json()["detail"]
        assert client.get("/organization").status_code == 200


def test_defect_02_no_token_is_valid_by_default(starting):
    with starting(AUTH_API_URL=None).client("testing_token") as client:
        assert client.get("/status/").status_code == 503


@pytest.mark.parametrize(
    "settings", [{"CKAN_LOCAL_ENABLED": "False"}, {"LOCAL_CATALOG_BACKEND": "none"}]
)
def test_without_a_catalog_the_rest_serves(starting, identity, settings, tmp_path):
    with starting(**settings).client(identity.token("writer")) as client:
        assert client.get("/ready").json()["checks"]["local_catalog"] == {"status": "disabled"}
        assert client.get("/status/").json()["local_catalog_backend"] == "none"
        answer = client.post("/organization", json={"name": "lab", "title": "Lab"})
        assert answer.status_code in (400, 503)
        assert isinstance(answer.json()["detail"], str)
    assert not list(tmp_path.rglob("*.sqlite3"))


def test_under_a_prefix_both_forms_answer(starting, identity):
    with starting(ROOT_PATH="/api/").client(identity.token("viewer")) as client:
        for prefix in ("", "/api"):
            assert client.get(f"{prefix}/status/").status_code == 200
            assert client.get(f"{prefix}/").json() == "API is running successfully."
            assert client.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": "/api"}]
            assert client.get(f"{prefix}/organization").status_code == 200
            assert client.get(f"{prefix}/docs").status_code == 200
        assert client.get("/status").headers["Location"].endswith("/api/status/")
        assert client.get("/apistatus/").status_code == 404


@pytest.mark.parametrize(
    ("path", "there"), [("/status", "/ep/status/"), ("/ep/health/?a=%2f", "/ep/health?a=%2f")]
)
def test_a_slash_too_many_or_too_few_leads_to_no_other_host(starting, path, there):
    with starting(ROOT_PATH="ep").client() as client:
        answer = client.get(path, headers={"Host": "elsewhere.example"})
        assert answer.status_code == 307
        assert answer.headers["Location"] == there
        assert client.get(path, follow_redirects=True).status_code in (200, 401)


def test_pages_of_other_origins_are_let_in_only_if_configured(starting):
    origin = {"Origin": "https://notebooks.example.org"}
    allowed = "Access-Control-Allow-Origin"
    with starting().client() as client:
        assert allowed not in client.get("/health", headers=origin).headers
    with starting(REXEC_EP_CORS_ORIGINS="https://notebooks.example.org").client() as client:
        assert client.get("/health", headers=origin).headers[allowed] == origin["Origin"]
        other = {"Origin": "https://elsewhere.example.org"}
        assert allowed not in client.get("/health", headers=other).headers


def test_readiness_is_lost_with_the_database_and_comes_back_with_it(starting, postgres_server):
    url = postgres_server.new_database()
    name = urlsplit(url).path[1:]
    with starting(REXEC_EP_DATABASE_URL=url).client() as client:
        until(lambda: client.get("/ready").status_code == 200, "the catalog to answer in time")
        with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s",
                [name],
            )
            assert all(gone for (gone,) in ended)
            answer = client.get("/ready")
            assert answer.status_code == 503
            assert answer.json()["status"] == "not_ready"
            assert answer.json()["checks"]["local_catalog"]["status"] == "down"
            assert client.get("/health").status_code == 200
            refused = client.get("/organization")
            assert refused.status_code == 503
            assert refused.headers["Retry-After"]
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        until(lambda: client.get("/ready").status_code == 200, "the catalog to be back")


def test_a_kafka_that_is_down_is_told_and_takes_nothing_with_it(starting, identity):
    endpoint = starting(KAFKA_CONNECTION="true", KAFKA_HOST="127.0.0.1", KAFKA_PORT="1")
    with endpoint.client(identity.token("viewer")) as client:
        answer = client.get("/ready")
        assert answer.status_code == 200
        assert answer.json()["checks"]["kafka"]["status"] == "down"
        status = client.get("/status/").json()
        assert (status["kafka_host"], status["kafka_port"]) == ("127.0.0.1", 1)


def test_defect_23_a_part_that_hangs_holds_up_nobody_else(starting, identity):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        endpoint = starting(
            S3_ENABLED="true",
            S3_ENDPOINT=f"127.0.0.1:{port}",
            S3_ACCESS_KEY=secret("access"),
            S3_SECRET_KEY=secret("key"),
        )
        silent.settimeout(PATIENCE)

        def served_meanwhile():
            """Tell whether somebody is served while another waits, which is not for long."""
            with endpoint.client() as client, endpoint.client() as other:
                waiting = threading.Thread(target=other.get, args=("/ready",))
                waiting.start()
                accepted, _ = silent.accept()  # it asks the store, which says nothing
                with accepted:
                    assert client.get("/health").status_code == 200
                    soon_enough = waiting.is_alive()
                    waiting.join()
            return soon_enough

        until(served_meanwhile, "an answer while another waits")


def test_defect_10_and_25_nothing_is_sent_anywhere_even_if_it_calls_itself_public(
    starting, identity
):
    with socket.create_server(("127.0.0.1", 0)) as collector:
        endpoint = starting(
            *("--workers", "2"),
            IS_PUBLIC="true",
            METRICS_ENDPOINT=f"http://127.0.0.1:{collector.getsockname()[1]}/metrics",
            METRICS_INTERVAL_SECONDS="1",
        )
        with endpoint.client(identity.token("viewer")) as client:
            assert client.get("/status/metrics").json()["services"]["is_public"] is True
        collector.settimeout(1.5)
        with pytest.raises(TimeoutError):
            collector.accept()


def test_defect_24_no_request_opens_the_database_anew(starting, identity):
    endpoint = starting()
    process = psutil.Process(endpoint.process.pid)

    def files():
        return sorted(file.path for file in process.open_files() if "sqlite3" in file.path)

    with endpoint.client(identity.token("viewer")) as client:

        def at_rest():
            """Tell whether nothing is added by many requests, once there is what they share."""
            before = files(), process.num_threads()
            for _ in range(50):
                client.get("/organization")
            return (files(), process.num_threads()) == before

        until(at_rest, "requests that open nothing")


def test_the_log_is_json_with_the_correlation_id_and_without_the_query(starting):
    endpoint = starting()
    with endpoint.client() as client:
        client.get("/organization?name=in-the-query", headers={"X-Correlation-ID": "one"})
    endpoint.stop()
    (line,) = [line for line in endpoint.log_lines() if line.get("correlation_id") == "one"]
    assert line["message"] == "GET /organization"
    assert line["route"] == "/organization"
    assert line["status"] == 200
    assert "in-the-query" not in endpoint.log.read_text()


def test_a_level_of_the_log_leaves_out_what_is_below(starting):
    endpoint = starting("--log-level", "warning")
    httpx.get(f"{endpoint.url}/health")
    endpoint.stop()
    assert os.path.getsize(endpoint.log) == 0  # noqa: PTH202 - reads like what it asks


def test_a_settings_file_in_the_working_directory_counts(starting, tmp_path, identity):
    (tmp_path / ".env").write_text("ORGANIZATION=Hydrology Lab\nSOMETHING_ELSE=1\n")
    with starting().client(identity.token("viewer")) as client:
        assert client.get("/status/").json()["organization"] == "Hydrology Lab"
