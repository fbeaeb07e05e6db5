"""Ragged rows to the form a stage's rule asks for, and padded outputs back to their real lengths.

Padding lengths are those of the rule's buckets, or the longest row. What a value already holds is not made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backends.device.ops import in_corners
from backends.values import Array, InvalidInput, Ragged, Value
from pipeline_dsl.plan import PortPlan
from pipeline_dsl.types import Ragged as RaggedDim
from pipeline_dsl.types import Rest, Sized

from .columns import CopySink, size_of


def ragged_axis(port: PortPlan) -> tuple[str, int]:
    """Name of the (first) ragged dim, and its axis in one row."""
    for axis, dim in enumerate(port.type.dims):
        if isinstance(dim, RaggedDim):
            return str(dim.size), axis - 1
    raise ValueError(f"port {port.name} is not ragged")


def lengths_along(value: Ragged, axis: int) -> Array:
    """Size of each row along `axis`, int64 [rows]. No rows have no rank that could be asked."""
    return value.lengths(axis) if len(value) else np.zeros(0, np.int64)


def bucket_of(length: int, buckets: Sequence[int]) -> int:
    """The smallest bucket that holds `length`; itself where none does."""
    return next((b for b in buckets if b >= length), length)


def padded_length(port: PortPlan, lengths: Array, held: Ragged | None, least: int) -> int:
    """The length a dim is padded to: one that is held already if it fits the rule, else the bucket of the longest."""
    longest = int(lengths.max()) if len(lengths) else 0
    if held is not None and held.padded_form is not None:
        length = int(held.padded_form.shape[1])
        if length >= longest and (not port.buckets or length in port.buckets):
            return max(length, least)
    return max(bucket_of(longest, port.buckets), least)


def laid_out(port: PortPlan, value: Ragged, axis: int, length: int | None, copies: CopySink) -> Value:
    """A ragged value as the port takes it: padded, packed, or as it is."""
    if not len(value):
        value = _no_rows(port, axis)
    if port.form == "padded":
        if axis == 0:
            held = value.holds_padded(port.pad_value, length)
            array = value.padded(port.pad_value, length)
            if not held:
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False
                copies.copied(size_of(array), "pad")
            return array
        return _pad_axis(port, value, axis, length or 0, copies)
    if port.form == "packed":
        if not value.is_packed:
            copies.copied(value.nbytes, "pack")
        return value.packed()[0]
    return value if port.form == "ragged" else _even(port, value, axis, copies)


def _even(port: PortPlan, value: Ragged, axis: int, copies: CopySink) -> Array:
    """Rows of one length as the array a stage takes that rejects any others. InvalidInput if there are others."""
    found = sorted(set(lengths_along(value, axis).tolist()))
    if len(found) > 1:
        raise InvalidInput(f"`{port.name}` takes rows of one length, found lengths {', '.join(map(str, found))}")
    if axis:
        return _pad_axis(port, value, axis, found[0] if found else 0, copies)
    length = found[0] if found else 0
    held = value.is_packed or value.holds_padded(0, length)
    array = value.padded(0, length)
    copies.copied(0 if held else size_of(array), "pad")
    return array


def _no_rows(port: PortPlan, axis: int) -> Ragged:
    """No rows, of the port's dtype and rank: a list of none does not know them."""
    shape, dtype = _row_shape(port), port.type.dtype.numpy
    if axis:
        return Ragged(padded=np.zeros((0, *shape), dtype), lengths=np.zeros(0, np.int64))
    return Ragged(values=np.zeros((0, *shape[1:]), dtype), offsets=np.zeros(1, np.int64))


def _row_shape(port: PortPlan) -> list[int]:
    """The shape of one row; 0 where the type does not tell."""
    dims = (dim for dim in port.type.dims[1:] if not isinstance(dim, Rest))
    return [dim.size.value or 0 if isinstance(dim, Sized) else 0 for dim in dims]


def _pad_axis(port: PortPlan, value: Ragged, axis: int, length: int, copies: CopySink) -> Array:
    """Padding along an inner axis."""
    rows = list(value)
    shape = list(rows[0].shape) if rows else _row_shape(port)
    shape[axis] = length
    out: Array = in_corners(rows, shape, port.pad_value, port.type.dtype.numpy)
    copies.copied(size_of(out), "pad")
    return out


def unpadded(port: PortPlan, value: Array, lengths: dict[str, Array]) -> Ragged:
    """A padded output with its real lengths, taken from the inputs' sizes of the same name."""
    axis = ragged_axis(port)[1]
    real = real_lengths(port, lengths)
    if axis == 0:
        return Ragged(padded=value, lengths=real)
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    index: list[Any] = [slice(None)] * axis
    return Ragged([row[(*index, slice(n))] for row, n in zip(value, real.tolist())])


def real_lengths(port: PortPlan, lengths: dict[str, Array]) -> Array:
    """The lengths of an output's rows, from those of the inputs; its dim may be an expression of their names."""
    dim = port.type.dims[ragged_axis(port)[1] + 1]
    assert isinstance(dim, RaggedDim)
    return np.asarray(dim.size.evaluate(lengths), np.int64)  # type: ignore[arg-type]  # arrays take the same operators
