"""The list of servers that the deploy API follows, of a real broker."""

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request

import pytest

from rexec_broker import roll
from rexec_deploy_api.presence import Attendance
from rexec_deploy_api.records import Record, Spec
from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust
from rexec_jupyter.core.credentials import SigningKey
from tests.backend.brokering import PATIENCE, Client, Server, done, running, submission, until


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with running(tmp_path_factory.mktemp("broker")) as process:
        yield process


def ask(broker, query="", token=None):
    """Return status and answer of the list."""
    request = urllib.request.Request(f"http://{broker.ready['health']}/servers{query}")
    request.add_header("Authorization", f"Bearer {token or broker.signing.status_token()}")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def listed(broker, user):
    """Return what is told of the servers of a user, by name."""
    return {each["server"]: each for each in ask(broker)[1]["servers"] if each["user"] == user}


def test_nobody_without_a_token_of_the_deployment_learns_who_is_there(broker):
    strange = SigningKey.generate()
    for token in (
        "x",
        strange.status_token(),
        broker.signing.status_token(audience="other"),
        broker.signing.status_token(ttl=-3600),
        broker.signing.ticket(user="ada", key="k" * 40),
        broker.signing.ticket(user="ada", key="k" * 40, audience="rexec/broker-status"),
        broker.signing.certificate(user="ada", server="s", key="k" * 40),
    ):
        assert ask(broker, token=token)[0] == 401
    assert broker.get("/servers")[0] == 401


def test_a_status_token_is_no_ticket(broker):
    with Client(broker) as client:
        client.ticket = broker.signing.status_token()
        client.hello()
        assert client.expect(p.Refused)[0].code == "R02"


@pytest.mark.parametrize("query", ["?after=x", "?wait=soon", "?after=1.5"])
def test_what_is_no_number_is_refused(broker, query):
    assert ask(broker, query)[0] == 400


def test_a_server_is_listed_with_what_it_does(broker):
    with Server(broker, "lou", server="default", generation=7) as server:
        server.join()
        alone = until(lambda: listed(broker, "lou").get("default"), "the server")
        assert alone["generation"] == 7
        assert (alone["state"], alone["session"]) == ("ready", "")
        assert (alone["running"], alone["queued"], alone["attached"], alone["clients"]) == (0,) * 4
        assert alone["idle"] > 0
        assert alone["orphan"] > 0
        with Client(broker, "lou") as client:
            client.join()
            until(lambda: listed(broker, "lou")["default"]["clients"] == 1, "the client")
            assert listed(broker, "lou")["default"]["orphan"] == 0
            submit, frame = submission(server.journal)
            client.send((submit, frame))
            server.expect(p.Submit)
            until(lambda: listed(broker, "lou")["default"]["attached"] == 1, "the job")
            server.send(p.Heartbeat(running=1, queued=2))
            busy = until(
                lambda: (e := listed(broker, "lou")["default"])["queued"] == 2 and e, "its load"
            )
            assert (busy["running"], busy["idle"], busy["able"]) == (1, 0, True)
            server.send(p.Heartbeat(running=1, queued=2, able=False))
            until(lambda: not listed(broker, "lou")["default"]["able"], "exec is gone")
            ended = time.monotonic()
            server.send(done(submit.job, 1), p.Heartbeat())
            client.expect(p.Done)
            client.send(p.Ack(job=submit.job, session="default", seq=1, credit=0))
            idle = until(
                lambda: (e := listed(broker, "lou")["default"])["attached"] == 0 and e, "its end"
            )
            assert 0 < idle["idle"] < time.monotonic() - ended
            client.send(p.Goodbye())
            client.silent()
        until(lambda: listed(broker, "lou")["default"]["orphan"] > 0, "the client has left")
        server.send(p.Drain())
        until(lambda: listed(broker, "lou")["default"]["state"] == "draining", "it drains")
        server.send(p.Goodbye())
        until(lambda: not listed(broker, "lou"), "it is gone")


def test_who_only_looks_does_not_keep_a_server_from_being_idle(broker):
    def line():
        return listed(broker, "eve")["default"]

    with Server(broker, "eve", server="default") as server, Client(broker, "eve") as client:
        server.join()
        client.join()
        until(lambda: listed(broker, "eve").get("default", {}).get("clients"), "both")
        until(lambda: line()["idle"] > 0.6, "an idle server")
        idle, seen = line()["idle"], time.monotonic()
        for kind, able in ((p.ListJobs, False), (p.ListSessions, True), (p.ReadUsage, False)):
            client.send(kind(request=trust.new_id(), session="default"))
            server.expect(kind)  # and leaves it unanswered
            server.send(p.Heartbeat(able=able))  # the list is written anew
            until(lambda able=able: line()["able"] == able, "the news")
            assert line()["attached"] == 0
            asked = time.monotonic()
            assert line()["idle"] > idle + (asked - seen) - 0.01  # as it is rounded
        client.send(p.EndSession(request=trust.new_id(), session="default"))
        until(lambda: line()["attached"] == 1, "the request")
        request, _ = server.expect(p.EndSession)
        server.send(p.SessionEnded(request=request.request, existed=False))
        until(lambda: line()["idle"], "an idle server")
        assert line()["idle"] < time.monotonic() - seen
        client.send(p.Goodbye())
        until(lambda: line()["clients"] == 0, "its end")


def test_of_two_generations_the_newer_counts_and_the_older_never_comes_back(broker):
    with (
        Server(broker, "gen", server="default", generation=3) as old,
        Server(broker, "gen", server="default", generation=4) as new,
    ):
        old.join()
        new.join()
        assert old.expect(p.Refused)[0].code == "superseded"

        def newest():
            return listed(broker, "gen").get("default", {}).get("generation")

        until(lambda: newest() == 4, "the newer")
        old.hello()
        assert old.expect(p.Refused)[0].code == "superseded"
        assert newest() == 4


def test_who_knows_the_newest_list_waits_for_news(broker):
    known = ask(broker)[1]
    answers = [known]

    def follow():
        # Those of other tests may still be leaving, which is news too.
        while "news" not in {each["user"] for each in answers[-1]["servers"]}:
            query = f"?epoch={known['epoch']}&after={answers[-1]['seq']}&wait={roll.LONGEST_WAIT}"
            answers.append(ask(broker, query)[1])

    asking = threading.Thread(target=follow)
    asking.start()
    began = time.monotonic()
    with Server(broker, "news", server="default") as server:
        server.join()
        asking.join(PATIENCE)
        assert not asking.is_alive()
    assert time.monotonic() - began < roll.LONGEST_WAIT - 5
    assert answers[-1]["seq"] > known["seq"]
    # Of another run of the broker nothing is known.
    began = time.monotonic()
    query = f"?epoch=other&after={answers[-1]['seq'] + 5}&wait={roll.LONGEST_WAIT}"
    ask(broker, query)
    assert time.monotonic() - began < roll.LONGEST_WAIT - 5


def test_only_so_many_wait_at_once(tmp_path):
    with running(tmp_path) as broker:  # where nothing else is news
        known = ask(broker)[1]
        query = f"?epoch={known['epoch']}&after={known['seq']}&wait={roll.LONGEST_WAIT}"
        statuses = []
        threads = [
            threading.Thread(target=lambda: statuses.append(ask(broker, query)[0]))
            for _ in range(roll.MOST_WAITING + 4)
        ]
        for thread in threads:
            thread.start()
        until(lambda: len(statuses) == 4, "those who may not wait")
        assert statuses == [503] * 4
        with Server(broker, "news", server="default") as server:
            server.join()
            for thread in threads:
                thread.join(PATIENCE)
        assert statuses[4:] == [200] * roll.MOST_WAITING


def test_the_deploy_api_follows_it_over_a_restart_of_the_broker(tmp_path):
    async def work(broker):
        heard = asyncio.Event()
        attendance = Attendance(
            f"http://{broker.ready['health']}", broker.signing.status_token, lambda _: heard.set()
        )
        record = Record(user="ada", name="default", spec=Spec(profile=""))
        following = asyncio.create_task(attendance.follow())

        async def reaches(condition):
            async with asyncio.timeout(PATIENCE):
                while not condition():  # noqa: ASYNC110 - several things change it
                    await asyncio.sleep(0.02)

        with Server(broker, "ada", server="default", generation=2) as server:
            await asyncio.to_thread(server.join)
            await reaches(lambda: attendance.of(record) is not None)
            assert heard.is_set()
            assert attendance.of(record).generation == 2
            broker.process.kill()
            broker.process.wait()
            await reaches(lambda: not attendance.known)
            assert attendance.of(record) is not None  # that the broker is away ends no server
            health = broker.ready["health"]
            await asyncio.to_thread(broker.start, "--health-address", health)
            await reaches(lambda: attendance.known)
            assert attendance.of(record) is None
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    with running(tmp_path) as broker:
        asyncio.run(work(broker))
