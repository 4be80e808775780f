"""The rules of the agent's machine: what it tells of what exec takes."""

import pytest

from rexec_jupyter.core import protocol as p
from rexec_server import handoff as h
from tests.protocol.agents import Agent

MEASURED = h.Measured(cpu=12.5, cores=2.0, memory=300, memory_limit=1000)


@pytest.fixture
def agent():
    return Agent().ready()


def told(agent):
    """Return what was answered since last time, by request."""
    return {message.request: message for message in agent.sent(p.Usage)}


def test_exec_is_asked_and_what_it_says_is_passed_on(agent):
    request = agent.ask(p.ReadUsage)
    assert agent.commands() == [h.Measure()]
    assert not told(agent)
    agent.manager(MEASURED)
    assert told(agent) == {
        request: p.Usage(
            request=request, known=True, cpu=12.5, cores=2.0, memory=300, memory_limit=1000
        )
    }
    agent.wait(10)
    assert not told(agent)


def test_those_who_ask_meanwhile_are_answered_together_and_once_each(agent):
    first, second = agent.ask(p.ReadUsage), agent.ask(p.ReadUsage)
    agent.ask(p.ReadUsage, request=first)
    assert agent.commands() == [h.Measure()]
    agent.manager(MEASURED)
    agent.manager(MEASURED)
    assert [message.request for message in agent.sent(p.Usage)] == [first, second]
    agent.ask(p.ReadUsage, request=first)  # the answer was lost
    assert agent.commands() == [h.Measure()]


def test_without_exec_the_answer_comes_at_once(agent):
    agent.machine.manager_down(agent.now)
    request = agent.ask(p.ReadUsage)
    assert told(agent) == {request: p.Usage(request=request, known=False)}
    assert not agent.commands()


def test_the_end_of_exec_is_an_answer(agent):
    request = agent.ask(p.ReadUsage)
    agent.machine.manager_down(agent.now)
    assert not told(agent)[request].known
    agent.exec_up()
    request = agent.ask(p.ReadUsage)
    agent.manager(MEASURED)
    assert told(agent)[request].known


def test_exec_that_stands_still_is_waited_for_a_moment(agent):
    request = agent.ask(p.ReadUsage)
    agent.wait(0.7)
    assert not told(agent)
    agent.wait(0.3)
    assert not told(agent)[request].known
    agent.manager(MEASURED)  # too late
    assert not told(agent)


def test_who_asked_on_a_connection_that_is_gone_asks_again(agent):
    request = agent.ask(p.ReadUsage)
    agent.commands()
    agent.machine.disconnected(agent.now)
    agent.connect()
    agent.manager(MEASURED)
    assert not told(agent)
    agent.ask(p.ReadUsage, request=request)
    assert agent.commands() == [h.Measure()]
    agent.manager(MEASURED)
    assert told(agent)[request].known
