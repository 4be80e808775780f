"""Cells in a session's kernel."""

import base64
import signal
import sys
import threading

import cloudpickle
import numpy as np
import pytest

from rexec_jupyter.core.trust import new_id
from rexec_server import handoff as h
from tests.backend.executing import Agent, eventually, gone

cloudpickle.register_pickle_by_value(sys.modules[__name__])


# No script of two commands: a shell forgets an interrupt that comes between them.
CHILD = f"{sys.executable} -c \"import time; print('on', flush=True); time.sleep(1000)\""


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


def incarnation(agent, job):
    return agent.of(job, h.CellStarted)[0].incarnation


def test_a_session_keeps_its_variables_and_sessions_are_apart(agent):
    agent.answer(agent.cell("x = 41"))
    assert agent.cell_values(agent.cell("x + 1", value=True)).value == 42
    answer = agent.answer(agent.cell("x", session="other"))
    assert answer.error == "NameError"


def test_a_cell_says_when_it_starts_and_in_which_incarnation(agent):
    job = agent.cell("pass")
    agent.answer(job)
    messages = [m for m, _ in agent.messages if getattr(m, "job", "") == job]
    kinds = [type(m) for m in messages if getattr(m, "stream", "") != "names"]
    assert kinds == [h.CellStarted, h.Returned]
    following = agent.cell("pass")
    agent.answer(following)
    assert incarnation(agent, following) == incarnation(agent, job)


def test_names_come_along_and_outputs_go_back(agent):
    array = np.arange(1_000_000, dtype=float)
    job = agent.cell(
        "array *= 2; n = len(array); n", {"array": array, "s": "text"}, outputs=["array", "n"]
    )
    result = agent.cell_values(job)
    assert np.array_equal(result.outputs["array"], array * 2)
    assert result.outputs["n"] == 1_000_000
    assert not result.has_value
    assert agent.cell_values(agent.cell("s", value=True)).value == "text"


def test_a_name_that_cannot_be_loaded_is_named_and_nothing_runs(agent):
    class Reference:
        def __reduce__(self):
            return __import__, ("no_such_module",)

    job = agent.cell("print('ran')", {"fine": 1, "broken": Reference()})
    answer = agent.answer(job)
    assert answer.code == "R10"
    assert "'broken'" in answer.message
    assert "no_such_module" in answer.message
    assert agent.shown(job) == []


def test_outputs_come_all_or_not_at_all(agent):
    answer = agent.answer(agent.cell("here = 1", outputs=["here", "missing", "absent"]))
    assert answer.code == "R11"
    assert "'missing', 'absent'" in answer.message
    source = "import threading; lock = threading.Lock()"
    answer = agent.answer(agent.cell(source, outputs=["here", "lock"]))
    assert answer.code == "R11"
    assert "'lock'" in answer.message
    assert "stays in the session" in answer.message
    assert stdout(agent, "print(type(lock).__name__)") == "lock\n"


def test_a_value_that_cannot_be_sent_is_left_out_with_a_reason(agent):
    result = agent.cell_values(agent.cell("threading.Lock()", value=True))
    assert not result.has_value
    assert "cannot be pickled" in result.reason
    result = agent.cell_values(agent.cell("3;", value=True))
    assert not result.has_value


def test_cells_are_what_they_are_in_a_notebook(agent):
    assert stdout(agent, "!echo shell") == "shell\r\n"
    assert stdout(agent, "%%writefile -a /dev/null\nx").startswith("Appending to")
    assert stdout(agent, "import asyncio\nprint(await asyncio.sleep(0, 'awaited'))") == "awaited\n"
    job = agent.cell("In[-1], 5")
    agent.answer(job)
    assert "result" in dict(agent.shown(job))
    assert stdout(agent, "print(_[1])") == "5\n"
    assert stdout(agent, "print(get_ipython().__class__.__name__)") == "ZMQInteractiveShell\n"


def test_a_figure_is_shown_inline(agent):
    job = agent.cell("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nprint('drawn')")
    agent.answer(job)
    shown = agent.shown(job)
    assert [stream for stream, _ in shown] == ["stdout", "display"]
    image = base64.b64decode(shown[-1][1]["data"]["image/png"])
    assert image.startswith(b"\x89PNG")


def test_displays_updates_and_clears_keep_their_place_among_text(agent):
    job = agent.cell(
        """
        from IPython.display import clear_output, display, HTML
        import sys
        print("one")
        handle = display(HTML("<b>two</b>"), display_id="it", metadata={"k": 1})
        print("three")
        print("four", file=sys.stderr)
        print("five")
        handle.update(HTML("six"))
        clear_output(wait=True)
        !echo seven
        display("eight")
        """
    )
    assert isinstance(agent.answer(job), h.Returned)
    shown = agent.shown(job)
    assert [stream for stream, _ in shown] == [
        *("stdout", "display", "stdout", "stderr", "stdout"),
        *("update", "clear", "stdout", "display"),
    ]
    assert shown[1][1]["data"]["text/html"] == "<b>two</b>"
    assert shown[1][1]["transient"] == {"display_id": "it"}
    assert shown[5][1]["transient"] == {"display_id": "it"}
    assert shown[6][1] == {"wait": True}
    assert shown[7][1] == "seven\r\n"


def test_text_of_any_origin_belongs_to_its_cell_and_is_in_order(agent):
    source = """
    import ctypes, os, subprocess
    for i in range(20):
        print(f"{mark} print {i}")
        os.write(1, f"{mark} raw {i}\\n".encode())
        _ = subprocess.run(["echo", f"{mark} sub {i}"])
    _ = ctypes.CDLL(None).printf(f"{mark} c".encode())
    """
    for mark in ("first", "second"):
        lines = stdout(agent, source, names={"mark": mark}).split("\n")
        kinds = [f"{mark} {kind} {i}" for i in range(20) for kind in ("print", "raw", "sub")]
        assert lines == [*kinds, f"{mark} c"]


def test_text_in_other_scripts_is_never_torn(agent):
    job = agent.cell("for i in range(30000): print('Ωμέγα 😀', i)")
    agent.answer(job)
    pieces = [data for stream, data in agent._pieces(job) if stream == "stdout"]
    text = "".join(piece.decode() for piece in pieces)
    assert text == "".join(f"Ωμέγα 😀 {i}\n" for i in range(30000))


def test_bytes_that_are_no_text_become_replacement_characters(agent):
    assert stdout(agent, "import os; _ = os.write(1, b'a\\xff\\xe2\\x82b\\xe2')") == "a��b�"


def test_a_cell_that_breaks_its_own_shell_is_answered_all_the_same(agent):
    job = agent.cell("import sys; sys.stdout = None", session="broken")
    assert isinstance(agent.answer(job), h.Returned)
    job = agent.cell(
        "get_ipython().transform_cell = get_ipython().run_cell = None", session="broken"
    )
    assert isinstance(agent.answer(job), h.Returned)
    assert isinstance(agent.answer(agent.cell("1", session="broken")), h.Raised)


@pytest.mark.parametrize("meanwhile", ["pass", "get_ipython().showtraceback = None"])
def test_an_interrupt_while_a_cell_is_prepared_is_an_interrupt(agent, meanwhile):
    # Whatever came before; and even if a second one keeps the first from being shown.
    source = f"""
    import ast
    class Slow(ast.NodeTransformer):
        def visit(self, node):
            get_ipython().ast_transformers.remove(self)
            {meanwhile}
            print("on")
            while True: pass
    get_ipython().ast_transformers.append(Slow())
    1 / 0
    """
    session = f"prepared {meanwhile}"
    assert agent.answer(agent.cell(source, session=session)).error == "ZeroDivisionError"
    job = agent.cell("print('ran')", session=session)
    agent.wait(lambda: agent.shown(job), "the start")
    agent.tell(h.InterruptJob(job=job, session=session))
    assert isinstance(agent.answer(job), h.Interrupted)
    assert "ran" not in str(agent.shown(job))


def test_an_interrupt_while_figures_are_shown_is_an_interrupt(agent):
    source = """
    def slow():
        get_ipython().events.unregister("post_execute", slow)
        print("on")
        while True: pass
    get_ipython().events.register("post_execute", slow)
    """
    job = agent.cell(source)
    agent.wait(lambda: agent.shown(job), "the start")
    agent.tell(h.InterruptJob(job=job, session="default"))
    assert isinstance(agent.answer(job), h.Interrupted)


def test_a_hundred_thousand_lines_arrive_complete(agent):
    text = stdout(agent, "for i in range(100_000): print(i)")
    assert text == "".join(f"{i}\n" for i in range(100_000))


def test_text_written_between_cells_is_shown_by_the_next(agent, tmp_path):
    mark = tmp_path / "mark"
    source = """
    import threading, time, pathlib
    def later():
        while not go.exists(): time.sleep(0.005)
        print("from the background")
        done.touch()
    threading.Thread(target=later).start()
    """
    go, done = tmp_path / "go", mark
    assert stdout(agent, source, names={"go": go, "done": done}) == ""
    go.touch()
    eventually(done.exists)
    assert stdout(agent, "print('now')") == "from the background\nnow\n"


def test_an_exception_comes_with_its_instance_and_the_remote_frames(agent):
    job = agent.cell("def f():\n    raise ValueError('no', 7)\nf()")
    error = agent.error(job)
    assert error.args == ("no", 7)
    (answer,) = agent.of(job, h.Raised)
    text = "\n".join(answer.traceback)
    assert "In[" in text
    assert "rexec" not in text
    assert "run_code" not in text
    assert "ValueError" in text


def test_an_exception_class_of_the_notebook_comes_back_as_itself(agent):
    module = type(threading)("__main__")
    exec("class Own(Exception): pass", module.__dict__)
    job = agent.cell("raise Own('mine')", {"Own": module.Own})
    assert type(agent.error(job)) is module.Own


def test_errors_of_syntax_and_usage_are_errors_of_the_cell(agent):
    error = agent.error(agent.cell("x = (1,\ny = 2"))
    assert isinstance(error, SyntaxError)
    job = agent.cell("%no_such_magic")
    answer = agent.answer(job)
    assert answer.error == "UsageError"
    assert agent.shown(job) == []


def test_a_value_whose_display_fails_is_an_error_of_the_cell(agent):
    job = agent.cell("class Bad:\n    def __repr__(self): raise KeyError('shown')\nBad()")
    answer = agent.answer(job)
    assert isinstance(answer, h.Raised)
    assert answer.error == "KeyError"
    assert stdout(agent, "1") == ""


def test_input_is_refused_with_a_way_out(agent):
    for source in ("input('name? ')", "import getpass; getpass.getpass()"):
        error = agent.error(agent.cell(source))
        assert isinstance(error, EOFError)
        assert "pass the answer as a variable" in str(error)


@pytest.mark.parametrize(
    "source",
    [
        "import time; print('on'); time.sleep(1000)",
        "print('on')\nwhile True: pass",
        "import asyncio; print('on'); await asyncio.sleep(1000)",
        "import asyncio, time; await asyncio.sleep(0); print('on'); time.sleep(1000)",
        f"!{CHILD}",
        f"import os, time\nos.system({CHILD!r})\nprint('off')\ntime.sleep(1000)",
        "from IPython.display import display\nprint('on')\nwhile True: display(1)",
    ],
    ids=["sleep", "loop", "await", "sleep in async", "shell", "system", "displays"],
)
def test_an_interrupt_ends_a_cell_wherever_it_is(agent, source):
    job = agent.cell(source)
    agent.wait(lambda: agent.shown(job)[:1], "the start")
    agent.tell(h.InterruptJob(job=job, session="default"))
    if "os.system" in source:  # that one was for the child, as in a terminal
        agent.wait(lambda: "off" in str(agent.shown(job)), "the end of the child")
        agent.tell(h.InterruptJob(job=job, session="default"))
    answer = agent.answer(job)
    # IPython ends the command of a line with ``!``, and the cell goes on.
    assert isinstance(answer, h.Returned if "!" in source else h.Interrupted), answer
    assert stdout(agent, "print('alive')") == "alive\n"


def test_an_interrupt_that_python_drops_is_raised_again(agent):
    source = """
    class Deaf:
        def __del__(self):
            print("on")
            while True: pass
    Deaf()
    while True: pass
    """
    job = agent.cell(source)
    agent.wait(lambda: agent.shown(job), "the start")
    agent.tell(h.InterruptJob(job=job, session="default"))
    assert isinstance(agent.answer(job), h.Interrupted)


def test_an_interrupt_never_hits_another_cell(agent):
    source = "t = time.perf_counter()\nwhile time.perf_counter() < t + 0.001: pass"
    agent.answer(agent.cell("import time"))
    outcomes = set()
    for turn in range(100):
        job = agent.cell(source)
        if turn % 3:
            agent.answer(job)
        agent.tell(h.InterruptJob(job=job, session="default"))
        answer = agent.answer(job)
        assert isinstance(answer, h.Returned | h.Interrupted), answer
        outcomes.add(type(answer))
        agent.tell(h.InterruptJob(job=job, session="default"))
        assert isinstance(agent.answer(agent.cell(source)), h.Returned)
    assert outcomes == {h.Returned, h.Interrupted}


def test_an_interrupt_of_an_unknown_job_does_nothing(agent):
    agent.tell(h.InterruptJob(job=new_id(), session="default"))
    agent.tell(h.KillJob(job=new_id(), session="default"))
    agent.tell(h.KillJob(job=new_id(), session="never heard of"))
    assert stdout(agent, "print(1)") == "1\n"


@pytest.mark.parametrize(
    ("source", "number", "code", "words"),
    [
        ("import ctypes; ctypes.string_at(0)", signal.SIGSEGV, 0, "crash in native code"),
        ("import os; os._exit(3)", 0, 3, "exited with code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", signal.SIGKILL, 0, "SIGKILL"),
    ],
    ids=["segfault", "exit", "kill"],
)
def test_a_kernel_that_dies_under_a_cell_is_reported_and_replaced(
    agent, source, number, code, words
):
    session = f"dies {words}"
    first = agent.cell("x = 1", session=session)
    agent.answer(first)
    job = agent.cell(f"print('last words'); {source}", session=session)
    ended = agent.answer(job)
    assert isinstance(ended, h.CellGone)
    assert ended.started
    assert (ended.signal, ended.exit_code, ended.oom) == (number, code, False)
    assert words in ended.reason
    assert agent.shown(job) == [("stdout", "last words\n")]
    following = agent.cell("x", session=session)
    assert agent.answer(following).error == "NameError"
    assert incarnation(agent, following) > incarnation(agent, first)


def test_a_kernel_that_ends_between_cells_costs_the_next_one_nothing(agent, tmp_path):
    source = """
    import os, threading, time
    def leave():
        while not go.exists(): time.sleep(0.005)
        os._exit(0)
    threading.Thread(target=leave).start()
    os.getpid()
    """
    go = tmp_path / "go"
    first = agent.cell(source, {"go": go}, session="leaves", value=True)
    pid = agent.cell_values(first).value
    go.touch()
    eventually(lambda: gone(pid))
    job = agent.cell("print('ran')", session="leaves")
    assert isinstance(agent.answer(job), h.Returned)
    assert incarnation(agent, job) > incarnation(agent, first)


def test_a_kernel_can_be_killed_for_its_job(agent):
    job = agent.cell("import time; time.sleep(1000)", session="killed")
    agent.wait(lambda: agent.of(job, h.CellStarted), "its start")
    agent.tell(h.KillJob(job=job, session="killed"))
    ended = agent.answer(job)
    assert isinstance(ended, h.CellGone)
    assert ended.signal == signal.SIGKILL


def test_a_cell_whose_kernel_still_starts_can_be_withdrawn(agent):
    with agent.stopped():
        job = agent.cell("print('ran')", session="slow")
        agent.tell(h.InterruptJob(job=job, session="slow"))
    assert isinstance(agent.answer(job), h.Interrupted)
    assert stdout(agent, "print('next')", session="slow") == "next\n"
    assert agent.shown(job) == []
    with agent.stopped():
        job = agent.cell("print('ran')", session="slower")
        agent.tell(h.KillJob(job=job, session="slower"))
    assert agent.answer(job) == h.CellGone(job=job, started=False, reason="it was withdrawn")


def test_a_damaged_cell_is_refused(agent):
    job = new_id()
    message = h.RunCell(job=job, session="default", where=h.Where([3]), digest=bytes(32), nbytes=3)
    agent.tell(message, b"\xffno")
    answer = agent.answer(job)
    assert answer.code == "R10"
    assert "damaged" in answer.message


def test_a_kernel_leaves_no_trace_in_the_users_home(agent, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("IPYTHONDIR")
    handoff = tmp_path / "handoff"
    handoff.mkdir()
    other = Agent(handoff, workers=0)
    try:
        other.answer(other.cell("1"))
    finally:
        other.close()
    assert [path.name for path in tmp_path.iterdir()] == ["handoff"]


def test_a_child_of_a_cell_can_print_and_is_heard(agent):
    source = """
    import multiprocessing as mp
    def child(): print("child")
    process = mp.get_context("fork").Process(target=child)
    process.start(); process.join()
    print("parent")
    """
    assert stdout(agent, source) == "child\nparent\n"
