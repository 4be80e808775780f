"""What the chart installs is valid, hardened, and has the rights that it should."""

import json
import re

import jsonschema
import pytest
import yaml

from rexec_broker.metrics import Exposition
from rexec_broker.metrics import Metrics as BrokerMetrics
from rexec_deploy_api.settings import DeploySettings
from rexec_deploy_api.spawner.kubernetes.settings import KubernetesSettings
from tests.helm.rendering import (
    CHART,
    EXAMPLES,
    PARTS,
    ROOT,
    VARIANTS,
    containers,
    every,
    one,
    pod_of,
    rendered,
    run,
    variables,
)
from tests.helm.schemas import VERSION, foreign, validate

pytestmark = pytest.mark.usefixtures("helm")

MANIFESTS = ROOT / "services/deploy_api/kubernetes"


def manifests(*files):
    for file in files:
        yield from filter(None, yaml.safe_load_all((MANIFESTS / file).read_text()))


@pytest.mark.parametrize("chart", ["", *PARTS])
def test_lint_finds_nothing(chart):
    run("lint", "--strict", str(CHART / "charts" / chart if chart else CHART))


@pytest.mark.parametrize("example", EXAMPLES)
def test_lint_finds_nothing_in_an_example(example):
    run("lint", "--strict", str(CHART), "--values", str(CHART / f"examples/{example}.yaml"))


def test_every_object_is_what_kubernetes_takes():
    seen = set()
    for name, objects in every():
        for each in objects:
            text = json.dumps(each, sort_keys=True)
            if text in seen:
                continue
            seen.add(text)
            try:
                validate(each)
            except jsonschema.ValidationError as error:
                pytest.fail(f"{name}: {each['kind']} {each['metadata']['name']}: {error.message}")
    kinds = {json.loads(text)["kind"] for text in seen}
    assert {kind for _, kind in foreign()} <= kinds


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("HTTPRoute", {"hostname": ["a.org"]}),
        ("HTTPRoute", {"hostnames": ["a.org:80"]}),
        ("PodMonitor", {"podMetricsEndpoints": [{"interval": "soon"}]}),
        ("Ingress", {"rules": [{"http": {"paths": [{"path": "/"}]}}]}),
    ],
)
def test_what_kubernetes_would_not_take_is_noticed(kind, change):
    found = next(each for each in rendered(*VARIANTS["exposed"]) if each["kind"] == kind)
    with pytest.raises(jsonschema.ValidationError):
        validate(found | {"spec": found["spec"] | change})


def test_no_object_is_there_twice():
    for name, objects in every():
        keys = [(e["kind"], e["metadata"].get("namespace"), e["metadata"]["name"]) for e in objects]
        assert len(keys) == len(set(keys)), name


def test_every_container_is_hardened():
    for name, objects in every():
        found = list(containers(objects))
        assert found
        for workload, pod, container in found:
            where = (name, workload, container["name"])
            context, security = pod["securityContext"], container["securityContext"]
            assert context["runAsNonRoot"] is True, where
            assert context["runAsUser"] > 0, where
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, where
            assert security["allowPrivilegeEscalation"] is False, where
            assert security["readOnlyRootFilesystem"] is True, where
            assert security["capabilities"] == {"drop": ["ALL"]}, where
            assert not pod.get("hostNetwork"), where
            assert not pod.get("hostPID"), where
            assert not any("hostPath" in volume for volume in pod["volumes"]), where
            assert pod["enableServiceLinks"] is False, where
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), where
            assert "memory" in container["resources"]["limits"], where
            image = container["image"]
            assert "@sha256:" in image or ":" in image.rpartition("/")[2], where
            assert not image.endswith(":latest"), where


def test_every_part_is_spread_over_nodes_and_zones():
    objects = rendered(*VARIANTS["database of its own"])
    workloads = [each for each in objects if each["kind"] in ("Deployment", "StatefulSet")]
    assert len(workloads) == 4
    for each in workloads:
        spread = pod_of(each)["topologySpreadConstraints"]
        assert [constraint["topologyKey"] for constraint in spread] == [
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        ]
        labels = each["spec"]["template"]["metadata"]["labels"]
        for constraint in spread:
            assert constraint["labelSelector"]["matchLabels"].items() <= labels.items()


def test_every_pod_has_the_priority_class_that_is_asked_for():
    objects = rendered("global.priorityClassName=all", "broker.priorityClassName=own")
    for workload, pod, _ in containers(objects):
        own = "own" if workload == "Deployment rexec-broker" else "all"
        assert pod["priorityClassName"] == own, workload
    servers = rendered("deploy-api.servers.priorityClassName=users")
    assert variables(servers, "rexec-deploy-api")["REXEC_KUBERNETES_PRIORITY_CLASS"] == "users"


def test_every_image_can_be_named_by_its_digest():
    digest = "sha256:" + "a" * 64
    images = [f"{part}.image.digest={digest}" for part in (*PARTS, "deploy-api.servers")]
    objects = rendered(
        "global.image.registry=registry.example.org",
        *(*VARIANTS["database of its own"], "ep-api.backup.enabled=true", *images),
    )
    for workload, _, container in containers(objects):
        assert container["image"].startswith("registry.example.org/"), workload
        assert container["image"].endswith(f"@{digest}"), workload
    servers = variables(objects, "rexec-deploy-api")["REXEC_KUBERNETES_IMAGE"]
    assert servers == f"registry.example.org/rexec-server@{digest}"


def test_nodes_can_fetch_every_image_from_a_registry_that_wants_a_login():
    objects = rendered(*VARIANTS["from a registry"])
    for workload, pod, _ in containers(objects):
        assert pod["imagePullSecrets"] == [{"name": "pull"}], workload
    # Users' pods are in other namespaces: the deploy API copies the Secret there.
    pod = pod_of(one(objects, "Deployment", "rexec-deploy-api"))
    (volume,) = [each for each in pod["volumes"] if each["name"] == "pull"]
    (source,) = volume["projected"]["sources"]
    assert source["secret"]["name"] == "pull"
    mount = one_mount(pod, "pull")
    file = f"{mount}/{source['secret']['items'][0]['path']}"
    assert variables(objects, "rexec-deploy-api")["REXEC_KUBERNETES_PULL_FILES"] == file


def one_mount(pod, name):
    (path,) = [
        mount["mountPath"]
        for mount in pod["containers"][0]["volumeMounts"]
        if mount["name"] == name
    ]
    return path


def test_only_what_asks_kubernetes_has_a_token():
    for name, objects in every():
        with_token = {
            workload
            for workload, pod, _ in containers(objects)
            if pod.get("automountServiceAccountToken") is not False
        }
        allowed = {"Deployment rexec-deploy-api", "Job rexec-keys-job", "Job rexec-leaving"}
        assert with_token <= allowed, name


def test_what_serves_tells_when_it_is_ready():
    for _, objects in every():
        for workload, _, container in containers(objects):
            if (
                workload.startswith(("Deployment", "StatefulSet"))
                and container["name"] != "migrate"
            ):
                assert {"readinessProbe", "startupProbe"} <= container.keys(), workload


def test_every_pod_of_the_installation_has_a_policy():
    for name, objects in every():
        if name == "nothing optional":
            assert not any(each["kind"] == "NetworkPolicy" for each in objects)
            continue
        component = "app.kubernetes.io/component"
        covered = {
            each["spec"]["podSelector"]["matchLabels"][component]
            for each in objects
            if each["kind"] == "NetworkPolicy"
        }
        there = {
            each["metadata"]["labels"][component]
            for each in objects
            if each["kind"] in ("Deployment", "StatefulSet", "Job", "CronJob", "Pod")
        }
        # What comes after the end of a release has none of its objects around it any more.
        assert there - covered <= {"leaving"}, name


def test_every_selector_selects_its_pods():
    for _, objects in every():
        for each in objects:
            if each["kind"] in ("Deployment", "StatefulSet"):
                labels = each["spec"]["template"]["metadata"]["labels"]
                assert each["spec"]["selector"]["matchLabels"] == labels
                # Versions in them would restart all pods with every release of the chart.
                assert "helm.sh/chart" not in labels


# ------------------------------------------------------------------------------- rights


def rules(objects):
    """Return rights and those who have them, by kind, name and namespace."""
    found = {}
    for each in objects:
        key = each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]
        if each["kind"] in ("Role", "ClusterRole"):
            found[key] = each["rules"]
        elif each["kind"].endswith("RoleBinding"):
            found[key] = each["roleRef"], each["subjects"]
        elif each["kind"].startswith("ValidatingAdmissionPolicy"):
            found[key] = each["spec"]
    return found


def of_the_deploy_api(objects):
    jobs = ("keys-job", "leaving")
    return {key: told for key, told in rules(objects).items() if not key[2].endswith(jobs)}


@pytest.mark.parametrize(
    ("values", "files"),
    [
        ((), ("access.yaml", "admission.yaml")),
        (VARIANTS["shared namespace"], ("shared-access.yaml",)),
    ],
)
def test_the_rights_are_those_of_the_plain_manifests(values, files):
    assert of_the_deploy_api(rendered(*values)) == rules(manifests(*files))


def test_an_administrator_of_namespaces_needs_no_rights_in_the_cluster():
    objects = rendered(*VARIANTS["shared namespace"])
    assert not [e for e in objects if e["kind"].startswith(("Cluster", "Validating"))]
    assert {e["metadata"]["namespace"] for e in objects} == {"rexec", "rexec-users"}


def test_another_release_in_the_cluster_shares_nothing_with_the_first():
    cluster = ("ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy")
    first, second = rendered(), rendered(name="other", namespace="lab")
    names = [
        {e["metadata"]["name"] for e in each if e["kind"].startswith(cluster)}
        for each in (first, second)
    ]
    assert names[0]
    assert not names[0] & names[1]
    assert variables(second, "other-deploy-api")["REXEC_KUBERNETES_INSTANCE"] == "lab-other"


def test_the_job_that_makes_the_keys_may_do_nothing_else():
    told = rules(rendered())["Role", "rexec", "rexec-keys-job"]
    assert told == [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": ["rexec-keys"],
            "verbs": ["get", "update"],
        },
    ]


def test_each_part_sees_its_own_keys_alone():
    objects = rendered()

    def keys(name):
        pod = pod_of(one(objects, "Deployment", name))
        (volume,) = [each for each in pod["volumes"] if each["name"] == "keys"]
        assert volume["secret"]["secretName"] == "rexec-keys"
        return {each["key"] for each in volume["secret"]["items"]}

    verify = {"verify.pem", "verify-next.pem", "verify-previous.pem"}
    assert keys("rexec-broker") == {"broker", *verify}
    assert keys("rexec-deploy-api") == {"signing.pem", "secret", "broker.pub"}
    assert "keys" not in {
        e["name"] for e in pod_of(one(objects, "Deployment", "rexec-ep-api"))["volumes"]
    }


def test_no_secret_is_in_what_helm_keeps_of_other_objects():
    objects = rendered(*VARIANTS["database by address"])
    secret = [e for e in objects if "hidden" in json.dumps(e)]
    assert {each["kind"] for each in secret} == {"Secret"}


# ----------------------------------------------------------------------------- settings


def test_the_services_understand_their_settings(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    profile = "deploy-api.servers.profiles[0].name=a,deploy-api.servers.profiles[0].memory=1GB"
    for name, objects in [*every(), ("profiles", rendered(profile))]:
        with monkeypatch.context() as patched:
            for variable, value in variables(objects, "rexec-deploy-api").items():
                if isinstance(value, str):
                    patched.setenv(variable, value)
            patched.setenv("TEST_TOKEN", "x" * 40)
            there = one(objects, "ConfigMap", "rexec-deploy-api")["data"]["profiles.json"]
            (tmp_path / "profiles.json").write_text(there)
            patched.setenv("REXEC_DEPLOY_PROFILES", str(tmp_path / "profiles.json"))
            settings, kubernetes = DeploySettings(), KubernetesSettings()
            assert settings.read_profiles().profiles, name
            assert settings.app_root_path == "/rexec"
            assert kubernetes.namespace == "rexec"
            assert kubernetes.image.rpartition("/")[2].startswith("rexec-server:")
            assert kubernetes.cache > 1 << 30
            broker = pod_labels(objects, "rexec-broker")
            assert kubernetes.broker_labels.items() <= broker.items()


def pod_labels(objects, name):
    return one(objects, "Deployment", name)["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize(
    ("values", "deploy_api", "broker"),
    [
        ((), "http://rexec-deploy-api.rexec:8000", ("rexec-broker.rexec", "5559")),
        (
            ("global.host=h.org", "global.ingress.enabled=true", "global.tls.enabled=true"),
            "https://h.org",
            ("rexec-broker.rexec", "5559"),
        ),
        (
            ("global.host=h.org", "global.broker.type=NodePort", "global.deployApi.nodePort=30801"),
            "http://h.org:30801",
            ("h.org", "30559"),
        ),
        (
            (
                *("global.host=h.org", "global.broker.type=LoadBalancer"),
                *("global.broker.host=b.org", "global.broker.externalPort=443"),
                *("global.gateway.enabled=true", "global.gateway.parentRefs[0].name=g"),
                "global.deployApi.path=/apps/rexec",
            ),
            "http://h.org/apps",
            ("b.org", "443"),
        ),
    ],
)
def test_users_are_told_addresses_that_lead_there(values, deploy_api, broker):
    objects = rendered(*values)
    assert variables(objects, "rexec-ep-api")["REXEC_DEPLOYMENT_API_URL"] == deploy_api
    told = variables(objects, "rexec-deploy-api")
    assert (told["REXEC_DEPLOY_BROKER_HOST"], told["REXEC_DEPLOY_BROKER_PORT"]) == broker


def test_large_numbers_stay_numbers():
    objects = rendered("ep-api.env.REXEC_EP_MAX_BODY=268435456")
    assert variables(objects, "rexec-ep-api")["REXEC_EP_MAX_BODY"] == "268435456"


# --------------------------------------------------------------------------- operations


def hooks(objects):
    return {
        (e["kind"], e["metadata"]["name"]): e["metadata"]["annotations"]["helm.sh/hook"]
        for e in objects
        if "helm.sh/hook" in e["metadata"].get("annotations", {})
    }


def test_the_database_is_migrated_before_the_new_endpoint_starts():
    found = hooks(rendered(*VARIANTS["database by address"]))
    assert found["Job", "rexec-migrate"] == "pre-install,pre-upgrade"
    file = pod_of(one(rendered(), "Deployment", "rexec-ep-api"))
    assert file["initContainers"][0]["args"] == ["migrate"]


def test_what_is_to_be_kept_is_kept():
    default = hooks(rendered())
    assert default["Job", "rexec-leaving"] == "post-delete"
    kept = rendered(*VARIANTS["everything kept"])

    def goes(objects):
        return {
            (*rule["resources"], name)
            for rule in rules(objects)["Role", "rexec", "rexec-leaving"]
            for name in rule["resourceNames"]
            if rule["verbs"] == ["delete"]
        }

    of_hooks = {
        ("pods", "rexec-test"),
        ("jobs", "rexec-migrate"),
        ("secrets", "rexec-migrate"),
        *((kind, "rexec-keys-job") for kind in ("jobs", "roles", "rolebindings")),
        ("serviceaccounts", "rexec-keys-job"),
    }
    assert goes(kept) == of_hooks
    assert goes(rendered()) == of_hooks | {("secrets", "rexec-keys")}
    assert not any(e["kind"] == "ClusterRole" and "leaving" in e["metadata"]["name"] for e in kept)
    claims = [each for each in kept if each["kind"] == "PersistentVolumeClaim"]
    assert len(claims) == 2
    for each in claims:
        assert each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_monitors_are_there_only_where_their_api_is():
    kinds = [each["kind"] for each in rendered()]
    assert kinds.count("PodMonitor") == 3
    plain = run("template", "rexec", str(CHART), "--kube-version", VERSION)
    assert "PodMonitor" not in plain


def test_the_dashboard_asks_for_metrics_that_there_are():
    text = one(rendered(example="production"), "ConfigMap", "rexec-dashboard")["data"]["rexec.json"]
    panels = json.loads(text)["panels"]
    asked = {
        name
        for panel in panels
        for target in panel["targets"]
        for name in re.findall(r"rexec_[a-z_]+", target["expr"])
    }
    told = Exposition(BrokerMetrics()).text().decode()
    there = set(re.findall(r"^# TYPE (\w+) ", told, re.MULTILINE))
    for prefix in ("rexec_deploy", "rexec_ep"):
        there |= {f"{prefix}_requests_total", f"{prefix}_request_seconds_bucket"}
    source = (ROOT / "services/deploy_api/rexec_deploy_api/running.py").read_text()
    there |= set(re.findall(r'"(rexec_deploy_\w+)"', source))
    assert asked <= there


def test_budgets_are_where_more_than_one_runs():
    def budgets(objects):
        return {e["metadata"]["name"] for e in objects if e["kind"] == "PodDisruptionBudget"}

    assert budgets(rendered()) == {"rexec-deploy-api"}
    assert budgets(rendered(example="production")) == {"rexec-deploy-api", "rexec-ep-api"}


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_installed_alone(part):
    objects = rendered(chart=CHART / "charts" / part)
    assert any(each["kind"] in ("Deployment", "StatefulSet") for each in objects)
    for each in objects:
        validate(each)


@pytest.mark.parametrize("part", ["broker", "deploy-api", "ep-api"])
def test_each_part_can_be_left_out(part):
    objects = rendered(f"{part}.enabled=false")
    assert f"rexec-{part}" not in {
        e["metadata"]["name"] for e in objects if e["kind"] == "Deployment"
    }
