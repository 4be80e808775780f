"""What the code of a user can reach from within, and who is let in at the broker."""

import sys

import cloudpickle
import pytest

import rexec_jupyter as rexec
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust
from rexec_jupyter.core.credentials import SigningKey
from tests.backend.brokering import Peer
from tests.cluster import backend as b
from tests.cluster.kube import get, until

pytestmark = pytest.mark.timeout(400)
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def eve(backend):
    """A client of a user whose server has been there long enough for policies to hold."""
    backend.spawn("eve")
    backend.reaches("eve", "ready")
    with rexec.connect(backend.endpoint, token=b.token("eve"), timeout=60) as client:
        until(lambda: not client.run(_reaches, _api_server(), 443), "policies hold")
        yield client
    backend.ends("eve")


def _api_server():
    return get("service", "kubernetes", "default")["spec"]["clusterIP"]


def _reaches(host, port, patience=1):
    """Tell whether something answers there."""
    import socket

    try:
        with socket.create_connection((host, port), timeout=patience):
            return True
    except OSError:
        return False


def _listen(port):
    import socket
    import sys

    sys.modules["__main__"].door = socket.create_server(("0.0.0.0", port))  # as long as the worker
    return True


def test_the_broker_and_names_can_be_reached(eve):
    assert eve.run(_reaches, f"broker-servers.{b.NAMESPACE}", 5560, 20)


def test_the_cluster_and_its_services_cannot(eve, backend):
    services = {each["metadata"]["name"]: each for each in get("services", namespace=b.NAMESPACE)}
    places = [(_api_server(), 443), (backend.node, 6443), (backend.node, 10250)]
    for name, port in (
        ("deploy-api", 8000),
        ("ep-api", 8000),
        ("identity", 8080),
        ("broker", 5559),
    ):
        places.append((services[name]["spec"]["clusterIP"], port))
    places.append((services["broker-health"]["spec"]["clusterIP"], 8080))
    for pod in get("pods", namespace=b.NAMESPACE):
        places += [(pod["status"]["podIP"], port) for port in (8000, 8080)]
    reached = [place for place in places if eve.run(_reaches, *place)]
    assert reached == []


def test_the_metadata_service_of_a_cloud_cannot(eve):
    assert not eve.run(_reaches, "169.254.169.254", 80)


def test_another_users_pod_cannot(eve, backend):
    backend.spawn("ann-listening")
    backend.reaches("ann-listening", "ready")
    with rexec.connect(backend.endpoint, token=b.token("ann-listening"), timeout=60) as ann:
        assert ann.run(_listen, 8099)
        assert ann.run(_reaches, "127.0.0.1", 8099, 20)
        address = until(
            lambda: backend.pods("ann-listening")[0]["status"].get("podIP"), "its address"
        )
        assert not eve.run(_reaches, address, 8099)
    backend.ends("ann-listening")


def test_code_has_neither_keys_nor_an_account_nor_rights(eve):
    found = eve.run(_look_around)
    assert found == {"uid": 10001, "keys": False, "account": False, "root": False, "gid": 10001}


def _look_around():
    import os
    import pathlib

    try:
        pathlib.Path("/opt/rexec/x").write_text("x")
        writes = True
    except OSError:
        writes = False
    return {
        "uid": os.getuid(),
        "gid": os.getgid(),
        "keys": pathlib.Path("/keys/curve").exists(),
        "account": pathlib.Path("/var/run/secrets/kubernetes.io").exists(),
        "root": writes,
    }


# ------------------------------------------------------------------------------- tickets


class Client(Peer):
    """A bare client of the broker on the cluster."""

    def __init__(self, backend, ticket, keys=None):
        address = f"tcp://{backend.node}:{backend.ports['broker']}"
        super().__init__(address, backend.broker_keys.public, p.ToClient, keys=keys)
        self.ticket = ticket if isinstance(ticket, str) else ticket(self.key)

    def answer(self):
        hello = p.ClientHello(versions=p.VERSIONS, ticket=self.ticket, instance=trust.new_id())
        self.send(hello)
        return self.receive()[0]


def test_a_ticket_of_the_deploy_api_is_for_one_key_alone(backend, eve):
    keys = trust.new_keypair()
    body = {"client_pubkey": keys.public.decode()}
    ticket = backend.ask("POST", "/v1/tickets", "eve", json=body, status=200).json()["ticket"]
    with Client(backend, ticket, keys) as owner:
        welcome = owner.answer()
        assert isinstance(welcome, p.Welcome)
        assert welcome.user == "eve"
    with Client(backend, ticket) as thief:
        assert thief.answer().code == "R02"


@pytest.mark.parametrize(
    "made",
    [
        lambda backend, key: SigningKey.generate().ticket(user="eve", key=key),
        lambda backend, key: backend.signing.ticket(user="eve", key=key, ttl=-3600),
        lambda backend, key: backend.signing.ticket(user="eve", key=key, audience="other"),
        lambda backend, key: backend.signing.certificate(user="eve", server="s", key=key),
        lambda backend, key: "x.y.z",
    ],
    ids=["forged", "expired", "of another deployment", "a server's", "nonsense"],
)
def test_other_tickets_are_refused(backend, made):
    with Client(backend, lambda key: made(backend, key)) as client:
        assert client.answer().code == "R02"


def test_who_does_not_know_the_brokers_key_gets_no_answer(backend):
    keys = trust.new_keypair()
    backend_key, backend.broker_keys = backend.broker_keys, keys
    try:
        with Client(backend, "x") as client:
            client.send(p.ClientHello(versions=p.VERSIONS, ticket="x", instance=trust.new_id()))
            assert client.receive(2) is None
    finally:
        backend.broker_keys = backend_key


def test_without_a_token_nothing_is_told(backend):
    import httpx

    for method, path in (
        ("GET", "/v1/servers"),
        ("POST", "/v1/servers"),
        ("POST", "/v1/tickets"),
        ("GET", "/v1/sessions"),
        ("POST", "/spawn"),
        ("DELETE", "/terminate"),
    ):
        for headers in ({}, {"Authorization": "Bearer user-zz"}, {"Authorization": "Basic x"}):
            answer = httpx.request(method, backend.api + path, headers=headers, json={}, timeout=10)
            assert answer.status_code in (401, 422), (method, path, answer.text)
