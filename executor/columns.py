"""Columns: the values of one port for all elements of a cohort, and what can be done with them.

An element is what a graph is evaluated for: a request. Its value may be a single thing, or any number of rows.

    Items(list)              one object an element: as it came from a caller or a stage without `*`
    Stack(array, offsets)    rows of all elements stacked; offsets [elements + 1], or None: one row an element
    Jagged(ragged, offsets)  the same with rows of unequal size
    Same(value, elements)    a constant, the same single value for every row of every element

Everything here is pure: columns are never changed, views share memory, and each copy of tensor data is reported to
the `Copies` passed in. A column whose memory is a range of a larger slab knows the slab, so that ranges that lie side
by side merge into a view (compared as integers, never as pointers).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any, Protocol

import numpy as np

from backends.device import DeviceArray
from backends.device.ops import concatenate, take
from backends.values import Array, Ragged, Value

Offsets = Sequence[int]

_ARRAYS = (np.ndarray, DeviceArray)


class CopySink(Protocol):
    """Where copies are counted; `stats.NodeStats` is one."""

    def copied(self, size: int, reason: str) -> None: ...


class Copies:
    """A `CopySink` of its own, for what belongs to no node."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes: dict[str, int] = {}

    def copied(self, size: int, reason: str) -> None:
        self.bytes[reason] = self.bytes.get(reason, 0) + size

    def move_to(self, sink: CopySink) -> None:
        """Count all of it there, and none here."""
        for reason, size in self.bytes.items():
            sink.copied(size, reason)
        self.bytes = {}


class Items:
    """One object an element."""

    __slots__ = ("items",)

    def __init__(self, items: list[Value]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def element(self, index: int) -> Value:
        return self.items[index]

    def cut(self, lo: int, hi: int) -> Items:
        return Items(self.items[lo:hi])

    def take(self, indices: Sequence[int], copies: CopySink, reason: str) -> Items:
        items = self.items
        return Items([items[i] for i in indices])

    @property
    def nbytes(self) -> int:
        return sum(size_of(item) for item in self.items)


class Stack:
    """Rows stacked in one array; `slab[lo : lo + len(array)]` is `array`."""

    __slots__ = ("array", "lo", "offsets", "slab")

    def __init__(self, array: Array, offsets: Offsets | None, slab: Array | None = None, lo: int = 0) -> None:
        self.array = array
        self.offsets = offsets
        self.slab = array if slab is None else slab
        self.lo = lo

    def __len__(self) -> int:
        return len(self.array) if self.offsets is None else len(self.offsets) - 1

    def element(self, index: int) -> Value:
        if self.offsets is not None:
            return self.array[self.offsets[index] : self.offsets[index + 1]]
        value = self.array[index]
        return value.item() if isinstance(value, np.generic) else value

    def cut(self, lo: int, hi: int) -> Stack:
        if self.offsets is None:
            return Stack(self.array[lo:hi], None, self.slab, self.lo + lo)
        first, last = self.offsets[lo], self.offsets[hi]
        return Stack(self.array[first:last], shifted(self.offsets, lo, hi), self.slab, self.lo + first)

    def take(self, indices: Sequence[int], copies: CopySink, reason: str) -> Stack:
        if self.offsets is None:
            array = take(self.array, indices)
            offsets = None
        else:
            rows, offsets = rows_of(indices, self.offsets)
            array = take(self.array, rows)
        copies.copied(size_of(array), reason)
        return Stack(array, offsets)

    @property
    def nbytes(self) -> int:
        return int(self.array.nbytes)


class Jagged:
    """Rows of unequal size."""

    __slots__ = ("offsets", "ragged")

    def __init__(self, ragged: Ragged, offsets: Offsets | None) -> None:
        self.ragged = ragged
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.ragged) if self.offsets is None else len(self.offsets) - 1

    def element(self, index: int) -> Value:
        if self.offsets is None:
            return self.ragged[index]
        return self.ragged[self.offsets[index] : self.offsets[index + 1]]

    def cut(self, lo: int, hi: int) -> Jagged:
        if self.offsets is None:
            return Jagged(self.ragged[lo:hi], None)
        first, last = self.offsets[lo], self.offsets[hi]
        return Jagged(self.ragged[first:last], shifted(self.offsets, lo, hi))

    def take(self, indices: Sequence[int], copies: CopySink, reason: str) -> Jagged:
        if self.offsets is None:
            return Jagged(self.ragged.take(indices), None)
        rows, offsets = rows_of(indices, self.offsets)
        return Jagged(self.ragged.take(rows), offsets)

    @property
    def nbytes(self) -> int:
        return self.ragged.nbytes


class Same:
    """A constant: one single value, for every row there is."""

    __slots__ = ("elements", "value")

    def __init__(self, value: Value, elements: int) -> None:
        self.value = value
        self.elements = elements

    def __len__(self) -> int:
        return self.elements

    def element(self, index: int) -> Value:
        return self.value

    def cut(self, lo: int, hi: int) -> Same:
        return Same(self.value, hi - lo)

    def take(self, indices: Sequence[int], copies: CopySink, reason: str) -> Same:
        return Same(self.value, len(indices))

    @property
    def nbytes(self) -> int:
        return size_of(self.value)


Column = Items | Stack | Jagged | Same


def size_of(value: Value) -> int:
    """Bytes of tensor data in a value; text and Python scalars count what is cheap to know."""
    if isinstance(value, _ARRAYS):
        return int(value.nbytes)
    if isinstance(value, (bytes, str)):
        return len(value)
    if isinstance(value, Ragged):
        return value.nbytes
    return 8


def shifted(offsets: Offsets, lo: int, hi: int) -> Offsets:
    """The offsets of elements lo..hi, counted from the first of them."""
    base = offsets[lo]
    return offsets[lo : hi + 1] if base == 0 else [o - base for o in offsets[lo : hi + 1]]


def rows_of(indices: Sequence[int], offsets: Offsets) -> tuple[list[int], Offsets]:
    """Row numbers of the elements at `indices`, and their offsets among themselves."""
    rows: list[int] = []
    counts = [0]
    for i in indices:
        rows.extend(range(offsets[i], offsets[i + 1]))
        counts.append(len(rows))
    return rows, counts


def joined_offsets(parts: Sequence[Offsets]) -> Offsets:
    """Offsets of parts put one after the other."""
    if len(parts) == 1:
        return parts[0]
    counts = [0]
    for offsets in parts:
        base = counts[-1] - offsets[0]
        counts.extend([o + base for o in offsets[1:]])
    return counts


def uniform_offsets(elements: int) -> Offsets:
    """One row an element, spelled out."""
    return range(elements + 1)


def concat_arrays(
    stacks: Sequence[Stack], copies: CopySink, reason: str, join: Callable[[Sequence[Any]], Any] = concatenate
) -> Stack:
    """The rows of all stacks in one array: a view if they lie side by side in one slab, else one gather.

    Offsets are left out. ValueError if row shapes differ."""
    first = stacks[0]
    end = first.lo
    slab = first.slab
    for part in stacks:
        if part.slab is not slab or part.lo != end:
            array = join([part.array for part in stacks])
            copies.copied(size_of(array), reason)
            return Stack(array, None)
        end += len(part.array)
    return Stack(slab[first.lo : end], None, slab, first.lo)


def concat_ragged(parts: Sequence[Ragged], copies: CopySink, reason: str) -> Ragged:
    """The rows of all parts; packed if all are, else a list of views that copies nothing yet."""
    if len(parts) == 1:
        return parts[0]
    if all(p.is_packed for p in parts):
        values, offsets = zip(*(p.packed() for p in parts))
        joined = concatenate(values)
        copies.copied(size_of(joined), reason)
        return Ragged(values=joined, offsets=np.asarray(joined_offsets([o.tolist() for o in offsets]), np.int64))
    return Ragged([row for part in parts for row in part])


def merge(columns: Sequence[Column], copies: CopySink, reason: str) -> Column:
    """One column with the elements of all, in order."""
    if len(columns) == 1:
        return columns[0]
    if all(isinstance(c, Stack) for c in columns):
        merged = _merge_stacks(columns, copies, reason)  # type: ignore[arg-type]  # all are stacks
        if merged is not None:
            return merged
    elif all(isinstance(c, Jagged) for c in columns):
        return _merge_jagged(columns, copies, reason)  # type: ignore[arg-type]  # all are jagged
    return Items([c.element(i) for c in columns for i in range(len(c))])


def _merge_stacks(stacks: Sequence[Stack], copies: CopySink, reason: str) -> Stack | None:
    shape = stacks[0].array.shape[1:]
    if any(s.array.shape[1:] != shape for s in stacks):
        return None
    merged = concat_arrays(stacks, copies, reason)
    if any(s.offsets is not None for s in stacks):
        parts = [s.offsets if s.offsets is not None else uniform_offsets(len(s)) for s in stacks]
        merged.offsets = joined_offsets(parts)
    return merged


def _merge_jagged(parts: Sequence[Jagged], copies: CopySink, reason: str) -> Jagged:
    ragged = concat_ragged([p.ragged for p in parts], copies, reason)
    if all(p.offsets is None for p in parts):
        return Jagged(ragged, None)
    offsets = joined_offsets([p.offsets if p.offsets is not None else uniform_offsets(len(p)) for p in parts])
    return Jagged(ragged, offsets)


def chosen(
    columns: Sequence[Column | None], indices: Sequence[int], copies: CopySink, reason: str
) -> tuple[Column | None, ...]:
    """The elements at `indices` of each column: views if they are one range, else one counted copy a column."""
    lo, hi = indices[0], indices[-1] + 1
    if hi - lo == len(indices) and all(b - a == 1 for a, b in pairwise(indices)):
        size = next((len(c) for c in columns if c is not None), hi)
        if lo == 0 and hi == size:
            return tuple(columns)
        return tuple([c if c is None else c.cut(lo, hi) for c in columns])
    return tuple([c if c is None else c.take(indices, copies, reason) for c in columns])


def offsets_of(counts: Sequence[int]) -> Offsets:
    """Offsets of elements with these row counts."""
    return list(accumulate(counts, initial=0))
