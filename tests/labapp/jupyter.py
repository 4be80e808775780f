"""A Jupyter server of the tests' own with the panel's extension, and who listens to it."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from urllib.parse import quote

import httpx
import psutil
from jupyter_client.blocking import BlockingKernelClient
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.backend.brokering import until
from tests.browser import lab
from tests.ports import closed_port
from tests.processes import command

# As behind a hub: nothing may take the server to be at the root of its host.
BASE_URL = "/user/x"
START_SECONDS = STOP_SECONDS = 60
_PROGRAMS = {"jupyter_server", "jupyterhub.singleuser"}
_EXTENSION = {"rexec_jupyter.labapp": True}
# They take a second to load, and have nothing to do here.
_OTHERS = dict.fromkeys(
    ("jupyterlab", "jupyter_lsp", "jupyter_server_terminals", "notebook", "notebook_shim"), False
)


class Jupyter:
    """The server.

    Attributes
    ----------
    received
        Everything that it ever answered, or said on a stream.
    """

    def __init__(self, directory, *arguments, **environment):
        self.directory = directory
        self.log = directory / "jupyter.log"
        self.token = secrets.token_hex(16)
        self.received = bytearray()
        self._reserved = contextlib.ExitStack()
        self.port = self._reserved.enter_context(closed_port())
        self.host = f"127.0.0.1:{self.port}"
        self._command = [
            *(sys.executable, "-m", "jupyter_server", "--no-browser", "--ip=127.0.0.1"),
            *(f"--port={self.port}", "--ServerApp.port_retries=0"),
            f"--ServerApp.base_url={BASE_URL}/",
            f"--ServerApp.jpserver_extensions={_OTHERS | _EXTENSION}",
            *(["--allow-root"] if os.geteuid() == 0 else []),
            *arguments,
        ]
        own = {"REXEC_CONFIG_DIR": str(directory / "rexec")}
        self._environment = lab.environment(directory, self.token) | own | environment
        self._process = None
        self._client = httpx.Client(
            base_url=f"http://{self.host}{BASE_URL}/rexec/api",
            headers={"Authorization": f"token {self.token}"},
            timeout=60,
            verify=False,
        )

    def __enter__(self):
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            until(self._answers, "the Jupyter server", START_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._client.close()
        self._process.terminate()
        try:
            with self._reserved:
                self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def _answers(self):
        assert self._process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        return False

    def ask(self, method, path, body=None, **query):
        """Return the status code and the JSON of an answer."""
        content = None if body is None else json.dumps(body)
        answer = self._client.request(method, path, content=content, params=query or None)
        self.received += answer.content + str(answer.headers).encode()
        return answer.status_code, answer.json()

    def get(self, path, **query):
        """Return the JSON of an answer that is good."""
        status, told = self.ask("GET", path, **query)
        assert status == 200, told
        return told

    def do(self, method, path, **body):
        """Do something that succeeds; return what is said of it."""
        status, told = self.ask(method, path, body)
        assert status == 200, told
        return told["text"]

    def refused(self, status, method, path, **body):
        """Do something that is refused; return the problem."""
        got, told = self.ask(method, path, body)
        assert got == status, told
        assert told["message"]
        return told

    @contextlib.contextmanager
    def stream(self):
        """Listen as a browser tab does."""
        with connect(
            f"ws://{self.host}{BASE_URL}/rexec/api/events",
            additional_headers={"Authorization": f"token {self.token}"},
            max_size=None,
            open_timeout=START_SECONDS,
            close_timeout=1,
            ping_interval=None,
        ) as socket_:
            yield Stream(socket_, self)


class Stream:
    """One tab: what it knows, from all that it was told so far, and that is something."""

    def __init__(self, socket_, jupyter):
        self.messages = []
        self.connection = {}
        self.elsewhere, self.alerts, self.servers, self.sessions, self.usage = [], [], [], [], []
        self.jobs = {}
        self.installing = {}
        self._jupyter = jupyter
        self._socket = socket_
        self._whole = threading.Lock()  # each message is taken as a whole
        threading.Thread(target=self._listen, daemon=True).start()
        self.until(lambda tab: tab.connection, "the first news")

    def _listen(self):
        with contextlib.suppress(ConnectionClosed):
            for text in self._socket:
                self._jupyter.received += text.encode()
                message = json.loads(text)
                with self._whole:
                    self.messages.append(message)
                    if message["type"] == "news":
                        self._take(message)

    def _take(self, news):
        for part in ("connection", "elsewhere", "alerts", "servers", "sessions"):
            setattr(self, part, news.get(part, getattr(self, part)))
        jobs = {} if news.get("all_jobs") else self.jobs
        jobs = jobs | {job["id"]: job for job in news.get("jobs", ())}
        gone = set(news.get("gone", ()))
        self.jobs = {job: told for job, told in jobs.items() if job not in gone}
        self.usage = [*self.usage, *news.get("usage", ())]
        for name, lines in news.get("installing", {}).items():
            self.installing[name] = [*self.installing.get(name, ()), *lines]

    @property
    def state(self):
        return self.connection.get("state")

    @property
    def news(self):
        return [message for message in self.messages if message["type"] == "news"]

    def server(self, name="default", **wanted):
        return _first(self.servers, name=name, **wanted)

    def session(self, name, **wanted):
        return _first(self.sessions, name=name, **wanted)

    def job(self, **wanted):
        return _first(self.jobs.values(), **wanted)

    def alert(self, beginning):
        return next((each for each in self.alerts if each["key"].startswith(beginning)), None)

    def until(self, condition, what="news", patience=60.0):
        def holds():
            with self._whole:
                return condition(self)

        try:
            return until(holds, what, patience)
        except AssertionError as error:
            raise AssertionError(
                f"{error}; last: {self.connection} {self.alerts} {self.servers} {self.sessions}\n"
                f"{self._jupyter.log.read_text()[-3000:]}"
            ) from None


def _first(every, **wanted):
    """Return the first of which all that is so; None if there is none."""
    return next((each for each in every if _is(each, wanted)), None)


def _is(each, wanted):
    return all(each[name] == value for name, value in wanted.items())


class Kernel:
    """A kernel that a Jupyter server started.

    Attributes
    ----------
    id
        By which the server knows it.
    """

    def __init__(self, jupyter, name="python3"):
        self._where = f"http://{jupyter.host}{BASE_URL}/api/kernels"
        self._jupyter = jupyter
        self.id = self._ask("POST", "", {"name": name}).json()["id"]
        file = jupyter.directory / "runtime" / f"kernel-{self.id}.json"
        self._client = BlockingKernelClient(connection_file=str(file))
        self._client.load_connection_file()
        # Without the heartbeat: one that does not answer for a second would be taken for dead.
        self._client.start_channels(hb=False)
        try:
            self._client.wait_for_ready(START_SECONDS)
        except BaseException:
            self.end()
            raise

    def _ask(self, method, path, body=None):
        answer = self._jupyter._client.request(method, self._where + path, json=body)
        assert answer.is_success, answer.text
        return answer

    def run(self, code):
        reply = self._client.execute_interactive(code, timeout=60, output_hook=lambda _: None)
        assert reply["content"]["status"] == "ok", reply

    def end(self):
        self._client.stop_channels()
        self._ask("DELETE", f"/{self.id}")


def await_end(embedded):
    """Wait until nothing is left of the embedded backend, of which no Jupyter server is a part."""
    left = []

    def ended():
        left[:] = [
            each
            for each in embedded.remains()
            if not (isinstance(each, psutil.Process) and _PROGRAMS & set(command(each)))
        ]
        return not left

    try:
        until(ended, "the end of the embedded backend")
    except AssertionError as error:
        raise AssertionError(f"{error}; left: {left}") from None


def segment(name):
    """Return a name as a part of a path."""
    return quote(name, safe="")
