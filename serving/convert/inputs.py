"""Inputs of a pipeline from the wire: what a port takes, decided once for each port.

A port without dims takes shape [1] or []; `T[*]` takes [n] or [n, 1]; `~L` comes padded beside `<port>.lengths`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backends.shapes import Mismatch
from backends.values import Array, Ragged, Value
from executor.errors import InvalidArgument
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.plan import InputPlan
from pipeline_dsl.types import Ragged as RaggedDim
from serving.tensors import TensorIn

from . import read
from .shapes import checked

_I64 = DTYPES["i64"]
LENGTHS = ".lengths"
"""What follows a port's name in that of its lengths."""


class InputPort:
    """Reads one input of a pipeline."""

    __slots__ = ("_dtype", "_numeric", "_numpy", "_rank", "_wire", "name", "ragged_axes", "type")

    def __init__(self, plan: InputPlan) -> None:
        self.name = plan.name
        self.type = plan.type
        self._dtype = plan.type.dtype
        self._numpy = plan.type.dtype.numpy
        self._numeric = plan.type.dtype.numeric
        self._wire = plan.type.dtype.kserve
        self._rank = plan.type.rank
        self.ragged_axes = tuple(i for i, d in enumerate(plan.type.dims) if isinstance(d, RaggedDim))

    def value(self, tensor: TensorIn, lengths: Array | None) -> Value:
        """The value as the engine takes it. InvalidArgument names the input and what is wrong."""
        try:
            if tensor.datatype != self._wire:
                raise Mismatch(f"datatype {self._wire} is expected, found {tensor.datatype or 'none'}")
            shape, items = checked(tensor.shape)
            shape = self._fitting(shape)
            flat = self._flat(tensor.data, items)
            if self._rank == 0:
                return flat[0] if isinstance(flat, list) else flat.item()
            found = flat if isinstance(flat, np.ndarray) else np.fromiter(flat, object, len(flat))
            found = found.reshape(shape)
            return found if not self.ragged_axes else self._rows(found, lengths)
        except Mismatch as error:
            raise InvalidArgument(f"input `{self.name}`: {error}") from None

    def _fitting(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        rank = self._rank
        if rank is None or len(shape) == rank:
            return shape
        if rank == 0 and shape == (1,):
            return shape
        if rank == 1 and self.type.has_rows and len(shape) == 2 and shape[1] == 1:
            return shape[:1]
        expected = "[1]" if rank == 0 else f"{rank} dims"
        raise Mismatch(f"{self.type} takes {expected}, found the shape {list(shape)}")

    def _flat(self, data: Any, items: int) -> Array | list[Any]:
        if isinstance(data, bytes | memoryview):
            if self._numeric:
                return read.numbers(data, self._numpy, items)
            return read.texts(data, self._dtype, items)
        if data is None:
            raise Mismatch("it has no data")
        return read.listed(data, self._dtype, items)

    def _rows(self, padded: Array, lengths: Array | None) -> Ragged:
        """Padded rows and how long each is: int64 [rows, ragged dims], or [rows] for one."""
        axes = self.ragged_axes
        name = f"`{self.name}{LENGTHS}`"
        if lengths is None:
            raise Mismatch(f"{name} is missing: INT64 [{len(padded)}, {len(axes)}], how long each row is")
        if lengths.size != len(padded) * len(axes):
            raise Mismatch(f"{name} has {lengths.size} items, {len(padded)} rows take {len(padded) * len(axes)}")
        table = lengths.reshape(len(padded), len(axes))
        for column, axis in enumerate(axes):
            given = table[:, column]
            if given.size and not (int(given.min()) >= 0 and int(given.max()) <= padded.shape[axis]):
                raise Mismatch(f"{name} goes from {given.min()} to {given.max()}, the rows have {padded.shape[axis]}")
        if axes == (1,):
            return Ragged(padded=padded, lengths=np.ascontiguousarray(table[:, 0]))
        return Ragged([self._cut(row, sizes) for row, sizes in zip(padded, table.tolist())])

    def _cut(self, row: Array, sizes: list[int]) -> Array:
        place = [slice(None)] * row.ndim
        for axis, size in zip(self.ragged_axes, sizes):
            place[axis - 1] = slice(size)
        return np.ascontiguousarray(row[tuple(place)])


def lengths_of(tensor: TensorIn) -> Array:
    """A `<port>.lengths` tensor as a flat array. InvalidArgument if it is not INT64 or its data does not fit."""
    try:
        if tensor.datatype != "INT64":
            raise Mismatch(f"datatype INT64 is expected, found {tensor.datatype or 'none'}")
        _, items = checked(tensor.shape)
        if isinstance(tensor.data, bytes | memoryview):
            return read.numbers(tensor.data, _I64.numpy, items)
        if tensor.data is None:
            raise Mismatch("it has no data")
        found = read.listed(tensor.data, _I64, items)
        assert isinstance(found, np.ndarray)
        return found
    except Mismatch as error:
        raise InvalidArgument(f"input `{tensor.name}`: {error}") from None
