"""`rexec doctor`: what it finds, that it starts nothing, never hangs and tells no secret."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import rexec_jupyter as rexec_api
from rexec_jupyter.core import doctor
from rexec_jupyter.core.kernels import FOLDER
from rexec_jupyter.local import checkup
from tests.backend.brokering import PATIENCE, until
from tests.backend.commanding import rexec, told
from tests.endpoint.answering import Answering, Reply
from tests.endpoint.canary import secret


def examine(client=None):
    """Check everything, with as much time as a busy machine takes."""
    return doctor.examine(client, limit=PATIENCE)


def found(check, findings=None):
    """Return the findings of one check."""
    return [finding for finding in findings or examine() if finding.check == check]


def only(check, findings=None):
    (finding,) = found(check, findings)
    return finding


def failures(findings):
    return [finding for finding in findings if finding.state == "fail"]


@pytest.fixture
def stopped():
    """Stop processes; they go on at the end."""
    pids = []

    def stop(pid):
        os.kill(pid, signal.SIGSTOP)
        pids.append(pid)

    yield stop
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


# --------------------------------------------------------------------- nothing runs


def test_where_all_is_well_nothing_fails_and_nothing_is_started(fresh):
    findings = examine()
    assert failures(findings) == []
    assert only("server", findings).text == "none runs; the first cell or call starts one"
    assert {"Python", "packages", "ZeroMQ", "settings", "clock", "disk"} <= {
        finding.check for finding in findings
    }
    assert not fresh.processes()
    assert list(fresh.root.iterdir()) == []


def test_a_directory_that_is_not_there_is_not_made(tmp_path, monkeypatch):
    place = tmp_path / "a" / "b"
    monkeypatch.setenv("REXEC_RUNTIME_DIR", str(place))
    assert "is made when it is needed" in only("directory").text
    assert not place.parent.exists()


def test_a_directory_open_to_others_fails_with_the_way_out(fresh):
    fresh.root.chmod(0o750)
    finding = only("directory")
    fresh.root.chmod(0o700)
    assert finding.state == "fail"
    assert "open to other users (mode 750, not 700)" in finding.text
    assert "REXEC_RUNTIME_DIR" in finding.hint


def test_what_kernels_tell_open_to_others_fails_with_the_way_out(fresh):
    folder = fresh.root / FOLDER
    folder.mkdir()
    folder.chmod(0o755)
    finding = only("directory")
    folder.rmdir()
    assert finding.state == "fail"
    assert finding.hint == f"chmod 700 {folder}"


def test_a_name_too_long_for_sockets_fails(monkeypatch, tmp_path):
    monkeypatch.setenv("REXEC_RUNTIME_DIR", str(tmp_path / ("x" * 100)))
    assert "too long for sockets" in only("directory").text


def test_an_unknown_variable_is_told_with_what_was_probably_meant(fresh, monkeypatch):
    monkeypatch.setenv("REXEC_SESION", "work")
    finding = only("settings")
    assert (finding.state, finding.hint) == ("warn", "Did you mean REXEC_SESSION?")


@pytest.mark.parametrize(
    ("name", "text"), [("REXEC_TIMEOUT", "soon"), ("REXEC_LOCAL_LINGER", "a while")]
)
def test_a_variable_that_cannot_be_understood_fails(fresh, monkeypatch, name, text):
    monkeypatch.setenv(name, text)
    (finding,) = failures(examine())
    assert finding.check == "settings"
    assert name in finding.text


def test_an_endpoint_needs_a_token(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("REXEC_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("REXEC_URL", "https://example.org/api/")
    findings = found("address")
    assert [finding.state for finding in findings] == ["ok", "fail"]
    assert "%rexec login --url https://example.org/api" in findings[1].hint


def test_an_endpoint_is_asked_who_one_is_and_where_remote_execution_is(
    fresh, monkeypatch, tmp_path
):
    monkeypatch.setenv("REXEC_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("REXEC_TOKEN", token := secret("token"))
    ann = {"username": "ann", "effective_role": "writer"}
    broker = {"broker_addr": "broker", "broker_port": 5559}
    with Answering() as server:
        monkeypatch.setenv("REXEC_URL", server.url)
        server.answer("GET", "/user/info", ann, ann, Reply(401, {"detail": f"No: {token}"}))
        deploy = {"deployment_api_url": server.url}
        server.answer("GET", "/status/rexec", deploy, Reply(404, {"detail": "Not Found"}))
        server.answer("GET", "/rexec/broker-config", broker)
        findings = examine()
        assert [finding.state for finding in found("address", findings)] == ["ok"]
        assert only("user", findings).text == f"{server.url} knows you as ann, writer"
        assert only("remote execution", findings).text.endswith("its broker at broker:5559")
        assert only("remote execution").state == "fail"
        refused = only("user")
        assert refused.state == "fail"
        assert "%rexec login" in refused.hint
        assert token not in str(refused)
    assert "Failed to connect" in only("user").text


def test_an_address_elsewhere_is_told_without_the_secret_in_it(fresh, monkeypatch):
    monkeypatch.setenv("REXEC_URL", "https://me:hunter2@example.org/api?token=hunter3")
    findings = found("address")
    assert [finding.state for finding in findings] == ["warn", "fail"]
    assert "https://example.org/api" in findings[1].text
    assert "hunter" not in str(examine())


def test_proxies_are_named_and_not_their_passwords(fresh, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://me:hunter2@proxy:3128")
    findings = examine()
    assert "https_proxy" in only("proxies", findings).text
    assert "hunter2" not in str(findings)


def test_a_package_in_another_version_fails_with_the_command_to_install_it(fresh, tmp_path):
    place = tmp_path / "pyzmq-1.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: pyzmq\nVersion: 1.0\n")
    result = rexec("doctor", "--quiet", PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert "pyzmq is 1.0" in result.stdout
    assert "pip install 'pyzmq" in result.stdout


def test_few_open_files_are_told(fresh):
    command = f"ulimit -Sn 256; exec {sys.executable} -m rexec_jupyter doctor"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "a process may open 256 only" in result.stdout
    assert "ulimit -n 1024" in result.stdout


def test_what_a_killed_server_left_is_told_and_is_no_obstacle(fresh):
    fresh.start()
    os.kill(fresh.pid("supervisor"), signal.SIGKILL)
    until(lambda: not fresh.processes(), "the end of all processes")
    finding = only("server")
    assert (finding.state, finding.hint) == ("warn", "Nothing to do: the next start clears them.")
    with rexec_api.connect("local") as client:
        assert client.run(abs, -1) == 1


def test_a_stale_socket_is_told(fresh):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(fresh.paths.socket))
    fresh.paths.socket.chmod(0o600)
    finding = only("server")
    fresh.paths.socket.unlink()
    assert finding.state == "warn"


# ------------------------------------------------------------------- a server that runs


def test_a_server_that_runs_is_asked_and_connected_to(fresh):
    fresh.start()
    findings = examine()
    assert failures(findings) == []
    assert str(fresh.pid("supervisor")) in only("server", findings).text
    assert f"broker {fresh.pid('broker')}" in only("processes", findings).text
    assert only("tickets", findings).text == "valid for 15 min from now"
    assert fresh.status()["endpoint"] in only("connection", findings).text
    assert only("server's Python", findings).state == "ok"


def test_a_client_that_is_given_is_asked_and_stays_connected(fresh):
    with rexec_api.connect("local") as client:
        finding = only("connection", examine(client))
        assert finding.state == "ok"
        assert client.status().endpoint in finding.text
        assert client.run(abs, -1) == 1


def test_no_secret_of_the_server_is_told(fresh):
    fresh.start()
    told = str(examine())
    secret = fresh.paths.secret.read_bytes()
    keys = [path.read_text() for path in fresh.paths.keys.iterdir()]
    words = {word for text in keys for word in text.split() if len(word) > 20}
    assert words
    assert secret.hex() not in told
    assert not any(word in told for word in words)


@pytest.mark.parametrize("name", ["secret", "keys/broker", "keys/server"])
def test_a_key_that_others_can_read_fails_with_the_command_for_it(fresh, name):
    fresh.start()
    path = fresh.root / name
    path.chmod(0o644)
    finding = only("directory")
    assert finding.state == "fail"
    assert finding.hint.startswith(f"chmod 600 {path}")


def test_a_part_that_was_started_again_is_told_with_its_log(fresh):
    fresh.start()
    fresh.kill("exec")
    finding = only("exec")
    assert finding.state == "warn"
    assert "started again, 1 x" in finding.text
    assert str(fresh.paths.log("exec")) in finding.hint


def test_a_supervisor_that_does_not_answer_is_named(fresh, stopped):
    fresh.start()
    pid = fresh.pid("supervisor")
    stopped(pid)
    finding = only("server")
    assert finding.state == "fail"
    assert f"(process {pid}) does not answer" in finding.text


def test_a_broker_that_does_not_answer_fails_in_time(fresh, stopped):
    fresh.start()
    stopped(fresh.pid("broker"))
    finding = only("connection")
    assert finding.state == "fail"
    assert "rexec down -f" in finding.hint


def test_a_clock_that_was_set_is_told():
    status = {"clock_jump": -7200.0}
    (finding,) = checkup._dates(status, {})
    assert finding.state == "warn"
    assert "-7200 s" in finding.text


def test_another_python_on_the_server_is_told():
    finding = checkup._same_python("3.99.1")
    assert finding.state == "warn"
    assert "functions are refused" in finding.text
    assert "Python 3.99" in finding.hint


# ------------------------------------------------------------------------- it always ends


def test_a_check_that_hangs_is_given_up_and_the_others_are_told():
    never = threading.Event()

    def hangs():
        yield doctor.Finding("disk", "ok", "so far")
        never.wait()

    began = time.monotonic()
    findings = doctor._in_parallel({"disk": hangs, "Python": doctor.python}, limit=1.0)
    never.set()
    assert time.monotonic() - began < PATIENCE
    assert [(finding.check, finding.state) for finding in findings] == [
        ("disk", "ok"),
        ("disk", "fail"),
        ("Python", "ok"),
    ]


def test_a_check_that_breaks_is_a_failure_and_stops_no_other():
    def breaks():
        raise OSError("no such thing")
        yield

    findings = doctor._in_parallel({"disk": breaks, "Python": doctor.python}, limit=PATIENCE)
    assert findings[0].text == "it cannot be checked: OSError: no such thing"
    assert findings[1].state == "ok"


# ----------------------------------------------------------------------------- the command


def test_the_command_shows_findings_as_text_and_as_json(fresh):
    result = rexec("doctor")
    assert result.returncode == 0, result.stdout
    assert result.stdout.splitlines()[-1] == "rexec can work here."
    assert any(row["check"] == "ZeroMQ" and row["state"] == "ok" for row in told("doctor"))


def test_the_command_fails_if_something_fails(fresh):
    fresh.root.chmod(0o770)
    result = rexec("doctor", "--quiet")
    fresh.root.chmod(0o700)
    assert result.returncode == 1
    assert "FAIL  directory" in result.stdout
    assert "ZeroMQ" not in result.stdout
