"""What must be equal for elements to share a batch, and what had better be.

Must: every plain size beside `*`, the presence of optional ports, the value of ports without `*`. Had better: the
bucket that ragged rows are padded to.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np

from backends.device import DeviceArray
from backends.values import Ragged, Value
from pipeline_dsl.ir import Binding
from pipeline_dsl.plan import PortPlan, StagePlan
from pipeline_dsl.types import Sized

from .cohort import Cohort
from .columns import Column, CopySink, Items, Same, Stack
from .padding import bucket_of, lengths_along, ragged_axis
from .rows import ragged_rows

CUT_GAIN = 0.25
"""A cohort of mixed lengths is cut by bucket where that saves this share of the padded items."""


def worth_cutting(buckets: Sequence[int]) -> bool:
    """Whether elements padded to these lengths had better run in several batches than all at the longest."""
    together = max(buckets) * len(buckets)
    return together - sum(buckets) > CUT_GAIN * together


class Grouping:
    """Group keys of one stage."""

    def __init__(self, stage: StagePlan) -> None:
        given = [(i, p) for i, p in enumerate(stage.inputs) if not p.filled]
        self._keyers = [_Keyer(i, p) for i, p in given if _needs_key(p)] if stage.has_rows else []
        self._padded = [(i, p) for i, p in given if p.type.has_rows and p.buckets]
        self._optional = [i for i, p in given if p.type.optional] if stage.has_rows else []
        self.uniform = not self._keyers and not self._padded
        """Whether any two cohorts may share a batch, whatever their values."""

    def present(self, cohort: Cohort, copies: CopySink) -> list[Cohort]:
        """The cohort taken apart, so that in each part an optional port is there for all elements or its column is
        None. Only values that a step made can differ in one cohort."""
        parts = [cohort]
        for index in self._optional:
            parts = [p for part in parts for p in _by_presence(part, index, copies)]
        return parts

    def keys(self, columns: Sequence[Column | None], binding: Binding, elements: int) -> list[Hashable] | None:
        """A key for each element; None if any may share a batch."""
        keys: list[Hashable] | None = None
        if self._keyers:
            keys = list(zip(*[k.keys(columns[k.index], binding, elements) for k in self._keyers]))
        buckets = self._buckets(columns, binding)
        if buckets is None:
            return keys
        if not worth_cutting(buckets):
            buckets = [max(buckets)] * elements
        return list(zip(keys, buckets)) if keys is not None else list(buckets)

    def _buckets(self, columns: Sequence[Column | None], binding: Binding) -> list[int] | None:
        """The length each element would be padded to; None where no port is padded to buckets."""
        for i, port in self._padded:
            if (column := columns[i]) is not None:
                longest = _longest(column, binding, ragged_axis(port)[1])
                return [bucket_of(n, port.buckets) for n in longest]
        return None


class _Keyer:
    """What of one port must be equal for elements to share a batch."""

    __slots__ = ("index", "port")

    def __init__(self, index: int, port: PortPlan) -> None:
        self.index = index
        self.port = port

    def keys(self, column: Column | None, binding: Binding, elements: int) -> Sequence[Hashable]:
        if column is None:
            return (None,) * elements
        if not self.port.type.has_rows:
            return _shared(column, elements)
        if self.port.type.is_ragged:
            even = self.port.form in _EQUAL
            return _lengths(column, binding, ragged_axis(self.port)[1]) if even else ["present"] * elements
        if self.port.type.rank == 1:
            return [()] * elements
        if isinstance(column, Stack):
            return _tails(column, binding, elements)
        shapes = [np.shape(column.element(i)) for i in range(elements)]
        return shapes if binding == "lift" else [shape[1:] for shape in shapes]


_EQUAL = ("dense", "object")
"""Forms in which a ragged port takes rows of one length only."""


def _shared(column: Column, elements: int) -> list[Hashable]:
    """What stands for the value of each element, for a port that takes one value for the whole batch."""
    held = isinstance(column, Items | Same)
    return [_identity(column.element(i), held) for i in range(elements)]


def _identity(value: Value, held: bool) -> Hashable:
    """Equal for values that are the same. `held`: somebody keeps the object, so that its id is its own."""
    if isinstance(value, np.ndarray | DeviceArray | Ragged):
        return id(value) if held else object()
    if isinstance(value, dict | list | tuple):
        return id(value)
    return (float, value.hex()) if type(value) is float else (type(value), value)  # 0.0 == -0.0, and nan != nan


def _tails(column: Stack, binding: Binding, elements: int) -> list[Hashable]:
    """The shape of a row of each element."""
    if binding == "lift" and column.offsets is not None:
        return [(hi - lo, *column.array.shape[1:]) for lo, hi in pairwise(column.offsets)]
    skip = 1 if column.offsets is not None or binding == "lift" else 2
    return [column.array.shape[skip:]] * elements


def _lengths(column: Column, binding: Binding, axis: int) -> list[Hashable]:
    """The lengths of the rows of each element; several only where it can not run at all."""
    ragged, offsets = ragged_rows(column, binding)
    lengths = lengths_along(ragged, axis).tolist()
    bounds = offsets if offsets is not None else range(len(lengths) + 1)
    return [frozenset(lengths[lo:hi]) for lo, hi in pairwise(bounds)]


def _by_presence(cohort: Cohort, index: int, copies: CopySink) -> list[Cohort]:
    column = cohort.columns[index]
    if not isinstance(column, Items):
        return [cohort]
    absent = [i for i, value in enumerate(column.items) if value is None]
    if not absent:
        return [cohort]
    there = [i for i, value in enumerate(column.items) if value is not None]
    gone = cohort.take(absent, copies, "group")
    gone = Cohort(gone.layout, (*gone.columns[:index], None, *gone.columns[index + 1 :]))
    return [cohort.take(there, copies, "group"), gone] if there else [gone]


def _needs_key(port: PortPlan) -> bool:
    if port.type.optional or not port.type.has_rows:
        return True
    if port.type.is_ragged:
        return port.form in _EQUAL
    return not all(isinstance(d, Sized) and d.size.value is not None for d in port.type.dims[1:])


def _longest(column: Column, binding: Binding, axis: int) -> list[int]:
    """The longest row of each element."""
    ragged, offsets = ragged_rows(column, binding)
    lengths: list[int] = lengths_along(ragged, axis).tolist()
    if offsets is None:
        return lengths
    return [max(lengths[lo:hi], default=0) for lo, hi in pairwise(offsets)]
