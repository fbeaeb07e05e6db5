"""What must be equal for elements to share a batch, and what had better be.

Must: every plain size beside `*`, the presence of optional ports, the value of ports without `*`. Had better: the
bucket that ragged rows are padded to.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np

from backends.values import Ragged, Value
from pipeline_dsl.ir import Binding
from pipeline_dsl.plan import PortPlan, StagePlan
from pipeline_dsl.types import Sized

from .columns import Column, Stack
from .padding import bucket_of, ragged_axis
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
        self.uniform = not self._keyers and not self._padded
        """Whether any two cohorts may share a batch, whatever their values."""

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


def _needs_key(port: PortPlan) -> bool:
    if port.type.optional or not port.type.has_rows:
        return True
    if port.type.is_ragged:
        return False
    return not all(isinstance(d, Sized) and d.size.value is not None for d in port.type.dims[1:])


def _longest(column: Column, binding: Binding, axis: int) -> list[int]:
    """The longest row of each element."""
    ragged, offsets = ragged_rows(column, binding)
    lengths: list[int] = ragged.lengths(axis).tolist()
    if offsets is None:
        return lengths
    return [max(lengths[lo:hi], default=0) for lo, hi in pairwise(offsets)]
