"""The embedded backend's endpoint: where it is, what it keeps, and how its process is started.

Its address answers from the beginning, but its process starts only when somebody first wants
something there: who only runs cells pays neither time nor memory for it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

from rexec_jupyter.core.runtime import UnsafeDirectoryError, private_directory
from rexec_jupyter.local.paths import Paths, data_path
from rexec_jupyter.local.processes import Part, module_command

_LOOPBACK = "127.0.0.1"
_BACKLOG = 128
# All that it gets from the environment: what configures another endpoint is not for this one.
# Its own settings may be in a file .env in its directory.
_INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_", "TZ", "TMPDIR", "PYTHON", "VIRTUAL_ENV"),
    *("LD_LIBRARY_PATH", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "http_proxy", "https_proxy"),
    *("no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "COVERAGE_", "REXEC_RUNTIME_DIR"),
)


class LocalEndpoint:
    """The endpoint of one backend, and the address that it has from one backend to the next.

    Parameters
    ----------
    paths
        Where keys and logs are kept.
    user
        Name of the user it is for.

    Attributes
    ----------
    door
        The listening socket.
    part
        Its process, once it was wanted.
    """

    def __init__(self, paths: Paths, user: str) -> None:
        self.part: Part | None = None
        self._paths = paths
        self._user = user
        self._data = data_path()
        self._error = ""
        self.door = self._listen()
        self._port: int = self.door.getsockname()[1]

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{_LOOPBACK}:{self._port}"

    @property
    def token(self) -> str:
        """What it lets everything be done with. Only once it was wanted."""
        return self._paths.endpoint_token.read_text("ascii").strip()

    @property
    def database(self) -> Path:
        """Where its catalog is kept."""
        return self._data / "catalog.sqlite3"

    def make(self) -> Part | None:
        """Make its files and its process, which is yet to be started; None if that fails."""
        try:
            private_directory(self._data)
            self._remember_port()
            self._make_token()
        except OSError as error:
            self.door.close()  # nobody is to wait there
            text = str(error) if isinstance(error, UnsafeDirectoryError) else f"{error}."
            self._error = f"The endpoint cannot have its directory: {text}"
            return None
        self.part = Part(
            "endpoint",
            module_command("rexec_ep_api", "serve", "--fd", str(self.door.fileno())),
            self._paths.log("endpoint"),
            self._environment(),
            announces=True,
            directory=self._data,
            door=self.door.fileno(),
        )
        return self.part

    def failure(self, hopeless: int) -> dict[str, Any]:
        """Tell why it does not get ready; nothing as long as it may.

        Parameters
        ----------
        hopeless
            Starts in a row after which it probably will not.
        """
        if self._error:
            return {"error": self._error, "log": []}
        if self.part is not None and not self.part.ready and self.part.failures >= hopeless:
            return {"error": "its process ends as soon as it starts", "log": self.part.last_words()}
        return {}

    def status(self, hopeless: int) -> dict[str, Any]:
        """Return its state; nothing secret is in it."""
        part = self.part
        failure = self.failure(hopeless)
        ready = part is not None and part.ready
        idle = "failing" if failure else "idle" if part is None else "starting"
        return {
            "url": self.url,
            "docs": f"{self.url}/docs",
            "state": "ready" if ready else idle,
            "token_file": str(self._paths.endpoint_token),
            "data": str(self._data),
            "pid": part.pid if part else None,
            "starts": part.starts if part else 0,
            "error": failure.get("error", ""),
            "log": failure.get("log", []),
        }

    def _listen(self) -> socket.socket:
        for port in (self._last_port(), 0):
            door = socket.socket()
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                door.bind((_LOOPBACK, port))
                door.listen(_BACKLOG)
            except OSError:
                door.close()
                if not port:
                    raise
            else:
                return door
        raise AssertionError("unreachable: the last port is any that is free")

    def _last_port(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            port = int((self._data / "port").read_text("ascii"))
            if 1024 <= port < 1 << 16:
                return port
        return 0

    def _remember_port(self) -> None:
        # A bookmark or a notebook that has the address in it goes on working.
        (self._data / "port").write_text(f"{self._port}\n", "ascii")

    def _make_token(self) -> None:
        from rexec_jupyter.core.trust import write_private  # noqa: PLC0415 - it loads ZeroMQ

        write_private(self._paths.endpoint_token, os.urandom(32).hex().encode())

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if name.startswith(_INHERITED)
        }
        return inherited | {
            "AUTH_API_URL": "",
            "REXEC_EP_JWKS_URL": "",
            "TEST_TOKEN": "",
            "REXEC_EP_DEVELOPMENT": "true",
            "REXEC_EP_DEVELOPMENT_TOKEN_FILE": str(self._paths.endpoint_token),
            "REXEC_EP_DATABASE_URL": f"sqlite:///{self.database}",
            "CKAN_LOCAL_ENABLED": "true",
            "LOCAL_CATALOG_BACKEND": "sqlite",
            "ROOT_PATH": "",
            "EP_NAME": "Catalog on this computer",
            "ORGANIZATION": self._user,
        }
