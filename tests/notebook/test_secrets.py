"""No secret stays anywhere: not in what cells show, not in lists of jobs, not in the history."""

import json
import os
import sqlite3
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from rexec_jupyter.magics import secrets
from tests.notebook.kernel import running_kernel

SECRET = "hunter2-s3cr3t"

CELLS = [
    f"%%rexec --token {SECRET}\n1",
    f"%%rexec --password={SECRET}\n1",
    f"%%rexec --env API_TOKEN={SECRET}\nimport os\nlen(os.environ['API_TOKEN'])",
    f"%%rexec --env API_TOKEN={SECRET} --sesion x\n1",
    f"%%rexec --env API_TOKEN={SECRET} --explain\n1",
    f"%%rexec --env API_TOKEN={SECRET} --fresh\n1 / 0",
    f"%%rexec --env API_TOKEN={SECRET} --local\n1",
    f"%%rexec --env API_TOKEN={SECRET} --bg -j job\n1",
    "%%rexec --env COPIED_TOKEN\nimport os\nlen(os.environ['COPIED_TOKEN'])",
    "job.result(); job",
    "%rexec jobs --all",
    "%rexec logs",
    "%rexec config",
    "%history -n",
    "In, _ih, _i, _ii, _iii",
]


@pytest.fixture(scope="module")
def kernel(environment):
    with running_kernel(history=True, **environment, COPIED_TOKEN=SECRET) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        yield kernel


def test_nothing_that_a_cell_shows_has_the_secret_in_it(kernel):
    for code in CELLS:
        cell = kernel.run(code)
        assert SECRET not in json.dumps(cell.messages), code


def test_the_cell_got_it_and_only_while_it_ran(kernel):
    got = kernel.run(f"%%rexec --env API_TOKEN={SECRET}\nimport os\nlen(os.environ['API_TOKEN'])")
    assert got.text == str(len(SECRET))
    assert "stands in this cell and is saved with the notebook" in got.stderr
    assert "--env API_TOKEN alone" in got.stderr
    copied = kernel.run("%%rexec --env COPIED_TOKEN\nlen(os.environ['COPIED_TOKEN'])")
    assert (copied.text, copied.stderr) == (str(len(SECRET)), "")
    after = kernel.run("%%rexec\n'API_TOKEN' in os.environ, 'COPIED_TOKEN' in os.environ")
    assert after.text.startswith("(False, ")


def test_the_history_on_disk_does_not_have_it(kernel):
    kernel.run(f"%%rexec --token {SECRET}\n'a cell of the history'")
    kernel.run("get_ipython().history_manager.writeout_cache()")
    file = Path(os.environ["IPYTHONDIR"]) / "profile_default" / "history.sqlite"
    with sqlite3.connect(file) as history:
        rows = list(history.execute("SELECT source, source_raw FROM history"))
    history.close()
    assert any("a cell of the history" in raw for _, raw in rows)
    assert SECRET not in str(rows)
    assert SECRET.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    "name", ["TOKEN", "API_KEY", "GITHUB_PAT", "--api-key", "dbPassword", "AWS_SECRET_ACCESS_KEY"]
)
def test_some_names_look_secret(name):
    assert secrets.looks_secret(name)


@pytest.mark.parametrize("name", ["PWD", "MONKEY", "--passage", "TOKENIZERS_PARALLELISM", "HOME"])
def test_others_do_not(name):
    assert not secrets.looks_secret(name)


@pytest.mark.parametrize(
    "line",
    [
        f"--token {SECRET}",
        f"-q --token={SECRET} -s x",
        f"--env TOKEN={SECRET}",
        f"--env=TOKEN={SECRET}",
        f"--env 'MY_PASSWORD={SECRET}'",
    ],
)
def test_what_a_line_gives_away_is_found(line):
    assert secrets.given(line) == [SECRET]


def test_nothing_is_forgotten_where_there_is_nothing_to_forget():
    shell = InteractiveShell.instance()
    try:
        assert not secrets.forget(shell, [])
        assert not secrets.forget(shell, [SECRET])
    finally:
        InteractiveShell.clear_instance()
