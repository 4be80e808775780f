import re

import pytest

from rexec_deploy_api.records import Key, Record, Spec
from rexec_deploy_api.spawner.kubernetes.names import Names, slug
from rexec_deploy_api.spawner.kubernetes.settings import KubernetesSettings

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SALT = b"s" * 32
HOSTILE = [
    "ann",
    "Ann.O'Neil@Example.ORG",
    "a.b@x",
    "a-b@x",
    "A_B@x",
    "-" * 300,
    "..",
    "../../kube-system",
    "kube-system",
    "default\n",
    "x" * 5000,
    "äöü ß 中文 العربية 🚀",
    "\u202eevil",
    "auth0|5f7c8ec7c33c6c004bbafe82",
    "CN=Ann,O=Org",
    '";DROP TABLE users;--',
    "{{ 7*7 }}",
    "$(id)",
    "\x00\x01\x7f",
    " ",
]


@pytest.fixture
def names():
    return Names(KubernetesSettings(_env_file=None), SALT)


@pytest.mark.parametrize("user", HOSTILE)
def test_every_user_id_becomes_names_that_kubernetes_takes(names, user):
    record = Record(user=user, name="a" * 40, spec=Spec(profile=""), generation=1 << 40)
    found = [
        names.namespace(user),
        names.record(record.key),
        names.placed(record),
        names.home(record.key),
        names.pull(record.key, b"login"),
        names.cache(user),
        *names.labels_of(record.key).values(),
    ]
    for name in found:
        assert LABEL.fullmatch(name), name
        assert len(name) <= 63
    assert names.namespace(user).startswith("rexec-u-")


def test_ids_that_look_alike_have_namespaces_of_their_own(names):
    assert len({names.namespace(user) for user in HOSTILE}) == len(HOSTILE)
    assert slug("a.b@x") == slug("a-b@x") == slug("A_B@x")


def test_a_namespace_never_changes_and_cannot_be_foretold_without_the_salt(names):
    assert names.namespace("ann") == names.namespace("ann")
    other = Names(KubernetesSettings(_env_file=None), b"t" * 32)
    assert other.namespace("ann") != names.namespace("ann")
    beside = Names(KubernetesSettings(_env_file=None, instance="second"), SALT)
    assert beside.namespace("ann") != names.namespace("ann")


def test_where_users_share_a_namespace_their_objects_do_not_share_names():
    shared = Names(KubernetesSettings(_env_file=None, shared_namespace="users"), SALT)
    found = {shared.record(Key(user, "default")) for user in HOSTILE}
    assert len(found) == len(HOSTILE)
    assert {shared.namespace(user) for user in HOSTILE} == {"users"}
    assert all(LABEL.fullmatch(name) and len(name) <= 63 for name in found)


@pytest.mark.parametrize("value", ["", "Upper", "with space", "a" * 50, "-x"])
def test_an_instance_that_cannot_be_in_a_name_is_refused(value):
    with pytest.raises(ValueError, match="part of names"):
        KubernetesSettings(_env_file=None, instance=value)


def test_networks_are_checked():
    settings = KubernetesSettings(_env_file=None, egress_allowed="10.1.0.0/16, 2001:db8::/32")
    assert settings.egress_allowed == ("10.1.0.0/16", "2001:db8::/32")
    with pytest.raises(ValueError, match="egress_allowed"):
        KubernetesSettings(_env_file=None, egress_allowed="everything")
