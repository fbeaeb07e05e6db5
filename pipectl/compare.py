"""Whether a value is what was expected, within a tolerance; and where it is not, in words.

Numbers of integer types, texts, bytes and JSON are compared exactly, floats by |found - expected| <= atol + rtol *
|expected|; NaN equals NaN. A list may stand for an array, and a list of lists for ragged rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.values import Ragged

from .encode import to_cell

HALVES = frozenset({"float16", "bfloat16"})


@dataclass(frozen=True, slots=True)
class Tolerance:
    """None: by dtype, 1e-5 and 1e-6, and 1e-2 both for 16-bit floats."""

    rtol: float | None = None
    atol: float | None = None

    def of(self, dtype: str) -> tuple[float, float]:
        """(rtol, atol) for values of a dtype."""
        half = dtype in HALVES
        rtol = (1e-2 if half else 1e-5) if self.rtol is None else self.rtol
        atol = (1e-2 if half else 1e-6) if self.atol is None else self.atol
        return rtol, atol


def difference(found: Any, expected: Any, tolerance: Tolerance) -> str:
    """What differs, or "" if nothing does."""
    if found is None or expected is None:
        return "" if found is expected else f"expected {_shown(expected)}, found {_shown(found)}"
    if isinstance(found, Ragged) or isinstance(expected, Ragged):
        return _ragged(found, expected, tolerance)
    if isinstance(found, np.ndarray) or isinstance(expected, np.ndarray):
        return _arrays(np.asarray(found), _like(expected, np.asarray(found)), tolerance)
    if isinstance(found, float) and isinstance(expected, int | float) and not isinstance(expected, bool):
        return _arrays(np.asarray(found), np.asarray(expected, np.float64), tolerance)
    same = type(found) is type(expected) and found == expected
    return "" if same else f"expected {_shown(expected)}, found {_shown(found)}"


def _like(expected: Any, found: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Expected data as an array that can be held against `found`."""
    if isinstance(expected, np.ndarray):
        return expected
    if found.dtype != object:
        try:
            return np.asarray(expected)
        except ValueError:  # a list of unequal lists
            pass
    array = np.empty(_shape(expected, found.ndim), object)
    if array.ndim:
        for index in np.ndindex(array.shape):
            item = expected
            for i in index:
                item = item[i]
            array[index] = item
    else:
        array[()] = expected
    return array


def _shape(value: Any, rank: int) -> tuple[int, ...]:
    """Sizes of nested lists, `rank` deep at most."""
    if not rank or not isinstance(value, list):
        return ()
    return (len(value), *(_shape(value[0], rank - 1) if value else (0,) * (rank - 1)))


def _arrays(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], tolerance: Tolerance) -> str:
    if found.shape != expected.shape:
        return f"expected shape {list(expected.shape)}, found {list(found.shape)}"
    if found.dtype == object or expected.dtype == object or expected.dtype.kind in "US":
        wrong = [i for i in np.ndindex(found.shape) if found[i] != expected[i]]
        return _first(found, expected, wrong, found.size)
    if found.dtype.kind in "biu":
        if expected.dtype.kind not in "biu":
            return f"expected {expected.dtype}, found {found.dtype}"
        wrong = list(zip(*np.nonzero(found != expected)))
        return _first(found, expected, wrong, found.size)
    if expected.dtype.kind == "b":
        return f"expected bool, found {found.dtype}"
    rtol, atol = tolerance.of(str(found.dtype))
    a, b = found.astype(np.float64), expected.astype(np.float64)
    close = np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
    wrong = list(zip(*np.nonzero(~close))) if close.ndim else ([] if close else [()])
    text = _first(found, expected, wrong, found.size)
    if not text:
        return ""
    with np.errstate(invalid="ignore"):
        return f"{text}; largest difference {np.nanmax(np.abs(a - b)):.3g} (rtol {rtol:g}, atol {atol:g})"


def _first(found: Any, expected: Any, wrong: list[tuple[int, ...]], size: int) -> str:
    """The first of the differing items, and how many there are."""
    if not wrong:
        return ""
    at = wrong[0]
    where = f"[{', '.join(map(str, at))}] " if at else ""
    count = f" ({len(wrong)} of {size} items differ)" if size > 1 else ""
    return f"{where}expected {_shown(expected[at])}, found {_shown(found[at])}{count}"


def _ragged(found: Any, expected: Any, tolerance: Tolerance) -> str:
    ours, theirs = _rows(found), _rows(expected)
    if ours is None or theirs is None:
        return f"expected {_shown(expected)}, found {_shown(found)}"
    if len(ours) != len(theirs):
        return f"expected {len(theirs)} rows, found {len(ours)}"
    for i, (a, b) in enumerate(zip(ours, theirs)):
        if text := difference(np.asarray(a), b, tolerance):
            return f"row {i}: {text}"
    return ""


def _rows(value: Any) -> list[Any] | None:
    return list(value) if isinstance(value, Ragged | list | np.ndarray) else None


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    return repr(value) if isinstance(value, str | bytes) else to_cell(value)
