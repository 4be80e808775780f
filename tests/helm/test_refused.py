"""Wrong values are refused, with a message that names the value."""

import json

import pytest

from tests.helm.rendering import CHART, PARTS, HelmError, rendered, variables

pytestmark = pytest.mark.usefixtures("helm")


def refusal(*values, **where):
    with pytest.raises(HelmError) as error:
        rendered(*values, **where)
    return str(error.value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        # Unknown.
        ("brokr.enabled=true", ["brokr"]),
        ("global.autApiUrl=https://idp", ["'/global'", "autApiUrl"]),
        ("broker.limits.client=3", ["broker:", "'/limits'", "client"]),
        ("deploy-api.servers.quota.gpu=3", ["deploy-api:", "'/servers/quota'", "gpu"]),
        ("deploy-api.servers.profiles[0].nam=x", ["deploy-api:", "'/servers/profiles/0'", "nam"]),
        ("ep-api.env.ORGANISATION=x", ["ep-api:", "'/env'", "ORGANISATION"]),
        ("deploy-api.env.REXEC_DEPLOY_NOTHING=x", ["deploy-api:", "'/env'", "NOTHING"]),
        ("ep-api.resources.limit.cpu=1", ["'/resources'", "limit"]),
        # Of the wrong type, or out of range.
        ("global.broker.port=high", ["'/global/broker/port'", "integer"]),
        ("broker.replicaCount=2", ["broker:", "'/replicaCount'"]),
        ("global.broker.type=Nodeport", ["'/global/broker/type'", "NodePort"]),
        ("global.authApiUrl=idp.example.org", ["'/global/authApiUrl'"]),
        ("global.authApiUrl=https://me:secret@idp.example.org", ["'/global/authApiUrl'"]),
        ("deploy-api.servers.cache.size=much", ["deploy-api:", "'/servers/cache/size'"]),
        ("deploy-api.servers.idleTimeout=soon", ["deploy-api:", "'/servers/idleTimeout'"]),
        ("global.keepOnUninstall={everything}", ["'/global/keepOnUninstall/0'"]),
        ("global.deployApi.path=/compute", ["'/global/deployApi/path'"]),
        # Empty where something is needed.
        ("ep-api.secretEnv.S3_SECRET_KEY.name=", ["ep-api:", "'/secretEnv/S3_SECRET_KEY"]),
        ("ep-api.database.secretKey=", ["ep-api:", "'/database/secretKey'"]),
        ("test.tokenKey=", ["'/test/tokenKey'"]),
        ("broker.image.repository=", ["broker:", "'/image/repository'"]),
    ],
)
def test_a_wrong_value_is_named(value, told):
    message = refusal(value)
    for each in told:
        assert each in message, message


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["global.image.tag=latest"], "global.image.tag"),
        (["deploy-api.servers.image.tag=latest"], "deploy-api.servers.image"),
        (["global.broker.type=NodePort"], "global.host"),
        (["global.ingress.enabled=true"], "global.host"),
        (["global.ingress.enabled=true", "global.host=10.0.0.1"], "global.host"),
        (["global.ingress.enabled=true", "global.host=a.org:8443"], "global.host"),
        (["global.gateway.enabled=true", "global.host=a.org"], "global.gateway.parentRefs"),
        (["global.jwt.jwksUrl=https://idp/keys"], "global.jwt.issuer"),
        (["deploy-api.sharedNamespace=rexec"], "deploy-api.sharedNamespace"),
        (["ep-api.replicaCount=2"], "ep-api.replicaCount"),
        (
            ["ep-api.database.url=postgresql://a/b", "ep-api.database.secretName=c"],
            "ep-api.database.url",
        ),
        (["ep-api.database.secretName=a", "global.postgresql.enabled=true"], "postgresql"),
        (["ep-api.backup.enabled=true", "ep-api.env.CKAN_LOCAL_ENABLED=False"], "ep-api.backup"),
    ],
)
def test_what_does_not_fit_together_is_told(values, told):
    assert told in refusal(*values)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("rexec-broker.enabled=true", "use broker"),
        ("rexec-server-deployment-api.enabled=true", "use deploy-api"),
        ("deploymentApi.enabled=true", "use deploy-api"),
        ("ndp-ep-api.enabled=true", "use ep-api"),
        ("epApi.enabled=true", "use ep-api"),
        ("broker.image.pullPolicy=Always", "use global.image.pullPolicy"),
        ("deploy-api.image.pullPolicy=Always", "use global.image.pullPolicy"),
        ("broker.service.external.clientNodePort=30001", "global.broker"),
        ("broker.authApiUrl=https://idp", "global.authApiUrl"),
        ("deploy-api.env.rexecServerNamespacePrefix=x", "rexec-u-"),
        ("deploy-api.env.rootPath=/x", "global.deployApi.path"),
        ("deploy-api.ingress.enabled=true", "global.ingress"),
        ("ep-api.rootPath.enabled=true", "global.epApi.path"),
        ("ep-api.env.TEST_TOKEN=x", "global.development.enabled"),
        ("ep-api.env.S3_SECRET_KEY=x", "ep-api.secretEnv.S3_SECRET_KEY"),
    ],
)
def test_names_of_earlier_charts_are_refused_with_the_present_one(value, place):
    assert place in refusal(value)


def test_names_of_earlier_charts_that_still_mean_the_same_count():
    objects = rendered(
        "global.authApiUrl=https://idp.example.org/information",
        "global.enableGroupBasedAccess=true",
        "global.groupNames=one\\,two",
        "global.imagePullSecrets[0].name=pull",
        "broker.replicaCount=1",
        "ep-api.env.REXEC_CONNECTION=True",
        "ep-api.env.REXEC_DEPLOYMENT_API_URL=https://compute.example.org",
        "ep-api.env.CKAN_LOCAL_ENABLED=False",
        "ep-api.env.LOCAL_CATALOG_BACKEND=ckan",
        "ep-api.env.METRICS_ENDPOINT=https://metrics.example.org",
    )
    for part in ("deploy-api", "ep-api"):
        told = variables(objects, f"rexec-{part}")
        assert told["AUTH_API_URL"] == "https://idp.example.org/information"
        assert (told["ENABLE_GROUP_BASED_ACCESS"], told["GROUP_NAMES"]) == ("true", "one,two")
    assert told["REXEC_DEPLOYMENT_API_URL"] == "https://compute.example.org"
    assert told["CKAN_LOCAL_ENABLED"] == "false"


@pytest.mark.parametrize("part", PARTS)
def test_a_part_alone_refuses_as_well(part):
    assert "nothing" in refusal("nothing=1", chart=CHART / "charts" / part)


# What Kubernetes defines, or what has names that nobody can foresee.
OPEN = {
    *("affinity", "annotations", "labels", "podAnnotations", "nodeSelector", "node_selector"),
    *("tolerations", "egress", "extraEgress", "httpFrom", "brokerFrom", "metricsFrom"),
    *("parentRefs", "installer", "environment", "requests", "limits"),
}


@pytest.mark.parametrize("part", ["", *PARTS])
def test_nothing_unknown_is_taken_anywhere(part):
    folder = CHART / "charts" / part if part else CHART
    schema = json.loads((folder / "values.schema.json").read_text())
    found = set(open_objects(schema, "values"))
    # The umbrella leaves them to their own schemas.
    assert found <= OPEN | (set() if part else set(PARTS)), found - OPEN


def open_objects(schema, name):
    """Yield the names of objects that take what their schema does not name."""
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        yield name
    for each, inner in schema.get("properties", {}).items():
        yield from open_objects(inner, each)
    if isinstance(schema.get("items"), dict):
        yield from open_objects(schema["items"], name)


@pytest.mark.parametrize("part", ["", *PARTS])
def test_every_value_is_explained(part):
    folder = CHART / "charts" / part if part else CHART
    schema = json.loads((folder / "values.schema.json").read_text())
    page = (CHART.parents[1] / "docs/chart-values.md").read_text()
    for path in explained(schema, ""):
        if not (part and path.startswith("global.")):
            assert f"`{path}`" in page, path


def explained(schema, within):
    """Yield the paths of all values; each must have a description."""
    for name, inner in schema["properties"].items():
        path = f"{within}{name}"
        if "const" in inner or inner == {"type": "object"} or path == "global":
            yield from explained(inner, f"{path}.") if "properties" in inner else ()
            continue
        assert len(inner["description"]) > 3, path
        if inner.get("properties") and "env" not in name.lower() and name != "resources":
            yield from explained(inner, f"{path}.")
        else:
            yield path
