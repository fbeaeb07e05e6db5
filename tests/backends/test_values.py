"""`Ragged`: three forms of the same rows, and copies only where memory really moves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backends.values import SHORT_ROW, Ragged


def rows_of(lengths, rest=()):
    count = iter(range(10_000))
    return [np.array([next(count) for _ in range(n * int(np.prod(rest)))], np.int32).reshape(n, *rest) for n in lengths]


def packed(rows):
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(r) for r in rows], out=offsets[1:])
    return Ragged(values=np.concatenate(rows), offsets=offsets)


def padded(rows, width=None):
    width = max(len(r) for r in rows) if width is None else width
    out = np.full((len(rows), width, *rows[0].shape[1:]), -1, np.int32)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return Ragged(padded=out, lengths=np.array([len(r) for r in rows], np.int64))


def same(left, right):
    return len(left) == len(right) and all(np.array_equal(a, b) for a, b in zip(left, right))


lengths = st.lists(st.integers(0, 5), min_size=1, max_size=6)
rests = st.sampled_from([(), (2,), (3, 1)])


@given(lengths, rests)
def test_every_form_holds_the_same_rows(sizes, rest):
    rows = rows_of(sizes, rest)
    for value in (Ragged(rows), packed(rows), padded(rows), padded(rows, 7)):
        assert same(value, rows)
        assert same([value[i] for i in range(len(rows))], rows)
        assert value.lengths().tolist() == sizes
        assert value.shape_of(0) == rows[0].shape
        assert value.nbytes == sum(r.nbytes for r in rows)
        values, offsets = value.packed()
        assert np.array_equal(values, np.concatenate(rows))
        assert offsets.tolist() == [0, *np.cumsum(sizes).tolist()]
        assert np.array_equal(value.padded(-1, 9), padded(rows, 9).padded_form)


@given(lengths, rests, st.integers(-7, 7), st.integers(-7, 7))
def test_slices_are_the_rows_of_the_slice(sizes, rest, start, stop):
    rows = rows_of(sizes, rest)
    for value in (Ragged(rows), packed(rows), padded(rows)):
        cut = value[start:stop]
        assert same(cut, rows[start:stop])
        assert np.array_equal(cut.lengths(), [len(r) for r in rows[start:stop]])
        assert same(value[::-1], rows[::-1])


@given(hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=3, max_side=4)))
def test_rows_of_equal_length_change_form_without_a_copy(array):
    copies = []
    full = np.full(len(array), array.shape[1], np.int64)
    value = Ragged(padded=array, lengths=full, on_copy=copies.append)
    values, offsets = value.packed()
    assert np.shares_memory(values, array)
    again = Ragged(values=values, offsets=offsets, on_copy=copies.append).padded()
    assert np.shares_memory(again, array)
    assert again.shape == array.shape
    assert copies == []


def test_the_form_held_is_free_and_a_change_is_counted():
    copies = []
    value = packed(rows_of([1, 3]))
    value.on_copy = copies.append
    assert value.packed()[0] is value.packed()[0]
    assert copies == []
    assert value.padded().nbytes == copies[0] == 2 * 3 * 4


def test_a_slice_of_packed_rows_shares_memory():
    value = packed(rows_of([2, 3, 1]))
    cut = value[1:]
    assert cut.is_packed
    assert np.shares_memory(cut.packed()[0], value.packed()[0])
    assert cut.packed()[1].tolist() == [0, 3, 4]


def test_long_rows_are_padded_row_by_row_with_one_copy():
    copies = []
    rows = [np.ones(SHORT_ROW, np.float32), np.ones(SHORT_ROW - 1, np.float32)]
    out = Ragged(rows, on_copy=copies.append).padded(7)
    assert out[1, -1] == 7
    assert copies == [out.nbytes]


def test_rows_that_vary_in_two_dims_are_padded_in_both():
    out = Ragged([np.ones((2, 1)), np.ones((1, 3))]).padded(0)
    assert out.shape == (2, 2, 3)
    assert out.sum() == 5
    with pytest.raises(ValueError, match="match"):
        Ragged([np.ones((2, 1)), np.ones((1, 3))]).packed()


def test_text_rows_are_padded_with_the_fill_value():
    value = packed([np.array(["a", "b"], object), np.array([], object)])
    assert value.padded("").tolist() == [["a", "b"], ["", ""]]


def test_lengths_of_another_axis():
    for value in (
        Ragged(rows_of([2, 1], (3,))),
        packed(rows_of([2, 1], (3,))),
        padded(rows_of([2, 1], (3,))),
    ):
        assert value.lengths(1).tolist() == [3, 3]


def test_no_rows_at_all():
    assert Ragged([]).padded().shape == (0, 0)
    assert Ragged([]).packed()[1].tolist() == [0]
    assert packed(rows_of([1, 2]))[2:].padded().shape == (0, 0)


def test_bad_use_is_named():
    with pytest.raises(ValueError, match="Ragged takes rows"):
        Ragged()
    with pytest.raises(ValueError, match="Ragged takes rows"):
        Ragged([np.ones(1)], values=np.ones(1), offsets=np.array([0, 1]))
    with pytest.raises(ValueError, match="a row has 3 items, more than 2"):
        packed(rows_of([3])).padded(length=2)
    with pytest.raises(IndexError, match="row 2 of 2"):
        packed(rows_of([3, 1]))[2]
