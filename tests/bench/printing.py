"""Printed lines: how many a second arrive, all of them and in order."""

import io
import time
from contextlib import redirect_stdout

from tests.bench.harness import check
from tests.bench.remote import print_lines
from tests.bench.results import Row

LINES = 500_000

CELL = "for number in range({count}):\n    print('line', number, 'of a log that is long')"


def lines_from_a_function(bench):
    """Print many lines in a function."""
    count = bench.count(LINES)
    yield _row("function", count, bench.client.run, print_lines, count)


def lines_from_a_cell(bench):
    """Print many lines in a cell."""
    session = bench.client.session("printing")
    session.run_cell("pass")
    count = bench.count(LINES)
    yield _row("cell", count, session.run_cell, CELL.format(count=count))


def _row(kind, count, run, *arguments):
    shown = io.StringIO()
    began = time.perf_counter()
    with redirect_stdout(shown):
        run(*arguments)
    taken = time.perf_counter() - began
    expected = "".join(f"line {number} of a log that is long\n" for number in range(count))
    check(shown.getvalue() == expected, f"lines printed by a {kind} were lost or reordered")
    return Row(
        name=f"lines printed by a {kind}",
        ours=count / taken,
        unit="/s",
        limit=100_000,
        at_most=False,
    )
