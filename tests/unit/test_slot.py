"""The memory that a process running user code shares with the manager."""

import asyncio
import os

import pytest

from rexec_server.exec.slot import Slot, new_memory


@pytest.fixture
def slots():
    """The manager's slot and the process's."""
    memory = new_memory()
    pair = Slot(os.dup(memory)), Slot(memory)
    yield pair
    for slot in pair:
        slot.close()


def insist(slot, heard, send):
    asyncio.run(slot.insist(heard, send, wanted=lambda: True))


def test_a_signal_that_was_heard_at_once_is_not_sent_again(slots):
    ours, theirs = slots
    sent = []
    heard = ours.heard
    theirs.hear()  # before anybody could look whether it was heard
    insist(ours, heard, lambda: sent.append("again"))
    assert sent == []


def test_a_signal_that_was_not_heard_is_sent_until_it_is(slots):
    ours, theirs = slots
    sent = []

    def send():
        sent.append("again")
        if len(sent) == 2:
            theirs.hear()

    insist(ours, ours.heard, send)
    assert sent == ["again", "again"]
