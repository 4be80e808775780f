"""What a session tells of its names: complete, as changes, and without running user code."""

import pytest

from rexec_jupyter.core import values
from rexec_jupyter.core.trust import payload_digest
from rexec_server import handoff as h
from rexec_server.exec.kinds import ATTRIBUTES, KEYS
from rexec_server.exec.names import MAX_NAMES
from tests.backend.executing import Agent


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    agent = Agent(tmp_path_factory.mktemp("handoff"), "--directory", "/", workers=0)
    yield agent
    agent.close()


class Client:
    """Knows a session's names as a notebook does."""

    def __init__(self, agent, session):
        self.agent = agent
        self.session = session
        self.version = ""
        self.names = {}

    def run(self, source, **options):
        """Run a cell; return the change it told."""
        job = self.agent.cell(source, session=self.session, known=self.version, **options)
        self.answer = self.agent.answer(job)
        change = self.agent.names(job)
        if change is not None:
            self.version = change.version
            kept = {} if change.whole else self.names
            self.names = {**kept, **change.names}
            for name in change.gone:
                del self.names[name]
        return change


@pytest.fixture
def client(agent, request):
    return Client(agent, request.node.name[:60])


def test_an_empty_session_tells_nothing(client):
    assert client.run("pass") is None
    assert client.run("_private = 1; 2") is None


def test_what_was_sent_is_told_apart_until_the_session_assigns_it(client):
    sent = {"a": 1, "b": [1], "c": [2], "d": 4, "e": "e", "f": 6}
    client.run("own = a", names=sent)
    assert {name for name, info in client.names.items() if info.sent} == set(sent)
    client.run("a = a\nb[0] = 2\nexec('c = [3]')\nfor d in []: pass\nprint(e)")
    assert {name for name, info in client.names.items() if info.sent} == {"e", "f"}
    client.run("f.real", names={"a": 1})
    assert {name for name, info in client.names.items() if info.sent} == {"a", "e", "f"}


def test_what_the_session_has_of_its_own_is_kept_where_that_is_asked_for(client):
    digests = {name: payload_digest(values.dump(1)) for name in ("same", "other", "sent", "new")}
    digests["display"] = b"it is IPython's"
    client.run("same = 1; other = [1]", names={"sent": 2})
    names = dict.fromkeys(digests, 1)
    change = client.run("seen = same, other, sent, new", names=names, keep=digests)
    assert change.kept == {"same": False, "other": True}
    job = client.agent.cell("seen", session=client.session, value=True)
    assert client.agent.cell_values(job).value == (1, [1], 1, 1)
    change = client.run("pass", keep={"other": digests["other"]})
    assert change.kept == {"other": True}


def test_with_strict_nothing_is_run_where_a_value_differs(client):
    client.run("x = 1")
    client.run("x = 5", keep={"x": b"another"}, strict=True)
    assert client.answer.code == "R10"
    assert "a value of its own for x" in client.answer.message
    client.run("pass")
    assert client.names["x"].summary == "1"


def test_the_first_cell_tells_all_and_later_ones_what_changed(client):
    change = client.run("x = 1; y = 'text'\ndef f(): pass\nimport math")
    assert change.whole
    assert list(change.names) == ["x", "y", "f", "math"]
    assert [info.type for info in change.names.values()] == ["int", "str", "function", "module"]
    assert client.run("x") is None
    change = client.run("x = 2; del y; z = None")
    assert not change.whole
    assert set(change.names) == {"x", "z"}
    assert change.gone == ["y"]
    assert client.names["x"].summary == "2"
    assert client.run("del x, f, math, z").gone == ["x", "f", "math", "z"]
    assert client.names == {}


def test_a_client_that_knows_an_old_version_is_told_all(agent, client):
    client.run("x = 1")
    other = Client(agent, client.session)
    assert other.run("y = 1").names.keys() == {"x", "y"}
    change = client.run("pass")
    assert change.whole
    assert change.names.keys() == {"x", "y"}
    assert other.run("pass") is None
    agent.tell(h.StopKernel(session=client.session))
    change = client.run("x = 1")
    assert change.whole
    assert change.names.keys() == {"x"}


def test_names_are_told_by_cells_that_fail_too(agent, client):
    assert client.run("x = 1\n1 / 0").names.keys() == {"x"}
    job = agent.cell("y = 1\nprint('on')\nwhile True: pass", session=client.session)
    agent.wait(lambda: agent.shown(job), "its output")
    agent.tell(h.InterruptJob(job=job, session=client.session))
    assert isinstance(agent.answer(job), h.Interrupted)
    assert agent.names(job).names.keys() == {"x", "y"}


def test_names_that_came_along_count_and_those_of_ipython_do_not(client):
    change = client.run("1; 2", names={"brought": [1, 2, 3]})
    assert list(change.names) == ["brought"]
    assert change.names["brought"].summary == "3 items"
    assert client.run("if True:\n    exit = 5").names["exit"].type == "int"
    assert client.run("!true\nOut, In") is None


def test_a_hidden_cell_tells_names_only_if_asked(agent, client):
    client.run("x = 1")
    job = agent.cell("shell.user_ns['y'] = 2", session=client.session, hidden=True)
    agent.answer(job)
    assert agent.names(job) is None
    assert client.run("del shell.user_ns['x']", hidden=True).gone == ["x"]
    assert client.names.keys() == {"y"}
    job = agent.cell("z = 1", session=client.session, fresh=True)
    agent.answer(job)
    assert agent.names(job) is None


def test_sizes_are_told_of_the_types_scientists_use(client):
    client.run("""
    import numpy as np, pandas as pd
    array = np.zeros((1000, 3))
    scalar = np.array(1, dtype="int32")
    frame = pd.DataFrame({"alpha": [1.0] * 1234, "be ta": 2})
    series = pd.Series([1.0] * 5)
    words, data, nothing, flag, small, huge = ["a"], b"12", None, True, 1.5, 10**100
    table = {"first key": 1, 2: 3, "second": 4}
    """)
    told = {name: (info.type, info.summary, info.nbytes) for name, info in client.names.items()}
    assert told["array"] == ("numpy.ndarray", "1,000 x 3 float64", 24000)
    assert told["scalar"] == ("numpy.ndarray", "int32", 4)
    kind, summary, nbytes = told["frame"]
    assert kind.startswith("pandas.")
    assert kind.endswith(".DataFrame")
    assert (summary, nbytes) == ("1,234 x 2", 1234 * 16)
    assert told["series"][1:] == ("5 float64", 40)
    assert told["words"] == ("list", "1 item", -1)
    assert told["data"][1] == "2 bytes"
    assert [told[name][1] for name in ("nothing", "flag", "small")] == ["None", "True", "1.5"]
    assert told["huge"][1] == ""
    assert client.names["table"].keys == ["first key", "second"]
    assert client.names["frame"].keys == ["alpha", "be ta"]
    assert client.names["frame"].attributes[0] == "alpha"
    assert "groupby" in client.names["frame"].attributes
    assert "be ta" not in client.names["frame"].attributes


def test_changes_in_place_are_seen(client):
    client.run("""
    import pandas as pd
    class Model:
        def fit(self): self.coefficients_ = 1
    items, model, frame = [1], Model(), pd.DataFrame({"a": [1]})
    """)
    assert client.run("items.append(2)").names["items"].summary == "2 items"
    assert client.run("model.fit()").names["model"].attributes == ["coefficients_", "fit"]
    assert client.run("frame['new'] = 1").names["frame"].keys == ["a", "new"]
    assert client.run("items, model, frame") is None
    client.run("text = pd.Series(['a', 'b']); kind = text.astype('category')")
    assert client.run("text, kind") is None
    assert client.run("text = text.astype('category')").names["text"].summary == "2 category"


def test_attributes_are_told_once_for_a_type(client):
    change = client.run("a = [1]; b = [2]; c = 3")
    assert "append" in change.names["a"].attributes
    assert change.names["b"].attributes is None
    assert client.run("d = [3]").names["d"].attributes is None
    client.version = "outdated"
    assert "append" in client.run("pass").names["a"].attributes


def test_attributes_of_modules_and_classes_are_their_own(client):
    change = client.run("""
    import numpy as np
    class Base:
        inherited = 1
        _hidden = 2
    class Derived(Base):
        __slots__ = ("slot",)
        def own(self): pass
    """)
    assert {"zeros", "ndarray", "linalg"} <= set(change.names["np"].attributes)
    assert change.names["Derived"].attributes == ["inherited", "own", "slot"]


def test_no_code_of_the_users_runs(agent, client):
    change = client.run("""
    ran = []
    def trap(name, result=None):
        def method(*args, **kwargs):
            ran.append(name)
            raise RuntimeError(name)
        return method
    traps = {name: trap(name) for name in (
        "__getattribute__ __getattr__ __dir__ __len__ __repr__ __str__ __eq__ __hash__"
        " __iter__ __bool__ __sizeof__ __instancecheck__ __subclasscheck__".split()
    )}
    class Meta(type):
        __module__ = __dict__ = __mro__ = __name__ = property(trap("meta property"))
        locals().update(traps)
    class Hostile(metaclass=Meta):
        __dict__ = __class__ = shape = columns = property(trap("property"))
        locals().update(traps)
    class Odd(dict):
        locals().update({**traps, "keys": trap("keys")})
    class Holder:
        pass
    hostile, odd, holder = Hostile(), Odd(), Holder()
    holder.__dict__ = odd
    import types
    class Module(types.ModuleType):
        locals().update(traps)
    module = Module("module")
    ran.clear()
    """)
    assert isinstance(client.answer, h.Returned), client.answer
    assert change.names.keys() >= {"hostile", "odd", "holder", "module", "Hostile", "Meta"}
    assert change.names["odd"].summary == ""
    job = agent.cell("print(ran)", session=client.session)
    agent.answer(job)
    assert agent.shown(job) == [("stdout", "[]\n")]


def test_listings_are_bounded(client):
    change = client.run("""
    globals().update({f"n{i}": i for i in range(3000)})
    big = type("Big", (), {f"a{i}": i for i in range(1000)})()
    keyed = {f"k{i}": i for i in range(1000)}
    globals()["no identifier"] = globals()[5] = globals()["\\ud800"] = 1
    """)
    assert len(change.names) == MAX_NAMES
    assert "n2999" in change.names
    assert len(change.names["big"].attributes) == ATTRIBUTES
    assert len(change.names["keyed"].keys) == KEYS
    change = client.run("last = 1")
    assert change.names.keys() == {"last"}
    assert len(change.gone) == 1


def test_many_attributes_leave_room_for_all_names(client):
    change = client.run("""
    for i in range(1000):
        globals()[f"o{i}"] = type(f"T{i}", (), {f"a{k}": k for k in range(300)})()
    """)
    assert len(change.names) == 1001  # and the loop's own
    total = sum(len(info.attributes or ()) for info in change.names.values())
    assert 10_000 < total <= 50_000


def test_a_namespace_that_is_broken_costs_no_cell(client):
    client.run("x = 1")
    client.run("get_ipython().user_ns_hidden = None")
    assert isinstance(client.answer, h.Returned), client.answer


@pytest.mark.parametrize("hidden", [False, True])
def test_a_reset_session_has_no_names_left(client, hidden):
    client.run("x = 1; [1]; exit_ = 2")
    source = "get_ipython().reset(new_session=False)"
    change = client.run(source, hidden=hidden)
    assert change.gone == ["x", "exit_"]
    assert client.run("y = 1").names.keys() == {"y"}
    assert client.run("%reset -f").gone == ["y"]


def test_a_class_that_is_defined_again_has_its_new_attributes(client):
    client.run("class A:\n    old = 1\na = A()")
    change = client.run("class A:\n    new = 1\nb = A()")
    assert change.names["b"].attributes == ["new"]
    assert "a" not in change.names
