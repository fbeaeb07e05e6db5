"""What counts as the same value, and how a difference reads."""

import ml_dtypes
import numpy as np
import pytest

from backends.values import Ragged
from pipectl.compare import Tolerance, difference

EXACT = Tolerance()


def objects(*items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (3, 3),
        (True, True),
        ("a", "a"),
        (b"a", b"a"),
        ({"a": [1]}, {"a": [1]}),
        (None, None),
        (0.5, 0.5000001),
        (2.0, 2),
        (np.float32([1, np.nan]), [1, float("nan")]),
        (np.arange(3), [0, 1, 2]),
        (np.zeros((0, 4), np.float32), np.zeros((0, 4))),
        (np.array([True, False]), [True, False]),
        (objects("a", "b"), ["a", "b"]),
        (objects(b"a"), [b"a"]),
        (objects([1], [2, 3]), [[1], [2, 3]]),
        (np.array([1.004], ml_dtypes.bfloat16), [1.0]),
        (Ragged([np.array([1, 2]), np.array([3])]), [[1, 2], [3]]),
        (Ragged([np.array([1.0])]), Ragged([np.array([1.0])])),
    ],
)
def test_equal(found, expected):
    assert difference(found, expected, EXACT) == ""


@pytest.mark.parametrize(
    ("found", "expected", "text"),
    [
        (3, 4, "expected 4, found 3"),
        (True, 1, "expected 1, found true"),
        ("a", "b", "expected 'b', found 'a'"),
        (None, 3, "expected 3, found nothing"),
        (3, None, "expected nothing, found 3"),
        (np.arange(3), [0, 1], "expected shape [2], found [3]"),
        (np.arange(3), [0, 9, 9], "[1] expected 9, found 1 (2 of 3 items differ)"),
        (np.arange(2), [0.0, 1.0], "expected float64, found int64"),
        (objects("a", "b"), ["a", "c"], "[1] expected 'c', found 'b' (1 of 2 items differ)"),
        (np.float32([[1, 2]]), [[1, 3]], "[0, 1] expected 3, found 2 (1 of 2 items differ); largest difference 1"),
        (1.0, 2, "expected 2, found 1; largest difference 1"),
        (Ragged([np.array([1, 2])]), [[1], [2]], "expected 2 rows, found 1"),
        (Ragged([np.array([1, 2])]), [[1, 3]], "row 0: [1] expected 3, found 2"),
        (Ragged([np.array([1])]), 3, "expected 3, found ragged int64, 1 rows"),
        (np.float32([1]), [True], "expected bool, found float32"),
    ],
)
def test_different(found, expected, text):
    assert difference(found, expected, EXACT).startswith(text)


def test_tolerances_are_absolute_and_relative():
    assert difference(np.float64([100.0]), [101.0], Tolerance(rtol=0.02)) == ""
    assert difference(np.float64([0.0]), [0.01], Tolerance(rtol=0.02)) != ""
    assert difference(np.float64([0.0]), [0.01], Tolerance(atol=0.02)) == ""
    assert "rtol 0, atol 1e-06" in difference(np.float64([1.0]), [1.1], Tolerance(rtol=0))
