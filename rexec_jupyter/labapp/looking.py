"""What servers tell of sessions and jobs, as the panel is told it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.states import OPEN
from rexec_jupyter.labapp.lines import Line
from rexec_jupyter.labapp.messages import Job, Session

_SAME = 2.0
"""Seconds by which a moment may come out differently each time it is reckoned."""
_BETTER = 0.5


class Moments:
    """When things happen, from how long ago they did, or how long it is until they do.

    Each answer takes another time on its way. What was said to be at a moment stays there, or
    each look would bring news.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], float] = {}
        self._used: set[tuple[str, ...]] = set()

    def past(self, now: float, ago: float, *key: str) -> float:
        """Return the moment so many seconds ago of what happens once; 0 for less than none.

        Parameters
        ----------
        now
            When that was told.
        key
            What it is the moment of.
        """
        if ago < 0:
            return 0.0
        then = round(now - ago, 1)
        known = self._known.get(key)
        # An answer that took longer makes it seem later: the earliest is the best.
        return self._keep(key, then if known is None or then < known - _BETTER else known)

    def about(self, then: float, *key: str) -> float:
        """Return a moment, or what it was before if that is nearly the same."""
        known = self._known.get(key)
        same = known is not None and abs(then - known) < _SAME
        return self._keep(key, known if same and known is not None else round(then, 1))

    def _keep(self, key: tuple[str, ...], then: float) -> float:
        self._known[key] = then
        self._used.add(key)
        return then

    def sweep(self) -> None:
        """Forget what nobody asked for since the last time."""
        self._known = {key: self._known[key] for key in self._used}
        self._used.clear()


def sessions(
    infos: Iterable[p.SessionInfo], now: float, moments: Moments, where: Callable[[str], str]
) -> list[Session]:
    """Return the sessions.

    Parameters
    ----------
    now
        When that was told.
    where
        Returns the server that a session is on.
    """
    return [
        Session(
            name=info.session,
            state=info.state,
            running=info.running,
            queued=info.queued,
            started=moments.past(
                now, info.started_ago, "session", info.session, str(info.incarnation)
            ),
            idle_since=(
                moments.about(now - info.idle_for, "idle", info.session)
                if info.idle_for >= 0
                else 0.0
            ),
            server=where(info.session),
        )
        for info in infos
    ]


def jobs(
    infos: Iterable[p.JobInfo], now: float, moments: Moments, line: Callable[[str], Line]
) -> list[Job]:
    """Return the jobs; `line` returns the last line of a running one."""
    return [_job(info, now, moments, line) for info in infos]


def _job(info: p.JobInfo, now: float, moments: Moments, line: Callable[[str], Line]) -> Job:
    still = info.state in OPEN
    started = moments.past(now, info.started_ago, "started", info.job)
    shown = line(info.job) if still and started else Line("", -1)
    return Job(
        id=info.job,
        name=info.label,
        session=info.session,
        kind=info.kind,
        state=info.state,
        open=still,
        submitted=moments.past(now, info.submitted_ago, "submitted", info.job),
        started=started,
        ended=round(started + info.duration, 1) if started and not still else 0.0,
        line=shown.text,
        percent=shown.percent,
    )
