"""What is left of a job when a process is killed under it: the truth, soon, and no second run."""

import os
import signal
from collections import Counter

import pytest

import rexec_jupyter as rexec
from rexec_jupyter.core import protocol as p
from tests.backend.brokering import until
from tests.backend.embedding import client_process
from tests.backend.sharing import running_site

PARTS = ("broker", "agent", "exec")
WITHIN = p.LOST / 2  # far longer than it takes, and well within the lease


class Task:
    """Remote code that notes each of its runs in a file, and ends when it is told to."""

    def __init__(self, directory, name="task"):
        self.runs = directory / f"{name}.runs"
        self.gate = directory / f"{name}.gate"

    @property
    def source(self):
        return "\n".join(
            [
                "import os, pathlib, time",
                f"with open({str(self.runs)!r}, 'a') as runs:",
                "    print(os.getpid(), file=runs)",
                "print('under way', flush=True)",
                f"while not pathlib.Path({str(self.gate)!r}).exists():",
                "    time.sleep(0.01)",
                "print('through')",
                "6 * 7",
            ]
        )

    def submit(self, client, kind):
        if kind == "cell":
            return client.session().submit_cell(self.source, value=True)
        scope = {}
        source = self.source.replace("6 * 7", "return 6 * 7")
        exec("def task():\n    " + source.replace("\n", "\n    "), scope)
        return client.submit(scope["task"])

    def started(self):
        until(lambda: self.count() or None, "the start of the job")
        return self

    def count(self):
        return len(self.runs.read_text().splitlines()) if self.runs.exists() else 0

    def finish(self):
        self.gate.touch()


def value(job):
    """Return the job's value, or the error it ended with; both within the lease."""
    try:
        result = job.result(WITHIN)
    except rexec.RexecError as error:
        return error
    return getattr(result, "value", result)


@pytest.fixture
def client(fresh):
    fresh.start()
    with rexec.connect("local") as client:
        yield client


def check_goes_on(client):
    """Check that jobs of both kinds run, and did not have to be told twice."""
    assert client.submit(abs, -1).result(WITHIN) == 1
    assert client.session().submit_cell("1 + 1", value=True).result(WITHIN).value == 2


# ----------------------------------------------------------------- a part of the backend


@pytest.mark.parametrize("kind", ["call", "cell"])
def test_a_broker_killed_under_a_job_costs_nothing(fresh, client, tmp_path, kind):
    task = Task(tmp_path)
    job = task.submit(client, kind)
    task.started()
    fresh.kill("broker")
    task.finish()
    assert value(job) == 42
    assert job.logs().startswith("under way\nthrough\n")
    check_goes_on(client)
    assert task.count() == 1


@pytest.mark.parametrize("kind", ["call", "cell"])
@pytest.mark.parametrize("part", ["agent", "exec"])
def test_an_agent_or_exec_killed_under_a_job_ends_it_in_a_truthful_error(
    fresh, client, tmp_path, part, kind
):
    task = Task(tmp_path)
    job = task.submit(client, kind)
    task.started()
    fresh.kill(part)
    error = value(job)
    assert isinstance(error, rexec.WorkerLostError)
    assert error.executed
    assert job.state == "crashed"
    task.finish()
    check_goes_on(client)
    assert task.count() == 1


@pytest.mark.parametrize("kind", ["call", "cell"])
def test_the_whole_backend_killed_under_a_job_ends_it_in_a_truthful_error(
    fresh, client, tmp_path, kind
):
    task = Task(tmp_path)
    job = task.submit(client, kind)
    task.started()
    os.kill(fresh.pid("supervisor"), signal.SIGKILL)
    assert isinstance(value(job), rexec.WorkerLostError)
    task.finish()
    check_goes_on(client)
    assert task.count() == 1


@pytest.mark.parametrize("part", PARTS)
def test_a_job_that_waits_while_a_part_is_killed_runs_once(fresh, client, tmp_path, part):
    running = Task(tmp_path, "running")
    waiting = Task(tmp_path, "waiting")
    first = running.submit(client, "cell")
    second = waiting.submit(client, "cell")  # a session runs one cell at a time
    running.started()
    fresh.kill(part)
    running.finish()
    assert value(first) == 42 or isinstance(value(first), rexec.WorkerLostError)
    waiting.finish()
    assert value(second) == 42
    assert [running.count(), waiting.count()] == [1, 1]


@pytest.mark.parametrize("part", PARTS)
def test_in_a_flood_of_jobs_none_is_lost_or_run_twice_whatever_is_killed(
    fresh, client, tmp_path, part
):
    path = tmp_path / "runs"

    def note(number):
        with path.open("a") as file:
            file.write(f"{number}\n")
        return number

    jobs = [client.submit(note, number) for number in range(300)]
    until(path.exists, "the first of them")
    fresh.kill(part)
    jobs += [client.submit(note, number) for number in range(300, 400)]
    values = [value(job) for job in jobs]
    runs = Counter(map(int, path.read_text().split()))
    for number, got in enumerate(values):
        if got == number:
            assert runs[number] == 1
        else:
            assert isinstance(got, rexec.WorkerLostError)
            assert runs[number] <= got.executed
    assert max(runs.values()) == 1
    # Killing it can only have hit what was running then: at most one job a worker.
    lost = [got for got in values if isinstance(got, rexec.WorkerLostError)]
    assert len(lost) <= (0 if part == "broker" else len(os.sched_getaffinity(0))), lost


@pytest.mark.parametrize("part", PARTS)
def test_a_large_result_is_brought_or_truthfully_lost_whatever_is_killed(fresh, client, part):
    job = client.submit(bytes, 50_000_000)
    fresh.kill(part)
    got = value(job)
    if isinstance(got, bytes):
        assert got == bytes(50_000_000)
    else:
        assert isinstance(got, rexec.WorkerLostError)
        assert part != "broker"


# ------------------------------------------------------------------ a process of the user


@pytest.mark.parametrize("kind", ["call", "cell"])
def test_a_worker_or_kernel_killed_under_a_job_ends_that_job_alone(fresh, client, tmp_path, kind):
    victim, other = Task(tmp_path, "victim"), Task(tmp_path, "other")
    job = victim.submit(client, kind)
    victim.started()
    beside = other.submit(client, "call")
    other.started()
    until(lambda: "under way" in job.logs(), "what it says")
    os.kill(int(victim.runs.read_text()), signal.SIGKILL)
    error = value(job)
    assert isinstance(error, rexec.WorkerLostError)
    assert error.log[-1] == "under way"
    other.finish()
    assert value(beside) == 42
    check_goes_on(client)
    assert [victim.count(), other.count()] == [1, 1]


def test_a_client_that_is_killed_leaves_its_job_to_the_next(fresh, client, tmp_path):
    task = Task(tmp_path)
    script = f"""
import sys
import rexec_jupyter as rexec
client = rexec.connect("local")
job = client.session().submit_cell({task.source!r}, value=True)
print(job.id, flush=True)
sys.stdin.read()
"""
    with client_process(script) as process:
        job_id = process.stdout.readline().strip()
        task.started()
        process.kill()
    task.finish()
    assert value(client.attach(job_id)) == 42
    assert task.count() == 1


# ------------------------------------------------------------------------- another user


@pytest.fixture
def site(tmp_path):
    with running_site(tmp_path, "ann", "bob") as site:
        yield site


@pytest.mark.parametrize("kind", ["call", "cell"])
@pytest.mark.parametrize("part", PARTS)
def test_the_job_of_another_user_is_not_affected(site, tmp_path, part, kind):
    tasks = [Task(tmp_path, user) for user in ("ann", "bob")]
    with site.connect("ann") as ann, site.connect("bob") as bob:
        jobs = [task.submit(user, kind) for task, user in zip(tasks, (ann, bob), strict=True)]
        for task in tasks:
            task.started()
        if part == "broker":
            site.kill_broker()
        else:
            site.servers["ann"].kill(part)
            assert isinstance(value(jobs[0]), rexec.WorkerLostError)
        for task in tasks:
            task.finish()
        assert value(jobs[1]) == 42
        if part == "broker":
            assert value(jobs[0]) == 42
        for user in (ann, bob):
            check_goes_on(user)
    assert [task.count() for task in tasks] == [1, 1]
