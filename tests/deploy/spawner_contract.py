"""What holds for servers wherever they run; each spawner's tests inherit it.

The class is given a `spawner_setup.Setup` by a fixture `setup` of the module that inherits it.
"""

import asyncio
import os
import secrets
import time
from pathlib import Path

import pytest

import rexec_jupyter as rexec
from rexec_deploy_api.records import Key
from rexec_deploy_api.service import DifferentError, NotThereError, Owner
from rexec_deploy_api.spawner.base import LogQuery, SpawnerError


@pytest.fixture
def user(setup):
    """A user of one test alone, whose name holds all sorts of characters."""
    name = f"Ann/…\n\\'{secrets.token_hex(4)}"
    yield name
    for record in setup.do(_records(setup, name)):
        setup.stop(name, record.name)


async def _records(setup, user):
    return setup.spawner.records_of(user)


def note(text):
    """Write to the log of what runs the user's code, as a message of its own would be."""
    with Path(f"/proc/{os.getppid()}/fd/2").open("ab") as log:
        log.write(text.encode())


def states(events):
    return [event.state for event in events if event.kind == "state"]


class SpawnerContract:
    """Tests for any spawner."""

    def test_a_server_gets_ready_and_runs_calls_and_cells(self, setup, user):
        record, begun = setup.spawn(user, environment={"GREETING": "hello"})
        assert begun
        assert record.state == "requested"
        told = states(setup.events(user, until=lambda event: event.state == "ready"))
        assert told[0] == "requested"
        assert told[-1] == "ready"
        assert setup.view(user).presence.state == "ready"
        with setup.client(user) as client:
            assert client.submit(os.getenv, "GREETING").result(setup.patience) == "hello"
            cell = client.session().submit_cell("6 * 7", value=True)
            assert cell.result(setup.patience).value == 42

    def test_two_that_ask_at_once_get_one_server(self, setup, user):
        async def both():
            asked = [setup.servers.spawn(Owner(user), "default", setup.spec()) for _ in range(2)]
            return await asyncio.gather(*asked)

        answers = setup.do(both())
        assert sorted(begun for _, begun in answers) == [False, True]
        ready = setup.await_ready(user)
        assert {record.generation for record, _ in answers} == {ready.generation}
        assert len(setup.observed(user)) == 1
        again, begun = setup.spawn(user)
        assert not begun
        assert again.state == "ready"

    def test_a_different_one_is_refused_unless_it_is_to_replace_the_first(self, setup, user):
        first = setup.up(user, environment={"WHICH": "first"})
        with pytest.raises(DifferentError, match="requirements"):
            setup.spawn(user, requirements=("rainfall==1",), requirements_digest="0" * 16)
        with pytest.raises(DifferentError, match="environment"):
            setup.spawn(user, environment={"WHICH": "second"})
        assert setup.record(user) == first
        setup.spawn(user, environment={"WHICH": "second"}, force=True)
        second = setup.await_ready(user, after=first.generation)
        assert setup.call(user, os.getenv, "WHICH") == "second"
        setup.until(
            lambda: [each.generation for each in setup.observed(user)] == [second.generation]
        )

    def test_one_that_is_stopped_finishes_what_runs_and_leaves_nothing(self, setup, user):
        setup.up(user)

        def slow():
            time.sleep(0.5)
            return "finished"

        with setup.client(user) as client:
            job = client.submit(slow)
            setup.until(lambda: job.state in ("running", "done"))
            told = setup.stop(user)
            assert job.result(setup.patience) == "finished"
        assert states(told) == ["stopping", "gone"]
        with pytest.raises(NotThereError):
            setup.record(user)
        assert setup.observed(user) == []
        assert setup.remains(Key(user, "default")) == []

    def test_one_that_is_killed_as_a_whole_is_replaced(self, setup, user):
        first = setup.up(user)
        setup.kill(Key(user, "default"))
        setup.await_ready(user, after=first.generation)
        assert setup.call(user, abs, -1) == 1
        told = setup.events(user, after=first.events[-1].seq, until=lambda e: e.state == "ready")
        assert states(told)[0] == "requested"
        assert "Another one is started" in told[0].text

    @pytest.mark.parametrize("step", ["requested", "placed", "ready"])
    def test_one_whose_keeper_ends_in_between_is_there_once_when_it_is_back(
        self, setup, user, step
    ):
        async def cut():
            await setup.servers.spawn(Owner(user), "default", setup.spec())
            if step == "requested":
                return await setup._shut()
            async for event in setup.servers.events(user, "default"):
                record = setup.spawner.record(Key(user, "default"))
                if event and (record.placed if step == "placed" else event.state == "ready"):
                    break
            return await setup._shut()

        setup.do(cut())
        setup.open()
        record = setup.await_ready(user)
        assert setup.call(user, abs, -1) == 1
        assert [each.generation for each in setup.observed(user)] == [record.generation]

    def test_its_logs_can_be_read_and_followed(self, setup, user):
        setup.up(user)
        with pytest.raises(SpawnerError):
            setup.logs(user, part="nonsense")
        setup.call(user, note, "first\nsecond\n")
        setup.await_log(user, "first\nsecond\n")
        assert setup.logs(user, part="exec", tail=1) == "second\n"
        assert setup.logs(user, part="exec", tail=0) == ""
        assert isinstance(setup.logs(user, part="agent"), str)

        async def follow():
            record = setup.servers.get(user, "default").record
            pieces = setup.spawner.logs(record, LogQuery("exec", tail=1, follow=True))
            yield await anext(pieces)
            yield await anext(pieces)
            await setup.servers.stop(user, "default")
            yield b"".join([piece async for piece in pieces])

        async def gather():
            found = []
            async for piece in follow():
                found.append(piece)
                if len(found) == 1:
                    loop = asyncio.get_running_loop()
                    adding = loop.run_in_executor(None, setup.call, user, note, "third\n")
            await adding
            return found

        assert setup.do(gather())[:2] == [b"second\n", b"third\n"]

    def test_what_runs_user_code_is_started_again_in_place(self, setup, user):
        first = setup.up(user)
        setup.call(user, note, "last words\n")

        with pytest.raises(rexec.WorkerLostError):
            setup.kill_from_within(user)
        assert setup.call(user, abs, -1) == 1
        setup.until(lambda: setup.observed(user)[0].restarts == 1)
        problem = setup.events(
            user, after=first.events[-1].seq, until=lambda event: event.kind == "problem"
        )[-1]
        assert "memory" in problem.text
        assert setup.record(user).generation == first.generation
        assert setup.logs(user, part="exec", previous=True).endswith("last words\n")

    def test_an_idle_one_is_warned_and_ends(self, setup, user):
        setup.spawn(user, idle_timeout=4.0)
        told = setup.events(user)  # all of them: it may be idle before anybody saw it ready
        told = told[1 + next(i for i, event in enumerate(told) if event.state == "ready") :]
        assert next(event.kind for event in told if event.kind != "notice") == "warning"
        assert "nothing to do" in told[-2].text
        assert states(told)[-1] == "gone"
        assert setup.remains(Key(user, "default")) == []

    def test_one_that_was_extended_outlives_its_clock(self, setup, user):
        async def live():
            began = time.time()
            await setup.servers.spawn(Owner(user), "default", setup.spec(max_lifetime=1.5))
            extended = None
            async for event in setup.servers.events(user, "default"):
                if event is None:
                    continue
                if event.state == "ready" and extended is None:
                    # At once: who is slow would find it ended.
                    extended = await setup.servers.extend(user, "default", 3.0)
                last = event
            return began, extended, last

        began, extended, last = setup.do(live())
        assert extended.extended > began + 3
        assert last.at - extended.ready_at > 2.9
