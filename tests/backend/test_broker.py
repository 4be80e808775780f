"""The broker as a process: its command line, its health, its end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import psutil
import pytest

from rexec_broker.broker import Broker, Settings
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust
from rexec_jupyter.core.credentials import SigningKey
from tests.backend.brokering import PATIENCE, Client, Server, done, running, submission, until


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with running(tmp_path_factory.mktemp("broker")) as process:
        yield process


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "rexec_broker", *map(str, arguments)],
        env={**os.environ, "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture
def key_files(tmp_path):
    trust.write_keypair(tmp_path / "broker.key", trust.new_keypair())
    (tmp_path / "verify.pem").write_bytes(SigningKey.generate().public_pem)
    return [
        *("--curve-key-file", tmp_path / "broker.key"),
        *("--verify-key-file", tmp_path / "verify.pem"),
    ]


# ------------------------------------------------------------------------- command line


def test_help_names_every_option_and_its_variable():
    result = command("--help")
    assert result.returncode == 0
    from rexec_broker.__main__ import main

    options = {option.opts[0] for option in main.params}
    assert {"--client-address", "--ready-fd", "--egress-mib"} <= options
    for option in options:
        assert option in result.stdout
        variable = "REXEC_BROKER_" + option.removeprefix("--").replace("-", "_").upper()
        assert variable in result.stdout


def test_every_option_can_come_from_the_environment(tmp_path, key_files):
    second = tmp_path / "second.pem"
    second.write_bytes(SigningKey.generate().public_pem)
    result = command(
        REXEC_BROKER_CURVE_KEY_FILE=str(key_files[1]),
        REXEC_BROKER_VERIFY_KEY_FILE=f"{key_files[3]}:{second}",
        REXEC_BROKER_CLIENT_ADDRESS="tcp://203.0.113.1:1",
    )
    assert result.returncode == 1
    assert "cannot bind tcp://203.0.113.1:1" in result.stderr


def test_the_report_of_readiness_holds_the_real_addresses(broker):
    assert set(broker.ready) == {"client", "server", "health", "public_key"}
    assert broker.ready["public_key"] == broker.keys.public.decode()
    for name in ("client", "server"):
        assert re.fullmatch(r"tcp://127\.0\.0\.1:[1-9]\d+", broker.ready[name])


def test_it_listens_nowhere_but_where_it_was_told(broker):
    connections = psutil.Process(broker.process.pid).net_connections()
    listening = {each.laddr for each in connections if each.status == psutil.CONN_LISTEN}
    told = {broker.ready[name].rpartition(":")[2] for name in ("client", "server", "health")}
    assert {(address.ip, str(address.port)) for address in listening} == {
        ("127.0.0.1", port) for port in told
    }


def test_without_a_key_to_verify_with_it_does_not_start():
    result = command()
    assert result.returncode == 2
    assert "--verify-key-file" in result.stderr


@pytest.mark.parametrize("which", [1, 3])
def test_a_broken_key_file_is_named(key_files, which):
    key_files[which].write_text("rubbish")
    result = command(*key_files)
    assert result.returncode == 1
    assert "Error: " in result.stderr
    assert "Traceback" not in result.stderr


def test_an_address_that_is_taken_is_named(broker, key_files):
    for option, name in (("--server-address", "server"), ("--health-address", "health")):
        result = command(*key_files, option, broker.ready[name])
        assert result.returncode == 1
        assert broker.ready[name] in result.stderr


def test_a_malformed_health_address_is_a_usage_error(key_files):
    result = command(*key_files, "--health-address", "nowhere")
    assert result.returncode == 2
    assert "host:port" in result.stderr


# ---------------------------------------------------------------------- admission, health


@pytest.mark.parametrize(
    ("verdict", "complaint"),
    [
        ("lambda self, request: b'0' * 40", "does not refuse"),
        ("lambda self, request: None", "does not accept"),
        ("lambda self, request: 1 / 0", "does not accept"),
    ],
)
def test_no_port_opens_if_the_zap_handler_fails_its_test(key_files, verdict, complaint):
    code = (
        "import sys\n"
        "from rexec_broker import admission, ports\n"
        "from rexec_broker.__main__ import main\n"
        f"admission.Admission._verdict = {verdict}\n"
        "ports.EncryptedPort.bind = lambda self, address: sys.exit('a port was opened')\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, key_files)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == 1
    assert complaint in result.stderr
    assert "a port was opened" not in result.stderr


def test_no_port_opens_if_another_zap_handler_is_bound(key_files):
    code = (
        "import zmq\n"
        "from rexec_broker import admission\n"
        "from rexec_broker.__main__ import main\n"
        "start = admission.Admission.start\n"
        "def crowded(self):\n"
        "    with self._context.socket(zmq.REP) as other:\n"
        "        other.bind('inproc://zeromq.zap.01')\n"
        "        start(self)\n"
        "admission.Admission.start = crowded\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, key_files)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == 1
    assert "the ZAP handler cannot start" in result.stderr


class BrokerThread:
    """A broker within this process, to reach into."""

    def __init__(self):
        self.keys = trust.new_keypair()
        self.signing = SigningKey.generate()
        self.broker = Broker(Settings(keys=self.keys, verify_pems=[self.signing.public_pem]))
        self.ready = {"client": self.broker.client_address, "server": self.broker.server_address}
        self.thread = threading.Thread(target=self.broker.run)

    def health(self, path="/healthz", method="GET"):
        host, _, port = self.broker.health_address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            connection.sendall(f"{method} {path} HTTP/1.0\r\n\r\n".encode())
            with connection.makefile("rb") as answer:
                head, _, body = answer.read().decode().partition("\r\n\r\n")
        return int(head.split()[1]), body

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.broker.stop()
        self.thread.join(PATIENCE)
        self.broker.__exit__(None, None, None)
        assert not self.thread.is_alive()


def test_health_turns_red_when_the_zap_handler_dies():
    with BrokerThread() as local:
        assert local.health() == (200, "ok\n")
        assert local.health("/readyz") == (200, "ok\n")
        local.broker.admission.stop()
        assert local.health() == (503, "the ZAP handler is dead\n")
        assert local.health("/readyz") == (503, "the ZAP handler is dead\n")


def test_without_a_zap_handler_nobody_gets_in():
    with BrokerThread() as local:
        local.broker.admission.stop()
        with Client(local) as client:
            client.hello()
            assert client.receive(1.0) is None
        assert "rexec_broker_clients 0.0" in local.health("/metrics")[1]


def test_health_turns_red_when_the_zap_handler_stops_doing_its_duty():
    with BrokerThread() as local:
        local.broker.admission._tested_at = float("-inf")
        assert local.health() == (503, "the ZAP handler failed its test\n")
        local.broker.admission.test()
        assert local.health() == (200, "ok\n")


def test_health_turns_red_when_the_loop_is_stalled():
    local = BrokerThread()
    local.broker._loop.beat = float("-inf")  # it has not begun to run
    assert local.health() == (503, "the loop is stalled\n")
    with local:
        until(lambda: local.health() == (200, "ok\n"), "the loop to run")


def test_a_policy_that_raises_denies_and_is_survived():
    with BrokerThread() as local:
        allows = local.broker.admission._allows
        local.broker.admission._allows = lambda key: 1 / 0
        with Client(local) as client:
            client.hello()
            until(
                lambda: re.search(
                    r'handshakes_total\{outcome="denied"\} [1-9]', local.health("/metrics")[1]
                ),
                "a denied handshake",
            )
        local.broker.admission._allows = allows
        with Client(local) as client:
            assert client.join().state == "absent"
        assert local.health() == (200, "ok\n")


def test_other_pages_are_not_found_and_a_head_has_no_body():
    with BrokerThread() as local:
        assert local.health("/secrets")[0] == 404
        assert local.health(method="HEAD") == (200, "")


# -------------------------------------------------------------------------------- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(tmp_path, number):
    with running(tmp_path) as broker, Client(broker) as client, Server(broker) as server:
        server.join()
        client.join()
        jobs = [trust.new_id() for _ in range(200)]
        client.send(*(p.Attach(job=job, session="default", seq=0) for job in jobs))
        for _ in jobs:
            server.expect(p.Attach)
        before = broker.metric("envelopes_total", direction="in", port="server")
        for job in jobs:
            server.send(done(job, 1, bytes(50_000)))
        client.expect(p.Done)

        def arrived():
            return broker.metric("envelopes_total", direction="in", port="server") - before

        until(lambda: arrived() == len(jobs), "all of them")
        broker.process.send_signal(number)
        for job in jobs[1:]:
            client.expect(p.Done, job=job)
        assert broker.process.wait(PATIENCE) == 0
        assert "ended" in broker.log.read_text()


def test_it_ends_in_time_although_a_peer_does_not_read(tmp_path):
    with running(tmp_path, "--drain-grace", "0.5") as broker, Server(broker) as server:
        server.join()
        with Client(broker, reads=False) as client:
            client.join()
            job = trust.new_id()
            client.send(p.Attach(job=job, session="default", seq=0))
            server.expect(p.Attach)
            for seq in range(1, 300):
                server.send((p.Output(frames=1, job=job, seq=seq, stream="stdout"), bytes(60_000)))
            until(lambda: broker.metric("egress_bytes") > 0, "something to wait")
            assert broker.stop() == 0


def test_peers_come_back_after_the_broker_was_killed(tmp_path):
    with running(tmp_path) as broker, Client(broker) as client, Server(broker) as server:
        server.join()
        client.join()
        parcel = submission(server.journal)
        job = parcel[0].job
        client.send(parcel)
        server.expect(p.Submit)
        old = broker.ready
        broker.process.kill()
        broker.process.wait(PATIENCE)
        broker.start("--client-address", old["client"], "--server-address", old["server"])
        server.send(p.Heartbeat())
        server.expect(p.Resync)
        server.join()
        client.send(p.Heartbeat())
        client.expect(p.Resync)
        assert client.join().journal == server.journal
        client.send(p.Attach(job=job, session="default", seq=0))
        server.expect(p.Attach)
        server.send(done(job, 1))
        assert client.expect(p.Done)[1] == b"result"


def test_logs_and_metrics_name_no_user_key_or_credential(tmp_path):
    with running(tmp_path, "--log-level", "debug") as broker:
        with Client(broker, "ada-lovelace") as client, Server(broker, "ada-lovelace") as server:
            server.join()
            client.join()
            client.ticket = "not-a-ticket"
            client.hello()
            client.expect(p.Refused)
            text = broker.log.read_text() + broker.get("/metrics")[1] + json.dumps(broker.ready)
            secrets = ("lovelace", client.key, server.key, "not-a-ticket", server.certificate)
        assert [secret for secret in secrets if secret in text] == []
