"""What `%rexec` tells, what it helps with, and what it says to a line it cannot understand."""

import json

import pytest

from rexec_jupyter import __version__
from rexec_jupyter.magics.commands import COMMANDS
from tests.notebook.kernel import nothing_started, running_kernel
from tests.waiting import wait_for_file


def complaint(kernel, line):
    """Return the one line with which `%rexec` refuses another."""
    cell = kernel.run(line)
    assert cell.error.startswith("UsageError") or "UsageError" in cell.stderr
    lines = cell.stderr.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_nothing_is_started_by_asking_how_things_stand(environment, tmp_path):
    home = tmp_path / "rexec"
    with running_kernel(**environment | {"REXEC_RUNTIME_DIR": str(home)}) as kernel:
        kernel.run("%load_ext rexec_jupyter")
        for line in ("", "status", "version", "whoami", "profiles", "help", "config"):
            assert kernel.run(f"%rexec {line}").text, line
        assert "nothing runs yet" in kernel.run("%rexec").text
        assert nothing_started(home)


def test_the_state_lists_sessions_and_what_runs(kernel):
    kernel.run("%%rexec -s told\npass")
    told = kernel.run("%rexec")
    assert "embedded backend · connected" in told.text
    assert "told" in told.text
    assert "<table" in told.result["text/html"]
    assert "var(--jp-" in told.result["text/html"]


def test_the_state_leads_to_the_catalog_and_to_the_page_of_its_api(kernel):
    kernel.run("%%rexec\npass")
    told = kernel.run("%rexec")
    pages = json.loads(kernel.run("%rexec --json").stdout)["pages"]
    assert pages["its API"] == f"{pages['catalog']}/docs"
    for url in pages.values():
        assert url in told.text
        assert f'<a href="{url}"' in told.result["text/html"]


def test_the_state_says_whether_anything_runs(kernel, gate):
    kernel.run(f"%%rexec -s told --bg -j told_job -n looping\n{wait_for_file(gate)}")
    told = kernel.run("%rexec")
    gate.touch()
    assert "looping" in told.text
    assert "Nothing runs now" not in told.text
    kernel.run("told_job.result()")
    assert "looping" not in kernel.run("%rexec").text
    assert "Nothing runs now" in kernel.value("s = %rexec\ns.jobs.empty")


def test_the_state_is_an_object_too(kernel):
    kernel.run("%%rexec -s told\npass")
    assert kernel.value("s = %rexec\n'told' in [row['session'] for row in s.sessions]") == "True"


def test_json_prints_json_and_nothing_else(kernel):
    kernel.run("%%rexec -s told\npass")
    cell = kernel.run("%rexec sessions --json")
    assert cell.text == ""
    assert "told" in [row["session"] for row in json.loads(cell.stdout)]
    assert json.loads(kernel.run("%rexec --json").stdout)["backend"].startswith("embedded")
    assert json.loads(kernel.run("%rexec version --json").stdout)["rexec"] == __version__


def test_a_list_is_shown_once_and_can_be_used_in_scripts(kernel):
    kernel.run("%%rexec -s told\npass")
    cell = kernel.run("sessions = %rexec sessions")
    assert (cell.stdout, cell.text, cell.displays) == ("", "", [])
    assert kernel.value("isinstance(sessions, list) and sessions[0]['session'] != ''") == "True"
    shown = kernel.run("%rexec sessions")
    assert shown.kinds == ["execute_result"]


def test_a_semicolon_silences(kernel):
    assert kernel.run("%rexec version;").messages == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_subcommand_explains_itself_and_does_nothing(kernel, name):
    cell = kernel.run(f"%rexec {name} --help")
    assert cell.text.startswith(f"usage: %rexec {name}")
    assert "--json" in cell.text
    assert kernel.run(f"%rexec help {name}").text == cell.text


def test_the_overview_has_every_subcommand(kernel):
    text = kernel.run("%rexec help").text
    assert all(f"  {name} " in text for name in COMMANDS)
    assert all(command.summary in text for command in COMMANDS.values())
    assert "--timeout" in kernel.run("%rexec help cell").text


def test_help_on_the_cell_magic_is_its_options(kernel):
    for topic in ("cell", "%%rexec", "rx"):
        assert "--if-busy" in kernel.run(f"%rexec help {topic}").text
    assert "SUBCOMMAND" in kernel.run("%rexec help %rexec").text


def test_a_mistyped_subcommand_or_option_gets_the_nearest_one(kernel):
    assert "did you mean status?" in complaint(kernel, "%rexec statsu")
    assert "did you mean sessions?" in complaint(kernel, "%rexec sesions --all")
    assert "did you mean --all?" in complaint(kernel, "%rexec jobs --al")
    assert "did you mean jobs?" in complaint(kernel, "%rexec help job")


@pytest.mark.parametrize(
    "code", ["x = 1", "told + 1", "print('hi')", "df.head()", "import os", "jobs = 3", "f'{1}'"]
)
def test_code_is_told_from_subcommands(kernel, code):
    assert "did you mean %rx " in complaint(kernel, f"%rexec {code}")


def test_a_name_of_the_notebook_or_of_the_session_counts_as_code(kernel):
    kernel.run("%%rexec\nzebra_there = 1")
    kernel.run("zebra_here = 1")
    assert "did you mean %rx zebra_there?" in complaint(kernel, "%rexec zebra_there")
    assert "did you mean %rx zebra_here?" in complaint(kernel, "%rexec zebra_here")
    assert "%rx" not in complaint(kernel, "%rexec zebra_nowhere")


def test_mistakes_are_told_in_one_line(kernel):
    assert "quotation mark" in complaint(kernel, "%rexec use 'a b")
    assert "unexpected 'b'" in complaint(kernel, "%rexec use a b")
    assert "is no number" in complaint(kernel, "%rexec jobs --limit many")
    assert "1 to 64 characters" in complaint(kernel, f"%rexec use {'x' * 65}")


def test_what_looks_like_a_secret_is_refused_and_not_repeated(kernel):
    for line in (
        "login --token hunter2",
        "login --password=hunter2",
        "start --api-key hunter2",
        "nonsense --secret hunter2",
        "config token hunter2",
        "f(password='hunter2')",
    ):
        cell = kernel.run(f"%rexec {line}")
        shown = repr(cell.messages)
        assert "UsageError" in cell.stderr + cell.error, line
        assert "hunter2" not in shown, line


def test_the_doctor_examines_this_computer(kernel):
    kernel.run("%%rexec\npass")
    cell = kernel.run("%rexec doctor")
    assert "Nothing is wrong" in cell.text
    assert kernel.value("d = %rexec doctor\n'fail' in {row['state'] for row in d}") == "False"


def test_one_is_told_who_one_is(kernel):
    told = json.loads(kernel.run("%rexec whoami --json").stdout)
    assert told["backend"] == "embedded backend"
    assert told["user"]


def test_there_is_one_profile(kernel):
    assert [row["profile"] for row in json.loads(kernel.run("%rexec profiles --json").stdout)] == [
        "default"
    ]
