"""Function calls to payloads."""

import cmath
import functools
import math
import pickle
import textwrap
import threading
import types

import cloudpickle
import numpy as np
import pytest

from rexec_jupyter.core import values
from rexec_jupyter.core.calls import Prepared, dump_call, label_of, prepared
from rexec_jupyter.core.errors import CaptureError


def loaded(function, *args, **kwargs):
    """Return what arrives of a call."""
    parts = dump_call(function, args, kwargs)
    whole = bytearray(values.join(parts))
    return values.load(values.split(whole, values.describe(parts).sizes))


def called(function, *args, **kwargs):
    function, args, kwargs = loaded(function, *args, **kwargs)
    return function(*args, **kwargs)


def scale(number, by=2):
    return number * by


@pytest.mark.parametrize("function", [scale, Prepared(scale)])
def test_a_call_arrives_whole(function):
    assert called(function, 21) == 42
    assert called(function, 2, by=5) == 10
    assert called(function, np.arange(3), by=np.ones(3)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("function", "args"),
    [(math.hypot, (3, 4)), ([1].__contains__, (1,)), (len, ("text",)), (str.upper, ("x",))],
)
def test_functions_written_in_c_and_methods_arrive(function, args):
    assert called(function, *args) == function(*args)


def test_the_short_way_makes_what_cloudpickle_makes():
    args, kwargs = (1, 2.5, "text", b"bytes", None, True), {"by": 1j}
    (short,) = dump_call(Prepared(math.hypot), args, kwargs)
    assert pickle.loads(short) == cloudpickle.loads(cloudpickle.dumps((math.hypot, args, kwargs)))


def test_functions_of_the_main_module_travel_by_value():
    main = types.FunctionType(scale.__code__, {}, "scale", scale.__defaults__)
    main.__module__ = "__main__"
    assert called(main, 4) == 8


def test_functions_that_only_look_importable_travel_by_value():
    impostor = types.FunctionType(scale.__code__, {}, "scale", (3,))
    impostor.__module__ = scale.__module__
    assert called(impostor, 2) == 6


def test_modules_registered_to_travel_by_value_do(monkeypatch):
    module = types.ModuleType("my_helpers")
    exec("def triple(number): return 3 * number", module.__dict__)
    monkeypatch.setitem(__import__("sys").modules, "my_helpers", module)
    cloudpickle.register_pickle_by_value(module)
    try:
        (stream,) = dump_call(module.triple, (2,), {})
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    monkeypatch.delitem(__import__("sys").modules, "my_helpers")
    function, args, _ = pickle.loads(stream)
    assert function(*args) == 6


def in_main(source, **variables):
    """Return the function that source text defines in a main module."""
    scope = {"__name__": "__main__"} | variables
    exec(textwrap.dedent(source), scope)
    return scope["function"], scope


@pytest.mark.parametrize(
    ("source", "first", "second"),
    [
        ("def function(): return str(lib.sqrt(4))", {"lib": math}, {"lib": cmath}),
        ("def function(): return [floor(x) for x in [2.5]]", {"floor": int}, {"floor": str}),
        ("def function(): return max(1, 2)", {}, {"max": min}),
    ],
)
def test_a_function_arrives_as_it_is_at_each_call(source, first, second):
    function, scope = in_main(source, **first)
    assert called(function) == function()
    assert called(function) == function()
    before = function()
    scope |= second
    assert called(function) == function() != before
    other, _ = in_main("def function(): return 'other'")
    function.__code__ = other.__code__
    assert called(function) == "other"


def test_changed_defaults_and_variables_around_it_arrive_too():
    function, _ = in_main("def function(x=1, *, y=2): return x, y")
    assert called(function) == (1, 2)
    function.__defaults__ = (5,)
    function.__kwdefaults__ = {"y": 6}
    assert called(function) == (5, 6)
    around = 1

    def closure():
        return around

    assert called(closure) == 1
    around = 2
    assert called(closure) == 2


def test_a_function_that_depends_on_modules_only_is_pickled_once():
    function, _ = in_main("def function(x): return [math.sqrt(y) for y in [x]]", math=math)
    first = prepared(function)
    assert isinstance(first, Prepared)
    assert prepared(function) is first
    function.__code__ = scale.__code__
    assert prepared(function) is not first


def test_a_function_with_attributes_keeps_them():
    function, _ = in_main("def function(): return 1")
    function.mark = "first"
    assert loaded(function)[0].mark == "first"
    function.mark = "second"
    assert loaded(function)[0].mark == "second"


def test_a_function_that_carries_an_array_can_be_prepared():
    array = np.arange(5)
    assert called(Prepared(lambda number: array[number]), 3) == 3


def test_the_label_is_the_name_of_the_function():
    assert label_of(scale) == "scale"
    assert label_of(functools.partial(functools.partial(scale, 1), by=2)) == "scale"
    assert label_of(math.hypot) == "hypot"
    assert label_of(Prepared) == "Prepared"
    assert Prepared(scale).label == "scale"

    class Callable:
        def __call__(self):
            pass

    assert label_of(Callable()).endswith("Callable")
    scale_long = types.FunctionType(scale.__code__, {})
    scale_long.__qualname__ = "x" * 500
    assert len(label_of(scale_long)) == 200


def test_the_argument_that_cannot_be_sent_is_named():
    lock = threading.Lock()
    with pytest.raises(CaptureError, match=r"Argument 2 \(_thread.lock\)"):
        dump_call(scale, (1, lock), {})
    with pytest.raises(CaptureError, match="Argument 'by'"):
        dump_call(Prepared(scale), (1,), {"by": [lock]})
    with pytest.raises(CaptureError, match=r"function .*<lambda>, or something it refers to"):
        dump_call(lambda: lock, (), {})
    with pytest.raises(CaptureError, match=r"function .*<lambda>"):
        Prepared(lambda: lock)
