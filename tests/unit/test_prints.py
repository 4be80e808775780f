"""Large tables of text are recognised without being pickled, and never mistaken for others."""

import gc
import weakref

import numpy as np
import pandas as pd
import pytest

from rexec_jupyter.capture.prints import print_of

ROWS = 10_000


class Text(str):
    """Text whose instances can change."""

    __slots__ = ("note",)


class Marker:
    """Can be referred to weakly, and pickled."""


def frame(dtype):
    words = [f"row number {i}" for i in range(ROWS)]
    return pd.DataFrame({"text": pd.Series(words, dtype=dtype), "n": range(ROWS)})


@pytest.mark.parametrize("dtype", [object, pd.StringDtype("python")])
def test_an_unchanged_table_is_recognised_and_every_change_is_seen(dtype):
    table = frame(dtype)
    taken = print_of(table)
    assert taken is not None
    assert taken.matches(table)
    for column, value in (("text", "other"), ("text", pd.NA), ("n", 5)):
        row = ROWS // 2
        before = table.loc[row, column]
        table.loc[row, column] = value
        assert not taken.matches(table)
        table.loc[row, column] = before
    assert taken.matches(table)
    table["more"] = 1
    assert not taken.matches(table)
    assert not taken.matches(frame(dtype))


def test_an_array_whose_items_were_swapped_is_another():
    words = np.array([f"w{i}" for i in range(ROWS)], dtype=object)
    series = pd.Series(words)
    taken = print_of(series)
    assert taken.matches(series)
    series.array[0], series.array[1] = series.array[1], series.array[0]
    assert not taken.matches(series)


@pytest.mark.parametrize("item", [[1], Text("x"), {}, object()], ids=["list", "text", "dict", "x"])
def test_what_may_change_within_itself_has_no_print(item):
    words = [f"w{i}" for i in range(ROWS)]
    assert print_of(pd.Series([*words, item], dtype=object)) is None


@pytest.mark.parametrize(
    "value", [5, "text", np.zeros(ROWS), [str(i) for i in range(ROWS)], (i for i in [])]
)
def test_what_pickles_quickly_or_not_at_all_has_no_print(value):
    assert print_of(value) is None


def test_the_text_is_kept_no_longer_than_the_table():
    kept = Marker()
    alive = weakref.ref(kept)
    words = np.array([f"w{i}" for i in range(ROWS)], dtype=object)
    table = pd.Series(words)
    table.attrs["marker"] = kept
    taken = print_of(table)
    assert taken.matches(table)
    del table, kept
    gc.collect()
    assert alive() is None
    assert taken._kept == []
