"""`python -m tests.bench`: measure, show a table, write it as JSON.

Fails only if something came back wrong; a figure that misses its target is shown as such.
"""

import sys
from pathlib import Path

import click

from tests.bench import (
    alone,
    arrays,
    broker_memory,
    calls,
    endpoint,
    notebook,
    panel,
    printing,
    startup,
)
from tests.bench.harness import Bench, IncorrectError
from tests.bench.results import table, write_json

MEASUREMENTS = {
    "floor": alone.floor,
    "latency": calls.latency,
    "pipelined": calls.pipelined,
    "map": calls.mapped,
    "array": arrays.array,
    "array-wire": arrays.array_in_chunks,
    "client-memory": arrays.client_memory,
    "lines-function": printing.lines_from_a_function,
    "lines-cell": printing.lines_from_a_cell,
    "trivial-cell": notebook.trivial_cell,
    "capture": notebook.capture,
    "flood": notebook.flood,
    "ready": startup.ready,
    "import": startup.importing,
    "broker-memory-calls": broker_memory.calls,
    "broker-memory-reader": broker_memory.stopped_reader,
    "endpoint-sqlite": endpoint.sqlite,
    "endpoint-postgresql": endpoint.postgresql,
    "panel": panel.panel,
}
"""Functions that take a `Bench` and yield rows."""


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(MEASUREMENTS)), help="Repeatable.")
@click.option("--quick", is_flag=True, help="Only show that everything runs.")
@click.option("--json", "path", type=click.Path(path_type=Path), default="build/bench.json")
def main(only, quick, path):
    """Measure rexec against ZeroMQ alone, on the embedded backend."""
    rows = []
    failures = []
    for name in only or MEASUREMENTS:
        click.echo(f"{name} …", err=True)
        # A backend each: none starts on what another has left behind.
        with Bench(quick=quick) as bench:
            try:
                rows += MEASUREMENTS[name](bench)
            except IncorrectError as error:
                failures.append(f"{name}: {error}")
    click.echo(table(rows))
    write_json(path, rows, quick=quick)
    for failure in failures:
        click.echo(f"INCORRECT {failure}", err=True)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
