"""Columns to the rows that a stage with `*` takes, as its call site binds them.

`rows`: each element brings any number of rows. `lift`: each element is one row. A view wherever the column already
lies that way; otherwise one array is made, which the caller counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backends.device import DeviceArray
from backends.device.ops import concatenate, stack
from backends.values import Array, Ragged, Value
from pipeline_dsl.ir import Binding
from pipeline_dsl.plan import PortPlan

from .columns import Column, Items, Jagged, Offsets, Same, Stack, joined_offsets, offsets_of, uniform_offsets

Join = Callable[[Sequence[Any]], Any]


def count_rows(column: Items | Stack | Jagged) -> int:
    """Rows of a column whose elements each bring any number of them."""
    if isinstance(column, Items):
        items = column.items
        return len(items[0]) if len(items) == 1 else sum(map(len, items))
    if column.offsets is not None:
        return column.offsets[-1] - column.offsets[0]
    if isinstance(column, Jagged):
        return int(column.ragged.lengths().sum())
    return int(column.array.shape[0] * column.array.shape[1])


def dense_rows(column: Items | Stack | Jagged, binding: Binding, port: PortPlan, join: Join = concatenate) -> Stack:
    """The rows of a column in one array; offsets None where each element is one row.

    `join` puts arrays one after the other: `ops.concatenate`, or `ops.joined` where they go to a device."""
    if binding == "rows":
        return _rows_of_elements(column, join)
    if isinstance(column, Stack):
        return column if column.offsets is None else Stack(stack(_elements(column)), None)
    if isinstance(column, Items):
        return Stack(_stacked(column.items, port), None)
    return Stack(stack(_elements(column)), None)


def _rows_of_elements(column: Items | Stack | Jagged, join: Join = concatenate) -> Stack:
    if isinstance(column, Stack):
        if column.offsets is not None:
            return column
        n, k = column.array.shape[:2]
        flat = column.array.reshape(n * k, *column.array.shape[2:])
        return Stack(flat, range(0, n * k + 1, k) if k else [0] * (n + 1))
    if isinstance(column, Jagged):
        values, offsets = column.ragged.packed()
        return Stack(values, offsets.tolist())
    items = column.items
    if len(items) == 1:
        return Stack(items[0], (0, len(items[0])))
    return Stack(join(items), offsets_of([len(a) for a in items]))


def _stacked(items: list[Value], port: PortPlan) -> Array:
    """Single values as rows of one array."""
    if port.type.rank == 1 and not isinstance(items[0], np.ndarray | DeviceArray):
        made: Array = np.empty(len(items), port.type.dtype.numpy)
        if port.type.dtype.numeric:
            made[:] = items
        else:
            for i, item in enumerate(items):  # numpy would take lists, which JSON data may be, apart
                made[i] = item
        return made
    if len(items) == 1:
        only: Array = items[0][None]
        return only
    made = stack(items)
    return made


def _elements(column: Column) -> list[Value]:
    return [column.element(i) for i in range(len(column))]


def ragged_rows(column: Column, binding: Binding) -> tuple[Ragged, Offsets | None]:
    """The rows of a column as `Ragged`; offsets None where each element is one row."""
    if isinstance(column, Same):
        raise TypeError("a constant single value is not ragged")  # the checker lets it go to `T[*]` only
    if isinstance(column, Jagged):
        if column.offsets is not None or binding == "lift":
            return column.ragged, column.offsets
        values, offsets = column.ragged.packed()  # each element is a matrix, and its rows are what is wanted
        return as_ragged(values), offsets.tolist()
    if isinstance(column, Stack):
        return _ragged_stack(column, binding)
    if binding == "lift":
        return Ragged(column.items), None
    parts = [as_ragged(item) for item in column.items]
    if len(parts) == 1:
        return parts[0], (0, len(parts[0]))
    return Ragged([row for part in parts for row in part]), offsets_of([len(p) for p in parts])


def _ragged_stack(column: Stack, binding: Binding) -> tuple[Ragged, Offsets | None]:
    """Rows of equal size, as values of a ragged port."""
    if binding == "lift":
        if column.offsets is None:
            return as_ragged(column.array), None
        return Ragged(values=column.array, offsets=np.asarray(column.offsets, np.int64)), None
    rows = _rows_of_elements(column)
    return as_ragged(rows.array), rows.offsets


def as_ragged(value: Value) -> Ragged:
    """A value with rows of unequal, or equal, size as `Ragged`."""
    if isinstance(value, Ragged):
        return value
    if isinstance(value, np.ndarray | DeviceArray) and value.ndim >= 2:
        array: Any = value
        return Ragged(padded=array, lengths=np.full(len(array), array.shape[1], np.int64))
    return Ragged(list(value))


def row_offsets(column: Column, binding: Binding) -> Offsets:
    """Where the rows of each element begin, [elements + 1]."""
    if binding != "rows" or isinstance(column, Same):
        return uniform_offsets(len(column))
    if not isinstance(column, Items) and column.offsets is not None:
        return column.offsets
    return offsets_of([len(column.element(i)) for i in range(len(column))])


def stacked_offsets(stacks: Sequence[Stack]) -> Offsets:
    """Row offsets of the elements of stacks put one after the other."""
    return joined_offsets([s.offsets if s.offsets is not None else uniform_offsets(len(s.array)) for s in stacks])
