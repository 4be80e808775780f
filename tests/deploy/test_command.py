"""``rexec-deploy-api serve`` as a process of its own, with servers as processes."""

import json
import os
import signal
import subprocess
import sys

import httpx
import pytest

from rexec_deploy_api.app import create_app
from rexec_deploy_api.settings import read_settings
from rexec_jupyter.core.credentials import SigningKey
from rexec_jupyter.core.trust import new_keypair
from rexec_jupyter.web.settings import SettingsError
from tests.endpoint.service import clean_environment

PATIENCE = 60.0
TOKEN = "a-token-for-trying-this-out"


@pytest.fixture
def settings(tmp_path):
    SigningKey.generate().write(tmp_path / "signing.pem")
    (tmp_path / "secret").write_bytes(os.urandom(32))
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    return {
        "REXEC_DEPLOY_SIGNING_KEY_FILE": "signing.pem",
        "REXEC_DEPLOY_SECRET_FILE": "secret",
        "REXEC_DEPLOY_BROKER_KEY": new_keypair().public.decode(),
        "REXEC_DEPLOY_DEVELOPMENT": "true",
        "REXEC_DEPLOY_DEVELOPMENT_TOKEN_FILE": "token",
        "REXEC_DEPLOY_DIRECTORY": "servers",
        "REXEC_DEPLOY_BROKER_HEALTH_URL": "http://127.0.0.1:9",
        "REXEC_BROKER_EXTERNAL_HOST": "broker.example.org",
        "APP_ROOT_PATH": "rexec/",
    }


def serve(directory, settings, more=(), **options):
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "rexec_deploy_api",
            "serve",
            "--port",
            "0",
            *more,
        ],
        cwd=directory,
        env=clean_environment() | settings,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_it_serves_and_ends_in_good_order(tmp_path, settings):
    read, write = os.pipe()
    process = serve(tmp_path, settings, more=["--ready-fd", str(write)], pass_fds=[write])
    os.close(write)
    try:
        with os.fdopen(read) as ready:
            url = json.loads(ready.readline())["url"]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE) as client:
            assert client.get("/ready").json()["status"] == "ready"
            assert client.get("/rexec/v1/servers").json() == {"servers": []}
            told = client.get("/broker-config").json()
            assert told["broker_external_url"] == "broker.example.org:5559"
            assert client.get("/v1/servers", headers={"Authorization": "Bearer x"}).status_code in (
                401,
                503,
            )
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, log
    assert TOKEN not in log
    assert all(json.loads(line)["level"] for line in log.splitlines())


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"REXEC_DEPLOY_BROKER_KEY": ""}, "REXEC_DEPLOY_BROKER_KEY"),
        ({"REXEC_DEPLOY_BROKER_KEY": "short"}, "40 characters"),
        ({"REXEC_DEPLOY_SIGNING_KEY_FILE": "none.pem"}, "none.pem: No such file"),
        ({"REXEC_DEPLOY_SIGNING_KEY_FILE": "token"}, "cannot be used"),
        ({"REXEC_DEPLOY_SECRET_FILE": "empty"}, "32 bytes"),
        ({"REXEC_DEPLOY_PROFILES": "empty"}, "not JSON"),
        ({"REXEC_DEPLOY_SPAWNER": "docker"}, "REXEC_DEPLOY_SPAWNER"),
        ({"REXEC_DEPLOY_AUTH_TIMEOUT": "soon"}, "REXEC_DEPLOY_AUTH_TIMEOUT"),
    ],
)
def test_settings_that_cannot_be_are_told(tmp_path, settings, changed, told, monkeypatch):
    (tmp_path / "empty").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    for name, value in (settings | changed).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        create_app(read_settings())
    assert told in str(refused.value)


def test_a_process_tells_so_in_a_line(tmp_path, settings):
    process = serve(tmp_path, settings | {"REXEC_DEPLOY_BROKER_KEY": "short"})
    _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3
    (line,) = log.splitlines()
    assert "40 characters" in json.loads(line)["message"]
