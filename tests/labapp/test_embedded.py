"""The panel's server side beside the embedded backend."""

import json
import os
import signal
import time
from itertools import takewhile

import pytest

from rexec_jupyter._connect import connect
from rexec_jupyter.core.settings import Settings
from tests.backend.brokering import until
from tests.labapp.jupyter import await_end, segment
from tests.waiting import wait_for_file

SOON = 30.0
NASTY = "a/b %41 <img src=x onerror=alert(1)> שלום 🐍\"'"


def test_it_is_started_seen_and_stopped(stopped, jupyter, tab):
    tab.until(lambda tab: tab.state == "stopped")
    assert "rexec" in tab.connection["text"]
    assert tab.messages[0]["type"] == "hello"
    jupyter.do("POST", "embedded/start")
    jupyter.do("POST", "sessions", name="at once")
    tab.until(lambda tab: tab.state == "connected" and tab.server())
    assert tab.server()["slots"] >= 1
    tab.until(lambda tab: tab.connection["kept"] and not tab.connection["programs"])
    assert tab.connection["pages"]
    assert jupyter.get("state")["connection"]["state"] == "connected"
    jupyter.do("POST", "embedded/stop")
    tab.until(lambda tab: tab.state == "stopped" and not tab.servers and not tab.sessions)
    assert jupyter.refused(409, "POST", "embedded/stop")["hint"]
    problem = jupyter.refused(409, "POST", "sessions", name="a")
    assert "rexec server" in problem["message"]
    assert "atalog" in jupyter.refused(409, "GET", "catalog")["hint"]
    await_end(stopped)


def test_what_a_kernel_starts_is_seen_soon_and_by_all_tabs(kernel, jupyter, tab, gate):
    tab.until(lambda tab: tab.state == "connected")
    with jupyter.stream() as other:
        other.until(lambda other: other.state == "connected")
        before = time.time()
        job = kernel.session("train").submit_cell(wait_for_file(gate), label="fit")
        for each in (tab, other):
            each.until(lambda tab: tab.job(id=job.id), patience=SOON)
        told = tab.until(lambda tab: tab.job(id=job.id, state="running"))
        assert (told["name"], told["session"], told["open"]) == ("fit", "train", True)
        assert before - 1 < told["started"] < time.time() + 1
        tab.until(lambda tab: tab.session("train", running=job.id))
        assert tab.session("train")["server"] == "default"
        gate.touch()
        job.result(60)
        for each in (tab, other):
            done = each.until(lambda tab: tab.job(id=job.id, open=False), patience=SOON)
        assert done["ended"] >= done["started"] > 0
        until(lambda: tab.jobs == other.jobs, "what both know")


def test_nothing_is_told_while_nothing_changes(kernel, jupyter, tab):
    for job in [kernel.submit(pow, 2, at) for at in range(500)]:
        job.result(60)
    tab.until(lambda tab: sum(not job["open"] for job in tab.jobs.values()) >= 500)
    with jupyter.stream() as fresh:
        fresh.until(lambda fresh: len(fresh.jobs) >= 500)
        first = next(news for news in fresh.news if news.get("jobs"))
        assert len(json.dumps(first)) < 200_000
        fresh.until(lambda fresh: fresh.server(running=0))
        # Measurements take seconds, in which one looks several times.
        fresh.until(lambda fresh: measured_since_news(fresh) >= 2, "silence")


def measured_since_news(tab):
    """Count the measurements since anything else was told."""
    quiet = takewhile(lambda news: not news.keys() - {"type", "now", "usage"}, reversed(tab.news))
    return sum(len(news.get("usage", ())) for news in quiet)


def test_what_would_be_lost_is_told_first(kernel, jupyter, tab):
    kernel.session(NASTY).run_cell("x = 1")
    tab.until(lambda tab: tab.session(NASTY))
    path = f"sessions/{segment(NASTY)}"
    problem = jupyter.refused(409, "POST", f"{path}/restart")
    assert problem["losses"] == ["1 variable (x)"]
    assert NASTY in jupyter.do("POST", f"{path}/restart", force=True)
    jupyter.do("POST", f"{path}/restart")
    kernel.session(NASTY).run_cell("y = 1")
    assert jupyter.refused(409, "POST", "embedded/stop")["losses"]
    assert jupyter.refused(409, "DELETE", "servers/default")["losses"]
    assert jupyter.refused(409, "DELETE", path)["losses"]
    assert NASTY in jupyter.do("DELETE", path, force=True)
    tab.until(lambda tab: not tab.session(NASTY) or tab.session(NASTY, state="stopped"))


def test_sessions_are_started_and_interrupted(kernel, jupyter, tab):
    jupyter.do("POST", "sessions", name=NASTY)
    tab.until(lambda tab: tab.session(NASTY, state="idle"))
    path = f"sessions/{segment(NASTY)}/interrupt"
    jupyter.refused(409, "POST", path)
    job = kernel.session(NASTY).submit_cell("import time\ntime.sleep(60)")
    tab.until(lambda tab: tab.job(id=job.id, state="running"))
    jupyter.do("POST", path)
    tab.until(lambda tab: tab.job(id=job.id, state="cancelled"))
    assert jupyter.refused(404, "POST", "sessions/nobody/interrupt")["code"] == "R03"
    for name in ("", "x" * 200, "a\nb"):
        jupyter.refused(422, "POST", "sessions", name=name)
    jupyter.refused(404, "DELETE", f"sessions/{'x' * 200}")


def test_jobs_are_interrupted_and_cancelled(kernel, jupyter, tab):
    first = kernel.session("one").submit_cell("import time\ntime.sleep(60)")
    second = kernel.submit(time.sleep, 60)
    tab.until(
        lambda tab: tab.job(id=first.id, state="running") and tab.job(id=second.id, state="running")
    )
    jupyter.do("POST", f"jobs/{first.id}/interrupt")
    jupyter.do("POST", f"jobs/{second.id}/cancel")
    tab.until(lambda tab: tab.job(id=first.id, open=False) and tab.job(id=second.id, open=False))
    jupyter.refused(409, "POST", f"jobs/{first.id}/cancel")
    jupyter.refused(404, "POST", f"jobs/{'0' * 32}/cancel")
    jupyter.refused(404, "POST", "jobs/%3Cb%3E/cancel")


def test_the_line_of_a_running_job_and_how_much_is_done(kernel, tab, gate):
    source = (
        "print('begin')\nprint('\\r 10%|#', end='')\n"
        "print('\\r\\x1b[1m 42%|####     | 42/100', end='', flush=True)\n"
    )
    job = kernel.session().submit_cell(source + wait_for_file(gate))
    told = tab.until(lambda tab: tab.job(id=job.id, percent=42))
    assert told["line"] == "42%|####     | 42/100"
    gate.touch()
    tab.until(lambda tab: tab.job(id=job.id, open=False, percent=-1))


def test_looking_keeps_nothing_alive_and_starts_nothing(stopped, jupyter, tab, monkeypatch):
    monkeypatch.setenv("REXEC_LOCAL_LINGER", "0")
    tab.until(lambda tab: tab.state == "stopped")
    with connect("local") as client:
        client.run(pow, 2, 3)
        tab.until(lambda tab: tab.state == "connected" and tab.connection["programs"] == 1)
    tab.until(lambda tab: tab.state == "stopped")
    await_end(stopped)
    jupyter.get("state")
    await_end(stopped)


def test_it_is_killed_and_comes_back(embedded, running, jupyter, tab):
    tab.until(lambda tab: tab.state == "connected")
    embedded.kill("broker")  # another one is there soon: that may go by unseen
    tab.until(lambda tab: tab.state == "connected")
    jupyter.do("POST", "sessions", name="after the broker")
    tab.until(lambda tab: tab.session("after the broker"))
    os.kill(embedded.pid("supervisor"), signal.SIGKILL)
    tab.until(lambda tab: tab.state == "stopped")
    until(lambda: not embedded.processes("broker"), "the end of its parts")
    jupyter.do("POST", "embedded/start")
    tab.until(lambda tab: tab.state == "connected")
    job = jupyter.do("POST", "sessions", name="again")
    assert "again" in job
    tab.until(lambda tab: tab.session("again"))


def test_a_supervisor_that_does_not_answer_is_told_and_waited_for(embedded, running, tab):
    tab.until(lambda tab: tab.state == "connected")
    pid = embedded.pid("supervisor")
    os.kill(pid, signal.SIGSTOP)
    try:
        tab.until(lambda tab: tab.alert("slow:"))
        tab.until(lambda tab: tab.state == "failed")
        assert tab.connection["hint"]
    finally:
        os.kill(pid, signal.SIGCONT)
    tab.until(lambda tab: tab.state == "connected" and not tab.alert("slow:"))


def test_what_the_servers_take(running, tab):
    usage = tab.until(lambda tab: len(tab.usage) >= 2 and tab.usage[-1])
    assert usage["server"] == "default"
    assert usage["memory"] > 1 << 20
    assert usage["cores_limit"] > 0


def test_there_is_one_kind_of_server(running, jupyter):
    told = jupyter.get("profiles")
    assert not told["several"]
    assert [profile["name"] for profile in told["profiles"]] == ["default"]
    jupyter.do("POST", "servers")
    jupyter.refused(404, "POST", "servers", name="other")
    jupyter.refused(422, "POST", "servers", requirements=["numpy"])
    jupyter.refused(404, "DELETE", "servers/other")
    jupyter.refused(409, "POST", "servers/default/extend", seconds=60)
    jupyter.refused(404, "GET", "servers/default/log")
    jupyter.do("POST", "servers/default/restart", force=True)


@pytest.mark.parametrize("body", ['{"name": 1}', '{"nam": "a"}', "[]", "{", '"x"', ""])
def test_what_is_not_understood_is_refused(running, jupyter, body):
    answer = jupyter._client.post("sessions", content=body)
    assert answer.status_code == 422
    assert answer.json()["message"]


def test_what_a_kernel_saves_holds_here_too(jupyter, tab):
    directory = jupyter.directory / "rexec"
    settings = Settings({"REXEC_CONFIG_DIR": str(directory)})
    tab.until(lambda tab: tab.connection.get("backend") == "embedded")
    try:
        settings.set("url", "http://127.0.0.1:9/ep", save=True)
        tab.until(lambda tab: tab.connection["backend"] == "endpoint", patience=SOON)
        tab.until(lambda tab: tab.state == "login")
        jupyter.refused(502, "GET", "profiles")
        for wrong in ("ftp://a", "http://a.example.org", "https://u:p@a.example.org"):
            settings.set("url", wrong, save=True)
            tab.until(lambda tab, wrong=wrong: tab.state == "failed")
            assert tab.connection["hint"]
            assert jupyter.refused(409, "GET", "profiles")["code"] == "R01"
            assert "p@a" not in str(tab.connection)
        (directory / "config.toml").write_text("url = [")
        tab.until(lambda tab: "cannot be read" in tab.connection["text"])
    finally:
        (directory / "config.toml").write_text("")
    tab.until(lambda tab: tab.connection["backend"] == "embedded")


def test_logins_that_others_could_read_are_not_used_and_that_is_told(jupyter, tab):
    file = jupyter.directory / "rexec" / "logins.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text("{}")
    file.chmod(0o644)
    try:
        assert tab.until(lambda tab: tab.alert("logins"))["hint"]
    finally:
        file.unlink()
    tab.until(lambda tab: not tab.alert("logins"))


def test_the_catalog_of_this_computer_is_searched(embedded, running, jupyter, tab):
    assert jupyter.get("catalogs") == {"names": ["local"]}
    assert jupyter.get("catalog", q="nothing") == {"datasets": [], "total": 0, "more": False}
    token = (embedded.paths.endpoint_token).read_bytes().strip()
    assert token not in bytes(jupyter.received) + jupyter.log.read_bytes()
    tab.until(lambda tab: tab.connection["programs"] == 0)
