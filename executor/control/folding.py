"""Columns of elements to columns of their items, and back. Pure; what has to be copied is counted.

    [parents] of T[N, ..] --unfold--> [items] of T[..] --(body)--> [items] of U[..] --fold--> [parents] of U[N, ..]

Where the items of all parents lie one after the other in one array, both ways are views.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from backends.device.ops import on_device, placed, stack
from backends.values import Array, Ragged, Value
from executor.columns import (
    Column,
    CopySink,
    Items,
    Jagged,
    Offsets,
    Same,
    Stack,
    merge,
    offsets_of,
    size_of,
)
from executor.rows import as_ragged
from pipeline_dsl.dtypes import DType
from pipeline_dsl.types import Sized, TensorType


def unfold(column: Column, copies: CopySink) -> tuple[Column, Offsets]:
    """The items of all elements, one an element; where those of each begin, [elements + 1]."""
    if isinstance(column, Stack):
        if column.offsets is not None:
            return Stack(column.array, None, column.slab, column.lo), column.offsets
        n, k = column.array.shape[:2]
        return Stack(column.array.reshape(n * k, *column.array.shape[2:]), None), _even(n, k)
    if isinstance(column, Jagged):
        if column.offsets is not None:
            return Jagged(column.ragged, None), column.offsets
        if column.ragged.is_packed:
            values, offsets = column.ragged.packed()
            return Stack(values, None), offsets.tolist()
    parts = [_items_of(column.element(i)) for i in range(len(column))]
    return merge(parts, copies, "unfold"), offsets_of([len(p) for p in parts])


def repeated(column: Column | None, counts: Sequence[int]) -> Column | None:
    """What each element has, for each of its items: the same object, so that they may share a batch."""
    if column is None or isinstance(column, Same):
        return column if column is None else Same(column.value, sum(counts))
    if len(counts) == 1:
        return Items([column.element(0)] * counts[0])
    return Items([value for i, n in enumerate(counts) for value in (column.element(i),) * n])


def fold(column: Column, offsets: Offsets, kind: TensorType, copies: CopySink) -> Column:
    """The items of each element as one value of type `kind`, whose first dim counts them."""
    if isinstance(column, Stack):
        return _fold_stack(column, offsets, kind)
    if isinstance(column, Jagged) and column.offsets is None and kind.is_ragged:
        return Jagged(column.ragged, offsets)
    if isinstance(column, Same):
        made = _filled(column.value, column.elements, kind.dtype)
        return Stack(made, offsets)
    items = [column.element(i) for i in range(len(column))]
    if len(kind.dims) == 1:
        single = stack(items) if any(map(on_device, items)) else _array_of(items, kind.dtype)
        return Stack(single, offsets)
    if kind.is_ragged:
        return Jagged(Ragged(items), offsets)
    if len({np.shape(item) for item in items}) == 1:
        made = stack(items)
        copies.copied(size_of(made), "fold")
        return Stack(made, offsets)
    return Items([_stacked(items[lo:hi], kind, copies) for lo, hi in pairwise(offsets)])


def filled_up(column: Column, indices: Sequence[int], total: int, kind: TensorType, copies: CopySink) -> Column:
    """A column of `total` items with those of `column` at `indices`, and zeros, texts without a letter or False at
    the others. `kind` is that of all items together."""
    if isinstance(column, Stack) and column.offsets is None:
        made = placed(column.array, indices, total, _zero(kind.dtype))
        copies.copied(size_of(made), "fold")
        return Stack(made, None)
    values: list[Value] = [zero_item(kind, column.element(0))] * total
    for place, index in enumerate(indices):
        values[index] = column.element(place)
    return Items(values)


def zero_item(kind: TensorType, like: Value = None) -> Value:
    """What stands for an item that failed: of the shape of another one, where there is one."""
    zero = _zero(kind.dtype)
    if len(kind.dims) == 1:
        return zero
    shape = [0] if kind.is_ragged else _shape(kind)
    if like is not None and not isinstance(like, Ragged):
        shape = [0, *np.shape(like)[1:]] if kind.is_ragged else list(np.shape(like))
    return _closed(np.full(shape, zero, kind.dtype.numpy))


def empty(kind: TensorType) -> Value:
    """The value of an element without items. Sizes that only items could tell are 0."""
    if not kind.is_ragged:
        return _closed(np.zeros((0, *_shape(kind)), kind.dtype.numpy))
    rest = [d.size.value or 0 if isinstance(d, Sized) else 0 for d in kind.dims[2:]]
    return Ragged(values=_closed(np.zeros((0, *rest), kind.dtype.numpy)), offsets=np.zeros(1, np.int64))


def _items_of(value: Value) -> Items | Stack | Jagged:
    if isinstance(value, np.ndarray) or on_device(value):
        return Stack(value, None)
    return Jagged(value, None) if isinstance(value, Ragged) else Items(list(value))


def _fold_stack(column: Stack, offsets: Offsets, kind: TensorType) -> Column:
    array = column.array
    if column.offsets is None:
        return Jagged(as_ragged(array), offsets) if kind.is_ragged else Stack(array, offsets, column.slab, column.lo)
    if kind.is_ragged:
        return Jagged(Ragged(values=array, offsets=np.asarray(column.offsets, np.int64)), offsets)
    sizes = {b - a for a, b in pairwise(column.offsets)}
    if len(sizes) == 1:
        return Stack(array.reshape(len(column), sizes.pop(), *array.shape[1:]), offsets)
    ends = [column.offsets[i] for i in offsets]
    return Items(
        [
            array[lo:hi].reshape(b - a, (hi - lo) // (b - a) if b > a else 0, *array.shape[1:])
            for (a, b), (lo, hi) in zip(pairwise(offsets), pairwise(ends))
        ]
    )


def _stacked(items: list[Value], kind: TensorType, copies: CopySink) -> Value:
    """The items of one element."""
    if not items:
        return empty(kind)
    made = stack(items)
    copies.copied(size_of(made), "fold")
    return made


def _array_of(items: list[Value], dtype: DType) -> Array:
    """Single values as one array."""
    made: Array = np.empty(len(items), dtype.numpy)
    if dtype.numeric:
        made[:] = items
    else:
        for i, item in enumerate(items):  # numpy would take lists, which JSON data may be, apart
            made[i] = item
    return _closed(made)


def _filled(value: Value, count: int, dtype: DType, rest: Sequence[int] = ()) -> Array:
    made: Array = np.empty((count, *rest), dtype.numpy)
    made.fill(value)
    return _closed(made)


def _shape(kind: TensorType) -> list[int]:
    """Of an item, as far as it is known before one is there."""
    return [(d.size.value or 0) if isinstance(d, Sized) else 0 for d in kind.dims[1:]]


def _zero(dtype: DType) -> Value:
    if dtype.numeric:
        return dtype.numpy.type(0).item()
    return {"string": "", "bytes": b"", "json": None}[dtype.name]


def _closed(array: Array) -> Array:
    array.flags.writeable = False
    return array


def _even(elements: int, each: int) -> Offsets:
    return [0] * (elements + 1) if not each else range(0, elements * each + 1, each)
