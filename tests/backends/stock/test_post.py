"""Stock stages for scores and vectors, beside torch's own functions and the formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backends.stock import post
from backends.values import InvalidInput

SCORES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=7),
    elements=st.floats(-80, 80, width=32, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-12),
)
"""Numbers whose squares are numbers of f32 too."""


@settings(deadline=None)  # importing torch takes longer than any deadline
@given(SCORES)
def test_softmax_and_sigmoid_are_torchs(logits):
    torch = pytest.importorskip("torch", reason="the torch extra is not installed")
    expected = torch.from_numpy(logits)
    np.testing.assert_allclose(post.softmax(logits=logits), torch.softmax(expected, 1), atol=1e-6)
    np.testing.assert_allclose(post.sigmoid(logits=logits), torch.sigmoid(expected), atol=1e-6)


def test_softmax_of_huge_scores_does_not_overflow():
    found = post.softmax(logits=np.array([[1000.0, 1000.0, -1000.0]], np.float32))
    assert found.tolist() == [[0.5, 0.5, 0.0]]


@given(SCORES, st.integers(1, 9))
def test_topk_is_a_sort_of_each_row(scores, k):
    labels, best = post.topk(scores=scores, k=k)
    for row, found, values in zip(scores, labels, best):
        expected = sorted(range(len(row)), key=lambda c: -row[c])[:k]  # sorted keeps the order of equals
        assert found.tolist() == expected
        assert values.tolist() == row[expected].tolist()


def test_top1_is_the_first_of_equals():
    label, score = post.top1(scores=np.array([[1, 3, 3], [5, 1, 2]], np.float32))
    assert label.tolist() == [1, 0]
    assert score.tolist() == [3, 5]


def test_k_below_one_and_no_classes_are_the_callers_fault():
    with pytest.raises(InvalidInput, match="k is 0, must be at least 1"):
        post.topk(scores=np.ones((1, 3), np.float32), k=0)
    for stage in (post.top1, lambda scores: post.softmax(logits=scores)):
        with pytest.raises(InvalidInput, match="no classes"):
            stage(scores=np.ones((2, 0), np.float32))


def test_mean_pool_leaves_out_what_is_masked_even_if_it_is_not_a_number():
    hidden = np.array([[[1, 2], [3, 4], [np.nan, np.inf]], [[5, 6], [7, 8], [9, 10]]], np.float32)
    mask = np.array([[1, 1, 0], [0, 0, 0]])
    assert post.mean_pool(hidden=hidden, mask=mask).tolist() == [[2, 3], [0, 0]]


@given(SCORES)
def test_l2_gives_length_one_or_zeros(vec):
    found = post.l2(vec=vec)
    assert found.dtype == np.float32
    for row, unit in zip(vec, found):
        if row.any():
            assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-3)
            np.testing.assert_allclose(unit, row / np.linalg.norm(row), atol=1e-6)
        else:
            assert not unit.any()


def test_no_rows_give_no_rows():
    empty = np.zeros((0, 4), np.float32)
    assert post.top1(scores=empty)[0].shape == (0,)
    assert post.softmax(logits=empty).shape == (0, 4)
    assert post.l2(vec=empty).shape == (0, 4)
