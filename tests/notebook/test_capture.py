"""Which local values go along with a cell, and which stay."""

import ast
import threading
import types

import pytest

from rexec_jupyter.core import values
from rexec_jupyter.core.errors import CaptureError
from rexec_jupyter.magics.capture import Ledger, choose
from rexec_jupyter.magics.names import analyse


class Notebook:
    """A notebook's variables and one session, without either."""

    def __init__(self, setup=""):
        self.namespace = {"__name__": "__main__", "In": [], "exit": exit}
        self.hidden = {"exit": exit}
        self.ledger = Ledger()
        self.here(setup)

    def here(self, code):
        exec(code, self.namespace)

    def capture(self, cell, **forced):
        names = analyse(ast.parse(cell))
        capture = choose(names, self.namespace, self.hidden, self.ledger, forced)
        self.new = self.ledger.submitted(names, capture, 1)
        return capture

    def sent(self, cell, **forced):
        return set(self.capture(cell, **forced).values)


def test_a_local_name_goes_along_once():
    notebook = Notebook("a = 1; b = 2")
    assert notebook.sent("print(a, undefined)") == {"a"}
    assert notebook.sent("print(a)") == set()


@pytest.mark.parametrize(
    ("setup", "change"),
    [
        ("x = 1", "x = 2"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = [1]", "x.append(2)"),
        ("x = [[1]]", "x[0].append(2)"),
        ("x = {'a': 1}", "x['b'] = 2"),
        ("x = {1}", "x.add(2)"),
        ("x = bytearray(8)", "x[3] = 1"),
        ("class C: pass\nx = C()", "x.y = 1"),
        ("import numpy as np; x = np.zeros(1000)", "x[500] = 1"),
        ("import numpy as np; x = np.zeros((4, 2))", "x = x.reshape(2, 4)"),
        ("import pandas as pd; x = pd.DataFrame({'a': [1, 2]})", "x.loc[0, 'a'] = 5"),
        ("import pandas as pd; x = pd.DataFrame({'a': [1, 2]})", "x['b'] = 5"),
        ("x = lambda: 1", "x = lambda: 2"),
        ("k = 1\ndef x(): return k", "k = 2"),
        ("k = []\ndef y(): return k\ndef x(): return y()", "k.append(1)"),
        ("def x(a=1): return a", "x.__defaults__ = (2,)"),
        ("class x: n = 1", "x.n = 2"),
        ("x = None", "import math as x"),
    ],
)
def test_a_changed_value_is_sent_again_and_an_unchanged_one_is_not(setup, change):
    notebook = Notebook(setup)
    assert notebook.sent("x") == {"x"}
    assert notebook.sent("x") == set()
    notebook.here(change)
    assert notebook.sent("x") == {"x"}
    assert notebook.sent("x") == set()


def test_what_a_cell_assigned_there_is_the_sessions_own():
    notebook = Notebook("lowest = 1")
    assert notebook.sent("lowest = 2.8") == set()
    notebook.here("lowest = 2.5")
    assert notebook.sent("lowest") == set()
    assert notebook.sent("lowest", lowest="lowest") == {"lowest"}
    assert notebook.sent("lowest") == set()


def test_a_forced_name_can_be_renamed():
    notebook = Notebook("here = 5")
    capture = notebook.capture("there", there="here")
    assert values.load(capture.values["there"].parts) == 5


def test_a_forced_name_must_exist_here():
    with pytest.raises(NameError, match="'nothing' is not defined here"):
        Notebook().capture("x", nothing="nothing")


def test_a_name_deleted_there_goes_along_again():
    notebook = Notebook("x = 1")
    notebook.sent("x")
    notebook.sent("del x")
    assert notebook.sent("x") == {"x"}


def test_everything_goes_along_again_when_the_session_lost_it():
    notebook = Notebook("x = 1; y = 2")
    notebook.sent("x; y = 3")
    notebook.ledger.wipe()
    assert notebook.ledger.lost
    assert notebook.sent("x, y") == {"x", "y"}


def test_another_interpreter_holds_only_what_the_cell_brought_that_found_it():
    notebook = Notebook("x = 1; y = 2")
    names = analyse(ast.parse("x, y"))
    sent = notebook.capture("x, y")
    assert not notebook.ledger.started(1, names, sent, 1)
    assert not notebook.ledger.started(1, names, sent, 1)
    later = notebook.capture("x; z = 3")
    assert notebook.ledger.started(2, analyse(ast.parse("x; z = 3")), later, 2)
    assert notebook.ledger.own == {"z"}
    assert notebook.sent("x, y") == {"x", "y"}


def test_what_a_cell_brought_that_did_not_run_goes_along_again():
    notebook = Notebook("x = 1; y = 2")
    notebook.sent("y = 3")
    capture = notebook.capture("x; z = 4; y = 5")
    notebook.ledger.withdrawn(notebook.new, capture, 1)
    assert notebook.ledger.own == {"y"}
    assert notebook.sent("x, y") == {"x"}


def test_ipythons_own_names_stay_here():
    notebook = Notebook("_ = _3 = _i = _i7 = __ = _dh = Out = 1; own = 2")
    assert notebook.sent("_, _3, _i, _i7, __, _dh, Out, In, exit, own") == {"own"}
    notebook.here("exit = 'my own'")
    assert notebook.sent("exit") == {"exit"}


def test_a_name_that_hides_a_builtin_goes_along():
    notebook = Notebook("max = 3")
    assert notebook.sent("max, min") == {"max"}


def test_modules_go_as_imports():
    notebook = Notebook("import os.path as path; n = 1")
    capture = notebook.capture("path, n")
    assert capture.names == ["n"]
    assert values.load(capture.values["path"].parts) is __import__("os").path
    assert capture.nbytes < 100


def test_a_function_brings_what_it_uses():
    notebook = Notebook(
        "import math\nk = 2\ndef g(x): return k * x\ndef f(x): return math.floor(g(x))"
    )
    capture = notebook.capture("f(1)")
    assert set(capture.values) == {"f"}
    assert values.load(capture.values["f"].parts)(2.6) == 5


def test_a_value_that_cannot_be_sent_is_refused_by_name():
    notebook = Notebook()
    notebook.namespace["lock"] = threading.Lock()
    with pytest.raises(CaptureError) as caught:
        notebook.capture("lock.acquire()")
    assert "lock (_thread.lock): cannot pickle" in str(caught.value)
    assert "nothing was run" in str(caught.value)
    assert "%%rexec cell" in str(caught.value)
    assert notebook.sent("1") == set()


def test_all_values_that_cannot_be_sent_are_told():
    notebook = Notebook("a = (i for i in 'x'); b = (i for i in 'y')")
    with pytest.raises(CaptureError, match=r"a \(generator\).*b \(generator\)"):
        notebook.capture("a, b")


def test_the_global_that_makes_a_function_impossible_is_told():
    notebook = Notebook("def f(): return lock")
    notebook.namespace["lock"] = threading.Lock()
    with pytest.raises(CaptureError, match=r"f \(function\): it uses lock \(_thread.lock\)"):
        notebook.capture("f()")


def test_what_may_not_be_needed_stays_if_it_cannot_be_sent():
    notebook = Notebook("line = (i for i in 'x')")
    assert notebook.sent("for line in []: pass\nline") == set()


def test_a_module_made_by_hand_goes_by_value():
    notebook = Notebook()
    notebook.namespace["own"] = types.ModuleType("own")
    notebook.here("own.x = 1")
    assert values.load(notebook.capture("own").values["own"].parts).x == 1
