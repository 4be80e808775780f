"""A complete backend on the cluster, from the images of this project and plain manifests.

Its identity service takes ``user-HEX`` as the token of the user that the hexadecimal digits
spell in UTF-8.
"""

import contextlib
import hashlib
import json
import os
import re
from pathlib import Path

import httpx

from tests.cluster.broker import KEYS, PYTHON, BrokerThere, clear, image
from tests.cluster.forwarding import Forward
from tests.cluster.kube import apply, get, is_ready, kubectl, until

NAMESPACE = "rexec"
USERS = "app.kubernetes.io/managed-by=rexec-deploy-api"
ACCESS = Path(__file__).parents[2] / "services/deploy_api/kubernetes"
GiB, MiB = 1 << 30, 1 << 20

IDENTITY = """
import http.server, json, os, signal

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # the first process of a container has none

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        token = asked.get("token", "")
        try:
            user = bytes.fromhex(token.removeprefix("user-")).decode()
        except ValueError:
            user = ""
        known = bool(user) and token.startswith("user-")
        told = {"sub": user, "username": user[:20], "roles": ["ndp_writer"]}
        if not known:
            told = {"error": "unknown token"}
        self.answer(200 if known else 401, told)

    def do_GET(self):
        self.answer(200, {})

    def answer(self, status, told):
        content = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""

SMALL = {"cpu": 1, "memory": 512 * MiB}
PROFILES = {
    "default": "small",
    "profiles": [
        {"name": "small", "description": "Small", **SMALL, "start_timeout": 120},
        {"name": "tiny", "description": "Little memory", "cpu": 1, "memory": 256 * MiB},
        {"name": "vast", "description": "Too large", "cpu": 1, "memory": 1024 * GiB,
         "start_timeout": 15},
        {"name": "imageless", "description": "No image", **SMALL, "image": "rexec-none:missing",
         "start_timeout": 20},
        {"name": "unclaimed", "description": "Storage that is not there", **SMALL,
         "volumes": [{"claim": "rexec-missing", "path": "/data"}], "start_timeout": 15},
        {"name": "broken", "description": "Storage that cannot be mounted", **SMALL,
         "volumes": [{"claim": "rexec-broken", "path": "/data"}], "start_timeout": 20},
        {"name": "brief", "description": "Ends soon", **SMALL, "idle_timeout": 12,
         "orphan_timeout": 0, "max_lifetime": 0},
        {"name": "lasting", "description": "With a home", **SMALL, "home": GiB},
        {"name": "kept", "description": "Kept ready", **SMALL, "warm": 1},
    ],
}  # fmt: skip


def token(user):
    """Return the token of a user."""
    return f"user-{user.encode().hex()}"


def access(*files):
    """Return what the manifests of this project allow the deploy API."""
    return "\n---\n".join((ACCESS / file).read_text() for file in files)


class Backend(BrokerThere):
    """What is installed, and how to reach it.

    Attributes
    ----------
    api, endpoint
        Addresses of the deploy API and of the endpoint.
    profiles
        The kinds of servers; to be changed before it is installed.
    """

    def __init__(self):
        super().__init__(NAMESPACE)
        self.profiles = PROFILES
        self.doors = {"deploy-api": Forward(), "ep-api": Forward()}

    @property
    def api(self):
        return self.doors["deploy-api"].url

    @property
    def endpoint(self):
        return self.doors["ep-api"].url

    def install(self, *, replicas=2, settings=None):
        """Install everything, and wait until it answers."""
        remove()
        kubectl("create", "namespace", NAMESPACE)
        kubectl("apply", "-f", "-", stdin=access("access.yaml", "admission.yaml"))
        self.prepare(*self._services(), self._configuration())
        self.through()
        apply(*self._workloads(replicas, settings or {}))
        self.await_rollout("identity", "broker", "deploy-api", "ep-api")
        self.await_answers()
        return self

    def await_answers(self):
        """Wait until both APIs answer, which is a moment after their pods are ready."""
        until(lambda: self.answers(f"{self.api}/ready"), "the deploy API answers")
        until(lambda: self.answers(f"{self.endpoint}/health"), "the endpoint answers")

    def kill(self, name):
        """Kill every pod of a workload at once, and wait until others have taken their place."""
        selector = f"app.kubernetes.io/component={name}"
        killed = {each["metadata"]["uid"] for each in self._pods_of(selector)}
        where = ("-n", self.namespace, "-l", selector)
        kubectl("delete", "pods", *where, "--grace-period=0", "--force")

        def replaced():
            # A process that was killed may still answer for a moment after its pod is forgotten.
            ready = {each["metadata"]["uid"] for each in self._pods_of(selector) if is_ready(each)}
            return len(ready - killed) == len(killed)

        until(replaced, f"others take the place of {name}")
        self.await_answers()

    def everywhere(self, path):
        """Return what every deploy API answers at a path, one after the other."""
        base = f"/api/v1/namespaces/{self.namespace}/pods"
        pods = self._pods_of("app.kubernetes.io/component=deploy-api")
        places = [f"{base}/{each['metadata']['name']}:8000/proxy{path}" for each in pods]
        return [kubectl("get", "--raw", place) for place in places]

    def _pods_of(self, selector):
        return get("pods", namespace=self.namespace, selector=selector)

    def through(self):
        """Lead the ports on loopback to the services."""
        for name, door in self.doors.items():
            door.to = (self.node, self.ports[name])

    def answers(self, url):
        """Tell whether there is a good answer at an address."""
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(url, timeout=5).status_code == 200
        return False

    def ask(self, method, path, user, *, status=None, **options):
        """Ask the deploy API as a user; return the answer."""
        headers = {"Authorization": f"Bearer {token(user)}"} | options.pop("headers", {})
        answer = httpx.request(
            method, self.api + path, headers=headers, timeout=options.pop("timeout", 30), **options
        )
        if status is not None:
            assert answer.status_code == status, (answer.status_code, answer.text)
        return answer

    def spawn(self, user, status=(200, 201), **asked):
        """Have a server of a user; return what the deploy API tells of it."""
        answer = self.ask("POST", "/v1/servers", user, json=asked)
        assert answer.status_code in status, (answer.status_code, answer.text)
        return answer.json()

    def server(self, user, name="default"):
        """Return what the deploy API tells of a server; None if there is none."""
        answer = self.ask("GET", f"/v1/servers/{name}", user)
        return answer.json() if answer.status_code == 200 else None

    def reaches(self, user, *states, name="default", generation=0):
        """Wait until a server, of a generation or a later one, is in a state; return it.

        Whichever deploy API is asked may not know yet what another one has just written.
        """
        seen = []

        def there():
            server = self.server(user, name)
            seen[:] = [server]
            if server and server["generation"] >= generation and server["state"] in states:
                return server
            return None

        try:
            return until(there, f"{user!r} reaches {states}")
        except AssertionError as error:
            raise AssertionError(f"{error}; last: {seen}") from None

    def caused(self, user):
        """Return what a server tells of why it is not ready; nothing if there is no reason yet."""
        return (self.server(user) or {}).get("cause") or {}

    def ends(self, user, name="default"):
        """Stop a server and wait until it is gone."""
        self.ask("DELETE", f"/v1/servers/{name}", user)
        until(lambda: self.server(user, name) is None, f"the server of {user!r} ends")

    def pods(self, user, name="default"):
        """Return the pods of a server of a user."""
        selector = f"rexec.dev/instance=rexec,rexec.dev/server={name}"
        found = get("pods", selector=selector, everywhere=True)
        return [p for p in found if p["metadata"]["annotations"]["rexec.dev/subject"] == user]

    def namespace_of(self, user):
        """Return the namespace of a user; None if there is none."""
        for each in get("namespaces", selector=USERS):
            if each["metadata"]["annotations"].get("rexec.dev/subject") == user:
                return each["metadata"]["name"]
        return None

    def events(self, user, last, name="default", after=0):
        """Return what happened to a server until it was in a state, as its events tell it."""
        found = []
        headers = {"Authorization": f"Bearer {token(user)}", "Last-Event-ID": str(after)}
        url = f"{self.api}/v1/servers/{name}/events"
        with httpx.stream("GET", url, headers=headers, timeout=60) as stream:
            stream.raise_for_status()
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    found.append(json.loads(line[5:]))
                    if (found[-1]["kind"], found[-1]["state"]) == ("state", last):
                        return found
        raise AssertionError(f"{user!r} was never {last}: {found}")

    # ------------------------------------------------------------------------ manifests

    def _services(self):
        return [
            self.service("deploy-api", 8000),
            self.service("ep-api", 8000),
            self.service("identity", 8080, kind="ClusterIP"),
        ]

    def _configuration(self):
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": self.meta("configuration"),
            "data": {"identity.py": IDENTITY, "profiles.json": json.dumps(self.profiles)},
        }

    def _workloads(self, replicas, settings):
        configuration = {"name": "configuration", "configMap": {"name": "configuration"}}
        return [
            self.workload(
                "identity", image("deploy-api"), [PYTHON, "/configuration/identity.py"],
                port=8080, path="/", volumes=[configuration],
            ),
            self.broker(),
            self.workload(
                "deploy-api",
                image("deploy-api"),
                [PYTHON, "-m", "rexec_deploy_api", "serve"],
                port=8000, path="/ready", volumes=[KEYS, configuration], replicas=replicas,
                account="rexec-deploy-api",
                env=self._deploy_settings() | settings,
            ),
            self.workload(
                "ep-api",
                image("ep-api"),
                [PYTHON, "-m", "rexec_ep_api", "serve"],
                port=8000, path="/health", volumes=[{"name": "data", "emptyDir": {}}],
                env={
                    "REXEC_EP_HOST": "0.0.0.0",
                    "REXEC_EP_PORT": "8000",
                    "REXEC_EP_DATABASE_URL": "sqlite:////data/catalog.sqlite3",
                    "AUTH_API_URL": "http://identity:8080/validate",
                    "REXEC_CONNECTION": "true",
                    "REXEC_DEPLOYMENT_API_URL": self.api,
                },
            ),
        ]  # fmt: skip

    def _deploy_settings(self):
        return {
            "AUTH_API_URL": "http://identity:8080/validate",
            "APP_ROOT_PATH": "/rexec",
            "REXEC_DEPLOY_HOST": "0.0.0.0",
            "REXEC_DEPLOY_PORT": "8000",
            "REXEC_DEPLOY_SPAWNER": "kubernetes",
            "REXEC_DEPLOY_PROFILES": "/configuration/profiles.json",
            "REXEC_DEPLOY_SIGNING_KEY_FILE": "/keys/signing.pem",
            "REXEC_DEPLOY_SECRET_FILE": "/keys/secret",
            "REXEC_DEPLOY_BROKER_HOST": self.node,
            "REXEC_DEPLOY_BROKER_PORT": str(self.ports["broker"]),
            "REXEC_DEPLOY_BROKER_SERVERS": self.servers,
            "REXEC_DEPLOY_BROKER_KEY": self.broker_keys.public.decode(),
            "REXEC_DEPLOY_BROKER_HEALTH_URL": "http://broker-health:8080",
            "REXEC_KUBERNETES_NAMESPACE": NAMESPACE,
            "REXEC_KUBERNETES_IMAGE": image("server"),
            "REXEC_KUBERNETES_LEASE_SECONDS": "5",
            "REXEC_KUBERNETES_CPU_REQUEST": "0.02",
            "REXEC_KUBERNETES_MEMORY_REQUEST": "0.2",
            "REXEC_KUBERNETES_DRAIN_GRACE": "3",
            "REXEC_KUBERNETES_CACHE": str(2 * GiB),
            **package_settings(),
        }


def package_settings():
    """Tell the installer in pods what this machine knows of package indexes."""
    names = ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "HTTPS_PROXY", "HTTP_PROXY",
             "NO_PROXY", "https_proxy", "http_proxy", "no_proxy")  # fmt: skip
    found = {name: os.environ[name] for name in names if os.environ.get(name)}
    if "PIP_INDEX_URL" in found:
        found.setdefault("UV_DEFAULT_INDEX", found.pop("PIP_INDEX_URL"))
    return {"REXEC_KUBERNETES_INSTALLER": json.dumps(found)} if found else {}


def remove():
    """Take away what an earlier run may have left."""
    clear(NAMESPACE, USERS)
    kubectl("delete", "--ignore-not-found", "-f", "-", stdin=access("admission.yaml"), check=False)


def digest(user):
    """Return some letters and digits that stand for a user, for names in tests."""
    return re.sub("[^a-z0-9]", "", hashlib.sha256(user.encode()).hexdigest())[:12]
