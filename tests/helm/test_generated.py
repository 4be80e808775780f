"""What scripts/chart.py writes is up to date, and the charts have the version of the wheel."""

import subprocess
import sys

import yaml

from rexec_jupyter._version import __version__
from tests.helm.rendering import CHART, PARTS, ROOT


def test_what_follows_from_the_values_is_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/chart.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_charts_have_the_version_of_the_wheel():
    umbrella = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert [each["name"] for each in umbrella["dependencies"]] == list(PARTS)
    charts = [umbrella, *umbrella["dependencies"]]
    for part in PARTS:
        chart = yaml.safe_load((CHART / "charts" / part / "Chart.yaml").read_text())
        charts.append(chart)
        if part != "postgresql":
            assert chart["appVersion"] == __version__
    assert {each["version"] for each in charts} == {__version__}
    for told in (CHART / "examples/minikube.yaml", ROOT / "docs/administration.md"):
        assert f"TAG={__version__}" in told.read_text()
    # Nothing is fetched: what it depends on lies beside it.
    assert not any("repository" in each for each in umbrella["dependencies"])
