"""The images of this project, and containers of them that may do as little as pods may."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import time
from pathlib import Path

import yaml

from tests.cluster.broker import image

ROOT = Path(__file__).parents[2]
BASE = os.environ.get("REXEC_BASE_IMAGE", "python:3.11-slim")
MB = 1_000_000
MOST = {"broker": 60 * MB, "server": 250 * MB, "deploy-api": 250 * MB, "ep-api": 250 * MB}
"""Bytes that each image may add to its base."""
SERVICES = tuple(MOST)
PATIENCE = 150.0
HARDENED = (
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--tmpfs", "/tmp:mode=1777"),
)


LOADER = "REXEC_IMAGE_LOADER"
"""Variable with a command that brings the images it is given into the cluster."""
POSTGRESQL = "REXEC_TEST_POSTGRESQL_IMAGE"
"""Variable with the name of an image of PostgreSQL for the chart."""


class DockerError(RuntimeError):
    """Docker did not do it; the text is what it said."""


def docker(*arguments, check=True, timeout=PATIENCE, **options):
    """Run docker; return what it wrote."""
    done = subprocess.run(
        ["docker", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        **options,
    )
    if check and done.returncode:
        raise DockerError(f"{done.stderr.strip()}\n{done.stdout.strip()}")
    return done.stdout + (done.stderr if not check else "")


def about(name):
    """Return what Docker knows of an image or a container."""
    return json.loads(docker("inspect", name))[0]


def run(name, *command, entrypoint="/bin/sh", options=()):
    """Run something in a new container of an image; return what it wrote."""
    return docker(
        *("run", "--rm", "--network", "none", *HARDENED, *options),
        *("--entrypoint", entrypoint, image(name), *command),
    )


def python(name, source):
    """Run Python's source in a new container of an image; return what it printed."""
    return run(name, "-c", source, entrypoint="python")


def build(service, tag, *options):
    """Build the image of a service under another name."""
    docker(
        *("build", "--quiet", "--build-arg", f"BASE_IMAGE={BASE}", *options),
        *("--file", ROOT / "services" / service.replace("-", "_") / "Dockerfile", "--tag", tag),
        ROOT,
        timeout=400,
    )


def postgresql():
    """Return the name of an image of PostgreSQL that the cluster has, or can fetch.

    The chart's own comes from where the others come from. Where images are brought into the
    cluster instead, one that stands in for it is made and brought there.
    """
    if given := os.environ.get(POSTGRESQL):
        return given
    if not (loader := os.environ.get(LOADER)):
        values = yaml.safe_load((ROOT / "helm/rexec/charts/postgresql/values.yaml").read_text())
        return "{repository}:{tag}".format(**values["image"])
    name = image("postgresql")
    docker(
        *("build", "--quiet", "--build-arg", f"BASE_IMAGE={BASE}", "--tag", name),
        ROOT / "tests/cluster/postgresql",
        timeout=400,
    )
    subprocess.run([*shlex.split(loader), name], check=True, timeout=200)
    return name


def pins(service):
    """Return the packages that a service asks for, with their versions."""
    lines = (ROOT / "services" / service.replace("-", "_") / "requirements.txt").read_text()
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[\w+\])?==(\S+)$", lines, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


class Container:
    """A container that runs a service, with nothing that it may write to but what it is given.

    Parameters
    ----------
    name
        Of the image.
    command
        For its entry point.
    options
        For ``docker run``.
    """

    def __init__(self, name, *command, options=()):
        checks = ("--health-interval", "1s", "--health-timeout", "5s")
        self.id = docker(
            *("run", "--detach", *HARDENED, *checks, *options, image(name), *command)
        ).strip()

    def state(self):
        """Return how it is."""
        return about(self.id)["State"]

    def until(self, condition, what, patience=PATIENCE):
        """Wait until something holds; return its value."""
        deadline = time.monotonic() + patience
        while not (value := condition()):
            state = self.state()
            assert state["Running"], f"it ended before {what}:\n{self.log()}"
            assert time.monotonic() < deadline, f"not {what}:\n{state}\n{self.log()}"
            time.sleep(0.2)
        return value

    def healthy(self):
        """Wait until its own check says so."""
        self.until(lambda: self.state()["Health"]["Status"] == "healthy", "healthy")
        return self

    def run(self, *command):
        """Run a command in it; return what it wrote."""
        return docker("exec", self.id, *command)

    def log(self):
        """Return what it has written."""
        return docker("logs", self.id, check=False)

    def stop(self):
        """Ask it to end; return its exit code."""
        docker("stop", "--time", "20", self.id)
        return self.state()["ExitCode"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        docker("rm", "--force", "--volumes", self.id)


@contextlib.contextmanager
def made(kind, name):
    """Have a network or a volume of Docker."""
    docker(kind, "create", name)
    try:
        yield name
    finally:
        docker(kind, "rm", name)
