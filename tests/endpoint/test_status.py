"""The root, whether the service lives and can serve, and what it tells of itself."""

import re

import pytest

from rexec_jupyter._version import __version__
from tests.endpoint.service import until


def test_the_root_says_that_the_api_runs(anonymous):
    answer = anonymous.get("/")
    assert answer.status_code == 200
    assert answer.json() == "API is running successfully."


def test_it_lives(anonymous):
    body = anonymous.get("/health").json()
    assert body["status"] == "healthy"
    assert body["timestamp"]


def test_it_is_ready_with_its_catalog(anonymous, backend):
    answer = anonymous.get("/ready")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "ready"
    catalog = body["checks"].pop("local_catalog")
    assert catalog["status"] == "up"
    assert catalog["backend"] == backend
    assert catalog["latency_ms"] >= 0
    assert set(body["checks"]) == {"pre_ckan", "minio", "kafka"}
    assert all(check == {"status": "disabled"} for check in body["checks"].values())


def test_the_status_has_everything_that_clients_read(as_viewer, backend, identity):
    body = as_viewer.get("/status/").json()
    assert body == {
        "api_version": body["api_version"],
        "rexec_version": __version__,
        "organization": "Unknown Organization",
        "ep_name": "Unknown EP",
        "group_based_access": False,
        "local_catalog_backend": backend,
        "backend_connected": True,
        "global_enabled": False,
        "pre_ckan_enabled": False,
        "kafka_enabled": False,
        "jupyterlab_enabled": False,
        "s3_enabled": False,
        "rexec_enabled": True,
        "auth_api_url": identity.url,
        "metrics_endpoint": "",
        "metrics_interval_seconds": 3300,
        "is_public": False,
    }


def test_the_version_is_one_that_clients_can_compare(as_viewer):
    version = as_viewer.get("/status/").json()["api_version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert tuple(map(int, version.split("."))) >= (0, 2, 0)


@pytest.mark.parametrize(
    "path", ["/status/", "/status/metrics", "/status/kafka-details", "/status/rexec"]
)
def test_the_status_is_for_users_only(anonymous, path):
    assert anonymous.get(path).status_code == 401


def test_the_status_without_a_slash_leads_to_the_one_with(as_viewer):
    answer = as_viewer.get("/status", follow_redirects=True)
    assert [step.status_code for step in answer.history] == [307]
    assert answer.status_code == 200


def test_the_machine_tells_how_busy_it_is(as_viewer):
    body = as_viewer.get("/status/metrics").json()
    assert re.fullmatch(r"\d+\.\d%", body["cpu"])
    assert re.fullmatch(r"\d+GB/\d+GB", body["memory"])
    assert re.fullmatch(r"\d+GB/\d+GB", body["disk"])
    assert re.fullmatch(r"\d+\.\d+\.\d+\.\d+", body["public_ip"])
    assert body["services"]["backend_connected"]


def test_without_kafka_it_says_so(as_viewer):
    answer = as_viewer.get("/status/kafka-details")
    assert answer.status_code == 503
    assert "KAFKA_CONNECTION" in answer.json()["detail"]


def test_what_is_not_offered_says_how_to_offer_it(as_viewer):
    answer = as_viewer.get("/status/jupyter")
    assert answer.status_code == 404
    assert "USE_JUPYTERLAB" in answer.json()["detail"]


def test_remote_execution_is_for_writers(as_writer, as_viewer, deployment_url):
    assert as_writer.get("/status/rexec").json() == {"deployment_api_url": deployment_url}
    assert as_viewer.get("/status/rexec").status_code == 403


def test_metrics_tell_routes_and_never_addresses(anonymous, fresh):
    name = fresh("secret")
    anonymous.get(f"/dataset/{name}")
    anonymous.get(f"/{name}")
    unmatched = r'requests_total\{method="GET",route="unmatched",status="404"\} [1-9]'

    def counted():  # which it is once the answer has left
        text = anonymous.get("/metrics").text
        return text if re.search(unmatched, text) else None

    text = until(counted, "the count of the last request")
    assert name not in text
    assert 'rexec_ep_request_seconds_bucket{le="0.005",method="GET",route="/health"}' in text
