"""References to values that stayed in a session."""

import copy
import pickle

import cloudpickle
import pytest

from rexec_jupyter.core import refs


@pytest.fixture
def home():
    """This process is the interpreter of a session."""
    namespace = {"_3": [1, 2]}
    refs.serve("default", 7, namespace)
    yield namespace
    refs._homes.clear()


def reference(name="_3", session="default", **options):
    data = {"text/plain": "[1, 2]", "text/html": "<b>"}
    return refs.RemoteRef(session, name, data, {"k": 1}, "it is large", lambda: "got", **options)


def test_a_reference_looks_like_its_value_and_brings_it():
    ref = reference()
    assert repr(ref) == "[1, 2]"
    assert ref._repr_mimebundle_() == ({"text/plain": "[1, 2]", "text/html": "<b>"}, {"k": 1})
    assert ref.get() == "got"
    assert "_3" in repr(refs.RemoteRef("s", "_3", {}, {}, "", list))


def test_what_a_reference_cannot_do_is_explained():
    with pytest.raises(AttributeError, match=r"'default' \(it is large\).*'shape'.*\.get\(\)"):
        _ = reference().shape
    assert not hasattr(reference(), "_repr_png_")


def test_a_copy_of_a_reference_is_the_reference():
    ref = reference()
    assert copy.copy(ref) is ref
    assert copy.deepcopy([ref])[0] is ref


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
@pytest.mark.parametrize("incarnation", [0, 7])
def test_in_its_session_a_reference_is_the_value(home, dumps, incarnation):
    assert pickle.loads(dumps(reference(incarnation=incarnation))) is home["_3"]


@pytest.mark.parametrize(
    ("ref", "reason"),
    [
        (reference(session="other"), "cells of that session only"),
        (reference(incarnation=6), "lost when that was restarted"),
        (reference("_4"), "does not keep _4 any more"),
    ],
)
def test_a_value_that_is_not_there_is_explained(home, ref, reason):
    with pytest.raises(LookupError, match=reason):
        pickle.loads(pickle.dumps(ref))


def test_outside_of_sessions_nothing_is_found():
    with pytest.raises(LookupError, match=r"bring it here with \.get"):
        pickle.loads(pickle.dumps(reference()))
