"""The real service as a process of its own, and what speaks to it."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import httpx

from tests.endpoint.canary import inspect_response
from tests.waiting import PATIENCE, until


def not_late(ask):
    """Return the first answer that is no 504: on a busy machine, anything may take too long."""
    return until(lambda: answer if (answer := ask()).status_code != 504 else None, "an answer")


class Endpoint:
    """`python -m rexec_ep_api serve` on a free port of the loopback.

    Parameters
    ----------
    directory
        Where it works, and where its log goes.
    settings
        Environment variables; None takes one away.
    arguments
        For `serve`.
    python
        The interpreter.
    """

    def __init__(self, directory, settings, *arguments, python=sys.executable):
        self.directory = directory
        self.log = directory / "service.log"
        self.environment = clean_environment() | {
            name: value for name, value in settings.items() if value is not None
        }
        self.command = [str(python), "-m", "rexec_ep_api"]
        self.arguments = [str(argument) for argument in arguments]
        self.process = None
        self.url = None

    def start(self):
        read, write = os.pipe()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "serve", "--port", "0", "--ready-fd", str(write), *self.arguments],
                cwd=self.directory,
                env=self.environment,
                pass_fds=[write],
                stdout=log,
                stderr=log,
            )
        os.close(write)
        with os.fdopen(read) as ready:
            line = ready.readline()
        if not line:
            self.stop()
        assert line, f"the service did not start:\n{self.log.read_text()}"
        self.url = json.loads(line)["url"]
        return self

    def run(self, *arguments):
        """Run another command of the service with the same settings."""
        return subprocess.run(
            [*self.command, *map(str, arguments)],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def client(self, token=None, **options):
        """Return an httpx client for this endpoint, with a bearer token or without."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        hooks = {"response": [inspect_response]}
        # It speaks plain HTTP, and to load certificates takes longer than most tests.
        options = {"timeout": PATIENCE, "event_hooks": hooks, "verify": False} | options
        return httpx.Client(base_url=self.url, headers=headers, **options)

    def log_lines(self):
        """Return what it has logged, parsed."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self, number=signal.SIGTERM):
        """End it, and return its exit code."""
        if self.process is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def clean_environment():
    """Return this process's environment without anything that configures an endpoint."""
    configuring = (
        "AUTH_",
        "CKAN_",
        "ENABLE_",
        "GROUP_",
        "KAFKA_",
        "LOCAL_",
        "METRICS_",
        "PELICAN_",
    )
    configuring += ("PRE_CKAN_", "REXEC_", "S3_", "SWAGGER_", "TEST_TOKEN", "USE_JUPYTERLAB")
    return {name: value for name, value in os.environ.items() if not name.startswith(configuring)}
