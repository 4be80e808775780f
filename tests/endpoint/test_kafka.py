"""Where Kafka is, and whether it is there."""

import socket

import pytest

from tests.endpoint.canary import watch
from tests.endpoint.service import Endpoint


@pytest.fixture(scope="module")
def broker():
    """Something that takes connections, which is all that is asked of a broker."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture(scope="module")
def streaming(broker, identity, tmp_path_factory):
    directory = tmp_path_factory.mktemp("streaming")
    watch(directory)
    settings = {
        "AUTH_API_URL": identity.url,
        "REXEC_EP_DATABASE_URL": f"sqlite:///{directory}/catalog.sqlite3",
        "KAFKA_CONNECTION": "true",
        "KAFKA_HOST": "127.0.0.1",
        "KAFKA_PORT": str(broker.getsockname()[1]),
        "KAFKA_PREFIX": "rain_",
        "MAX_STREAMS": "3",
    }
    with Endpoint(directory, settings) as endpoint:
        yield endpoint


def test_the_details_of_kafka_are_told_to_whoever_has_a_token(streaming, broker, identity):
    with streaming.client(identity.token("viewer")) as viewer, streaming.client() as nobody:
        assert viewer.get("/status/kafka-details").json() == {
            "kafka_host": "127.0.0.1",
            "kafka_port": broker.getsockname()[1],
            "kafka_connection": True,
            "kafka_prefix": "rain_",
            "max_streams": 3,
        }
        assert nobody.get("/status/kafka-details").status_code == 401


def test_readiness_tells_whether_the_broker_is_there(streaming, broker):
    with streaming.client() as client:
        told = client.get("/ready")
        assert (told.status_code, told.json()["checks"]["kafka"]["status"]) == (200, "up")
        broker.close()
        told = client.get("/ready")
        # It takes nothing else with it.
        assert (told.status_code, told.json()["checks"]["kafka"]["status"]) == (200, "down")
