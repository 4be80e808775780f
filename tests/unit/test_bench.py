"""The benchmark runs and reports; how fast anything is, no test says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.results import Row, table

# It does much, and a busy machine takes several times as long.
pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).parents[2]


def bench(path, *names):
    only = [argument for name in names for argument in ("--only", name)]
    command = [sys.executable, "-m", "tests.bench", "--quick", "--json", str(path), *only]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ, check=False, capture_output=True, text=True
    )


def test_a_quick_run_writes_the_figures_it_shows(tmp_path):
    path = tmp_path / "build" / "bench.json"
    result = bench(path, "latency", "lines-function")
    assert result.returncode == 0, result.stderr
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["quick"] is True
    assert [row["name"] for row in report["rows"]] == [
        "no-op call, p50",
        "no-op call, p99",
        "lines printed by a function",
    ]
    for row in report["rows"]:
        assert row["name"] in result.stdout
        assert row["ours"] > 0
        assert row["met"] in (True, False)
    p50 = report["rows"][0]
    assert p50["ratio"] == pytest.approx(p50["ours"] / p50["floor"])


@pytest.mark.slow
def test_what_a_notebook_sees_is_measured_with_a_real_kernel(tmp_path):
    path = tmp_path / "bench.json"
    result = bench(path, "trivial-cell", "capture", "flood")
    assert result.returncode == 0, result.stderr
    rows = {row["name"]: row for row in json.loads(path.read_text(encoding="utf-8"))["rows"]}
    assert rows["%%rexec adds to a trivial cell"]["limit"] == 25
    assert rows["capture of 200 names, new"]["limit"] == 30
    assert rows["10 MB/s of prints: messages to the browser"]["ours"] > 0


def test_an_unknown_measurement_is_refused(tmp_path):
    result = bench(tmp_path / "bench.json", "nonsense")
    assert result.returncode == 2
    assert "'latency'" in result.stderr


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        ({"limit": 5, "ours": 4}, True),
        ({"limit": 5, "ours": 6}, False),
        ({"limit": 5, "ours": 6, "at_most": False}, True),
        ({"limit": 2, "ours": 6, "ratio": 1.5}, True),
        ({"limit": 2, "ours": 1, "ratio": 3}, False),
        ({"ours": 6}, None),
    ],
)
def test_a_target_is_on_the_ratio_where_there_is_one(figure, met):
    assert Row(name="x", unit="ms", **figure).met is met


def test_the_table_shows_floor_figure_and_target_side_by_side():
    rows = [Row(name="a call", unit="ms", ours=0.41234, floor=0.25, ratio=1.649, limit=2)]
    assert table(rows).splitlines()[-1].split() == [
        *("a", "call", "0.25", "ms", "0.412", "ms", "1.65", "×", "≤", "2", "×", "yes")
    ]
