"""Which arrays of devices a value or a column consists of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backends.device import DeviceArray
from backends.values import Ragged, Value
from executor.columns import Column, Items, Jagged, Stack


def arrays_of(value: Value) -> list[DeviceArray]:
    """The device arrays that a value consists of."""
    if type(value) is DeviceArray:
        return [value]
    if type(value) is Ragged:
        held: list[Any] = (
            [value.padded_form] if value.is_padded else [value.packed()[0]] if value.is_packed else list(value)
        )
        return [array for array in held if type(array) is DeviceArray]
    return []


def arrays_in(column: Column | None) -> Iterator[DeviceArray]:
    """All device arrays of a column: of several items any may be on a device."""
    if isinstance(column, Items):
        for item in column.items:
            yield from arrays_of(item)
    elif isinstance(column, Stack):
        yield from arrays_of(column.array)
    elif isinstance(column, Jagged):
        yield from arrays_of(column.ragged)


def first_array(column: Column | None) -> DeviceArray | None:
    """A device array of a column, if it has one."""
    return next(arrays_in(column), None)
