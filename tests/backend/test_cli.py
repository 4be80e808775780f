"""The `rexec` command: every subcommand, its exit code, and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import CancelledError
from pathlib import Path

import click
import pytest

import rexec_jupyter as rexec_api
from rexec_jupyter.cli import root as cli
from tests.backend.brokering import PATIENCE, until
from tests.backend.commanding import COMMAND, rexec, running, told
from tests.endpoint.canary import secret

UNREACHABLE, NOT_FOUND, TIMED_OUT, INTERRUPTED = 3, 4, 124, 130


@pytest.fixture
def script(tmp_path):
    """Write a script; return its path."""

    def write(text):
        path = tmp_path / "script.py"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def client(embedded):
    with rexec_api.connect("local") as client:
        yield client


# ------------------------------------------------------------------------------- the words


def test_help_lists_every_command_and_loads_none():
    code = (
        "import sys\n"
        "from rexec_jupyter.cli.root import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "print(*sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    *shown, modules = result.stdout.splitlines()
    for name in cli._COMMANDS:
        assert any(line.split()[:1] == [name] for line in shown)
    assert {"zmq", "asyncio", "IPython", "msgspec"}.isdisjoint(modules.split())


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_each_command_has_help_that_begins_as_the_list_says(name):
    result = rexec(name, "--help")
    assert result.returncode == 0
    command = cli.root.get_command(None, name)
    assert command.help.splitlines()[0] == cli._COMMANDS[name].summary
    assert f"rexec {name}" in result.stdout


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_no_option_takes_a_secret(name):
    command = cli.root.get_command(None, name)
    options = " ".join(word for param in command.params for word in param.opts)
    assert not any(word in options for word in ("token", "password", "secret", "key"))
    assert not any(isinstance(param, click.Option) and param.hide_input for param in command.params)


def test_the_entry_point_of_the_package_is_this_command():
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert 'rexec = "rexec_jupyter.cli.root:main"' in project.read_text()
    assert callable(cli.main)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["stauts"], "Did you mean 'status'?"),
        (["train.py"], "Did you mean `rexec run train.py`?"),
        (["zzz"], "`rexec --help` lists them"),
    ],
)
def test_an_unknown_command_is_refused_with_what_was_probably_meant(words, meant):
    result = rexec(*words)
    assert result.returncode == 2
    assert meant in result.stderr


def test_the_version_is_told():
    assert told("version")["rexec"] == rexec_api.__version__
    assert rexec("--version").stdout.split()[-1] == rexec_api.__version__


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell):
    result = rexec("completion", shell)
    assert result.returncode == 0
    assert "_REXEC_COMPLETE" in result.stdout


def completions(line):
    words = line.split(" ")
    result = rexec(_REXEC_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
    return [item.partition(",")[2] for item in result.stdout.splitlines() if item]


def test_commands_and_options_are_completed(fresh):
    assert completions("rexec st") == ["status", "start", "stop"]
    assert completions("rexec jobs --l") == ["--limit"]


def test_nothing_is_started_for_a_completion(fresh):
    assert completions("rexec logs ") == []
    assert completions("rexec stop ") == []
    assert not fresh.processes()


# ------------------------------------------------------------------- while nothing runs


@pytest.mark.parametrize(
    "words",
    [
        ["sessions"],
        ["jobs"],
        ["logs", "a"],
        ["attach", "a"],
        ["cancel", "a"],
        ["stop", "a"],
        ["restart", "a"],
        ["status"],
    ],
)
def test_a_command_that_asks_starts_nothing_and_says_so(fresh, words):
    result = rexec(*words)
    assert result.returncode == UNREACHABLE
    assert "No rexec server runs on this computer" in result.stdout + result.stderr
    assert "`rexec up` starts one" in result.stdout + result.stderr
    assert not fresh.processes()
    assert list(fresh.root.iterdir()) == []


def test_an_error_is_json_if_that_is_asked_for(fresh):
    result = rexec("jobs", "--json")
    assert result.returncode == UNREACHABLE
    assert json.loads(result.stderr)["error"]["code"] == "R01"


def test_what_follows_a_script_is_no_option_of_ours(fresh, script):
    result = rexec("run", script("print(1)"), "--json", REXEC_URL="https://example.org")
    assert result.returncode == UNREACHABLE
    assert result.stderr.startswith("rexec: [R02]")


def test_down_is_content_if_nothing_runs(fresh):
    assert rexec("down").returncode == 0


def test_a_directory_of_somebody_else_is_not_trusted(fresh):
    fresh.root.chmod(0o777)
    result = rexec("status")
    assert result.returncode == UNREACHABLE
    assert "open to other users" in result.stderr
    fresh.root.chmod(0o700)


# ------------------------------------------------------------------------- up and down


def test_a_server_that_is_detached_outlives_its_users_until_down(fresh):
    result = rexec("up", "--detach", "--workers", "1", REXEC_LOCAL_LINGER="0")
    assert result.returncode == 0, result.stderr
    assert "started" in result.stdout
    assert told("status")["kept"]
    with rexec_api.connect("local") as client:
        assert client.run(abs, -1) == 1
    assert "runs already" in rexec("up", "-d").stdout
    until(lambda: told("status")["users"] == 0, "the leaving of its users")
    assert rexec("down").returncode == 0
    fresh.await_end()


def test_up_stays_and_ctrl_c_ends_the_server(fresh):
    with running("up") as command:
        command.wait_for("nobody uses it")
        assert fresh.status()["ready"]
        command.press_ctrl_c()
        assert command.end() == 0
        assert "Ended." in command.stderr
    fresh.await_end()


def test_up_tells_who_uses_it_and_ends_it_only_at_the_second_ctrl_c(fresh):
    with running("up") as command:
        command.wait_for("nobody uses it")
        with rexec_api.connect("local"):
            command.wait_for("1 program")
            command.press_ctrl_c()
            command.wait_for("Ctrl-C again ends it")
            assert fresh.status()["ready"]
            command.press_ctrl_c()
            assert command.end() == 0
    fresh.await_end()


def test_up_that_is_told_to_end_leaves_the_server_to_its_other_users(fresh):
    fresh.start()
    with running("up") as command:
        command.wait_for("runs already")
        command.process.send_signal(signal.SIGTERM)
        assert command.end() == 0
    assert fresh.status()["ready"]


def test_up_with_other_settings_than_the_server_has_is_refused(fresh):
    fresh.start(workers=1)
    result = rexec("up", "--workers", "2", "--detach")
    assert result.returncode == 2
    assert "R04" in result.stderr


def test_up_that_fails_tells_the_log(fresh):
    (fresh.root / "keys").touch()
    result = rexec("up", "--detach")
    assert result.returncode == UNREACHABLE
    assert "keys is not a directory" in result.stderr
    fresh.await_end()


def test_down_says_what_would_be_lost_and_needs_force(fresh):
    fresh.start()
    with rexec_api.connect("local") as client:
        client.session("work").run_cell("x = 1")
    result = rexec("down")
    assert result.returncode == 2
    assert "session work: 1 variable (x)" in result.stderr
    assert "rexec down -f" in result.stderr
    assert rexec("down", "-f").returncode == 0
    fresh.leave()
    fresh.await_end()


def test_status_and_down_mean_this_computer_whatever_endpoint_is_set(fresh):
    fresh.start()
    with rexec_api.connect("local") as client:
        client.session("work").run_cell("x = 1")
    there = {"REXEC_URL": "http://127.0.0.1:9", "REXEC_TOKEN": secret("token")}
    sessions = told("status", **there)["sessions"]
    assert "work" in [row["session"] for row in sessions]
    assert "session work: 1 variable (x)" in rexec("down", **there).stderr
    assert rexec("down", "-f", **there).returncode == 0
    fresh.leave()
    fresh.await_end()


# ------------------------------------------------------------------------------- sessions


def test_a_session_is_started_listed_restarted_and_stopped(embedded, client):
    assert told("start", "cli-one")["state"] == "idle"
    client.session("cli-one").run_cell("x = 1")
    (row,) = (row for row in told("sessions") if row["session"] == "cli-one")
    assert row["state"] == "idle"
    assert "cli-one" in rexec("sessions").stdout
    refused = rexec("restart", "cli-one")
    assert refused.returncode == 2
    assert "session cli-one: 1 variable (x)" in refused.stderr
    assert told("restart", "cli-one", "-f")["incarnation"] != row["incarnation"]
    with pytest.raises(NameError):
        client.session("cli-one").run_cell("x")
    assert told("stop", "cli-one")["ended"] == ["cli-one"]


def test_a_session_that_is_busy_is_not_stopped_without_force(embedded, client):
    job = client.session("cli-busy").submit_cell("import time\nwhile True: time.sleep(0.01)")
    until(lambda: job.state == "running", "the cell")
    result = rexec("stop", "cli-busy")
    assert result.returncode == 2
    assert f"session cli-busy: the running job {job.id[:8]}" in result.stderr
    assert rexec("stop", "cli-busy", "-f").returncode == 0
    until(lambda: job.ended, "the end of the cell")


def test_a_session_that_is_not_there_is_not_found(embedded):
    result = rexec("stop", "nowhere")
    assert result.returncode == NOT_FOUND
    assert "There is no session 'nowhere'" in result.stderr


def test_stop_wants_a_name_or_all(embedded):
    assert rexec("stop").returncode == 2
    assert rexec("stop", "x", "--all").returncode == 2


# ------------------------------------------------------------------------------------ jobs


def test_jobs_are_listed_with_name_state_and_time(embedded, client):
    client.session("cli-jobs").run_cell("1", label="the label")
    row = told("jobs")[0]
    assert (row["name"], row["state"], row["session"]) == ("the label", "done", "cli-jobs")
    assert row["id"][:8] in rexec("jobs", "--limit", "1").stdout


def test_the_log_of_a_job_is_shown_each_stream_to_its_own(embedded, client):
    job = client.session("cli-logs").submit_cell(
        "import sys\nprint('out')\nprint('err', file=sys.stderr)"
    )
    job.result(PATIENCE)
    result = rexec("logs", job.id[:10])
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    assert rexec("logs", job.id, "--tail", "1").returncode == 0
    lines = [json.loads(line) for line in rexec("logs", job.id, "--json").stdout.splitlines()]
    assert "".join(line["text"] for line in lines if line["stream"] == "stdout") == "out\n"


def test_a_job_that_is_not_there_is_not_found(embedded):
    for command in ("logs", "attach", "cancel"):
        result = rexec(command, "0123456789abcdef")
        assert result.returncode == NOT_FOUND, result.stderr


def test_the_log_of_a_job_that_failed_ends_with_its_traceback(embedded, client):
    job = client.session("cli-logs").submit_cell("print('before')\n1 / 0")
    job.exception(PATIENCE)
    result = rexec("logs", job.id)
    assert result.returncode == 0
    assert result.stdout == "before\n"
    assert "ZeroDivisionError" in result.stderr


def test_logs_follow_until_the_end_and_ctrl_c_touches_nothing(embedded, client):
    session = client.session("cli-follow")
    job = session.submit_cell("import time\nprint('begun')\nwhile True: time.sleep(0.01)")
    until(lambda: job.state == "running", "the cell")
    with running("logs", job.id, "--follow") as command:
        command.wait_for("begun")
        command.press_ctrl_c()
        assert command.end() == INTERRUPTED
    assert job.state == "running"
    with running("logs", job.id, "--follow") as command:
        command.wait_for("begun")
        job.interrupt()
        assert command.end() == 0


def test_attach_shows_all_and_ctrl_c_interrupts_the_job_of_another_process(embedded, client):
    code = "import time\nprint('first line')\nwhile True: time.sleep(0.01)"
    job = client.session("cli-attach").submit_cell(code)
    until(lambda: job.state == "running", "the cell")
    with running("attach", job.id[:12]) as command:
        command.wait_for("first line")
        command.press_ctrl_c()
        assert command.end() == INTERRUPTED
        assert "KeyboardInterrupt" in command.stderr
    with pytest.raises(CancelledError):
        job.result(PATIENCE)


def test_a_job_that_somebody_else_waits_for_is_cancelled_and_they_are_told(embedded, client):
    job = client.session("cli-cancel").submit_cell("import time\nwhile True: time.sleep(0.01)")
    until(lambda: job.state == "running", "the cell")
    assert told("cancel", job.id[:12])["state"] == "cancelled"
    until(lambda: job.ended, "the end of the job")
    assert job.state == "cancelled"
    assert "ended already" in rexec("cancel", job.id[:12]).stdout


def test_ids_and_sessions_complete_while_a_server_runs(embedded, client):
    job = client.session("cli-complete").submit_cell("1")
    job.result(PATIENCE)
    assert job.id[:8] in completions("rexec logs ")
    assert completions("rexec stop cli-comp") == ["cli-complete"]


# ------------------------------------------------------------------------------------- run


def test_a_script_runs_remotely_with_its_arguments_as_main(embedded, script):
    path = script(
        "import os, sys\n"
        "print(sys.argv[1:], __name__, __file__)\n"
        "print('to stderr', file=sys.stderr)\n"
        "print('pid', os.getpid())\n"
    )
    result = rexec("run", path, "a b", "--flag", "-q")
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert first == f"['a b', '--flag', '-q'] __main__ {path}"
    assert int(second.split()[1]) in {process.pid for process in embedded.processes("kernel")}
    assert result.stderr == "to stderr\n"


def test_an_exception_is_a_traceback_of_the_script_and_exit_code_1(embedded, script):
    path = script("def f():\n    raise ValueError('wrong')\n\nprint('before')\nf()\n")
    result = rexec("run", path)
    assert result.returncode == 1
    assert result.stdout == "before\n"
    assert result.stderr.splitlines() == [
        "Traceback (most recent call last):",
        f'  File "{path}", line 5, in <module>',
        "    f()",
        f'  File "{path}", line 2, in f',
        "    raise ValueError('wrong')",
        "ValueError: wrong",
    ]


def test_a_script_that_does_not_parse_says_where(embedded, script):
    path = script("x = 1\ny = = 2\n")
    result = rexec("run", path)
    assert result.returncode == 1
    assert f'File "{path}", line 2' in result.stderr
    assert "SyntaxError: invalid syntax" in result.stderr


@pytest.mark.parametrize(
    ("leave", "code", "text"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(7)", 7, ""),
        ("sys.exit('what is wrong')", 1, "what is wrong\n"),
        ("raise SystemExit(0)", 0, ""),
    ],
)
def test_the_exit_code_of_the_script_is_ours(embedded, script, leave, code, text):
    result = rexec("run", script(f"import sys\nprint('x')\n{leave}\n"))
    assert (result.returncode, result.stdout, result.stderr) == (code, "x\n", text)


def test_a_script_is_read_from_standard_input(embedded):
    result = rexec("run", "-", "argument", stdin="import sys\nprint(sys.argv)")
    assert result.stdout == "['-', 'argument']\n"


def test_an_empty_script_is_a_script(embedded, script):
    assert rexec("run", script("")).returncode == 0


def test_a_script_uses_the_session_and_what_a_run_sets_is_gone_after_it(embedded, client, script):
    session = client.session("cli-run")
    session.run_cell("x = 20")
    path = script("import os\ny = x + 1\nprint(os.environ['MODE'], os.environ['CLI_TAKEN'])")
    words = ["--session", "cli-run", "--env", "MODE=fast", "--env", "CLI_TAKEN", path]
    result = rexec("run", *words, CLI_TAKEN="from here")
    assert result.stdout == "fast from here\n", result.stderr
    told = session.run_cell(
        "import os, sys\n(y, 'MODE' in os.environ, '__file__' in globals(), sys.argv)", value=True
    )
    assert told.value[:3] == (21, False, False)
    assert str(path) not in told.value[3]


def test_a_fresh_interpreter_knows_nothing_and_leaves_nothing(embedded, client, script):
    session = client.session("cli-fresh")
    session.run_cell("x = 20")
    result = rexec("run", "-s", "cli-fresh", "--fresh", script("y = 1\nprint('x' in globals())"))
    assert result.stdout == "False\n", result.stderr
    assert session.run_cell("'y' in globals()", value=True).value is False


def test_a_script_that_takes_too_long_is_ended(embedded, script):
    path = script("import time\nwhile True: time.sleep(0.01)")
    result = rexec("run", "-s", "cli-timeout", "--timeout", "0.5s", path)
    assert result.returncode == TIMED_OUT
    assert "R08" in result.stderr


def test_ctrl_c_interrupts_the_script_there(embedded, script):
    path = script("import time\nprint('begun')\nwhile True: time.sleep(0.01)\n")
    with running("run", "-s", "cli-stop", path) as command:
        command.wait_for("begun")
        command.press_ctrl_c()
        assert command.end() == INTERRUPTED
        assert "KeyboardInterrupt" in command.stderr


def test_the_second_ctrl_c_leaves_the_script_running(embedded, client, script, tmp_path):
    go = tmp_path / "go"
    path = script(
        "import os, time\n"
        "print('begun')\n"
        "def wait():\n"
        f"    while not os.path.exists({str(go)!r}):\n"
        "        time.sleep(0.01)\n"
        "try:\n"
        "    wait()\n"
        "except KeyboardInterrupt:\n"
        "    print('not now')\n"
        "    wait()\n"
    )
    with running("run", "-s", "cli-detach", path) as command:
        command.wait_for("begun")
        command.press_ctrl_c()
        command.wait_for("not now")
        command.press_ctrl_c()
        assert command.end() == INTERRUPTED
        assert "rexec attach" in command.stderr
    (job,) = (job for job in client.jobs() if job.session == "cli-detach")
    assert job.state == "running"
    go.touch()
    assert rexec("attach", job.job).stdout.splitlines() == ["begun", "not now"]


def test_a_detached_run_goes_on_and_can_be_attached_to(embedded, script):
    path = script("print('all of it')\nraise ValueError('and its end')")
    result = rexec("run", "--detach", "-s", "cli-later", path)
    assert result.returncode == 0, result.stderr
    after = rexec("attach", result.stdout.strip())
    assert after.returncode == 1
    assert after.stdout == "all of it\n"
    assert "ValueError: and its end" in after.stderr


def test_a_file_that_is_not_there_or_is_no_script_is_a_usage_error(embedded, tmp_path):
    missing = rexec("run", tmp_path / "absent.py")
    assert missing.returncode == 2
    assert "No such file" in missing.stderr
    binary = tmp_path / "binary.py"
    binary.write_bytes(b"\xff\xfe\x00")
    assert rexec("run", binary).returncode == 2


def test_output_that_nobody_reads_on_is_no_error(embedded, script):
    path = script("for number in range(200_000): print('line', number)")
    command = subprocess.Popen(
        [*COMMAND, "run", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert command.stdout.readline() == "line 0\n"
    command.stdout.close()
    _, stderr = command.communicate(timeout=PATIENCE)
    assert "Traceback" not in stderr


def test_a_script_whose_output_nobody_reads_on_is_ended(embedded, client, script):
    path = script("while True: print('much of it')")
    process = subprocess.Popen(
        [*COMMAND, "run", "--fresh", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with process:
        assert process.stdout.readline() == b"much of it\n"
        process.stdout.close()
        assert process.wait(PATIENCE) == 1
    (job,) = [job for job in client.jobs() if job.label == path.name][:1]
    until(lambda: client.find_job(job.job).state == "cancelled", "its end")


def test_a_module_beside_the_script_is_not_there_and_that_is_said(embedded, script):
    path = script("import beside_it.inner")
    plain = rexec("run", path)
    assert plain.returncode == 1
    assert "rexec:" not in plain.stderr
    (path.parent / "beside_it.py").touch()
    told = rexec("run", path)
    assert "No module named 'beside_it'" in told.stderr
    assert "beside_it is beside the script here" in told.stderr


def test_a_module_in_the_working_directory_is_found(fresh, script):
    path = script("import beside_it; print(beside_it.X)")
    (path.parent / "beside_it.py").write_text("X = 5")
    assert rexec("up", "--detach", "--directory", path.parent).returncode == 0
    assert rexec("run", path).stdout == "5\n"


def test_a_script_that_asks_for_input_is_shown_its_own_frames_alone(embedded, script):
    told = rexec("run", script("def ask():\n    return input('? ')\nask()"))
    assert told.stderr.count("File ") == 2
    assert "cannot ask for input" in told.stderr
