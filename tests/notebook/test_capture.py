"""Which local values go along with a cell, and which stay."""

import ast
import contextlib
import socket
import threading
import tracemalloc
import types

import numpy as np
import pandas as pd
import pytest

from rexec_jupyter.capture import choice as module
from rexec_jupyter.capture.choice import Notebook as Variables
from rexec_jupyter.capture.choice import Wish, choose, digest_of
from rexec_jupyter.capture.ledger import Ledger
from rexec_jupyter.capture.names import analyse
from rexec_jupyter.capture.sizes import estimate
from rexec_jupyter.core import values
from rexec_jupyter.core.errors import CaptureError
from rexec_jupyter.core.happenings import NameInfo, NamesChanged


def table_of(error):
    """Return the rows of the table in an error, without its head."""
    lines = [line.strip() for line in str(error).splitlines() if line.startswith("  ")]
    assert lines[0].split()[:2] == ["name", "type"]
    return lines[1:]


class Notebook:
    """A notebook's variables and one session, without either."""

    def __init__(self, setup=""):
        self.namespace = {"__name__": "__main__", "In": [], "exit": exit}
        self.hidden = {"exit": exit}
        self.ledger = Ledger()
        self.here(setup)

    def here(self, code):
        exec(code, self.namespace)

    def look(self, cell, **wish):
        """Choose what a cell would bring along, and bring nothing."""
        names = analyse(ast.parse(cell))
        variables = Variables(self.namespace, self.hidden)
        return choose(names, variables, self.ledger, Wish(**wish))

    def capture(self, cell, **wish):
        capture = self.look(cell, **wish)
        self.new = self.ledger.submitted(analyse(ast.parse(cell)), capture, 1)
        return capture

    def sent(self, cell, **wish):
        return set(self.capture(cell, **wish).pickled)


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
    assert notebook.sent("lowest", forced={"lowest": "lowest"}) == {"lowest"}
    assert notebook.sent("lowest") == set()


def test_a_forced_name_can_be_renamed():
    notebook = Notebook("here = 5")
    capture = notebook.capture("there", forced={"there": "here"})
    assert values.load(capture.pickled["there"].parts) == 5


def test_a_forced_name_must_exist_here():
    with pytest.raises(NameError, match="'nothing' is not defined here"):
        Notebook().capture("x", forced={"x": "nothing"})


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
    assert values.load(capture.pickled["path"].parts) is __import__("os").path
    assert capture.nbytes < 100


def test_a_function_brings_what_it_uses():
    notebook = Notebook(
        "import math\nk = 2\ndef g(x): return k * x\ndef f(x): return math.floor(g(x))"
    )
    capture = notebook.capture("f(1)")
    assert set(capture.pickled) == {"f"}
    assert values.load(capture.pickled["f"].parts)(2.6) == 5


def test_a_value_that_cannot_be_sent_is_refused_by_name():
    notebook = Notebook()
    notebook.namespace["lock"] = threading.Lock()
    with pytest.raises(CaptureError) as caught:
        notebook.capture("lock.acquire()")
    assert "nothing was run" in str(caught.value)
    (row,) = table_of(caught.value)
    assert row.startswith("lock  _thread.lock  cannot pickle")
    assert row.endswith("create it in the session; or leave it out: -x lock")
    assert notebook.sent("1") == set()


def test_all_values_that_cannot_be_sent_are_told():
    notebook = Notebook("a = (i for i in 'x'); b = (i for i in 'y')")
    with pytest.raises(CaptureError) as caught:
        notebook.capture("a, b")
    first, second = table_of(caught.value)
    assert first.endswith("make it a list first: list(a)")
    assert second.endswith("make it a list first: list(b)")


def test_the_global_that_makes_a_function_impossible_is_told():
    notebook = Notebook("def f(): return lock")
    notebook.namespace["lock"] = threading.Lock()
    with pytest.raises(CaptureError, match=r"f +function +it uses lock \(_thread.lock\)"):
        notebook.capture("f()")


def test_the_variable_that_makes_a_class_impossible_is_told():
    notebook = Notebook("def f(): return lock\nclass C:\n    def run(self): return f()")
    notebook.namespace["lock"] = threading.Lock()
    with pytest.raises(CaptureError, match=r"C +type +it uses lock \(_thread.lock\)"):
        notebook.capture("C()")


def test_what_may_not_be_needed_stays_if_it_cannot_be_sent():
    notebook = Notebook("line = (i for i in 'x')")
    assert notebook.sent("for line in []: pass\nline") == set()


def test_a_module_made_by_hand_goes_by_value():
    notebook = Notebook()
    notebook.namespace["own"] = types.ModuleType("own")
    notebook.here("own.x = 1")
    assert values.load(notebook.capture("own").pickled["own"].parts).x == 1


# ---------------------------------------------------------------- who wins


@pytest.mark.parametrize("cell", ["x = 5", "x[0] = 5", "x.a = 5", "x.a[0].b = 5", "del x[0]"])
def test_what_a_cell_assigned_or_changed_there_wins_and_is_compared_there_once(cell):
    notebook = Notebook("class C(list): pass\nx = C([1])")
    notebook.capture(cell)
    notebook.here("x.append(2)")
    first = notebook.capture("x")
    assert (first.pickled, first.own, first.conflicts) == ({}, ["x"], [])
    assert first.keep == {"x": digest_of(notebook.namespace["x"])}
    assert notebook.capture("x").keep == {}
    notebook.here("x.append(3)")
    assert notebook.capture("x").conflicts == ["x"]
    assert notebook.capture("x").conflicts == []


@pytest.mark.parametrize(
    ("here", "there", "differs"),
    [
        ("1", NameInfo("int", "1"), False),
        ("1", NameInfo("int", "2"), True),
        ("1", NameInfo("float", "1.0"), True),
        ("None", NameInfo("NoneType", "None"), False),
        ("bytes(2_000_000)", NameInfo("bytes", "2,000,000 bytes"), True),
        ("(i for i in [])", None, True),
    ],
)
def test_what_can_be_compared_here_is_not_compared_there(here, there, differs):
    notebook = Notebook(f"x = {here}")
    notebook.sent("x = 2")
    capture = notebook.capture("x", known={"x": there} if there else {})
    assert (bool(capture.conflicts), capture.keep) == (differs, {})


def test_the_session_has_the_last_word_on_what_is_its_own():
    notebook = Notebook("a = 1; b = 2; c = 3; d = 4")
    capture = notebook.capture("a, b, c, d", forced={"d": "d"})
    assert set(capture.keep) == {"a", "b", "c"}
    names = {"z": NameInfo("int", "9"), "c": NameInfo("int", "3", sent=True)}
    notebook.ledger.heard(NamesChanged("1", True, names, kept={"a": True, "b": False}), capture)
    assert notebook.ledger.own == {"a", "b", "z"}
    assert set(notebook.ledger.sent) == {"c", "d"}
    notebook.here("b = 5; a = 6")
    assert notebook.capture("a, b").conflicts == ["b"]


def test_saying_which_one_is_meant_ends_the_conflict():
    notebook = Notebook("x = 1")
    notebook.sent("x = 2")
    assert notebook.look("x", exclude={"x"}).conflicts == []
    assert notebook.look("x", mode="none").conflicts == []
    assert notebook.sent("x", forced={"x": "x"}) == {"x"}
    assert notebook.look("x").conflicts == []
    assert notebook.look("x").held == ["x"]


def test_two_values_that_are_known_to_be_the_same_are_no_conflict():
    notebook = Notebook("x = [1]")
    notebook.sent("x = [2]")
    notebook.here("x = [2]")
    notebook.ledger.pulled({"x": digest_of([2])})
    assert notebook.look("x").conflicts == []
    notebook.here("x.append(3)")
    assert notebook.look("x").conflicts == ["x"]


def test_a_module_on_both_sides_is_no_conflict():
    notebook = Notebook("import math")
    assert notebook.capture("import math\nmath.x = 1").pickled == {}
    assert notebook.capture("math.pi").conflicts == []


def test_a_name_that_a_loop_assigns_first_is_no_conflict():
    notebook = Notebook("i = 7")
    notebook.sent("for i in [1]: pass")
    assert notebook.look("for i in [1]: print(i)").conflicts == []


def test_a_function_from_here_that_uses_what_the_session_has_of_its_own_is_told_once():
    notebook = Notebook(
        "scale = 1\nother = 2\ndef scaled(x): return scale * x\n"
        "class Model:\n    def run(self): return [scaled(i) + other for i in [1]]"
    )
    notebook.capture("scale = 10")
    first = notebook.capture("Model().run(), scaled(2)")
    assert first.shadowed == {"Model": ["scale"], "scaled": ["scale"]}
    assert notebook.capture("Model().run(), scaled(2)").shadowed == {}
    with pytest.raises(CaptureError, match=r"scaled comes from here, with scale from here"):
        notebook.look("scaled(2)", mode="strict")


# ---------------------------------------------------------------- what is asked for


def test_excluded_names_stay():
    notebook = Notebook("a = 1; b = 2")
    assert notebook.sent("a, b", exclude={"a"}) == {"b"}


def test_without_capture_only_forced_names_go_along():
    notebook = Notebook("a = 1; b = 2; c = 3")
    assert notebook.sent("a, b", mode="none", forced={"b": "c"}) == {"b"}


def test_strict_refuses_names_that_nobody_knows():
    notebook = Notebook("a = 1")
    with pytest.raises(CaptureError, match=r"Nobody knows b, c, neither here nor in the session"):
        notebook.look("a, b, c", mode="strict")
    known = dict.fromkeys("bc", NameInfo("int", "1"))
    assert set(notebook.look("a, b, c", mode="strict", known=known).pickled) == {"a"}
    assert notebook.look("print(len, display, _, get_ipython)", mode="strict").unresolved == []


def test_strict_refuses_names_with_two_values_as_often_as_they_come():
    notebook = Notebook("x = 1")
    notebook.sent("x = 2")
    known = {"x": NameInfo("int", "2")}
    for _ in range(2):
        with pytest.raises(CaptureError, match=r"a value of its own for x.*-i x or -x"):
            notebook.capture("x", mode="strict", known=known)
    assert notebook.sent("x", mode="strict", forced={"x": "x"}) == {"x"}


def test_names_that_are_not_here_are_taken_to_be_there():
    notebook = Notebook("a = 1")
    capture = notebook.look("a, made_there, unheard_of, print", known={"made_there"})
    assert capture.own == ["made_there"]
    assert capture.unresolved == ["unheard_of"]


# ---------------------------------------------------------------- sizes


def test_an_array_over_the_limit_is_refused_before_it_is_touched():
    notebook = Notebook("small = 'x' * 100")
    notebook.namespace["large"] = np.lib.stride_tricks.as_strided(np.zeros(1), (250_000_000,), (0,))
    tracemalloc.start()
    try:
        with pytest.raises(CaptureError) as caught:
            notebook.look("large.sum(), small")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert "needs 2.0 GB from here, and 100 MB may be sent, so nothing was run" in str(caught.value)
    large, small = table_of(caught.value)
    assert large.split()[:4] == ["large", "numpy.ndarray", "2.0", "GB"]
    assert "larger than the limit  load it in the session, or leave it out: -x large" in large
    assert small.split() == ["small", "str", "100", "B"]
    assert "--max-send 2100MB" in str(caught.value)


def test_many_values_over_the_limit_together_are_refused():
    notebook = Notebook("\n".join(f"v{i} = b'x' * 1000" for i in range(30)))
    cell = ", ".join(f"v{i}" for i in range(30))
    with pytest.raises(CaptureError) as caught:
        notebook.look(cell, max_send=20_000)
    assert "… and 10 more" in str(caught.value)
    assert len(notebook.look(cell, max_send=40_000).pickled) == 30
    assert len(notebook.look(cell, max_send=0).pickled) == 30


def test_a_value_whose_size_shows_only_when_it_is_pickled_is_refused_too():
    notebook = Notebook("class Box: pass\nbox = Box(); box.text = 'x' * 5000")
    with pytest.raises(CaptureError, match=r"box +Box +> 4.0 kB +larger than the limit"):
        notebook.look("box", max_send=4000)
    assert set(notebook.look("box", max_send=6000).pickled) == {"box"}


def test_what_the_session_has_already_does_not_count():
    notebook = Notebook("import numpy as np\na = np.zeros(1000)\nb = np.ones(1000)")
    assert notebook.sent("a", max_send=10_000) == {"a"}
    assert notebook.sent("a, b", max_send=10_000) == {"b"}


@pytest.mark.parametrize(
    ("value", "nbytes"),
    [
        (np.zeros(1000), 8000),
        (pd.DataFrame({"a": np.zeros(1000)}), 8000),
        ("x" * 1000, 1000),
        ([np.zeros(1000)] * 3, 8000),
        ({"a": (b"x" * 1000, bytearray(1000))}, 2000),
        (object(), 0),
        (10**1000, 0),
    ],
)
def test_sizes_are_estimated_without_pickling(value, nbytes):
    assert nbytes <= estimate(value) < nbytes + 500


def test_what_contains_itself_has_a_size_too():
    value = ["x" * 1000]
    value.append(value)
    assert estimate(value) == 1000


# ---------------------------------------------------------------- awkward values


HOSTILE = """
class Hostile:
    @property
    def nbytes(self): raise RuntimeError("asked for its size")
    def __getattr__(self, name): raise RuntimeError("asked for " + name)
    def __eq__(self, other): raise RuntimeError("compared")
    __hash__ = None
    def __bool__(self): raise RuntimeError("asked whether it is true")
    def __len__(self): raise RuntimeError("asked for its length")
    def __reduce__(self): return (int, ("5",))
x = Hostile()
"""


def test_a_value_that_raises_when_it_is_looked_at_goes_along_as_it_pickles():
    notebook = Notebook(HOSTILE)
    assert values.load(notebook.capture("x").pickled["x"].parts) == 5


@pytest.mark.parametrize(
    "body",
    ["def __reduce__(self): return 1 / 0", "@property\n    def __class__(self): return 1 / 0"],
)
def test_a_value_that_raises_when_it_is_pickled_is_refused_by_name(body):
    notebook = Notebook(f"class C:\n    {body}\nx = C()")
    with pytest.raises(CaptureError, match=r"x +C +division by zero"):
        notebook.look("x")


def test_a_structure_that_contains_itself_goes_along():
    notebook = Notebook("x = [1]; x.append(x); y = {}; y['y'] = y")
    sent = notebook.capture("x, y").pickled
    loaded = values.load(sent["x"].parts)
    assert loaded[1] is loaded
    assert notebook.sent("x, y") == set()


def test_a_structure_too_deep_to_pickle_is_refused():
    notebook = Notebook("x = []\nfor _ in range(100_000): x = [x]")
    with pytest.raises(CaptureError, match=r"x +list .*deep"):
        notebook.look("x")
    inner = notebook.namespace.pop("x")
    while inner:  # else it ends in a recursion of its own
        inner = inner.pop()


def test_files_sockets_and_generators_are_refused_with_what_to_do(tmp_path):
    notebook = Notebook("g = (i for i in [1])")
    with contextlib.ExitStack() as stack:
        notebook.namespace["f"] = stack.enter_context((tmp_path / "f").open("w"))
        notebook.namespace["s"] = stack.enter_context(socket.socket())
        with pytest.raises(CaptureError) as caught:
            notebook.look("f, g, s")
    f, g, s = table_of(caught.value)
    assert f.endswith("open the file in the cell, or send what it contains")
    assert g.endswith("make it a list first: list(g)")
    assert s.endswith("create it in the session; or leave it out: -x s")


def test_a_class_brings_what_its_methods_use():
    notebook = Notebook(
        "import math as m\nclass Base:\n    def area(self): return scale * m.floor(self.r)\n"
        "class Disc(Base):\n    def __init__(self, r): self.r = r\nscale = 10\ndisc = Disc(2.5)"
    )
    sent = notebook.capture("disc.area()").pickled
    assert values.load(sent["disc"].parts).area() == 20
    notebook.here("scale = 100")
    assert notebook.sent("disc.area()") == {"disc"}


# ---------------------------------------------------------------- what it costs


@pytest.mark.parametrize("kind", ["numbers", "text"])
def test_a_data_frame_of_50_megabytes_that_did_not_change_is_not_sent_twice(kind):
    rows = 1_000_000 if kind == "text" else 6_250_000
    column = np.arange(rows).astype(str).astype(object) if kind == "text" else np.zeros(rows)
    notebook = Notebook()
    notebook.namespace["df"] = pd.DataFrame({"a": column})
    first = notebook.capture("df.describe()")
    assert (kind == "text") or first.nbytes >= 50_000_000
    notebook.namespace["df"].describe()
    notebook.namespace["df"].head()
    again = notebook.capture("df.head()")
    assert (again.pickled, again.held) == ({}, ["df"])
    notebook.namespace["df"].loc[5, "a"] = "1" if kind == "text" else 1.0
    assert notebook.sent("df.head()") == {"df"}


def test_nothing_is_pickled_twice_for_one_cell(monkeypatch):
    notebook = Notebook("\n".join(f"v{i} = [{i}]" for i in range(200)))
    dumped = []
    dump = values.dump
    monkeypatch.setattr(
        module.values, "dump", lambda *args, **kw: dumped.append(args[1]) or dump(*args, **kw)
    )
    cell = ", ".join(f"v{i}" for i in range(200))
    assert len(notebook.sent(cell)) == 200
    assert len(dumped) == 200


def test_a_large_table_of_text_that_did_not_change_is_not_even_pickled(monkeypatch):
    notebook = Notebook("import pandas as pd; t = pd.DataFrame({'a': ['text ' * 3] * 20_000})")
    assert notebook.sent("t") == {"t"}
    with monkeypatch.context() as patch:
        patch.setattr(module.values, "dump", None)
        assert notebook.look("t").held == ["t"]
    notebook.here("t.loc[7, 'a'] = 'another'")
    assert notebook.sent("t") == {"t"}
    assert (
        values.load(notebook.capture("t", forced={"t": "t"}).pickled["t"].parts).a[7] == "another"
    )
    notebook.ledger.wipe()
    assert notebook.ledger.prints == {}
    assert notebook.sent("t") == {"t"}


def test_what_was_sent_under_another_name_is_not_replaced_by_a_variable_of_that_name():
    notebook = Notebook("here = 5; there = 'unrelated'")
    assert notebook.sent("there", forced={"there": "here"}) == {"there"}
    assert notebook.sent("there") == set()
    assert notebook.sent("there", forced={"there": "there"}) == {"there"}
    notebook.here("there = 'changed'")
    assert notebook.sent("there") == {"there"}
