"""A deploy API in a process of its own, which runs servers as processes, beside a real broker."""

import contextlib
import json
import os
import signal
import subprocess
import sys

from tests.backend.brokering import running
from tests.endpoint.service import clean_environment

PATIENCE = 60.0
TOKEN = "a-token-for-trying-this-out"


@contextlib.contextmanager
def broker_in(directory):
    """Run a broker, whose signing key the deploy API is to have too."""
    with running(directory) as broker:
        broker.signing.write(directory / "signing.pem")
        yield broker


@contextlib.contextmanager
def deploy_api(directory, broker, **more):
    """Run a deploy API that accepts `TOKEN`, and give its address."""
    (directory / "secret").write_bytes(os.urandom(32))
    (directory / "token").write_text(TOKEN)
    (directory / "token").chmod(0o600)
    settings = {
        "REXEC_DEPLOY_SIGNING_KEY_FILE": "signing.pem",
        "REXEC_DEPLOY_SECRET_FILE": "secret",
        "REXEC_DEPLOY_BROKER_KEY": broker.keys.public.decode(),
        "REXEC_DEPLOY_BROKER_HOST": "127.0.0.1",
        "REXEC_DEPLOY_BROKER_PORT": broker.ready["client"].rpartition(":")[2],
        "REXEC_DEPLOY_BROKER_SERVERS": broker.ready["server"],
        "REXEC_DEPLOY_BROKER_HEALTH_URL": f"http://{broker.ready['health']}",
        "REXEC_DEPLOY_DEVELOPMENT": "true",
        "REXEC_DEPLOY_DEVELOPMENT_TOKEN_FILE": "token",
        "REXEC_DEPLOY_DIRECTORY": "servers",
    }
    read, write = os.pipe()
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rexec_deploy_api", "serve", "--port=0", f"--ready-fd={write}"],
            cwd=directory,
            env=clean_environment() | settings | more,
            pass_fds=[write],
            stdout=log,
            stderr=log,
        )
    os.close(write)
    try:
        with os.fdopen(read) as ready:
            yield json.loads(ready.readline())["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, (directory / "log").read_text()
