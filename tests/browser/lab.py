"""A JupyterLab of the tests' own: its own port, token, settings and notebooks, nothing shared."""

import contextlib
import http.client
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tests.ports import closed_port

START_SECONDS = 120
STOP_SECONDS = 60
# As behind a hub: nothing may take the server to be at the root of its host.
BASE_URL = "/user/x"


@dataclass(frozen=True)
class Lab:
    port: int
    token: str
    directory: Path

    @property
    def root(self) -> Path:
        """Where its notebooks are."""
        return self.directory / "notebooks"

    @property
    def log(self) -> Path:
        return self.directory / "jupyter.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{BASE_URL}"

    def write_notebook(self, path: str, *sources: str) -> str:
        """Save a notebook of code cells and return its path."""
        notebook = new_notebook(
            cells=[new_code_cell(source) for source in sources],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(notebook, self.root / path)
        return path

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the Jupyter server's REST interface and return its JSON, if any."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(
                method,
                BASE_URL + path,
                body=None if body is None else json.dumps(body),
                headers={"Authorization": f"token {self.token}"},
            )
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:500]!r}")
        return json.loads(answer) if answer else None

    def shut_down_kernels(self) -> None:
        for session in self.request("GET", "/api/sessions"):
            try:
                self.request("DELETE", f"/api/sessions/{session['id']}")
            except RuntimeError:  # it may have ended meanwhile
                if session["id"] in [each["id"] for each in self.request("GET", "/api/sessions")]:
                    raise


@contextlib.contextmanager
def new_lab(directory: Path) -> Iterator[Lab]:
    """Give a JupyterLab that does not run yet; nobody else gets its port."""
    with closed_port() as port:
        lab = Lab(port, secrets.token_hex(16), directory)
        lab.root.mkdir()
        _write_settings(directory / ".jupyter" / "lab" / "user-settings")
        yield lab


@contextlib.contextmanager
def running_lab(directory: Path) -> Iterator[Lab]:
    """Run a new JupyterLab."""
    with new_lab(directory) as lab, running(lab):
        yield lab


@contextlib.contextmanager
def running(lab: Lab) -> Iterator[None]:
    """Run a JupyterLab that does not run."""
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser"),
        *("--ip=127.0.0.1", f"--port={lab.port}", "--ServerApp.port_retries=0"),
        f"--ServerApp.root_dir={lab.root}",
        f"--ServerApp.base_url={BASE_URL}/",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",
        *(["--allow-root"] if os.geteuid() == 0 else []),
    ]
    with lab.log.open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=lab.root,
            env=environment(lab.directory, lab.token),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_it_answers(lab, process)
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment(home: Path, token: str) -> dict[str, str]:
    """Return the environment of a Jupyter server that has nothing of whoever runs the tests."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "IPYTHON", "XDG_", "REXEC_"))
    }
    return inherited | {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / ".jupyter"),
        "JUPYTER_DATA_DIR": str(home / ".local" / "share" / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / ".ipython"),
        "REXEC_RUNTIME_DIR": os.environ["REXEC_RUNTIME_DIR"],
        "JUPYTER_TOKEN": token,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def _write_settings(directory: Path) -> None:
    settings = {
        # The question about news would cover the page, and neither answer could be fetched.
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        # Completions that come later are not shown.
        "completer-extension/manager": {"providerTimeout": 60_000},
        # Outputs scrolled out of sight would read as empty.
        "notebook-extension/tracker": {"windowingMode": "none"},
    }
    for plugin, values in settings.items():
        path = directory / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


def _wait_until_it_answers(lab: Lab, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            lab.request("GET", "/api/status")
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            if process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            log = lab.log.read_text(errors="replace")
            raise RuntimeError(f"JupyterLab did not start: {error}\n{log[-4000:]}") from error
        return
