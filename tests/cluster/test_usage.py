"""What a server in a pod tells that it takes: exec's container, as only exec can see it."""

import contextlib
import sys
import time

import cloudpickle
import pytest

import rexec_jupyter as rexec
from tests.cluster import backend as b
from tests.cluster.kube import until

pytestmark = pytest.mark.timeout(400)

# The servers have no tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

MIB = 1024 * 1024


@contextlib.contextmanager
def connected(backend, user, **options):
    with rexec.connect(backend.endpoint, token=b.token(user), timeout=120, **options) as client:
        yield client


def usage(client):
    """Return what the user's one server takes."""
    ((server, told),) = client.usage(timeout=60)
    assert (server.state, told.known) == ("ready", True)
    return told


def burn(seconds):
    """Take so much of a processor's time, however long that takes."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_server_tells_the_limits_of_its_container_and_what_it_takes(backend):
    with connected(backend, "measured") as client:
        client.session("default").run_cell("kept = b''")
        idle = usage(client)
        assert idle.cores == 1.0
        assert 256 * MIB < idle.memory_limit <= b.SMALL["memory"]
        assert 20 * MIB < idle.memory < 200 * MIB
        client.session("default").run_cell(f"kept = b'x' * {100 * MIB}")
        grown = usage(client)
        assert 95 * MIB < grown.memory - idle.memory < 130 * MIB
        client.submit(burn, 5.0).result(120)
        assert 4.9 < usage(client).cpu - grown.cpu < 9.0
    backend.ends("measured")


def test_a_server_that_is_only_looked_at_ends_when_it_is_idle(backend):
    with connected(backend, "watched", profile="brief") as client:
        assert client.run(abs, -1) == 1

        def ended():
            client.usage(timeout=0.5)
            server = backend.server("watched")
            return server is None or server["state"] == "stopping"

        until(ended, "its end", 120)
    backend.ends("watched")
