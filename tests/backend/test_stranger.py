"""Something else answers for a moment where the broker was: ZeroMQ would never try again."""

import contextlib
import socket

import pytest

from rexec_jupyter._connect import connect_to
from rexec_jupyter.core import protocol as p
from tests.backend.agenting import Site
from tests.backend.brokering import PATIENCE, Server, running, until
from tests.backend.test_client_link import Backend, again, answer


def be_met(endpoint):
    """Answer whoever connects next as no broker would, and go."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    with contextlib.closing(until(lambda: opened(host, int(port)), "the port")) as door:
        door.settimeout(PATIENCE)
        met, _ = door.accept()
    with met:
        met.settimeout(PATIENCE)
        met.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while met.recv(1 << 16):
                pass


def opened(host, port):
    try:
        return socket.create_server((host, port))
    except OSError:
        return None  # it is being closed


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site.start()
    site.stop()


def test_a_client_comes_back(tmp_path):
    with running(tmp_path) as broker, Server(broker) as server:
        server.join()
        with connect_to(Backend(broker), timeout=PATIENCE) as client:
            broker.process.kill()
            broker.process.wait()
            be_met(broker.ready["client"])
            again(broker)
            server.join()
            job = client.submit(abs, -3)
            submit, _ = server.expect(p.Submit)
            server.send(p.Journaled(job=job.id), answer(submit, 3))
            assert job.result(PATIENCE) == 3


def test_an_agent_comes_back(site):
    site.socket.close(linger=0)
    be_met(site.endpoint)
    site.bind()
    site.await_(p.ServerHello)
