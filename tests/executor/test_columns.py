"""Columns against plain lists of elements: cut, take and merge keep values; neighbours merge without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backends.values import Ragged
from executor.columns import Column, Copies, Items, Jagged, Stack, merge, offsets_of

counts = st.lists(st.integers(0, 4), min_size=1, max_size=6)


def stack(rows: list[int], start: int = 0) -> Stack:
    offsets = offsets_of(rows)
    return Stack(np.arange(start, start + offsets[-1] * 2, dtype=np.float32).reshape(-1, 2), offsets)


def jagged(rows: list[int]) -> Jagged:
    lengths = [1 + i % 3 for i in range(sum(rows))]
    values = np.arange(sum(lengths), dtype=np.int64)
    return Jagged(Ragged(values=values, offsets=np.asarray(offsets_of(lengths), np.int64)), offsets_of(rows))


def plain(value: Any) -> Any:
    if isinstance(value, Ragged):
        return [plain(row) for row in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def elements(column: Column) -> list[Any]:
    return [plain(column.element(i)) for i in range(len(column))]


def all_kinds(rows: list[int]) -> list[Column]:
    made = stack(rows)
    return [
        made,
        jagged(rows),
        Items([made.element(i) for i in range(len(made))]),
        Stack(np.arange(len(rows), dtype=np.int32), None),
        Jagged(Ragged([np.arange(n) for n in rows]), None),
    ]


@given(counts, st.data())
def test_cut_and_take_are_slices_and_picks(rows: list[int], data: st.DataObject) -> None:
    lo = data.draw(st.integers(0, len(rows) - 1))
    hi = data.draw(st.integers(lo + 1, len(rows)))
    indices = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=6))
    for column in all_kinds(rows):
        whole = elements(column)
        assert elements(column.cut(lo, hi)) == whole[lo:hi]
        assert elements(column.take(indices, Copies(), "test")) == [whole[i] for i in indices]
        assert elements(column.cut(lo, hi).take([0], Copies(), "test")) == [whole[lo]]


@given(st.lists(counts, min_size=1, max_size=4))
def test_merge_is_concatenation(groups: list[list[int]]) -> None:
    for kind in range(5):
        columns = [all_kinds(rows)[kind] for rows in groups]
        merged = merge(columns, Copies(), "test")
        assert elements(merged) == [e for c in columns for e in elements(c)]
        assert len(merged) == sum(map(len, groups))


def test_neighbours_in_a_slab_merge_into_a_view() -> None:
    whole = stack([1, 2, 3, 4])
    copies = Copies()
    merged = merge([whole.cut(1, 2), whole.cut(2, 4)], copies, "test")
    assert isinstance(merged, Stack)
    assert np.shares_memory(merged.array, whole.array)
    assert copies.bytes == {}
    assert elements(merged) == elements(whole)[1:]


def test_others_are_gathered_once_and_counted() -> None:
    whole = stack([1, 2, 3, 4])
    copies = Copies()
    merge([whole.cut(2, 4), whole.cut(0, 1)], copies, "test")
    assert copies.bytes == {"test": (3 + 4 + 1) * 8}


def test_rows_of_unequal_shape_become_items() -> None:
    wide = Stack(np.zeros((2, 5), np.float32), (0, 2))
    merged = merge([stack([1]), wide], Copies(), "test")
    assert isinstance(merged, Items)
    assert [np.shape(merged.element(i)) for i in range(2)] == [(1, 2), (2, 5)]


def test_single_values_come_out_as_python_values() -> None:
    assert type(Stack(np.asarray([1.5], np.float32), None).element(0)) is float
    assert Stack(np.asarray(["a"], object), None).element(0) == "a"
