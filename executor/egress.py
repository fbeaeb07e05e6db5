"""From a cohort that has all its outputs to one response for each of its requests.

A result is alone in its memory, or a fair share of it: a small part of a large batch is copied, so that keeping one
answer does not keep the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import cast

import numpy as np

from backends.values import Array, Ragged, Value, set_writable

from .cohort import Cohort
from .columns import Column, CopySink, Jagged, Stack
from .request import Request, Response

COPY_BELOW = 4
"""A result smaller than one part in this of the memory it lies in is copied."""


def responses(cohort: Cohort, now: int, copies: CopySink) -> list[tuple[Request, Response]]:
    """Answers of the requests that have not ended; columns are those of the variant's outputs, in order."""
    owners = cast(Sequence[Request], cohort.layout.owners)  # only requests come to the end of a pipeline
    names = [o.name for o in owners[0].variant.outputs]
    rows = values_of(cohort, copies)
    return [(owner, Response(owner, dict(zip(names, row)), now)) for owner, row in zip(owners, rows) if not owner.done]


def values_of(cohort: Cohort, copies: CopySink) -> Iterable[tuple[Value, ...]]:
    """The values of each element, as its caller gets them."""
    elements = len(cohort.layout.owners)
    values = [_values(column, elements, copies) for column in cohort.columns]
    return zip(*values) if values else [()] * elements


def _values(column: Column | None, elements: int, copies: CopySink) -> list[Value]:
    """The value of each element, as its caller gets it."""
    if column is None:
        return [None] * elements
    if isinstance(column, Stack) and column.array.ndim > (column.offsets is None):
        return _arrays(column, copies)
    if isinstance(column, Jagged):
        return _ragged(column, copies)
    return [column.element(i) for i in range(elements)]


def _arrays(column: Stack, copies: CopySink) -> list[Value]:
    array, offsets = column.array, column.offsets
    parts = list(array) if offsets is None else [array[lo:hi] for lo, hi in pairwise(offsets)]
    limit = column.slab.nbytes // COPY_BELOW
    copied = 0
    for i, part in enumerate(parts):
        if part.nbytes < limit:
            copied += part.nbytes
            parts[i] = own = part.copy()
            set_writable(own, False)
    if copied:
        copies.copied(copied, "egress")
    return parts


def _ragged(column: Jagged, copies: CopySink) -> list[Value]:
    parts = [column.element(i) for i in range(len(column))]
    copied = 0
    for i, part in enumerate(parts):
        if part.nbytes * COPY_BELOW < _held(part):
            copied += part.nbytes
            parts[i] = _copy(part)
    if copied:
        copies.copied(copied, "egress")
    return parts


def _arrays_of(value: Array | Ragged) -> list[Array]:
    """The arrays that a value consists of."""
    if isinstance(value, np.ndarray):
        return [value]
    if value.is_packed:
        return [value.packed()[0]]
    return list(value) if value.padded_form is None else [value.padded_form]


def _held(value: Array | Ragged) -> int:
    """Bytes that stay alive with it."""
    bases = [a if a.base is None else a.base for a in _arrays_of(value)]
    return sum({id(b): b.nbytes for b in bases if isinstance(b, np.ndarray)}.values())


def _copy(value: Array | Ragged) -> Array | Ragged:
    """Its values in memory of their own, read-only."""
    if isinstance(value, Ragged) and not (value.is_packed or value.is_padded):
        return Ragged([_closed(row.copy()) for row in value])
    if isinstance(value, np.ndarray):
        return _closed(value.copy())
    packed, offsets = value.packed()
    return Ragged(values=_closed(packed.copy()), offsets=offsets)


def _closed(array: Array) -> Array:
    array.flags.writeable = False
    return array
