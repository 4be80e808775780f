"""What is to be done, from what is kept and what is there."""

import pytest

from rexec_deploy_api.reconcile import (
    ATTEMPTS,
    FAILED_SECONDS,
    LENT_SECONDS,
    STUCK_SECONDS,
    ending,
    plan,
    plan_lent,
)
from rexec_deploy_api.records import (
    EVENTS,
    Cause,
    Key,
    Observed,
    Presence,
    Record,
    Spec,
    decoded,
    encoded,
)

NOW = 1000.0
SPEC = Spec(profile="default", start_timeout=100)
NO_ROOM = Cause("unschedulable", "No node has that much memory.", "Ask for less.")


def record(**changes):
    """Return the record of a server that was just asked for."""
    first = Record(user="ann", name="default", spec=changes.pop("spec", SPEC), created=NOW)
    return first.entering(NOW, "requested", "Asked for.").having(**changes)


def seen(phase="running", generation=1, **more):
    return Observed(id=f"pod-{generation}", generation=generation, phase=phase, **more)


def ready(**changes):
    return record(state="ready", ready_at=NOW, placed="pod-1", **changes)


def test_what_was_asked_for_is_started():
    step = plan(record(), [], None, NOW)
    assert (step.place, step.displace, step.record.state) == (True, (), "requested")


def test_nothing_starts_before_the_generation_before_it_is_over():
    old = seen(generation=1)
    step = plan(record(generation=2), [old], None, NOW)
    assert (step.place, step.displace) == (False, (old,))
    leaving = seen(generation=1, leaving=3.0)
    step = plan(record(generation=2), [leaving], None, NOW)
    assert (step.place, step.displace) == (False, ())
    lost = seen(generation=1, leaving=STUCK_SECONDS)
    assert plan(record(generation=2), [lost], None, NOW).place
    ended = seen("ended", generation=1)
    step = plan(record(generation=2), [ended], None, NOW)
    assert (step.place, step.displace) == (True, (ended,))


@pytest.mark.parametrize(
    ("phase", "state"),
    [
        ("scheduling", "scheduling"),
        ("pulling", "pulling"),
        ("installing", "installing"),
        ("starting", "starting"),
        ("running", "starting"),
    ],
)
def test_phases_are_followed(phase, state):
    step = plan(record(), [seen(phase)], None, NOW + 1)
    assert (step.record.state, step.record.placed) == (state, "pod-1")
    assert step.record.events[-1].state == state
    again = plan(step.record, [seen(phase)], None, NOW + 2)
    assert again.record == step.record


def test_it_is_ready_when_the_broker_says_so_and_of_this_generation():
    step = plan(record(), [seen()], Presence(1, "ready"), NOW + 5)
    assert (step.record.state, step.record.ready_at) == ("ready", NOW + 5)
    assert plan(record(), [seen()], None, NOW).record.state == "starting"
    old = Presence(1, "ready")
    two = record(generation=2)
    assert plan(two, [seen(generation=2)], old, NOW).record.state == "starting"


def test_a_broker_that_is_away_ends_nothing():
    step = plan(ready(), [seen()], None, NOW + 5)
    assert (step.record.state, step.displace) == ("ready", ())


def test_what_holds_it_up_is_told_once():
    step = plan(record(), [seen("scheduling", cause=NO_ROOM)], None, NOW + 1)
    assert (step.record.state, step.record.cause) == ("scheduling", NO_ROOM)
    again = plan(step.record, [seen("scheduling", cause=NO_ROOM)], None, NOW + 2)
    assert again.record.events == step.record.events
    other = Cause("unschedulable", "No node has a GPU.")
    step = plan(again.record, [seen("scheduling", cause=other)], None, NOW + 3)
    assert (step.record.events[-1].kind, step.record.events[-1].text) == ("problem", other.message)


def test_what_does_not_pass_by_itself_is_a_failure():
    final = Cause("image", "There is no such image.", final=True)
    step = plan(record(), [seen("pulling", cause=final)], None, NOW + 1)
    assert (step.record.state, step.record.cause) == ("failed", final)
    assert step.displace == (seen("pulling", cause=final),)
    patient = seen("scheduling", cause=NO_ROOM, patience=30.0)
    assert plan(record(), [patient], None, NOW + 29).record.state == "scheduling"
    assert plan(record(), [patient], None, NOW + 31).record.state == "failed"


def test_it_has_only_so_long_to_start():
    late = plan(record(), [seen("pulling")], None, NOW + 101).record
    assert (late.state, late.cause.reason) == ("failed", "timeout")
    late = plan(record(), [seen("scheduling", cause=NO_ROOM)], None, NOW + 101).record
    assert (late.state, late.cause) == ("failed", NO_ROOM)
    assert plan(record(), [], None, NOW + 101).record.state == "failed"


def test_many_problems_do_not_make_it_late():
    # The event that it was asked for is no longer kept then.
    told = record(created=NOW - 5000, placed="pod-1")
    for number in range(EVENTS):
        told = told.told(NOW + 1, f"problem {number}", kind="problem")
    assert plan(told, [seen("pulling")], None, NOW + 50).record.state == "pulling"


def test_what_ended_from_outside_is_replaced():
    for there in ([], [seen("ended")], [seen(leaving=2.0)]):
        step = plan(ready(), there, None, NOW + 1)
        assert (step.record.generation, step.record.state, step.again) == (2, "requested", 0.0)
        assert "lost" in step.record.events[-1].text
        assert not step.place


def test_it_is_given_up_after_some_attempts():
    now = record(placed="pod-1")
    for attempt in range(1, ATTEMPTS):
        step = plan(now, [], None, NOW + attempt)
        assert step.record.failures == attempt
        now = step.record.having(placed=f"pod-{attempt + 1}")
    step = plan(now, [], None, NOW + 10)
    assert (step.record.state, step.record.cause.reason) == ("failed", "deleted")


def test_a_failure_is_kept_for_a_while_and_then_forgotten():
    failed = record().entering(NOW, "failed", "No.", NO_ROOM)
    step = plan(failed, [seen()], None, NOW + 1)
    assert (step.record, step.displace) == (failed, (seen(),))
    assert plan(failed, [], None, NOW + FAILED_SECONDS).record is None


def test_what_is_stopped_ends_and_is_erased():
    stopped = ready(wanted="stopped")
    step = plan(stopped, [seen()], None, NOW)
    assert (step.record.state, step.displace) == ("stopping", (seen(),))
    step = plan(step.record, [seen(leaving=1.0)], None, NOW)
    assert (step.record.state, step.displace) == ("stopping", ())
    assert plan(step.record, [], None, NOW).record is None


def test_what_happened_to_the_code_is_told_while_the_server_lives():
    killed = Cause("memory", "Your code took more memory than it may.", "Ask for more.")
    step = plan(ready(), [seen(cause=killed)], Presence(1, "ready"), NOW + 1)
    assert (step.record.state, step.record.cause) == ("ready", killed)
    assert step.record.events[-1].kind == "problem"
    again = plan(step.record, [seen(cause=killed)], Presence(1, "ready"), NOW + 2)
    assert again.record == step.record


def clocked(**clocks):
    return ready(spec=Spec(profile="default", **clocks))


def presence(**told):
    return Presence(1, "ready", **told)


@pytest.mark.parametrize(
    ("clocks", "told", "reason"),
    [
        ({"idle_timeout": 100}, {"idle": 101}, "idle"),
        ({"orphan_timeout": 100}, {"orphan": 101}, "orphan"),
        ({"max_lifetime": 100}, {}, "lifetime"),
        ({"idle_timeout": 500, "orphan_timeout": 100}, {"idle": 200, "orphan": 200}, "orphan"),
    ],
)
def test_clocks_end_a_server(clocks, told, reason):
    step = plan(clocked(**clocks), [seen()], presence(**told), NOW + 101)
    assert (step.record.wanted, step.record.cause.reason) == ("stopped", reason)
    step = plan(step.record, [seen()], presence(**told), NOW + 101)
    assert (step.record.state, step.displace) == ("stopping", (seen(),))
    assert "ended because" in step.record.events[-1].text


def test_busy_work_is_never_idle():
    step = plan(clocked(idle_timeout=1), [seen()], presence(running=1, idle=0.0), NOW + 1e6)
    assert step.record.wanted == "running"


def test_a_near_end_is_told_once_and_put_off():
    step = plan(clocked(idle_timeout=100), [seen()], presence(idle=80), NOW + 80)
    assert [event.kind for event in step.record.events].count("warning") == 1
    assert "ends in 20 s" in step.record.events[-1].text
    again = plan(step.record, [seen()], presence(idle=90), NOW + 90)
    assert again.record == step.record
    extended = step.record.having(extended=NOW + 500, warned="")
    assert plan(extended, [seen()], presence(idle=101), NOW + 101).record.wanted == "running"
    busy = plan(step.record, [seen()], presence(idle=0), NOW + 91)
    assert busy.record.warned == ""
    assert ending(extended, presence(idle=101), NOW + 101).seconds == 399


def test_a_record_is_read_as_it_was_written():
    there = clocked(idle_timeout=5).told(NOW, "x", kind="warning", hint="y")
    assert decoded(encoded(there), "7") == there.having(version="7")
    assert there.key == Key("ann", "default")
    for damaged in (b"", b"{", b"[]", b'{"user": 1}', b"\xff"):
        with pytest.raises(ValueError, match="damaged"):
            decoded(damaged, "1")


def test_clocks_make_no_other_server():
    one = Spec(profile="a", cpu=1, environment={"A": "1", "B": "2"})
    two = Spec(profile="a", cpu=1, environment={"B": "2", "A": "1"}, idle_timeout=5)
    assert one.digest == two.digest
    assert one.digest != Spec(profile="a", cpu=2, environment={"A": "1", "B": "2"}).digest


# Servers of a pool

BORROWER = Key("ann", "default")
LENDER = Key("~warm/1", "default")
LATER = NOW + LENT_SECONDS + 1


def lent(**changes):
    return Record(user=LENDER.user, name=LENDER.name, spec=SPEC, since=NOW, state="ready").having(
        lent=BORROWER, **changes
    )


def test_a_server_that_was_lent_runs_as_long_as_it_is_held():
    step = plan_lent(lent(), [seen()], record(borrowed=LENDER), LATER)
    assert (step.record, step.displace) == (lent(), ())
    assert plan_lent(lent(), [], record(borrowed=LENDER), LATER).record is None


@pytest.mark.parametrize("borrower", [None, record(), record(borrowed=Key("~warm/2", "default"))])
def test_a_server_that_was_lent_to_nobody_ends_but_not_at_once(borrower):
    # The record that borrows it is written after it, and may be on its way.
    assert plan_lent(lent(), [seen()], borrower, NOW + 1).record == lent()
    step = plan_lent(lent(), [seen()], borrower, LATER)
    assert (step.record.state, step.record.wanted) == ("stopping", "stopped")
    assert step.displace == (seen(),)


def test_one_that_was_borrowed_and_does_not_come_is_given_up():
    borrowing = record(borrowed=LENDER)
    step = plan(borrowing, [seen()], None, NOW + 1)
    assert (step.record.state, step.record.borrowed) == ("starting", LENDER)
    step = plan(step.record, [seen()], None, LATER + 1)
    assert (step.record.borrowed, step.record.generation) == (None, 2)
    assert (step.record.state, step.displace) == ("requested", (seen(),))


def test_whoever_replaces_one_that_was_borrowed_gets_one_of_its_own():
    ran = ready(borrowed=LENDER)
    step = plan(ran, [seen("ended")], None, NOW + 1)
    assert (step.record.borrowed, step.record.generation) == (None, 2)
