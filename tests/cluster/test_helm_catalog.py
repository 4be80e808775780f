"""The chart's catalog on the cluster: in SQLite, in a PostgreSQL of its own, and in another."""

import base64
import concurrent.futures
import os
import subprocess

import httpx
import pytest

from tests.cluster import images
from tests.cluster.kube import apply, completes, delete, get, kubectl, until
from tests.cluster.release import CHART, NAME, HelmError, Release, helm

pytestmark = pytest.mark.timeout(400)

WHERE = "rexec-catalog"
DATABASE, CLAIM = f"{NAME}-postgresql", f"data-{NAME}-postgresql-0"
POSTGRESQL = ("global.postgresql.enabled=true", "global.keepOnUninstall={catalog}")
ELSEWHERE = "elsewhere"
UNINSTALL = ("-n", WHERE, "--wait", "--timeout", "200s")


class CatalogRelease(Release):
    """The chart without a broker, with a token for everything, and with a dataset in its catalog.

    Parameters
    ----------
    postgresql
        To be the name of an image.
    """

    def __init__(self, postgresql):
        super().__init__(WHERE)
        self._postgresql = postgresql

    def prepare_namespace(self):
        kubectl("create", "namespace", WHERE)
        kubectl("label", "namespace", WHERE, "pod-security.kubernetes.io/enforce=restricted")
        # A StatefulSet makes its claim and its pod at once. Schedulers can miss that the claim was
        # bound right then, and look again after minutes; with this mode they bind it themselves.
        marked = "storageclass.kubernetes.io/is-default-class"
        (standard,) = [
            each
            for each in get("storageclasses")
            if each["metadata"].get("annotations", {}).get(marked) == "true"
        ]
        late = {"metadata": {"name": WHERE}, "volumeBindingMode": "WaitForFirstConsumer"}
        apply(standard | late)

    def remove(self):
        super().remove()
        if not os.environ.get("REXEC_TEST_KEEP"):
            delete("storageclass", WHERE)

    def values(self):
        told = super().values()
        told["global"] |= {"authApiUrl": "", "development": {"enabled": True}}
        told["global"].pop("imagePullSecrets")
        # By hand only.
        backup = {"enabled": True, "size": "100Mi", "schedule": "0 0 29 2 *"}
        return told | {
            "broker": {"enabled": False},
            "deploy-api": told["deploy-api"] | {"replicaCount": 1},
            "test": {"enabled": False},
            "ep-api": told["ep-api"] | {"backup": backup},
            "postgresql": {"persistence": {"size": "1Gi", "storageClass": WHERE}},
        }

    def on_postgresql(self, *changes):
        """Upgrade or install it with a PostgreSQL of its own."""
        path, _, tag = self._postgresql.result().rpartition(":")
        registry, _, repository = path.rpartition("/")
        image = (f"registry={registry}", f"repository={repository}", f"tag={tag}")
        self.put(*POSTGRESQL, *(f"postgresql.image.{each}" for each in image), *changes)

    def client(self):
        """Return a client of the EP API that may do everything."""
        token = base64.b64decode(keys()["development-token"]).decode()
        return httpx.Client(
            base_url=self.endpoint, headers={"Authorization": f"Bearer {token}"}, timeout=20
        )

    def register(self):
        """Have a dataset in the catalog."""
        with self.client() as client:
            made = client.post("/organization", json={"name": "lab", "title": "Lab"})
            assert made.status_code == 201, made.text
            rain = {"name": "rain", "title": "Regen 雨", "owner_org": "lab"}
            made = client.post("/dataset", json=rain)
            assert made.status_code == 201, made.text

    def datasets(self):
        """Return the titles in the catalog; None if it cannot be asked just now."""
        try:
            with self.client() as client:
                told = client.get("/search", params={"terms": "regen", "server": "local"})
        except httpx.HTTPError:
            return None
        return [each["title"] for each in told.json()] if told.status_code == 200 else None

    def within(self, script, content=b""):
        """Run a script of the shell in a pod of the EP API; return what it wrote, as bytes."""
        pod = self.pod("ep-api")["metadata"]["name"]
        done = subprocess.run(
            ["kubectl", "exec", "-i", "-n", WHERE, pod, "--", "sh", "-euc", script],
            check=True,
            input=content,
            capture_output=True,
            timeout=150,
        )
        return done.stdout

    def serves(self):
        """Wait until the dataset can be found."""
        until(lambda: self.datasets() == ["Regen 雨"], "the dataset is found")


@pytest.fixture(scope="module")
def release(cluster):
    """The chart, installed as it is by default: its catalog is in a file of SQLite."""
    with concurrent.futures.ThreadPoolExecutor(1) as aside:
        there = CatalogRelease(aside.submit(images.postgresql))
        there.remove()
        there.prepare_namespace()
        try:
            there.put()
            there.await_answers()
            there.register()
            yield there
        finally:
            there.remove()


def keys():
    return get("secret", f"{NAME}-keys", WHERE)["data"]


def sql(statement, database="rexec"):
    """Run a statement in the chart's PostgreSQL; return what it told."""
    psql = ("psql", "-U", "rexec", "-d", database, "-h", "127.0.0.1", "-tA", "-c", statement)
    return kubectl("exec", "-n", WHERE, f"{DATABASE}-0", "--", *psql).strip()


def migrated_before(pod, job, runs=1):
    """Assert that a job that is gone again, and ran so often, was done when a pod was made."""
    of_the_job = f"involvedObject.kind=Job,involvedObject.name={job},reason=Completed"
    told = ("get", "events", "-n", WHERE, "--field-selector", of_the_job)

    def times():
        return kubectl(*told, "-o", "jsonpath={.items[*].lastTimestamp}").split()

    # An event may come later than what it tells of.
    until(lambda: len(times()) >= runs, "it was done")
    when = times()
    assert len(when) == runs, when
    assert max(when) <= pod["metadata"]["creationTimestamp"]


def test_an_upgrade_that_would_begin_another_catalog_is_refused(release):
    before = release.pod("ep-api")["metadata"]["uid"]
    with pytest.raises(HelmError, match=r"ep-api\.database\.leave=sqlite"):
        release.on_postgresql()
    assert get("persistentvolumeclaim", f"{NAME}-ep-api", WHERE)
    assert release.pod("ep-api")["metadata"]["uid"] == before
    release.serves()


def test_it_moves_from_sqlite_to_postgresql(release):
    file = "/tmp/catalog.json.gz"
    copied = release.within(f"python -m rexec_ep_api backup {file} >&2 && cat {file}")
    release.on_postgresql("ep-api.database.leave=sqlite")
    until(lambda: release.datasets() == [], "the new one is there")
    until(lambda: not get("persistentvolumeclaim", f"{NAME}-ep-api", WHERE), "the old one goes")
    release.within(f"cat > {file} && python -m rexec_ep_api restore {file}", copied)
    release.serves()


def test_the_database_is_migrated_before_the_new_endpoint_starts(release):
    old = release.pod("ep-api")["metadata"]["uid"]
    sql("DROP TABLE access_requests; UPDATE alembic_version SET version_num = '0001'")
    release.on_postgresql("ep-api.logLevel=debug")
    new = release.pod("ep-api")
    assert new["metadata"]["uid"] != old
    migrated_before(new, f"{NAME}-migrate")
    assert sql("SELECT count(*) FROM access_requests") == "0"
    release.serves()


def test_a_backup_of_postgresql_is_made(release):
    where = ("-n", WHERE)
    kubectl("create", "job", "now", f"--from=cronjob/{NAME}-backup", *where)
    assert "1 datasets" in completes("now", WHERE)
    kubectl("delete", "job", "now", *where)


def test_the_endpoint_outlives_its_database(release):
    before = release.pod("ep-api")["metadata"]["uid"]
    delete("pod", f"{DATABASE}-0", WHERE)
    release.pod("postgresql")
    release.serves()
    after = release.pod("ep-api")
    assert after["metadata"]["uid"] == before
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0


def test_the_endpoint_alone_uses_a_database_of_somebody_else(release):
    """Its address is a value, and then in a Secret."""
    sql(f"CREATE DATABASE {ELSEWHERE}")
    password = base64.b64decode(keys()["postgresql-password"]).decode()
    address = f"postgresql://rexec:{password}@{DATABASE}:5432/{ELSEWHERE}"
    policy = release.meta("visitors")
    spec = {"podSelector": {}, "ingress": [{"ports": [{"port": 5432}]}]}
    secret = {"metadata": release.meta("address"), "stringData": {"address": address}}
    apply(
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": policy}
        | {"spec": spec},
        {"apiVersion": "v1", "kind": "Secret"} | secret,
    )
    alone = Release(WHERE, ELSEWHERE, CHART / "charts/ep-api")
    values = {"global": {"image": release.values()["global"]["image"]}}
    before = None
    places = ({"url": address}, {"secretName": "address", "secretKey": "address"})
    for runs, database in enumerate(places, 1):
        alone.put(values=values | {"database": database})
        pod = alone.pod("ep-api")
        assert pod["metadata"]["uid"] != before
        before = pod["metadata"]["uid"]
        migrated_before(pod, f"{ELSEWHERE}-migrate", runs)
    assert sql("SELECT version_num FROM alembic_version", ELSEWHERE) == "0002"
    helm("uninstall", ELSEWHERE, *UNINSTALL)
    until(lambda: not alone.remains(), "nothing of it is left")


def test_a_migration_that_fails_leaves_the_old_endpoint_and_tells_why(release):
    before = release.pod("ep-api")["metadata"]["uid"]
    version = sql("SELECT version_num FROM alembic_version")
    sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(HelmError, match="pre-upgrade hooks failed"):
        release.on_postgresql("ep-api.logLevel=warning")
    assert release.pod("ep-api")["metadata"]["uid"] == before
    release.serves()
    assert "newer version of rexec" in kubectl("logs", f"job/{NAME}-migrate", "-n", WHERE)
    sql(f"UPDATE alembic_version SET version_num = '{version}'")


def test_what_is_kept_is_found_again_and_everything_else_goes(release):
    # The job that failed is still there.
    assert get("job", f"{NAME}-migrate", WHERE)
    password = keys()["postgresql-password"]
    helm("uninstall", NAME, *UNINSTALL)
    kept = {f"PersistentVolumeClaim {CLAIM}", f"PersistentVolumeClaim {NAME}-backup"}
    until(lambda: set(release.remains()) == kept, "the catalog is left, and nothing else")
    release.on_postgresql("global.keepOnUninstall=null")
    # The keys were not to be kept.
    assert keys()["postgresql-password"] != password
    release.serves()
    helm("uninstall", NAME, *UNINSTALL)
    until(lambda: not release.remains(), "nothing is left")
