"""What cells bring along and give back, their environment, payloads and ends."""

import os

import pytest

from rexec_jupyter.core import refs
from rexec_server import handoff as h
from tests.backend.executing import Agent


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    agent = Agent(tmp_path_factory.mktemp("handoff"), "--directory", "/", workers=0)
    yield agent
    agent.close()


def stdout(agent, source, **options):
    job = agent.cell(source, **options)
    answer = agent.answer(job)
    assert isinstance(answer, h.Returned), answer
    return "".join(text for stream, text in agent.shown(job) if stream == "stdout")


# ------------------------------------------------------------------------------ environment


def test_the_environment_of_a_cell_is_its_own(agent):
    show = "import os; print(os.environ.get('REXEC_TEST'), os.environ['PATH'])"
    path = stdout(agent, "import os; print(os.environ['PATH'])").strip()
    assert stdout(agent, show, env={"REXEC_TEST": "x", "PATH": "/p"}) == "x /p\n"
    assert stdout(agent, "!echo $REXEC_TEST", env={"REXEC_TEST": "sub"}) == "sub\r\n"
    assert stdout(agent, show) == f"None {path}\n"


@pytest.mark.parametrize("source", ["1 / 0", "x = (", "import sys; sys.exit(1)", "await 1"])
def test_the_environment_is_restored_however_a_cell_ends(agent, source):
    agent.answer(agent.cell(source, env={"REXEC_TEST": "x"}))
    assert stdout(agent, "print(os.environ.get('REXEC_TEST'))", names={"os": os}) == "None\n"


def test_the_environment_is_restored_after_an_interrupt(agent):
    source = "import os, time; print(os.environ['REXEC_TEST']); time.sleep(1000)"
    job = agent.cell(source, env={"REXEC_TEST": "x"})
    agent.wait(lambda: agent.shown(job), "its output")
    agent.tell(h.InterruptJob(job=job, session="default"))
    assert isinstance(agent.answer(job), h.Interrupted)
    assert stdout(agent, "print(os.environ.get('REXEC_TEST'))", names={"os": os}) == "None\n"


def test_a_variable_that_cannot_be_set_is_told_and_nothing_runs(agent):
    job = agent.cell("print('ran')", env={"REXEC_GOOD": "x", "a=b": "c"})
    answer = agent.answer(job)
    assert answer.code == "R10"
    assert "'a=b'" in answer.message
    assert agent.shown(job) == []
    assert stdout(agent, "print(os.environ.get('REXEC_GOOD'))", names={"os": os}) == "None\n"


# ----------------------------------------------------------------------------------- limits


def test_outputs_over_the_limit_are_refused_with_a_table_of_their_sizes(agent):
    source = "import numpy; big = numpy.zeros(250_000); small = 'x'"
    answer = agent.answer(agent.cell(source, outputs=["small", "big"], max_recv=1_000_000))
    assert answer.code == "R11"
    lines = answer.message.splitlines()
    assert "2.0 MB" in lines[0]
    assert "1.0 MB" in lines[0]
    assert lines[1].split() == ["name", "type", "size"]
    assert lines[2].split() == ["big", "numpy.ndarray", "2.0", "MB"]
    assert lines[3].split()[:2] == ["small", "str"]
    assert "max_recv" in lines[-1]
    job = agent.cell("", outputs=["small", "big"], max_recv=3_000_000)
    assert len(agent.cell_values(job).outputs["big"]) == 250_000


def test_a_long_table_is_cut(agent):
    names = [f"big{i}" for i in range(60)]
    source = "globals().update({name: bytes(50_000) for name in wanted})"
    job = agent.cell(source, {"wanted": names}, outputs=names, max_recv=1_000_000)
    assert "… and 40 more" in agent.answer(job).message


def test_a_value_over_its_limit_stays_and_is_named(agent):
    job = agent.cell("bytes(5000)", value=True, value_limit=4000)
    result = agent.cell_values(job)
    assert not result.has_value
    assert "4,000" in result.reason
    assert stdout(agent, f"print(len({result.ref}))") == "5000\n"
    result = agent.cell_values(agent.cell("bytes(5000)", value=True, value_limit=10_000))
    assert result.value == bytes(5000)


def test_the_name_of_a_value_is_that_of_ipython(agent):
    result = agent.cell_values(agent.cell("'a value'"))
    assert stdout(agent, f"print({result.ref})") == "a value\n"
    assert agent.cell_values(agent.cell("'silenced';")).ref == ""
    assert agent.cell_values(agent.cell("None")).ref == ""
    assert agent.cell_values(agent.cell("x = 1")).ref == ""
    assert agent.cell_values(agent.cell("result = 1", hidden=True)).ref == ""
    assert agent.cell_values(agent.cell("1", fresh=True)).ref == ""


def test_a_reference_is_the_value_itself_in_its_session(agent):
    job = agent.cell("values = [1, 2]; values")
    kept = agent.cell_values(job).ref
    (started,) = agent.of(job, h.CellStarted)
    ref = refs.RemoteRef("default", kept, {}, {}, "", list, incarnation=started.incarnation)
    assert (
        stdout(
            agent,
            "print(given is values, inside[0] is values)",
            names={"given": ref, "inside": [ref]},
        )
        == "True True\n"
    )


@pytest.mark.parametrize(
    ("session", "name", "incarnation", "reason"),
    [
        ("other", "_1", 0, "in cells of that session only"),
        ("default", "_999", 0, "does not keep _999 any more"),
        ("default", "__name__", 1, "was lost when that was restarted"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told(agent, session, name, incarnation, reason):
    ref = refs.RemoteRef(session, name, {}, {}, "", list, incarnation=incarnation)
    answer = agent.answer(agent.cell("print('ran')", {"ref": ref}))
    assert answer.code == "R10"
    assert "'ref'" in answer.message
    assert reason in answer.message


# ------------------------------------------------------------------------------ hidden cells


def test_a_hidden_cell_leaves_no_trace(agent):
    before = stdout(agent, "print(len(In), sorted(globals()))", session="h")
    source = "import math\nprint(shell.user_ns is not globals())\nresult = math.floor(number)"
    job = agent.cell(source, {"number": 2.5}, session="h", hidden=True, value=True)
    assert agent.cell_values(job).value == 2
    assert agent.shown(job) == [("stdout", "True\n")]
    after = stdout(agent, "print(len(In), sorted(globals()))", session="h")
    # One cell more, and what IPython keeps of it.
    count, *names = before.split(" ", 1)
    more, *others = after.split(" ", 1)
    assert int(more) == int(count) + 1
    assert {"math", "number", "result", "shell"}.isdisjoint(eval(others[0]))
    assert set(eval(others[0])) - set(eval(names[0])) <= {f"_i{more}", "_i2", "_i1"}


def test_a_hidden_cell_changes_the_session_where_it_means_to(agent):
    agent.answer(agent.cell("shell.user_ns.update(brought)", {"brought": {"x": 5}}, hidden=True))
    assert stdout(agent, "print(x)") == "5\n"
    assert agent.cell_values(agent.cell("", outputs=["x"], hidden=True)).outputs == {"x": 5}


def test_an_error_of_a_hidden_cell_is_an_error(agent):
    job = agent.cell("def f():\n    raise KeyError('gone')\nf()", hidden=True)
    assert isinstance(agent.error(job), KeyError)
    (answer,) = agent.of(job, h.Raised)
    assert answer.traceback[1] == '  File "<rexec>", line 3, in <module>'
    assert isinstance(agent.error(agent.cell("x = (", hidden=True)), SyntaxError)
    job = agent.cell("raise SystemExit(2)", hidden=True)
    assert isinstance(agent.answer(job), h.Returned)
    job = agent.cell("import time\nprint('on')\ntime.sleep(1000)", hidden=True)
    agent.wait(lambda: agent.shown(job), "its output")
    agent.tell(h.InterruptJob(job=job, session="default"))
    assert isinstance(agent.answer(job), h.Interrupted)
    assert stdout(agent, "print('alive')") == "alive\n"


# ------------------------------------------------------------------ payloads, exits, nesting


def test_help_is_passed_on_as_a_page(agent):
    job = agent.cell("def helped():\n    'What helped does.'")
    agent.answer(job)
    job = agent.cell("helped?")
    agent.answer(job)
    ((stream, payload),) = agent.shown(job)
    assert stream == "payload"
    assert payload["source"] == "page"
    assert "What helped does." in payload["data"]["text/plain"]


def test_text_for_the_next_cell_is_passed_on(agent):
    job = agent.cell("get_ipython().set_next_input('x = 1'); print('shown')")
    agent.answer(job)
    assert agent.shown(job) == [
        ("stdout", "shown\n"),
        ("payload", {"source": "set_next_input", "text": "x = 1", "replace": False}),
    ]
    following = agent.cell("pass")
    agent.answer(following)
    assert agent.shown(following) == []


def test_a_payload_of_an_interrupted_cell_is_not_shown_by_the_next(agent):
    job = agent.cell("get_ipython().set_next_input('x'); print('on')\nwhile True: pass")
    agent.wait(lambda: agent.shown(job), "its output")
    agent.tell(h.InterruptJob(job=job, session="default"))
    assert isinstance(agent.answer(job), h.Interrupted)
    following = agent.cell("pass")
    agent.answer(following)
    assert agent.shown(following) == []


@pytest.mark.parametrize(
    ("source", "note", "stderr"),
    [
        ("import sys; sys.exit(3)", "exit code 3\n", ""),
        ("exit()", "exit code 0\n", ""),
        ("exit", "exit code 0\n", ""),
        ("print('x')\nquit()", "exit code 0\n", ""),
        ("quit(4)\nprint('not reached')", "exit code 4\n", ""),
        ("raise SystemExit('why')", "exit code 1\n", "why\n"),
        ("get_ipython().ask_exit()", "exit code 0\n", ""),
        ("import sys, asyncio\nawait asyncio.sleep(0)\nsys.exit(5)", "exit code 5\n", ""),
    ],
)
def test_a_cell_that_exits_is_done_and_its_session_lives(agent, source, note, stderr):
    agent.answer(agent.cell("kept = 1"))
    job = agent.cell(source, value=True)
    assert not agent.cell_values(job).has_value
    shown = agent.shown(job)
    assert [text for stream, text in shown if stream == "note"] == [note]
    assert "".join(text for stream, text in shown if stream == "stderr") == stderr
    assert "not reached" not in str(shown)
    assert stdout(agent, "print(kept)") == "1\n"


def test_a_cell_that_exits_still_gives_its_outputs(agent):
    job = agent.cell("x = 7; exit()", outputs=["x"])
    assert agent.cell_values(job).outputs == {"x": 7}


@pytest.mark.parametrize(
    "source",
    [
        "%%rexec\n1",
        "if True:\n    get_ipython().run_cell_magic('rexec', '', '1')",
        "%rexec jobs",
        "y = %rx 1",
        "import rexec_jupyter; rexec_jupyter.connect()",
    ],
)
def test_rexec_within_a_cell_is_refused(agent, source):
    job = agent.cell(source)
    answer = agent.answer(job)
    assert answer.code == "R14"
    assert "already" in answer.message
    assert answer.traceback == []


def test_input_is_refused_with_a_hint(agent):
    for options in ({}, {"hidden": True}):
        answer = agent.answer(agent.cell("input('name? ')", **options))
        assert answer.error == "EOFError"
        assert "local cell" in answer.message


def test_a_traceback_that_a_cell_shows_itself_is_output(agent):
    source = """
    try:
        1 / 0
    except ZeroDivisionError:
        get_ipython().showtraceback()
    print("goes on")
    """
    job = agent.cell(source)
    assert isinstance(agent.answer(job), h.Returned)
    (errors, text) = agent.shown(job)
    assert errors[0] == "stderr"
    assert "ZeroDivisionError" in errors[1]
    assert text == ("stdout", "goes on\n")


def test_a_value_that_cannot_be_shown_is_an_error_of_the_cell(agent):
    source = """
    class Broken:
        def __repr__(self): raise ValueError("no repr")
    Broken()
    """
    assert agent.answer(agent.cell(source)).error == "ValueError"


def test_large_outputs_pass_and_too_large_ones_are_told(agent):
    job = agent.cell("display({'text/plain': 'x' * 5_000_000}, raw=True)")
    agent.answer(job)
    ((stream, content),) = agent.shown(job)
    assert stream == "display"
    assert len(content["data"]["text/plain"]) == 5_000_000
    job = agent.cell("display({'text/plain': 'x' * 80_000_000}, raw=True); print('after')")
    agent.answer(job)
    shown = agent.shown(job)
    assert shown[0] == ("note", "An output of 80 MB is too large to be shown.\n")
    assert shown[1] == ("stdout", "after\n")
