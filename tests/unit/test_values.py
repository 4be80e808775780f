"""Python objects to payload parts and back."""

import itertools
import pickle
import threading

import numpy as np
import pytest

from rexec_jupyter.core import trust, values


def over_the_wire(parts):
    """Return the parts as they arrive: cut out of one writable buffer."""
    whole = bytearray(values.join(parts))
    return values.split(whole, values.describe(parts).sizes)


@pytest.mark.parametrize("value", [None, 1, "text", [1, {"a": (2, 3)}], {"x": {1, 2}}, b"bytes"])
def test_values_come_back_equal(value):
    assert values.load(over_the_wire(values.dump(value))) == value


def test_functions_that_cannot_be_imported_travel_by_value():
    offset = 5
    assert values.load(over_the_wire(values.dump(lambda number: number + offset)))(1) == 6


def test_the_memory_of_arrays_is_not_copied_into_the_pickle():
    array = np.arange(100_000)
    stream, buffer = values.dump({"array": array})
    assert len(stream) < 1000
    assert np.shares_memory(np.frombuffer(buffer, array.dtype), array)


def test_arrays_come_back_writable_aligned_and_without_a_copy():
    array = np.arange(1000, dtype=float)
    whole = bytearray(values.join(parts := values.dump(array)))
    result = values.load(values.split(whole, values.describe(parts).sizes))
    assert (result == array).all()
    assert result.flags.writeable
    assert np.shares_memory(result, np.frombuffer(whole, np.uint8))


def test_arrays_that_are_not_contiguous_travel_too():
    array = np.arange(100).reshape(10, 10)[::2, ::3]
    assert (values.load(over_the_wire(values.dump(array))) == array).all()


@pytest.mark.parametrize("value", [threading.Lock(), [threading.Lock()], (n for n in ())])
def test_what_cannot_be_pickled_is_named_with_its_type_and_the_reason(value):
    with pytest.raises(values.UnpicklableError, match=r"thing .*cannot be pickled: .*") as caught:
        values.dump(value, "thing")
    assert caught.value.name == "thing"
    assert caught.value.kind == values.type_name(value)


def test_nesting_too_deep_is_told():
    value = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(values.UnpicklableError, match="deep"):
        values.dump(value)
    while value:
        value = value.pop()  # Python itself would recurse


def test_the_reason_of_a_class_that_refuses_to_be_pickled_is_passed_on():
    class Refuses:
        def __reduce__(self):
            raise RuntimeError("holds a connection")

    with pytest.raises(values.UnpicklableError, match=r"Refuses.*holds a connection"):
        values.dump(Refuses())


def test_a_description_covers_sizes_and_bytes():
    payload = values.describe([b"ab", b"", b"c"])
    assert payload.sizes == [2, 0, 1]
    assert payload.nbytes == 3
    assert payload.digest == trust.payload_digest([b"abc"])
    assert payload.digest != trust.payload_digest([b"abd"])


@pytest.mark.parametrize("sizes", [[1], [3], [1, 2], []])
def test_a_payload_is_only_cut_where_the_sizes_fit(sizes):
    with pytest.raises(ValueError, match="sizes"):
        values.split(b"ab", sizes)


# ------------------------------------------------------------------------------- cells


def test_a_cell_brings_its_names_each_loaded_when_it_is_asked_for():
    array = np.arange(10)
    cell = values.load_cell(over_the_wire(values.dump_cell("x + y", {"x": array, "y": "why"})))
    assert cell.source == "x + y"
    assert list(cell.names) == ["x", "y"]
    assert (cell.names["x"]() == array).all()
    assert cell.names["y"]() == "why"


def test_a_name_that_cannot_be_sent_is_told_by_its_name():
    with pytest.raises(values.UnpicklableError, match=r"lock \(_thread.lock\)"):
        values.dump_cell("1", {"fine": 1, "lock": threading.Lock()})


def test_a_cell_returns_outputs_and_value():
    parts = values.dump_cell_result({"a": np.ones(3), "b": 2}, np.zeros(2), has_value=True)
    result = values.load_cell_result(over_the_wire(parts))
    assert (result.outputs["a"] == 1).all()
    assert result.outputs["b"] == 2
    assert result.has_value
    assert (result.value == 0).all()


def test_a_value_that_cannot_be_sent_is_left_out_with_the_reason():
    parts = values.dump_cell_result({"a": 1}, threading.Lock(), has_value=True)
    result = values.load_cell_result(over_the_wire(parts))
    assert not result.has_value
    assert "lock" in result.reason
    assert result.outputs == {"a": 1}


def test_a_value_that_is_too_large_is_left_out_with_the_reason():
    parts = values.dump_cell_result({}, np.zeros(1000), has_value=True, value_limit=4000)
    result = values.load_cell_result(over_the_wire(parts))
    assert not result.has_value
    assert "4,000" in result.reason
    assert len(parts) == 1


def test_pickling_ends_once_a_value_is_too_large():
    class Endless:
        def __reduce__(self):
            return list, (), None, itertools.repeat("text")

    with pytest.raises(values.OversizeError):
        values.dump(Endless(), limit=100_000)


@pytest.mark.parametrize("value", ["x" * 1000, values.Pickled([b"x" * 1000]), np.zeros(125)])
def test_the_limit_holds_for_values_of_every_kind(value):
    with pytest.raises(values.OversizeError):
        values.dump_cell_result({"value": value}, max_recv=900)
    assert values.load_cell_result(
        values.dump_cell_result({}, value, has_value=True, value_limit=900)
    ).reason
    values.dump_cell_result({"value": value}, max_recv=2000)


def test_outputs_over_the_limit_are_told_with_their_sizes():
    with pytest.raises(values.OversizeError) as told:
        values.dump_cell_result({"a": np.zeros(1000), "b": "x"}, max_recv=5000)
    assert told.value.limit == 5000
    kind, nbytes = told.value.sizes["a"]
    assert kind == "numpy.ndarray"
    assert 8000 < nbytes < 9000
    assert told.value.sizes["b"][0] == "str"


def test_a_cell_brings_its_environment_along():
    cell = values.load_cell(over_the_wire(values.dump_cell("1", {"a": 1}, {"K": "v"})))
    assert cell.env == {"K": "v"}
    assert cell.names["a"]() == 1
    assert values.load_cell(values.dump_cell("1", {})).env == {}


def test_the_name_of_a_value_comes_with_it():
    for has_value in (True, False):
        parts = values.dump_cell_result({}, 5, has_value=has_value, ref="_7")
        assert values.load_cell_result(over_the_wire(parts)).ref == "_7"


def test_an_output_that_cannot_be_sent_is_an_error():
    with pytest.raises(values.UnpicklableError, match="lock"):
        values.dump_cell_result({"lock": threading.Lock()})


def test_a_call_and_the_result_of_a_cell_start_differently():
    assert bytes(values.dump(1)[0])[:1] == pickle.PROTO
    assert bytes(values.dump_cell_result({})[0])[:1] != pickle.PROTO


def test_small_buffers_and_those_of_thousands_stay_in_the_pickle():
    small, large = np.zeros(10), np.ones(1000)
    assert len(values.dump(small)) == 1
    assert len(values.dump([large] * 2)) == 2  # it is one array
    parts = values.dump([np.full(1000, number) for number in range(500)])
    assert 1 < len(parts) < 100
    assert [array[0] for array in values.load(over_the_wire(parts))] == list(range(500))
    with pytest.raises(values.OversizeError):
        values.dump([np.full(1000, number) for number in range(500)], limit=3_900_000)
