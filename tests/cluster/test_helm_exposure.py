"""Each part of the chart as a release of its own, and the ways that lead to them from outside.

No controller of Ingresses or routes is needed: what one would do, `Front` does.
"""

import base64
import contextlib
import http.client
import http.server
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import yaml

import rexec_jupyter as rexec
from tests.cluster import backend as b
from tests.cluster.kube import delete, get, kubectl, until
from tests.cluster.release import CHART, PULL, Release, helm
from tests.helm.rendering import EXAMPLES, MONITORS
from tests.helm.schemas import CRDS

pytestmark = pytest.mark.timeout(400)

WHERE, HOST = "rexec-exposed", "localhost"
COMPUTE, BROKER, CATALOG = "compute", "router", "catalog"
# Others than those of other releases.
PORTS = {"broker": 30069, "deploy-api": 30083, "ep-api": 30082}
MONITORED = "podmonitors.monitoring.coreos.com"
GATEWAY = {"name": "public", "namespace": "gateways"}
# What the notes say for an example.
NEXT = {
    "minikube": [
        f"helm test rexec -n {WHERE} --logs",
        f"kubectl get secret rexec-keys -n {WHERE} -o jsonpath='{{.data.development-token}}'",
        f"kubectl port-forward -n {WHERE} service/rexec-ep-api 8000:8000 &",
        f"kubectl port-forward -n {WHERE} service/rexec-deploy-api 8001:8000 &",
        f"kubectl port-forward -n {WHERE} service/rexec-broker 5559:5559 &",
        'rexec.connect("http://127.0.0.1:8000"',
        "WARNING: development mode is on",
    ],
    "small-lab": [
        f"kubectl create secret generic rexec-test -n {WHERE} --from-literal=token=",
        'rexec.connect("https://rexec.example.org"',
        "The broker is at rexec.example.org:30559",
    ],
    "production": [
        'rexec.connect("https://rexec.example.org"',
        "The broker is at broker.rexec.example.org:5559",
    ],
}
_HOP = {"connection", "keep-alive", "transfer-encoding", "host"}


class Front:
    """An HTTP server on loopback that leads where Ingresses, or routes of a gateway, say.

    Attributes
    ----------
    places
        Host, path and Service for each path that leads somewhere.
    led
        The Services that it led to.
    """

    def __init__(self, node):
        self.places = []
        self.led = set()
        self.node = node
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                front.carry(self)

            def do_POST(self):
                front.carry(self)

            def do_DELETE(self):
                front.carry(self)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://{HOST}:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def follow_ingresses(self):
        """Lead where the Ingresses in the namespace say."""
        self.places = [
            (rule["host"], path["path"], path["backend"]["service"]["name"])
            for each in get("ingresses", namespace=WHERE)
            for rule in each["spec"]["rules"]
            for path in rule["http"]["paths"]
        ]

    def follow_routes(self):
        """Lead where the routes in the namespace say."""
        self.places = [
            (host, match["path"]["value"], rule["backendRefs"][0]["name"])
            for each in get("httproutes", namespace=WHERE)
            for host in each["spec"]["hostnames"]
            for rule in each["spec"]["rules"]
            for match in rule["matches"]
        ]

    def service_of(self, host, path):
        """Return the Service for a path: that of the longest prefix, by whole elements."""
        within = [
            (len(prefix), service)
            for name, prefix, service in self.places
            if name == host and f"{path}/".startswith(f"{prefix.rstrip('/')}/")
        ]
        return max(within)[1] if within else None

    def carry(self, asked):
        """Carry a request there, and what is answered back as it comes."""
        host = asked.headers.get("Host", "").partition(":")[0]
        service = self.service_of(host, asked.path.partition("?")[0])
        if service is None:
            asked.send_error(404)
            return
        self.led.add(service)
        port = get("service", service, WHERE)["spec"]["ports"][0]["nodePort"]
        headers = {k: v for k, v in asked.headers.items() if k.lower() not in _HOP}
        headers |= {"Host": asked.headers["Host"], "X-Forwarded-Proto": "http"}
        body = asked.rfile.read(int(asked.headers.get("Content-Length", 0)))
        with contextlib.closing(http.client.HTTPConnection(self.node, port, timeout=60)) as there:
            there.request(asked.command, asked.path, body, headers)
            answer = there.getresponse()
            asked.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP:
                    asked.send_header(name, value)
            asked.send_header("Connection", "close")
            asked.end_headers()
            with contextlib.suppress(OSError):
                while piece := answer.read1(1 << 16):
                    asked.wfile.write(piece)
        asked.close_connection = True


@pytest.fixture(scope="module")
def place(cluster):
    """The namespace, with an identity service; everything in it goes in the end."""
    there = Release(WHERE, COMPUTE, CHART / "charts/deploy-api")
    there.ports = PORTS
    there.through()
    there.remove()
    there.prepare_namespace()
    try:
        yield there
    finally:
        there.remove()


@pytest.fixture(scope="module")
def front(place):
    there = Front(place.node)
    try:
        yield there
    finally:
        there.close()


@pytest.fixture(scope="module")
def unmonitored(place):
    """What helm would install on the cluster as it is, and whether that has the monitors' API."""
    told = helm("install", "rexec", str(CHART), "-n", WHERE, "--dry-run=server")
    return told, get("crd", MONITORED) is not None


@pytest.fixture(scope="module")
def definitions(unmonitored):
    """The APIs of gateways and monitors; those that were not there go in the end."""
    names = {path: yaml.safe_load(path.read_text())["metadata"]["name"] for path in CRDS}
    missing = {path: name for path, name in names.items() if get("crd", name) is None}
    try:
        for path in missing:
            kubectl("apply", "--server-side", "-f", str(path))
        for name in names.values():
            kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=90s")
        # What is established is told to others a moment later.
        groups = {name.partition(".")[2] for name in names.values()}
        until(
            lambda: all(f"{group}/" in kubectl("api-versions") for group in groups),
            "the APIs are known",
        )
        yield
    finally:
        for name in missing.values():
            delete("crd", name)


@pytest.fixture(scope="module")
def parts(place, front, definitions):
    """The three parts, each a release; they know each other only by what their values say."""
    broker = {
        "app.kubernetes.io/name": "rexec",
        "app.kubernetes.io/instance": BROKER,
        "app.kubernetes.io/component": "broker",
    }
    deploy_api = broker | {
        "app.kubernetes.io/instance": COMPUTE,
        "app.kubernetes.io/component": "deploy-api",
    }
    values = place.values()
    shared = values["global"] | {
        "host": HOST,
        "ingress": {"enabled": True, "className": "nginx", "annotations": {"example.org/a": "b"}},
        "gateway": {"enabled": True, "parentRefs": [GATEWAY]},
        "tls": {"enabled": True, "certManager": {"issuer": "letsencrypt"}},
        "monitoring": {"interval": "45s", "labels": {"release": "prometheus"}},
        "keys": {"secret": f"{COMPUTE}-keys"},
        "networkPolicy": {"metricsFrom": [{"podSelector": {"matchLabels": deploy_api}}]},
    }
    for part, port in (("deployApi", "deploy-api"), ("epApi", "ep-api")):
        shared[part] = {"url": front.url, "nodePort": place.ports[port]}
    own = {
        place: values["deploy-api"]
        | {
            "replicaCount": 1,
            "broker": {
                "servers": f"tcp://{BROKER}-broker-servers.{WHERE}:5560",
                "healthUrl": f"http://{BROKER}-broker-health.{WHERE}:5562",
                "labels": broker,
            },
        },
        Release(WHERE, BROKER, CHART / "charts/broker"): {"serversOf": place.instance},
        Release(WHERE, CATALOG, CHART / "charts/ep-api"): values["ep-api"],
    }
    with ThreadPoolExecutor() as pool:
        # The broker waits for the keys that the release of the deploy API makes.
        list(pool.map(lambda each: each.put(values={"global": shared} | own[each]), own))
        front.follow_ingresses()
        yield
        # Before the definitions go; what users have goes with the namespace.
        list(pool.map(lambda each: helm("uninstall", each.name, "-n", WHERE, "--no-hooks"), own))


def test_monitors_are_installed_only_where_their_api_is(unmonitored, parts):
    told, there = unmonitored
    assert ("kind: PodMonitor" in told) == there
    monitors = {each["metadata"]["name"]: each for each in get("podmonitors", namespace=WHERE)}
    assert monitors.keys() == {
        f"{COMPUTE}-deploy-api",
        f"{BROKER}-broker",
        f"{CATALOG}-ep-api",
    }
    for each in monitors.values():
        assert each["metadata"]["labels"]["release"] == "prometheus"
        assert each["spec"]["podMetricsEndpoints"][0]["interval"] == "45s"
        selector = each["spec"]["selector"]["matchLabels"]
        labels = ",".join(f"{name}={value}" for name, value in selector.items())
        (pod,) = get("pods", namespace=WHERE, selector=labels)
        ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
        assert each["spec"]["podMetricsEndpoints"][0]["port"] in ports


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_api_server_takes_every_object_of_an_example(definitions, example):
    text = helm(
        *("template", "rexec", str(CHART), "-n", WHERE, "--skip-tests"),
        *("--values", str(CHART / f"examples/{example}.yaml")),
        # That of the example may be taken.
        *("--set", f"global.broker.nodePort={PORTS['broker'] + 1}"),
        *("--kube-version", "1.34", "--api-versions", MONITORS),
    )
    kubectl(
        *("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"), stdin=text
    )


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_to_do_next_is_told(definitions, example):
    told = helm(
        *("install", "rexec", str(CHART), "-n", WHERE, "--dry-run=client"),
        *("--values", str(CHART / f"examples/{example}.yaml")),
    )
    notes = told[told.index("NOTES:") :]
    for line in NEXT[example]:
        assert line in notes, notes


def test_ways_lead_there_with_a_certificate(parts):
    ingresses = {each["metadata"]["name"]: each for each in get("ingresses", namespace=WHERE)}
    assert ingresses.keys() == {f"{COMPUTE}-deploy-api", f"{CATALOG}-ep-api"}
    for name, each in ingresses.items():
        assert each["spec"]["ingressClassName"] == "nginx"
        assert each["spec"]["tls"] == [{"hosts": [HOST], "secretName": f"{name}-tls"}]
        assert each["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "letsencrypt"
        assert each["metadata"]["annotations"]["example.org/a"] == "b"
    for each in get("httproutes", namespace=WHERE):
        (gateway,) = each["spec"]["parentRefs"]
        assert gateway.items() >= GATEWAY.items()


def test_a_notebook_works_through_the_ingresses(place, parts, front):
    until(lambda: place.answers(f"{front.url}/health"), "the endpoint answers")
    until(lambda: place.answers(f"{front.url}/rexec/health"), "the deploy API answers")
    front.led.clear()
    with rexec.connect(front.url, token=b.token("ingress"), timeout=90) as client:
        assert client.run(len, "four") == 4
        client.session().run_cell("assert 6 * 7 == 42")
    assert front.led == {f"{CATALOG}-ep-api", f"{COMPUTE}-deploy-api"}


def test_nodes_can_fetch_images_for_users(place, parts):
    place.spawn("puller")
    place.reaches("puller", "ready")
    namespace = place.namespace_of("puller")
    secrets = [
        each
        for each in get("secrets", namespace=namespace)
        if each["type"] == "kubernetes.io/dockerconfigjson"
    ]
    (pod,) = get("pods", namespace=namespace)
    names = [each["metadata"]["name"] for each in secrets]
    assert len(names) == 1
    assert pod["spec"]["imagePullSecrets"] == [{"name": names[0]}]
    assert base64.b64decode(secrets[0]["data"][".dockerconfigjson"]).decode() == PULL
    place.ends("puller")
    until(lambda: get("secret", names[0], namespace) is None, "the Secret goes with the server")


def test_routes_of_a_gateway_lead_to_the_same(place, parts, front):
    front.follow_routes()
    for path, service in (
        ("/rexec/health", f"{COMPUTE}-deploy-api"),
        ("/health", f"{CATALOG}-ep-api"),
    ):
        front.led.clear()
        assert httpx.get(front.url + path, timeout=60).status_code == 200
        assert front.led == {service}
    assert front.service_of("other.example.org", "/") is None
