"""One broker, and servers of two users: neither sees anything of the other."""

import contextlib
import time

import pytest

import rexec_jupyter as rexec
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust
from rexec_jupyter.core.happenings import TextOutput
from tests.backend import brokering
from tests.backend.brokering import PATIENCE, until

SECRET = "what only ann may know"


@pytest.fixture
def clients(two_users):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(two_users.connect(user)) for user in ("ann", "bob")]


def work(directory):
    """Print something whenever told to, until told to end."""
    (directory / "started").touch()
    while not (directory / "end").exists():
        with contextlib.suppress(FileNotFoundError):
            text = (directory / "say").read_text()
            (directory / "say").unlink()
            print(text)
        time.sleep(0.01)
    return SECRET


@pytest.fixture
def job(clients, tmp_path):
    """A job of ann that runs."""
    job = clients[0].stream(work, tmp_path)
    until((tmp_path / "started").exists, "the start of the job")
    return job


def say(directory, text):
    """Have the job print a text."""
    (directory / "say.new").write_text(text)
    (directory / "say.new").rename(directory / "say")
    until(lambda: not (directory / "say").exists(), "a sign of life")


def printed(job):
    """Return what the job printed, up to its end."""
    text = ""
    while (happenings := job.take(PATIENCE)) is not None:
        text += "".join(each.text for each in happenings if isinstance(each, TextOutput))
    return text


def end(job, directory):
    """End the job, and return all it printed."""
    (directory / "end").touch()
    text = printed(job)
    assert job.result(PATIENCE) == SECRET
    return text


def test_each_user_has_a_server_of_their_own(two_users, clients):
    for user, client in zip(("ann", "bob"), clients, strict=True):
        cell = client.session().run_cell("import os; os.getcwd()", value=True)
        assert cell.value == str(two_users.servers[user].work)
        assert client.run(lambda: __import__("os").getcwd()) == cell.value
    ann, bob = (client.status().servers for client in clients)
    assert [len(ann), len(bob)] == [1, 1]
    assert ann[0].journal != bob[0].journal


def test_a_session_of_the_same_name_is_another_session(clients):
    ann, bob = (client.session("work") for client in clients)
    ann.run_cell("mine = 1")
    with pytest.raises(NameError):
        bob.run_cell("mine")
    bob.run_cell("mine = 2")
    assert ann.run_cell("mine", value=True).value == 1


def test_neither_lists_the_jobs_of_the_other(clients, job, tmp_path):
    ann, bob = clients
    assert job.id in [row.job for row in ann.jobs()]
    assert job.id not in [row.job for row in bob.jobs()]
    end(job, tmp_path)


def test_a_user_who_knows_the_number_of_a_job_gets_nothing_of_it(clients, job, tmp_path):
    bob = clients[1]
    with pytest.raises(rexec.RexecError) as caught:
        bob.attach(job.id, job.session).result(PATIENCE)
    assert SECRET not in str(caught.value)
    end(job, tmp_path)


@pytest.mark.parametrize("deed", ["interrupt", "cancel"])
def test_a_user_who_knows_the_number_of_a_job_cannot_end_it(clients, job, tmp_path, deed):
    bob = clients[1]
    not_his = bob.attach(job.id, job.session)
    getattr(not_his, deed)()
    with pytest.raises(rexec.RexecError):
        not_his.result(PATIENCE)
    say(tmp_path, "alive")
    assert end(job, tmp_path) == "alive\n"


def test_no_command_about_a_job_of_another_has_an_effect_or_an_answer_from_there(
    two_users, clients, job, tmp_path
):
    with brokering.Client(two_users.broker, "bob") as bob:
        bob.join()
        about = {"job": job.id, "session": job.session}
        for command in (
            p.Attach(seq=0, **about),
            p.Ack(seq=1_000_000, credit=1 << 40, **about),
            p.Interrupt(**about),
            p.Cancel(grace=0.0, **about),
            p.ChunkAck(seq=1, received=0, rewind=True, **about),
        ):
            bob.send(command)
        request = trust.new_id()
        bob.send(p.ListJobs(request=request, session=job.session))
        assert job.id not in [row.job for row in bob.expect(p.JobList)[0].jobs]
        say(tmp_path, SECRET)
        assert end(job, tmp_path) == f"{SECRET}\n"
        # Whatever there was for bob has come by now.
        bob.send(p.ListJobs(request=request, session=job.session))
        while not isinstance((message := bob.receive()[0]), p.JobList):
            # Bob's own server may say that it has no such job, and may be silent for a while.
            assert isinstance(message, p.Unknown | p.Heartbeat | p.Nack | p.ServerState)


def test_a_job_with_the_number_of_anothers_job_is_a_job_of_its_own(
    two_users, clients, job, tmp_path
):
    with brokering.Client(two_users.broker, "bob") as bob:
        state = bob.join()
        submit, frame = brokering.submission(state.journal, job.id, kind="cell", frame=b"no cell")
        bob.send((submit, frame))
        assert bob.expect(p.Journaled)[0].job == job.id
        assert isinstance(bob.expect(p.Failed)[0], p.Failed)
    assert end(job, tmp_path) == ""


def test_a_server_cannot_speak_of_a_job_of_another_user(two_users, clients, job, tmp_path):
    with brokering.Server(two_users.broker, "eve") as eve:
        eve.join()
        for seq in range(1, 50):
            output = p.Output(job=job.id, seq=seq, stream="stdout", frames=1)
            eve.send((output, b"eve was here"))
        eve.send(brokering.done(job.id, 2), p.Unknown(job=job.id, journal=eve.journal))
        eve.send(p.Nack(job=job.id, code="full", message="eve"))
        eve.send(p.Heartbeat())
        eve.expect(p.Heartbeat)
    say(tmp_path, "ann herself")
    assert end(job, tmp_path) == "ann herself\n"
