"""How the panel looks at several servers, one of which may be silent: a real broker between."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core import trust
from rexec_jupyter.labapp import reach
from tests.backend.brokering import PATIENCE, Backend, Server, running


class Playing(Server):
    """Answers what it is asked, until it is told to be silent.

    Attributes
    ----------
    patient
        Whether it answers.
    leaving
        Whether it says goodbye.
    """

    def __init__(self, broker, session):
        super().__init__(broker, session=session, server=session or "main")
        self.session = session or "default"
        self.job = trust.new_id()
        self.patient = True
        self.leaving = False
        self._over = False
        self._thread = threading.Thread(target=self._play)

    def __enter__(self):
        self.join()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over = True
        self._thread.join()
        super().__exit__()

    def _play(self):
        while not self._over:
            if self.leaving:
                self.send(p.Goodbye())
                self.leaving = False
            message, _ = self.receive(0.05) or (None, None)
            if not self.patient:
                continue
            if isinstance(message, p.ListSessions):
                row = p.SessionInfo(session=self.session, state="idle", started_ago=5, idle_for=3)
                self.send(p.SessionList(request=message.request, sessions=[row]))
            elif isinstance(message, p.ListJobs):
                row = p.JobInfo(
                    job=self.job,
                    session=self.session,
                    kind="cell",
                    label="",
                    state="running",
                    submitted_ago=4,
                    started_ago=2,
                    duration=2,
                )
                self.send(p.JobList(request=message.request, jobs=[row]))


@pytest.fixture
def there(tmp_path):
    """A broker, the usual server, and one for a session of its own."""
    with (
        running(tmp_path) as broker,
        Playing(broker, "") as usual,
        Playing(broker, "big") as big,
    ):
        yield broker, usual, big


@contextlib.asynccontextmanager
async def looking(broker):
    """Look, and give what waits until it looks in a certain way."""
    changed = asyncio.Event()
    with ThreadPoolExecutor() as pool:
        at = reach.Reach(pool, changed.set)
        at.aim("here", lambda: Backend(broker))
        work = asyncio.create_task(at.poll.run())

        async def until(condition):
            async with asyncio.timeout(PATIENCE):
                while not condition(at.look):
                    changed.clear()
                    await changed.wait()
            return at.look

        try:
            yield at, until
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await at.close()


def both(look):
    return [each.session for each in look.sessions] == ["big", "default"] and len(look.jobs) == 2


def test_a_silent_server_hides_nothing(there, monkeypatch):
    monkeypatch.setattr(reach, "PATIENCE", 0.5)
    broker, usual, big = there

    async def look():
        async with looking(broker) as (at, until):
            await until(both)
            big.patient = False

            def alone(look):
                """Tell whether the other one answered, and what this one told is older by now."""
                big, default = look.sessions
                return big.started_ago > 6 and (default.started_ago, default.idle_for) == (5, 3)

            later = await until(lambda look: both(look) and alone(look) and not at.poll.error)
            assert at.standing().state == "connected"
            assert later.sessions[0].started_ago == pytest.approx(later.sessions[0].idle_for + 2)
            assert [job.session for job in later.jobs] == ["default", "big"]
            big.patient = True
            await until(lambda look: both(look) and {job.submitted_ago for job in look.jobs} == {4})
            big.leaving = True
            await until(lambda look: [job.job for job in look.jobs] == [usual.job])

    asyncio.run(look())


def test_when_all_are_silent_that_is_told(there, monkeypatch):
    monkeypatch.setattr(reach, "PATIENCE", 0.5)
    broker, *servers = there

    async def look():
        async with looking(broker) as (at, until):
            await until(both)
            for server in servers:
                server.patient = False
            await until(lambda _: at.poll.error)
            assert at.standing().state == "reconnecting"
            assert "did not answer" in at.standing().text
            assert both(at.look)

    asyncio.run(look())
