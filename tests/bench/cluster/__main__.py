"""`python -m tests.bench.cluster`: how long users wait for servers on a real cluster.

Needs what the tests on a cluster need, and takes away what it made there, as they do. Fails only
if something could not be measured; a figure that misses its target is shown as such.
"""

import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import click

from tests.bench.cluster import images, records, starts
from tests.bench.cluster.site import Site
from tests.bench.results import table, write_json
from tests.cluster.backend import remove

MEASUREMENTS = {
    "images": images.sizes,
    "bare": starts.bare,
    "environments": starts.environments,
    "warm": starts.warm,
    "at-once": starts.at_once,
    "records": records.many,
}
"""Functions that take a `Site` and yield rows."""


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(MEASUREMENTS)), help="Repeatable.")
@click.option("--repeats", default=10, help="Starts of each kind.", type=click.IntRange(min=2))
@click.option("--users", default=20, help="Users at once.", type=click.IntRange(min=2))
@click.option("--records", "count", default=500, help="Servers that the deploy API looks after.")
@click.option("--json", "path", type=click.Path(path_type=Path), default="build/cluster.json")
def main(only, repeats, users, count, path):
    """Measure images, starts and the deploy API on the cluster that KUBECONFIG names."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in ("REXEC_URL", "REXEC_TOKEN"):
        os.environ.pop(name, None)
    rows, failures = [], []
    with tempfile.TemporaryDirectory() as directory:
        os.environ["REXEC_CONFIG_DIR"] = directory  # nothing of this computer's user
        site = Site(repeats=repeats, users=users, records=count)
        try:
            site.install()
            for name in only or MEASUREMENTS:
                click.echo(f"{name} …", err=True)
                try:
                    rows.extend(MEASUREMENTS[name](site))
                except Exception as error:  # noqa: BLE001 - the others can still be measured
                    traceback.print_exc()
                    failures.append(f"{name}: {error}")
        finally:
            remove()
            if rows:
                click.echo(table(rows))
                write_json(path, rows, quick=False)
            for failure in failures:
                click.echo(f"FAILED {failure}", err=True)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
