"""Dims of a type against the shape of a value, compiled once per port and matched on each call.

Takes a type's dims and a table of sizes by name; raises `Mismatch` where they disagree and adds the names it
meets for the first time. A plain name is an int. A ragged name is an int64 array, one size per row, or the
common width (int) where the value is padded. `*` stands in the table under `ROWS`."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pipeline_dsl.ir import Bound
from pipeline_dsl.sizes import Size
from pipeline_dsl.types import Dim, Rest, Rows, Sized, TensorType, Unknown
from pipeline_dsl.types import Ragged as RaggedDim

from .values import Ragged

ROWS = "*"
Sizes = dict[str, Any]

_COMPARE = {
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}


class Mismatch(ValueError):
    """A value does not fit its type. Says what was expected and found; the place is added by who knows it."""


class Dims:
    """The dims of an array, in order; a ragged dim is the padded width."""

    __slots__ = ("_checks", "_least", "_rank", "_text", "deferred")

    def __init__(self, dims: Sequence[Dim]) -> None:
        self._text = "[" + ", ".join(map(str, dims)) + "]"
        rest = next((i for i, d in enumerate(dims) if isinstance(d, Rest)), None)
        self._rank = len(dims) if rest is None else None
        self._least = len(dims) - (rest is not None)
        self._checks: list[tuple[int, int | str | Size]] = []
        for i, dim in enumerate(dims):
            target = target_of(dim)
            if target is not None:
                self._checks.append((i if rest is None or i < rest else i - len(dims), target))
        self.deferred = any(isinstance(target, Size) for _, target in self._checks)
        """Holds expressions: match once more when all names are known."""

    def match(self, shape: tuple[int, ...], sizes: Sizes) -> None:
        """Mismatch if the shape is not what the dims and the known sizes allow."""
        if len(shape) != self._rank and (self._rank is not None or len(shape) < self._least):
            raise Mismatch(f"{self._text} has {self._least} dims, found {len(shape)}")
        for axis, target in self._checks:
            found = shape[axis]
            if found == target:
                continue
            if type(target) is str and target not in sizes:  # most often: a name that is met for the first time
                sizes[target] = found
            elif not match_size(target, found, sizes):
                expected = _expected(target, sizes)
                raise Mismatch(f"dim {axis % len(shape)} must be {expected}, found {found}")


class RaggedDims:
    """The dims of a `Ragged`: the first one counts its rows, the others are dims of each row."""

    __slots__ = ("_first", "_rank", "_row")

    def __init__(self, dims: Sequence[Dim]) -> None:
        self._first = Dims(dims[:1])
        self._row = list(dims[1:])
        self._rank = None if any(isinstance(d, Rest) for d in dims) else len(dims) - 1

    def match(self, value: Ragged, sizes: Sizes) -> None:
        """Mismatch if number of rows, rank or a size of any row is not what the dims and the known sizes
        allow."""
        self._first.match((len(value),), sizes)
        if self._rank is None or not len(value):
            return
        self._match_rank(value)
        for axis, dim in enumerate(self._row):
            target = target_of(dim)
            if target is not None:
                _match_lengths(target, isinstance(dim, RaggedDim), value, axis, sizes)

    def _match_rank(self, value: Ragged) -> None:
        if value.is_packed or value.is_padded:
            ranks = {value[0].ndim}
        else:
            ranks = {row.ndim for row in value}
        if ranks != {self._rank}:
            raise Mismatch(f"each row must have {self._rank} dims, found {sorted(ranks)}")


def dims_of(declared: TensorType) -> Dims:
    """The dims of a dense or padded array of a type."""
    return Dims(declared.dims)


def packed_dims(declared: TensorType) -> Dims:
    """The dims of a packed array: `*` and `~L` become one, the total of all rows."""
    return Dims((Unknown(), *declared.dims[2:]))


def target_of(dim: Dim) -> int | str | Size | None:
    """What a dim's size is compared with: a number, a name, an expression, or nothing."""
    if isinstance(dim, Rows):
        return ROWS
    if not isinstance(dim, Sized | RaggedDim):
        return None
    if dim.size.value is not None:
        return dim.size.value
    return dim.size.symbol.name if dim.size.symbol else dim.size


def match_size(target: int | str | Size, found: int, sizes: Sizes) -> bool:
    """Whether a size fits; a name that is not known yet is bound to it."""
    if isinstance(target, int):
        return found == target
    known = sizes.setdefault(target, found) if isinstance(target, str) else _evaluated(target, sizes)
    if isinstance(known, np.ndarray):
        return bool((known <= found).all())
    return known is None or bool(known == found)


def check_bounds(bounds: Iterable[Bound], sizes: Sizes) -> None:
    """Mismatch for the first bound that does not hold. Bounds with a name that is not known are passed
    over."""
    for bound in bounds:
        left, right = _evaluated(bound.left, sizes), _evaluated(bound.right, sizes)
        if left is None or right is None or np.all(_COMPARE[bound.op](left, right)):
            continue
        found = ", ".join(f"{name} = {_shown(sizes[name])}" for name in _names(bound))
        raise Mismatch(f"`{bound}` does not hold: {found}")


def _match_lengths(target: int | str | Size, ragged: bool, value: Ragged, axis: int, sizes: Sizes) -> None:
    lengths = value.lengths(axis)
    if not ragged:
        wrong = next((n for n in set(lengths.tolist()) if not match_size(target, n, sizes)), None)
        if wrong is not None:
            raise Mismatch(f"dim {axis} of a row must be {_expected(target, sizes)}, found {wrong}")
        return
    known = sizes.setdefault(target, lengths) if isinstance(target, str) else _value_of(target, sizes)
    if known is None:
        return
    if isinstance(known, np.ndarray):
        if known is not lengths and not np.array_equal(known, lengths):
            row = _first_difference(known, lengths)
            raise Mismatch(f"dim {axis} of row {row} must be {known[row]} (`{target}`), found {lengths[row]}")
    elif int(lengths.max()) > known:
        raise Mismatch(f"dim {axis} of a row must be at most {known} (`{target}`), found {int(lengths.max())}")


def _value_of(target: int | Size, sizes: Sizes) -> Any:
    return target if isinstance(target, int) else _evaluated(target, sizes)


def _first_difference(known: Any, found: Any) -> int:
    shared = min(len(known), len(found))
    different = np.flatnonzero(known[:shared] != found[:shared])
    return int(different[0]) if len(different) else shared - 1


def _evaluated(size: Size, sizes: Sizes) -> Any:
    try:
        return size.evaluate(sizes)
    except KeyError:
        return None


def _names(bound: Bound) -> list[str]:
    return sorted({symbol.name for size in (bound.left, bound.right) for symbol in size.symbols})


def _expected(target: int | str | Size, sizes: Sizes) -> str:
    if isinstance(target, int):
        return str(target)
    known = sizes[target] if isinstance(target, str) else _evaluated(target, sizes)
    return f"{_shown(known)} (`{target}`)" if target != ROWS else f"{known}, the number of rows"


def _shown(size: Any) -> str:
    return f"up to {int(size.max())}" if isinstance(size, np.ndarray) and len(size) else str(size)
