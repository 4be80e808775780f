"""`%rexec push`, `pull`, `who`, `whos`, `del`, `reset`, `put`, `get` and `ls`."""

import json
import os
from pathlib import Path

import pytest

ENDLESS = "import time\nprint('on', flush=True)\nwhile True: time.sleep(0.02)"


@pytest.fixture(scope="module")
def data(kernel):
    """The kernel, working in a session of these tests' own."""
    kernel.run("%rexec use data")
    yield kernel
    kernel.run("%rexec use default")


@pytest.fixture
def there(data, tmp_path):
    """The working directory of the sessions."""
    data.run("%%rexec\nimport os")
    return Path(data.value("%rx os.getcwd()").strip("'"))


def test_variables_are_pushed_and_renamed(data):
    data.run("first, second = [1, 2], 'two'")
    cell = data.run("%rexec push first, other=second")
    assert cell.text.startswith("Pushed first, other to session data (")
    assert data.value("%rx first, other") == "([1, 2], 'two')"


def test_what_was_pushed_is_not_sent_again(data):
    data.run("once = list(range(1000))")
    data.run("%rexec push once")
    cell = data.run("%%rexec\nlen(once)")
    assert cell.text == "1000"
    assert "sent" not in "".join(cell.status)


def test_pushing_replaces_what_the_session_has(data):
    data.run("%%rexec\nlevel = 'theirs'")
    data.run("level = 'mine'")
    data.run("%rexec push level")
    assert data.value("%rx level") == "'mine'"


def test_variables_are_pulled_all_or_none(data):
    data.run("%%rexec\npulled, also = {'a': 1}, 2")
    cell = data.run("%rexec pull pulled here=also")
    assert cell.text.startswith("Pulled pulled, here from session data (")
    assert data.value("pulled, here") == "({'a': 1}, 2)"
    data.run("del pulled")
    failed = data.run("%rexec pull pulled no_such_name")
    assert "[R11]" in failed.error
    assert "no_such_name" in failed.error
    assert "NameError" in data.run("pulled").error


def test_what_cannot_be_pushed_is_told_and_nothing_is_set(data):
    data.run("import threading; lock = threading.Lock(); fine = 1")
    assert "[R10]" in data.run("%rexec push fine lock").error
    assert "fine" not in data.run("%rexec who").text.split()
    assert "is not defined here" in data.run("%rexec push no_such_name").stderr
    assert "is no name of a variable" in data.run("%rexec push 3x").stderr
    assert "only one 'a'" in data.run("%rexec push a=fine a=lock").stderr


def test_variables_are_listed(data):
    data.run("%%rexec\nseries = list(range(10))")
    assert "series" in data.run("%rexec who").text.split()
    cell = data.run("%rexec whos")
    (line,) = (line for line in cell.text.splitlines() if line.startswith("series"))
    assert line.split()[:3] == ["series", "list", "10"]
    (row,) = (
        row for row in json.loads(data.run("%rexec whos --json").stdout) if row["name"] == "series"
    )
    assert row["type"] == "list"


def test_listing_a_busy_session_does_not_wait_for_it(data):
    data.run("%%rexec\nbefore = 1")
    data.run(f"%%rexec -a -n holding\n{ENDLESS}").wait_for("on")
    cell = data.run("%rexec who")
    assert "before" in cell.text.split()
    assert "is busy" in cell.text
    data.run("%rexec cancel holding")


def test_variables_are_deleted_all_or_none(data):
    data.run("%%rexec\ngone, kept = 1, 2")
    failed = data.run("%rexec del gone no_such_name")
    assert "no_such_name" in failed.stderr
    assert data.value("%rx gone") == "1"
    assert "Deleted in session data: gone" in data.run("%rexec del gone").text
    assert "NameError" in data.run("%rx gone").error
    assert data.value("%rx kept") == "2"


def test_a_deleted_name_goes_along_again(data):
    data.run("again = 5")
    assert data.value("%rx again") == "5"
    data.run("%rexec del again")
    assert data.value("%rx again") == "5"


def test_a_session_is_emptied_while_it_is_busy_only_if_forced(data):
    data.run("%%rexec -s emptied\nheld = 1")
    data.run(f"%%rexec -s emptied -a -n working\n{ENDLESS}").wait_for("on")
    cell = data.run("%rexec reset emptied")
    assert "the running job" in cell.stderr
    assert "held" in cell.stderr
    assert "no variables any more" in data.run("%rexec reset emptied -f").text
    assert data.run("%rexec who emptied").text == "Session emptied has no variables."


def test_files_go_there_and_back(data, there, tmp_path):
    source = tmp_path / "some file.bin"
    source.write_bytes(os.urandom(3_000_000))
    cell = data.run(f"%rexec put '{source}' sub.bin")
    assert "3.0 MB" in cell.text
    assert (there / "sub.bin").read_bytes() == source.read_bytes()
    target = tmp_path / "back.bin"
    assert str(target) in data.run(f"%rexec get sub.bin {target}").text
    assert target.read_bytes() == source.read_bytes()
    assert json.loads(data.run(f"%rexec get sub.bin {target} --json").stdout)["nbytes"] == 3_000_000


def test_a_directory_is_listed(data, there):
    (there / "folder").mkdir(exist_ok=True)
    (there / "folder" / "inner.txt").write_text("12345")
    assert "folder/" in data.run("%rexec ls").text
    (row,) = json.loads(data.run("%rexec ls folder --json").stdout)
    assert (row["name"], row["size"]) == ("inner.txt", 5)


def test_a_file_that_does_not_exist_is_told_without_our_frames(data, tmp_path):
    for line in (f"put {tmp_path}/none", f"get none {tmp_path}/x", "ls none"):
        cell = data.run(f"%rexec {line}")
        assert cell.error.startswith("FileNotFoundError"), line
        assert "rexec_jupyter" not in cell.traceback


def test_who_is_a_line_of_names_and_still_a_table(data):
    data.run("%%rexec -s many\nfirst = second = third = 1")
    cell = data.run("%rexec who many")
    assert cell.text == "first  second  third"
    assert "first  second  third" in cell.result["text/html"]
    assert "<table" not in cell.result["text/html"]
    assert data.value("names = %rexec who many\nnames[1]['name']") == "'second'"
    data.run("%%rexec -s many\nfor i in range(60): globals()[f'number_{i}'] = i")
    lines = data.run("%rexec who many").text.splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) < 80


def test_what_cannot_be_pushed_names_no_option_that_push_lacks(data):
    cell = data.run("import threading\nlock = threading.Lock()\n%rexec push lock")
    assert "create it in the session; or leave it out" in cell.error
    assert "-x" not in cell.error
    data.run("large = bytearray(150_000_000)")
    cell = data.run("%rexec push large")
    assert "%rexec config max_send 150MB" in cell.error
    data.run("del large, lock")


def test_what_was_put_into_the_working_directory_can_be_imported(data, tmp_path):
    (tmp_path / "put_module.py").write_text("X = 7")
    data.run(f"%rexec put {tmp_path / 'put_module.py'}")
    assert data.run("%rx __import__('put_module').X").text == "7"
