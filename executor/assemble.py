"""Columns to what a backend takes, and back.

    cohorts --gather--> Batch inputs (one array or Ragged a port) --backend--> outputs --scatter--> columns

`Assembler` is compiled once for a stage. `gather` brings each cohort's columns to rows (`*`) as its call site binds
them, puts the cohorts one after the other (a view where they lie side by side, else one counted copy), and pads or
packs ragged ports as the stage's rule says. `scatter` is the way back for one range of elements.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from backends.values import Array, Ragged, Value
from pipeline_dsl.ir import Binding
from pipeline_dsl.plan import PortPlan, StagePlan
from pipeline_dsl.types import Ragged as RaggedDim
from pipeline_dsl.types import Sized

from .columns import (
    Column,
    CopySink,
    Items,
    Jagged,
    Offsets,
    Stack,
    concat_arrays,
    concat_ragged,
    joined_offsets,
    offsets_of,
    size_of,
    uniform_offsets,
)


class Gathered(NamedTuple):
    """What a batch is made of, and what is needed to take its outputs apart."""

    inputs: tuple[Value, ...]
    rows: int
    offsets: Offsets
    """Row offsets of the elements of all cohorts, [elements + 1]."""
    lengths: dict[str, Array]
    """Real sizes of each ragged dim by name, int64 [rows]."""


_NO_LENGTHS: dict[str, Array] = {}


class Assembler:
    """Gathers and scatters for one stage."""

    def __init__(self, stage: StagePlan) -> None:
        self.stage = stage
        self.has_rows = stage.has_rows
        self._filled = [(i, p) for i, p in enumerate(stage.inputs) if p.filled]
        self._given = [(i, p) for i, p in enumerate(stage.inputs) if not p.filled]
        self._rows = [(i, p) for i, p in self._given if p.type.has_rows]
        self._shared = [(i, p) for i, p in self._given if not p.type.has_rows]
        self._plain = not self._filled and not self._shared and all(_is_dense(p) for _, p in self._rows)
        self._keyers = _keyers(self._given) if stage.has_rows else []
        self._ragged_out = any(p.type.is_ragged for p in stage.outputs)
        self.uniform = not self._keyers and not any(p.buckets for _, p in self._rows)
        """Whether any two cohorts may share a batch, whatever their values."""

    # ---- group keys and row counts

    def rows(self, columns: Sequence[Column | None], binding: Binding, elements: int) -> int:
        """Rows that a cohort brings to a batch."""
        if binding != "rows":
            return elements
        for i, _ in self._rows:
            if (column := columns[i]) is not None:
                return count_rows(column)
        return elements

    def keys(self, columns: Sequence[Column | None], binding: Binding, elements: int) -> list[Hashable] | None:
        """What must be equal to share a batch, for each element; None if nothing must."""
        if not self._keyers:
            return None
        parts = [keyer.keys(columns[keyer.index], binding, elements) for keyer in self._keyers]
        return list(zip(*parts))

    def buckets(self, columns: Sequence[Column | None], binding: Binding, elements: int) -> list[int] | None:
        """The length each element would be padded to; None where no port is padded to buckets."""
        for i, port in self._rows:
            column = columns[i]
            if port.buckets and column is not None:
                longest = _longest(column, binding, ragged_axis(port)[1])
                return [bucket_of(n, port.buckets) for n in longest]
        return None

    # ---- to the backend

    def gather(self, cohorts: Sequence[tuple[Sequence[Column | None], Binding, int]], copies: CopySink) -> Gathered:
        """Inputs for one batch of (columns, binding, elements); all have equal group keys."""
        if self._plain and len(cohorts) == 1:
            return self._as_it_is(*cohorts[0])
        inputs: list[Value] = [None] * len(self.stage.inputs)
        ragged: list[tuple[int, PortPlan, Ragged]] = []
        offsets: Offsets | None = None
        for i, port in self._rows:
            if cohorts[0][0][i] is None:
                continue
            if _is_dense(port):
                stacks = [dense_rows(columns[i], binding, port) for columns, binding, _ in cohorts]
                inputs[i] = concat_arrays(stacks, copies, "gather").array if len(stacks) > 1 else stacks[0].array
                offsets = offsets or _offsets(stacks)
            else:
                parts = [ragged_rows(columns[i], binding) for columns, binding, _ in cohorts]
                ragged.append((i, port, concat_ragged([r for r, _ in parts], copies, "gather")))
                offsets = offsets or joined_offsets([o or uniform_offsets(len(r)) for r, o in parts])
        if offsets is None:
            offsets = uniform_offsets(sum(n for _, _, n in cohorts))
        for i, port in self._shared:
            column = cohorts[0][0][i]
            inputs[i] = None if column is None else shared_value(column.element(0), port)
        lengths = self._lay_out(ragged, inputs, copies) if ragged else {}
        return Gathered(tuple(inputs), offsets[-1], offsets, lengths)

    def _as_it_is(self, columns: Sequence[Column | None], binding: Binding, elements: int) -> Gathered:
        """One cohort whose ports are all dense rows: nothing to merge."""
        inputs: list[Value] = []
        offsets: Offsets | None = None
        for column, (_, port) in zip(columns, self._rows):
            if column is None:
                inputs.append(None)
                continue
            stack = column if type(column) is Stack and column.offsets else dense_rows(column, binding, port)
            inputs.append(stack.array)
            offsets = stack.offsets
        if offsets is None:
            offsets = uniform_offsets(elements)
        return Gathered(tuple(inputs), offsets[-1], offsets, _NO_LENGTHS)

    def element(self, columns: Sequence[Column | None], index: int, copies: CopySink) -> Gathered:
        """Inputs of one element, for a stage without `*`."""
        inputs: list[Value] = [None] * len(self.stage.inputs)
        ragged: list[tuple[int, PortPlan, Ragged]] = []
        for i, port in self._given:
            column = columns[i]
            value = None if column is None else column.element(index)
            if value is not None and port.type.is_ragged and port.form != "object":
                ragged.append((i, port, _as_ragged(value)))
            elif value is not None:
                inputs[i] = shared_value(value, port)
        lengths = self._lay_out(ragged, inputs, copies) if ragged else {}
        return Gathered(tuple(inputs), 1, (0, 1), lengths)

    def chunk(self, gathered: Gathered, lo: int, hi: int) -> Gathered:
        """Rows lo..hi of a batch that is one element, as a batch of its own."""
        inputs = tuple(
            value[lo:hi] if port.type.has_rows and value is not None else value
            for port, value in zip(self.stage.inputs, gathered.inputs)
        )
        return Gathered(inputs, hi - lo, (0, hi - lo), {k: v[lo:hi] for k, v in gathered.lengths.items()})

    def unchunk(self, outputs: Sequence[tuple[Value, ...]], copies: CopySink) -> tuple[Value, ...]:
        """The outputs of consecutive chunks as those of one batch."""
        made: list[Value] = []
        for values in zip(*outputs):
            if isinstance(values[0], Ragged):
                made.append(concat_ragged(values, copies, "split"))
            else:
                made.append(concat_arrays([Stack(v, None) for v in values], copies, "split").array)
        return tuple(made)

    def _lay_out(
        self, ragged: list[tuple[int, PortPlan, Ragged]], inputs: list[Value], copies: CopySink
    ) -> dict[str, Array]:
        """Pad, pack or pass on ragged ports; every port with one dim name gets one padded length."""
        lengths: dict[str, Array] = {}
        sizes: dict[str, int] = {}
        for _, port, value in ragged:
            name, axis = ragged_axis(port)
            if name not in lengths:
                lengths[name] = value.lengths(axis)
        for _, port, value in ragged:
            if port.form == "padded":
                name, axis = ragged_axis(port)
                sizes[name] = padded_length(port, lengths[name], value if axis == 0 else None, sizes.get(name, 0))
        for i, port, value in ragged:
            name, axis = ragged_axis(port)
            inputs[i] = _laid_out(port, value, axis, sizes.get(name), copies)
        for i, port in self._filled:
            inputs[i] = self._companion(port, lengths, sizes, copies)
        return lengths

    def _companion(self, port: PortPlan, lengths: dict[str, Array], sizes: dict[str, int], copies: CopySink) -> Array:
        source = next(p for p in self.stage.inputs if p.name == port.filled_from)
        name, _ = ragged_axis(source)
        made: Array
        if port.filled == "mask":
            made = np.arange(sizes[name]) < lengths[name][:, None]
        elif port.filled == "lengths":
            made = lengths[name]
        else:
            made = np.asarray(offsets_of(lengths[name].tolist()))
        return made.astype(port.type.dtype.numpy, copy=False)

    # ---- from the backend

    def outputs(self, values: Sequence[Value], lengths: dict[str, Array]) -> tuple[Value, ...]:
        """A backend's outputs with ragged ones as `Ragged`, and arrays closed for writing."""
        if not self._ragged_out:
            for value in values:
                if type(value) is np.ndarray:
                    value.setflags(write=False)
            return tuple(values)
        made = list(values)
        for i, port in enumerate(self.stage.outputs):
            value = made[i]
            if isinstance(value, np.ndarray):
                if port.type.is_ragged:
                    value = made[i] = _unpadded(port, value, lengths)
                else:
                    value.flags.writeable = False
            elif port.type.is_ragged and isinstance(value, list):
                made[i] = Ragged(value)
        return tuple(made)


def scatter(outputs: Sequence[Value], offsets: Offsets, binding: Binding, lo: int, hi: int) -> tuple[Column, ...]:
    """Columns of elements lo..hi of a batch; outputs of a stage with `*`."""
    first, last = offsets[lo], offsets[hi]
    whole = lo == 0 and hi == len(offsets) - 1
    own: Offsets | None = None
    if binding == "rows":
        own = offsets if whole else [o - first for o in offsets[lo : hi + 1]]
    return tuple([_column(value, own, first, last, whole) for value in outputs])


def _column(value: Value, offsets: Offsets | None, first: int, last: int, whole: bool) -> Column:
    if isinstance(value, Ragged):
        return Jagged(value if whole else value[first:last], offsets)
    if whole:
        return Stack(value, offsets)
    return Stack(value[first:last], offsets, value, first)


# ---- columns to rows


def count_rows(column: Column) -> int:
    """Rows of a column whose elements each bring any number of them."""
    if isinstance(column, Items):
        items = column.items
        return len(items[0]) if len(items) == 1 else sum(map(len, items))
    if column.offsets is not None:
        return column.offsets[-1] - column.offsets[0]
    if isinstance(column, Jagged):
        return int(column.ragged.lengths().sum())
    return int(column.array.shape[0] * column.array.shape[1])


def dense_rows(column: Column | None, binding: Binding, port: PortPlan) -> Stack:
    """The rows of a column in one array; offsets None where each element is one row."""
    assert column is not None
    if binding == "rows":
        return _rows_of_elements(column)
    if isinstance(column, Stack):
        return column if column.offsets is None else Stack(np.stack(_elements(column)), None)
    if isinstance(column, Items):
        return Stack(_stacked(column.items, port), None)
    rows = _elements(column)
    return Stack(np.stack(rows), None)


def _rows_of_elements(column: Column) -> Stack:
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
    return Stack(np.concatenate(items), offsets_of([len(a) for a in items]))


def _stacked(items: list[Value], port: PortPlan) -> Array:
    """Single values as rows of one array."""
    if port.type.rank == 1 and not isinstance(items[0], np.ndarray):
        made: Array = np.empty(len(items), port.type.dtype.numpy)
        made[:] = items
        return made
    if len(items) == 1:
        only: Array = items[0][None]
        return only
    return np.stack(items)


def _elements(column: Column) -> list[Value]:
    return [column.element(i) for i in range(len(column))]


def ragged_rows(column: Column | None, binding: Binding) -> tuple[Ragged, Offsets | None]:
    """The rows of a column as `Ragged`; offsets None where each element is one row."""
    assert column is not None
    if isinstance(column, Jagged):
        return column.ragged, column.offsets
    if isinstance(column, Stack):
        return _ragged_stack(column, binding)
    if binding == "lift":
        return Ragged(column.items), None
    parts = [_as_ragged(item) for item in column.items]
    if len(parts) == 1:
        return parts[0], (0, len(parts[0]))
    return Ragged([row for part in parts for row in part]), offsets_of([len(p) for p in parts])


def _ragged_stack(column: Stack, binding: Binding) -> tuple[Ragged, Offsets | None]:
    """Rows of equal size, as values of a ragged port."""
    if binding == "lift":
        if column.offsets is None:
            return _as_ragged(column.array), None
        return Ragged(values=column.array, offsets=np.asarray(column.offsets, np.int64)), None
    rows = _rows_of_elements(column)
    return _as_ragged(rows.array), rows.offsets


def _as_ragged(value: Value) -> Ragged:
    if isinstance(value, Ragged):
        return value
    if isinstance(value, np.ndarray) and value.ndim >= 2:
        return Ragged(padded=value, lengths=np.full(len(value), value.shape[1], np.int64))
    return Ragged(list(value))


def _offsets(stacks: Sequence[Stack]) -> Offsets:
    return joined_offsets([s.offsets if s.offsets is not None else uniform_offsets(len(s.array)) for s in stacks])


# ---- shapes of ports


def shared_value(value: Value, port: PortPlan) -> Value:
    """A value of a port without `*`: a 0-d array never reaches a stage."""
    return value.item() if not port.type.dims and isinstance(value, (np.ndarray, np.generic)) else value


def _is_dense(port: PortPlan) -> bool:
    return not port.type.is_ragged


def ragged_axis(port: PortPlan) -> tuple[str, int]:
    """Name of the (first) ragged dim, and its axis in one row."""
    for axis, dim in enumerate(port.type.dims):
        if isinstance(dim, RaggedDim):
            return str(dim.size), axis - 1
    raise ValueError(f"port {port.name} is not ragged")


def bucket_of(length: int, buckets: Sequence[int]) -> int:
    """The smallest bucket that holds `length`; itself where none does."""
    return next((b for b in buckets if b >= length), length)


def padded_length(port: PortPlan, lengths: Array, held: Ragged | None, least: int) -> int:
    """The length a dim is padded to: one that is held already if it fits the rule, else the bucket of the longest."""
    longest = int(lengths.max()) if len(lengths) else 0
    if held is not None and held.is_padded:
        length = held.padded().shape[1]
        if length >= longest and (not port.buckets or length in port.buckets):
            return max(length, least)
    return max(bucket_of(longest, port.buckets), least)


def _laid_out(port: PortPlan, value: Ragged, axis: int, length: int | None, copies: CopySink) -> Value:
    if port.form == "padded":
        if axis == 0:
            held = value.is_padded
            array = value.padded(port.pad_value, length)
            if not (held and array is value.padded()):
                copies.copied(size_of(array), "pad")
            return array
        return _pad_axis(value, axis, port.pad_value, length or 0, copies)
    if port.form == "packed":
        if not value.is_packed:
            copies.copied(value.nbytes, "pack")
        return value.packed()[0]
    return value


def _pad_axis(value: Ragged, axis: int, fill: Any, length: int, copies: CopySink) -> Array:
    """Padding along an inner axis."""
    rows = list(value)
    shape = list(rows[0].shape) if rows else [0] * (axis + 1)
    shape[axis] = length
    out = np.full((len(rows), *shape), fill, dtype=value.dtype)
    for i, row in enumerate(rows):
        out[(i, *map(slice, row.shape))] = row
    copies.copied(size_of(out), "pad")
    return out


def _unpadded(port: PortPlan, value: Array, lengths: dict[str, Array]) -> Ragged:
    """A padded output with its real lengths, taken from the inputs' sizes of the same name."""
    value.flags.writeable = False
    axis = next(a for a, d in enumerate(port.type.dims) if isinstance(d, RaggedDim))
    dim = port.type.dims[axis]
    assert isinstance(dim, RaggedDim)
    real = np.asarray(dim.size.evaluate(lengths), np.int64)  # type: ignore[arg-type]  # arrays take the same operators
    if axis == 1:
        return Ragged(padded=value, lengths=real)
    index: list[Any] = [slice(None)] * (axis - 1)
    return Ragged([row[(*index, slice(n))] for row, n in zip(value, real.tolist())])


# ---- group keys


class _Keyer:
    """What of one port must be equal for elements to share a batch."""

    __slots__ = ("index", "port")

    def __init__(self, index: int, port: PortPlan) -> None:
        self.index = index
        self.port = port

    def keys(self, column: Column | None, binding: Binding, elements: int) -> Sequence[Hashable]:
        if column is None:
            return (None,) * elements
        if isinstance(column, Stack) and self.port.type.has_rows:
            skip = 1 if column.offsets is not None or binding == "lift" else 2
            return (column.array.shape[skip:],) * elements
        return [self._key(column.element(i), binding) for i in range(elements)]

    def _key(self, value: Value, binding: Binding) -> Hashable:
        if value is None:
            return None
        if not self.port.type.has_rows:
            return id(value) if isinstance(value, (np.ndarray, Ragged, dict, list)) else (type(value), value)
        if self.port.type.is_ragged:
            return "present"
        shape = np.shape(value)
        return shape if binding == "lift" else shape[1:]


def _keyers(ports: Sequence[tuple[int, PortPlan]]) -> list[_Keyer]:
    return [_Keyer(i, p) for i, p in ports if _needs_key(p)]


def _needs_key(port: PortPlan) -> bool:
    if port.type.optional or not port.type.has_rows:
        return True
    if port.type.is_ragged:
        return False
    return not all(isinstance(d, Sized) and d.size.value is not None for d in port.type.dims[1:])


def _longest(column: Column, binding: Binding, axis: int) -> list[int]:
    """The longest row of each element."""
    ragged, offsets = ragged_rows(column, binding)
    lengths = ragged.lengths(axis).tolist()
    if offsets is None:
        return lengths
    return [max(lengths[lo:hi], default=0) for lo, hi in pairwise(offsets)]
