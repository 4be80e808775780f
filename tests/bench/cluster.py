"""`python -m tests.bench.cluster`: how long users wait for a server on a real cluster.

Needs `KUBECONFIG` and the images of `make images` in that cluster. What is measured is what a
user does: connect to the endpoint without having a server, and call a function.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import httpx

import rexec_jupyter as rexec
from rexec_deploy_api.records import Record, Spec, encoded
from tests.cluster import backend as b
from tests.cluster.kube import apply, get, until

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
SMALL_ENVIRONMENT = [f"python=={MINOR}", "tabulate==0.9.0", "humanize>=4.12,<5"]
RECORDS = 500
USERS = 20
BASES = {"broker": 60, "server": 250, "deploy-api": None, "ep-api": None}
MB = 1e6


def installed():
    """Show that the packages of the small environment are there."""
    import humanize
    import tabulate

    return humanize.intcomma(1000), tabulate.__name__


def plain():
    """Run at all."""
    return 42


def first_result(there, user, function=plain, **options):
    """Return the seconds from connecting to the first result of a user without a server."""
    began = time.perf_counter()
    with rexec.connect(there.endpoint, token=b.token(user), timeout=180, **options) as client:
        assert client.run(function)
        return time.perf_counter() - began


def quantile(samples, share):
    """Return the smallest sample that this share of all do not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, round(share * len(ordered) + 0.5) - 1)]


def told(samples):
    """Describe some seconds."""
    return (
        f"p50 {statistics.median(samples):5.2f} s   p95 {quantile(samples, 0.95):5.2f} s   "
        f"most {max(samples):5.2f} s   n={len(samples)}"
    )


class Report:
    """Lines for people, and figures for programs."""

    def __init__(self):
        self.figures = {}

    def seconds(self, name, samples, goal=None):
        """Show how long something took."""
        self.figures[name] = samples
        aim = "" if goal is None else _against(quantile(samples, 0.95), goal, "s")
        click.echo(f"{name:34} {told(samples)}{aim}")

    def figure(self, name, value, unit, goal=None):
        """Show one figure."""
        self.figures[name] = value
        aim = "" if goal is None else _against(value, goal, unit)
        click.echo(f"{name:34} {value:8.2f} {unit}{aim}")


def _against(value, goal, unit):
    return f"   goal {goal:g} {unit}: {'met' if value <= goal else 'MISSED'}"


def starting(there, report, repeats):
    """Measure one user at a time: nothing asked for, a new environment, a cached one."""
    bare, new, cached = [], [], []
    for number in range(repeats):
        user = f"bench-bare-{number}"
        bare.append(first_result(there, user))
        there.ends(user)
        user = f"bench-env-{number}"
        new.append(first_result(there, user, installed, requirements=SMALL_ENVIRONMENT))
        there.ends(user)
        for _ in range(2):
            cached.append(first_result(there, user, installed, requirements=SMALL_ENVIRONMENT))
            there.ends(user)
    report.seconds("first result, no packages", bare, 6)
    report.seconds("first result, new environment", new, 12)
    report.seconds("first result, cached environment", cached, 6)


def at_once(there, report, users):
    """Measure many users who ask in the same moment."""
    names = [f"bench-crowd-{number}" for number in range(users)]
    with ThreadPoolExecutor(users) as pool:
        report.seconds(f"first result, {users} users at once", [*pool.map(
            lambda user: first_result(there, user), names
        )])  # fmt: skip
        list(pool.map(there.ends, names))


def warm(there, report, repeats):
    """Measure users of a profile that keeps servers ready."""
    samples = []
    for number in range(repeats):
        user = f"bench-warm-{number}"
        until(lambda: there.warm("warm") >= 1, "a server is kept ready")
        samples.append(first_result(there, user, profile="warm"))
        there.ends(user)
    report.seconds("first result, warm pool", samples, 1)


def many_records(there, report, count):
    """Measure what a deploy API needs for many records, as of servers that failed."""
    before = [_memory(each) for each in _apis()]
    users = [f"bench-record-{number}" for number in range(count // 10)]
    now = time.time()
    for user in users:  # the first makes the namespace
        there.spawn(user, profile="imageless", name="s0")
    records = []
    for user in users:
        namespace, owner = there.namespace(user), get("configmaps", namespace=there.namespace(user))
        template = next(each for each in owner if each["metadata"]["name"].endswith("s0"))
        for number in range(1, 10):
            record = Record(
                user=user,
                name=f"s{number}",
                spec=Spec(profile="small"),
                state="failed",
                since=now,
                created=now,
            )
            metadata = template["metadata"]
            records.append(
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {
                        "name": metadata["name"].replace("s0", record.name),
                        "namespace": namespace,
                        "labels": metadata["labels"] | {"rexec.dev/server": record.name},
                        "annotations": metadata["annotations"],
                    },
                    "data": {"record": encoded(record).decode()},
                }
            )
    for start in range(0, len(records), 100):
        apply(*records[start : start + 100])
    listed = lambda: _metrics(there)  # noqa: E731 - read twice
    until(lambda: listed().get("rexec_deploy_servers", 0) >= count, "all are seen", 60)
    grown = [_memory(each) for each in _apis()]
    report.figure("API memory, no records", max(before) / MB, "MB")
    report.figure(f"API memory, {count} records", max(grown) / MB, "MB")
    began, steps = time.perf_counter(), listed().get("rexec_deploy_reconcile_steps_total", 0)
    until(
        lambda: listed().get("rexec_deploy_reconcile_steps_total", 0) >= steps + count,
        "all were looked at again",
        130,
    )
    figures = listed()
    spent = figures["rexec_deploy_reconcile_seconds_sum"]
    report.figure(
        "one look at a record",
        1000 * spent / max(1, figures["rexec_deploy_reconcile_steps_total"]),
        "ms",
    )
    report.figure("a round of all, asked at rest", time.perf_counter() - began, "s")
    started = time.perf_counter()
    there.spawn("bench-among-many")
    there.reaches("bench-among-many", "ready")
    report.figure("ready among many", time.perf_counter() - started, "s")
    there.ends("bench-among-many")


def _apis():
    return get("pods", namespace=b.NAMESPACE, selector="app.kubernetes.io/component=deploy-api")


def _memory(pod):
    """Return the resident bytes of the process of a pod."""
    done = subprocess.run(
        [
            "kubectl",
            "exec",
            "-n",
            b.NAMESPACE,
            pod["metadata"]["name"],
            "--",
            "cat",
            "/proc/1/status",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    line = next(each for each in done.stdout.splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def _metrics(there):
    """Return the sums of all samples of the metrics that have no or several labels."""
    found = {}
    for line in httpx.get(f"{there.api}/metrics", timeout=20).text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            name = name.partition("{")[0]
            found[name] = found.get(name, 0.0) + float(value)
    return found


def sizes(report):
    """Show what images add to their base."""
    base = _size(os.environ.get("BASE_IMAGE", "python:3.11-slim"))
    for name, goal in BASES.items():
        report.figure(
            f"image {name}, over its base", (_size(b.image(name)) - base) / MB, "MB", goal
        )


def _size(image):
    done = subprocess.run(
        ["docker", "image", "inspect", "-f", "{{.Size}}", image],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)


@click.command()
@click.option("--repeats", default=8, help="Samples of each kind of start.")
@click.option("--users", default=USERS, help="Users at once.")
@click.option("--records", default=RECORDS)
@click.option("--json", "path", type=click.Path(path_type=Path), default="build/cluster.json")
def main(repeats, users, records, path):
    """Measure starts, images and the deploy API on the cluster that KUBECONFIG names."""
    report = Report()
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        sizes(report)
    there = b.Backend()
    try:
        there.install(replicas=1)
        starting(there, report, repeats)
        at_once(there, report, users)
        many_records(there, report, records)
    finally:
        b.remove()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report.figures, indent=2))


if __name__ == "__main__":
    main()
