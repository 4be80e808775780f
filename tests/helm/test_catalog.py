"""Where the chart has the catalog, how that is migrated, and what its hooks leave behind."""

import pytest

from tests.helm.rendering import VARIANTS, one, pod_of, rendered

pytestmark = pytest.mark.usefixtures("helm")


def test_a_password_of_somebody_else_is_used_by_both_and_not_made():
    objects = rendered("global.postgresql.enabled=true", "global.postgresql.passwordSecret=theirs")
    workloads = (("StatefulSet", "rexec-postgresql"), ("Deployment", "rexec-ep-api"))
    for kind, name in workloads:
        (container,) = pod_of(one(objects, kind, name))["containers"]
        sources = [each["valueFrom"] for each in container["env"] if "valueFrom" in each]
        assert {"secretKeyRef": {"name": "theirs", "key": "postgresql-password"}} in sources
    (keys,) = pod_of(one(objects, "Job", "rexec-keys-job"))["containers"]
    assert not [each for each in keys["args"] if "postgresql" in each]


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ((), "sqlite/rexec-ep-api"),
        (("ep-api.persistence.existingClaim=mine",), "sqlite/mine"),
        (("global.postgresql.enabled=true",), "bundled"),
        (("ep-api.database.secretName=database",), "external"),
        # These end with their pod, or are none, so nothing can be left behind.
        (("ep-api.persistence.enabled=false",), None),
        (("global.postgresql.enabled=true", "ep-api.env.CKAN_LOCAL_ENABLED=false"), None),
    ],
)
def test_the_next_upgrade_finds_out_where_the_catalog_is(values, place):
    notes = one(rendered(*values), "Deployment", "rexec-ep-api")["metadata"].get("annotations", {})
    assert notes.get("rexec.dev/catalog") == place


def test_a_hook_that_fails_leaves_nothing_for_ever():
    for variant in ("defaults", "database by address", "database of its own"):
        objects = rendered(*VARIANTS[variant])
        hooks = {
            (each["kind"], each["metadata"]["name"]): each
            for each in objects
            if "helm.sh/hook" in each["metadata"].get("annotations", {})
        }
        for (kind, name), each in hooks.items():
            if kind == "Job":
                assert each["spec"]["ttlSecondsAfterFinished"] > 0, name
        # The last hook takes away what those before it made.
        left = {
            (rule["resources"][0].removesuffix("s"), name)
            for rule in hooks["Role", "rexec-leaving"]["rules"]
            for name in rule["resourceNames"]
        }
        made = {
            (kind.lower(), name)
            for (kind, name), each in hooks.items()
            if each["metadata"]["annotations"]["helm.sh/hook"] != "post-delete"
        }
        assert made <= left, variant
