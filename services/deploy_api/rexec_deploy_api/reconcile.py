"""From what is kept of a server and what is there of it to what is to be done next.

`plan` is a function of what can be read at any time, so it does not matter what happened
before, or in which process: whoever is ended between two steps leaves a state that the next
look completes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rexec_deploy_api.records import Cause, Observed, Presence, Record, State

ATTEMPTS = 3
"""Generations in a row that may end before they are ready."""
FAILED_SECONDS = 24 * 3600.0
"""How long the record of a server that failed is kept."""
LENT_SECONDS = 15.0
"""How long a server of a pool that was lent waits for the record that borrows it."""
STUCK_SECONDS = 300.0
"""After how long a generation that was told to end is thought to be out of reach."""
WARNING_SECONDS = 600.0
"""How long before its end a server's owner is warned; less if it was to live for less."""

_LOOK = 30.0
_SHORTAGES: dict[State, str] = {
    "scheduling": "Waiting for a place with enough room.",
    "pulling": "Fetching the image.",
    "installing": "Installing the packages.",
    "starting": "Starting.",
}
_ENDS = {
    "idle": ("it had nothing to do", "for so long that it is not needed"),
    "orphan": ("nobody was connected", "for so long that it is not needed"),
    "lifetime": ("it reached its longest lifetime", ""),
}
ENDED_HINT = "The next cell, or `%rexec start`, starts another."


class Ending(NamedTuple):
    """Which clock ends a server next.

    Attributes
    ----------
    reason
        ``idle``, ``orphan`` or ``lifetime``.
    seconds
        Until then; 0 or less if it is over.
    warning
        How long before it the owner is warned.
    """

    reason: str
    seconds: float
    warning: float


class Step(NamedTuple):
    """What is to be done.

    Attributes
    ----------
    record
        The record as it is to be written before anything else is done; None to erase it.
    displace
        What is to end.
    place
        Whether the record's generation is to be started.
    again
        Seconds after which to look again, even if nothing changes.
    """

    record: Record | None
    displace: tuple[Observed, ...] = ()
    place: bool = False
    again: float = _LOOK


def ending(record: Record, presence: Presence | None, now: float) -> Ending | None:
    """Return the clock that ends this server next; None if none runs."""
    spec, found = record.spec, []
    if record.state != "ready":
        return None
    if presence is not None:
        for reason, limit, since in (
            ("idle", spec.idle_timeout, presence.idle),
            ("orphan", spec.orphan_timeout, presence.orphan),
        ):
            if limit and since:
                left = max(limit - since, record.extended - now)
                found.append(Ending(reason, left, min(WARNING_SECONDS, limit / 4)))
    if spec.max_lifetime:
        left = max(record.ready_at + spec.max_lifetime, record.extended) - now
        found.append(Ending("lifetime", left, min(WARNING_SECONDS, spec.max_lifetime / 4)))
    return min(found, key=lambda each: each.seconds, default=None)


def plan(
    record: Record, observed: Sequence[Observed], presence: Presence | None, now: float
) -> Step:
    """Return what is to be done for one server.

    Parameters
    ----------
    record
        What is kept of it.
    observed
        What is there, every generation of it.
    presence
        What the broker says; None if it knows no such server.
    now
        Seconds since 1970.
    """
    if record.wanted == "stopped":
        return _stop(record, observed, now)
    if record.state == "failed":
        left = record.since + FAILED_SECONDS - now
        return Step(
            record if left > 0 else None, _staying(observed), again=max(1.0, min(left, 3600))
        )
    current = next((each for each in observed if each.generation == record.generation), None)
    others = [each for each in observed if each.generation != record.generation]
    if current is None and not record.placed:
        return _begin(record, others, now)
    if current is None or current.phase == "ended" or current.leaving >= 0:
        return _replace(record, current, observed, now)
    return _watch(record, current, others, presence, now)


def plan_lent(
    record: Record, observed: Sequence[Observed], borrower: Record | None, now: float
) -> Step:
    """Return what is to be done for a server of a pool that became another one.

    Parameters
    ----------
    borrower
        The record of that.
    """
    held = borrower is not None and borrower.borrowed == record.key
    early = record.since + LENT_SECONDS - now
    if observed and (held or early > 0):
        return Step(record, again=max(early, 1.0) if not held else _LOOK)
    return _stop(record.having(wanted="stopped"), observed, now)


def another(record: Record) -> Record:
    """Return the record for its next generation."""
    return record.having(generation=record.generation + 1, placed="", borrowed=None)


def _stop(record: Record, observed: Sequence[Observed], now: float) -> Step:
    if not observed:
        return Step(None)
    if record.state != "stopping":
        text = f"Stopping: {record.cause.message}" if record.cause else "Stopping."
        record = record.entering(now, "stopping", text, record.cause)
    return Step(record, _staying(observed), again=5.0)


def _staying(observed: Sequence[Observed]) -> tuple[Observed, ...]:
    """Return what has not been told to end."""
    return tuple(each for each in observed if each.leaving < 0)


def _begin(record: Record, others: Sequence[Observed], now: float) -> Step:
    """Start a generation, but not before the one before it is over."""
    alive = [each for each in others if each.phase != "ended" and each.leaving < STUCK_SECONDS]
    if (late := _late(record, record.cause, now)) is not None:
        return Step(late, _staying(others))
    return Step(record, _staying(others), place=not alive, again=1.0 if alive else _LOOK)


def _replace(
    record: Record, current: Observed | None, observed: Sequence[Observed], now: float
) -> Step:
    """Give up a generation that ended without having been told to by us."""
    cause = current.cause if current else None
    if cause is None:
        cause = Cause("deleted", "It was ended from outside.")
    failures = 0 if record.ready_at else record.failures + 1
    if cause.final or failures >= ATTEMPTS:
        return Step(_failed(record.having(failures=failures), cause, now), _staying(observed))
    record = another(record.having(failures=failures, ready_at=0.0))
    text = f"{cause.message} Another one is started; variables and waiting jobs are lost."
    return Step(record.entering(now, "requested", text), _staying(observed), again=0.0)


def _watch(
    record: Record,
    current: Observed,
    others: Sequence[Observed],
    presence: Presence | None,
    now: float,
) -> Step:
    """Follow the generation that is there."""
    record = record if record.placed == current.id else record.having(placed=current.id)
    present = presence is not None and presence.generation == record.generation
    if presence is not None and present and (presence.able or record.state == "ready"):
        if record.state != "ready":
            record = record.having(ready_at=now, failures=0, warned="")
            record = record.entering(now, "ready", "Ready.")
        record = _survived(record, current, now)
        return _clocks(record, presence, others, now)
    if record.state == "ready":
        # The broker is away, or does not reach it: that ends nothing.
        return Step(record, _staying(others), again=5.0)
    if record.borrowed is not None and now - record.since > LENT_SECONDS:
        text = "The one that was kept ready did not answer; another one is started."
        record = another(record).entering(now, "requested", text)
        return Step(record, _staying([current, *others]), again=0.0)
    state: State = "starting" if current.phase == "running" else current.phase  # type: ignore[assignment]
    cause = current.cause
    if cause is not None and (cause.final or now - record.since > current.patience):
        return Step(_failed(record, cause, now), _staying([current, *others]))
    if state != record.state:
        record = record.entering(now, state, _SHORTAGES[state], cause)
    elif cause is not None and cause != record.cause:
        record = record.having(cause=cause).told(
            now, cause.message, kind="problem", hint=cause.hint
        )
    if (late := _late(record, cause, now)) is not None:
        return Step(late, _staying([current, *others]))
    return Step(record, _staying(others), again=5.0)


def _survived(record: Record, current: Observed, now: float) -> Record:
    """Tell once of what happened to the user's code while its server lived on."""
    if current.cause is None or current.cause == record.cause:
        return record
    told = record.having(cause=current.cause)
    return told.told(now, current.cause.message, kind="problem", hint=current.cause.hint)


def _late(record: Record, cause: Cause | None, now: float) -> Record | None:
    """Return the record of a server that took too long; None as long as it may."""
    asked = (e.at for e in reversed(record.events) if e.state == "requested")
    began = next(asked, record.events[0].at if record.events else record.created)
    if now - began <= record.spec.start_timeout:
        return None
    if cause is None:
        cause = Cause(
            "timeout",
            f"It was not ready within {record.spec.start_timeout:g} s ({record.state}).",
            "Start it again; its log may tell more.",
        )
    return _failed(record, cause, now)


def _failed(record: Record, cause: Cause, now: float) -> Record:
    return record.entering(now, "failed", cause.message, cause)


def _clocks(record: Record, presence: Presence, others: Sequence[Observed], now: float) -> Step:
    end = ending(record, presence, now)
    if end is None:
        return Step(record.having(warned=""), _staying(others))
    if end.seconds <= 0:
        why, _ = _ENDS[end.reason]
        cause = Cause(end.reason, f"It was ended because {why}.", ENDED_HINT)  # type: ignore[arg-type]
        return Step(record.having(wanted="stopped", cause=cause), again=0.0)
    if end.seconds <= end.warning:
        if record.warned != end.reason:
            record = record.having(warned=end.reason).told(
                now,
                warning(end),
                kind="warning",
                hint="Running something there, or `%rexec extend`, keeps it."
                if end.reason != "lifetime"
                else "Save what you need; `%rexec extend` gives it more time.",
            )
        return Step(record, _staying(others), again=end.seconds)
    return Step(
        record.having(warned=""), _staying(others), again=min(_LOOK, end.seconds - end.warning)
    )


def warning(end: Ending) -> str:
    """Return the sentence that tells of a near end."""
    minutes = max(1, round(end.seconds / 60))
    span = f"{minutes} min" if end.seconds >= 90 else f"{max(1, round(end.seconds))} s"
    why, so_long = _ENDS[end.reason]
    return f"This server ends in {span}, because by then {why} {so_long}".rstrip() + "."
