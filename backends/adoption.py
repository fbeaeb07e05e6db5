"""What a call on an accelerator returned, taken into the executor's hands without a copy.

    cupy.ndarray, torch.Tensor of this device -> DeviceArray
    an input, or a view of one                -> DeviceArray in the input's own block, whose readers are known there
    list of numbers                           -> DeviceArray, copied to the device
    anything else                             -> Mismatch that names both devices

Arrays are ready on the calling thread's current stream, which is the batch's. Nothing here waits. bf16 is two things:
a torch tensor of bfloat16, or an array of unsigned integers where the port says bf16."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from pipeline_dsl.plan import PortPlan, StagePlan
from pipeline_dsl.types import Sized

from .base import Batch
from .convert import array, describe
from .device import Accelerator, DeviceArray
from .device.array import storage
from .device.ops import stack, zeros
from .interop import as_stored
from .returns import Convert, Failed, converter, padded_with_lengths, same_lengths
from .shapes import Mismatch
from .values import Ragged, Value


class Adoption:
    """Of one stage's results, on one device."""

    __slots__ = ("_device", "_stage")

    def __init__(self, stage: StagePlan, device: Accelerator) -> None:
        self._stage = stage
        self._device = device

    def array(self, value: Any, port: PortPlan, inputs: Sequence[Value]) -> DeviceArray:
        """A device array over the memory of a library's array. Mismatch if it is not on this device."""
        if type(value) is DeviceArray:
            return value
        device = self._device
        dtype = None
        if is_tensor(value):
            value, dtype = as_stored(value)
        elif not hasattr(value, "dtype"):
            raise Mismatch(f"{port.type} on {device.name} is expected, found {describe(value)}")
        if not device.driver.holds(value):
            raise Mismatch(self._elsewhere(value, port))
        data = device.driver.adopt(value)
        declared = port.type.dtype.numpy
        if dtype is None and data.dtype != declared and data.dtype == storage(declared):
            dtype = declared
        dtype = np.dtype(dtype or data.dtype)
        given = self._input_around(data, inputs)
        if given is None:
            return device.adopt(data, device.current(), dtype)
        same = given.address == device.driver.address(data) and given.shape == data.shape and given.dtype == dtype
        return given if same and data.flags.c_contiguous else DeviceArray(data, given.block, dtype)

    def _input_around(self, data: Any, inputs: Sequence[Value]) -> DeviceArray | None:
        """The input whose memory this is, or is a part of."""
        if not data.size:
            return None
        address = self._device.driver.address(data)
        for found in _device_arrays(inputs):
            start = found.address
            if start <= address < start + found.nbytes:
                return found
        return None

    def _elsewhere(self, value: Any, port: PortPlan) -> str:
        here, there = self._device.name, device_of(value)
        what = "a tensor" if is_tensor(value) else "an array"
        if there == "cpu":
            hint = "compute it on the device (there is `ctx.device`), or place the stage with `device = cpu`"
        else:
            hint = "compute it on the stage's own device, or place the stage on the other one"
        return f"{port.type} on {here} is expected, found {what} on {there}; {hint}"

    # ---- results of python stages

    def converter(self, port: PortPlan, stage: StagePlan) -> Convert:
        """As `returns.converter`, for a call on this device. Text, and single values, are the host's."""
        if port.form == "scalar":
            return self._scalars(port, stage)
        if not port.type.dtype.numeric:
            return converter(port, stage)
        return self._raggeds(port, stage) if port.type.is_ragged else self._arrays(port)

    def of_one_row(self, port: PortPlan, stage: StagePlan) -> Convert:
        """The same for a function that sees one row: a single number may stay on the device."""
        if port.form != "scalar" or not port.type.dtype.numeric:
            return self.converter(port, stage)
        on_host = converter(port, stage)

        def convert(value: Any, batch: Batch, failed: Failed) -> Value:
            if self._is_here(value):
                return self.array(value, port, batch.inputs)
            return on_host(value, batch, failed)

        return convert

    def _is_here(self, value: Any) -> bool:
        return type(value) is DeviceArray or (hasattr(value, "dtype") and bool(self._device.driver.holds(value)))

    def _scalars(self, port: PortPlan, stage: StagePlan) -> Convert:
        on_host = converter(port, stage)

        def convert(value: Any, batch: Batch, failed: Failed) -> Value:
            if self._is_here(value):
                raise Mismatch(
                    f"{port.type} is expected as a Python value, found an array on {self._device.name}; give it a dim "
                    f"(`{port.name}: {port.type.dtype.name}[1]`), or return .item(), which waits for the device"
                )
            return on_host(value, batch, failed)

        return convert

    def _arrays(self, port: PortPlan) -> Convert:
        has_rows = port.type.has_rows

        def convert(value: Any, batch: Batch, failed: Failed) -> Value:
            if value is None:
                return None
            if isinstance(value, Exception) and not has_rows:
                failed[0] = value
                return zeros(self._device, (0,) * (port.type.rank or 1), port.type.dtype.numpy)
            if isinstance(value, list | tuple) or _holds_objects(value):
                return self._listed(value, port, batch, failed)
            return self.array(value, port, batch.inputs)

        return convert

    def _listed(self, value: Sequence[Any], port: PortPlan, batch: Batch, failed: Failed) -> Value:
        """Rows one by one, some of which may be exceptions; or numbers, as deep as the port's dims."""
        rows, errors = self._rows(value, port, batch)
        if port.type.has_rows:
            failed.update(errors)
        elif errors:
            raise Mismatch(f"{port.type} is expected, found {describe(next(iter(errors.values())))}")
        arrays = [row for row in rows if isinstance(row, DeviceArray)]
        if not arrays:
            blank = _blank(port)
            numbers = [blank if i in errors else row for i, row in enumerate(rows)]
            return self._device.upload(array(numbers, port.type.dtype, port.type.rank))
        first = arrays[0]
        if any(row.shape != first.shape or row.dtype != first.dtype for row in arrays):
            found = ", ".join(sorted({f"{row.dtype} {list(row.shape)}" for row in arrays}))
            raise Mismatch(f"{port.type} is expected, found rows that differ: {found}")
        filled = [self._row_like(first, row) for row in rows]
        return stack(filled)

    def _row_like(self, first: DeviceArray, row: Any) -> DeviceArray:
        """A row as it is; one that failed as zeros; numbers copied to the device."""
        if isinstance(row, DeviceArray):
            return row
        if row is None:
            made: DeviceArray = zeros(self._device, first.shape, first.dtype)
            return made
        return self._device.upload(np.asarray(row, first.dtype).reshape(first.shape))

    def _rows(self, value: Sequence[Any], port: PortPlan, batch: Batch) -> tuple[list[Any], Failed]:
        """Library arrays as device arrays, None for an exception, anything else as it is."""
        errors: Failed = {}
        rows: list[Any] = []
        for i, row in enumerate(value):
            if isinstance(row, Exception):
                errors[i] = row
                rows.append(None)
            else:
                rows.append(self.array(row, port, batch.inputs) if hasattr(row, "dtype") and _has_dims(row) else row)
        return rows, errors

    def _raggeds(self, port: PortPlan, stage: StagePlan) -> Convert:
        source = same_lengths(port, stage)
        keeps_padded = port.form in ("padded", "packed")

        def convert(value: Any, batch: Batch, failed: Failed) -> Value:
            if value is None:
                return None
            if isinstance(value, Ragged):
                return self._ragged(value, port, batch)
            if isinstance(value, list | tuple) or _holds_objects(value):
                return self._list_of_rows(value, port, batch, failed)
            made = self.array(value, port, batch.inputs)
            return made if keeps_padded else padded_with_lengths(made, source, batch, port)

        return convert

    def _ragged(self, value: Ragged, port: PortPlan, batch: Batch) -> Ragged:
        """What a stage built of library arrays, or the value it was given."""
        held = getattr(value, "held", None)
        if held is not None:
            given: Ragged = held
            return given
        return value.converted(lambda part: self.array(part, port, batch.inputs))

    def _list_of_rows(self, value: Sequence[Any], port: PortPlan, batch: Batch, failed: Failed) -> Ragged:
        rows, errors = self._rows(value, port, batch)
        failed.update(errors)
        dtype, rank = port.type.dtype, None if port.type.rank is None else port.type.rank - 1
        made = [
            row if isinstance(row, DeviceArray) or row is None else self._device.upload(array(row, dtype, rank))
            for row in rows
        ]
        good = next((row for row in made if row is not None), None)
        blank = (0, *good.shape[1:]) if good is not None else _blank_shape(port)
        if not made:
            values: Any = self._device.empty(blank, dtype.numpy)
            return Ragged(values=values, offsets=np.zeros(1, np.int64))
        whole: list[Any] = [self._device.empty(blank, dtype.numpy) if row is None else row for row in made]
        return Ragged(whole)


def is_tensor(value: Any) -> bool:
    """Whether it is a torch tensor, without importing torch."""
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")


def device_of(value: Any) -> str:
    """Where a library's array is: `cpu`, `cuda:1`."""
    if isinstance(value, np.ndarray | np.generic):
        return "cpu"
    device = getattr(value, "device", None)
    if device is None:
        return "cpu"
    number = getattr(device, "id", getattr(device, "index", None))
    kind = getattr(device, "type", None) or ("cuda" if number is not None else str(device))
    return kind if number is None else f"{kind}:{number}"


def _device_arrays(inputs: Iterable[Value]) -> Iterator[DeviceArray]:
    for value in inputs:
        if type(value) is DeviceArray:
            yield value
        elif isinstance(value, Ragged):
            yield from (part for part in value.parts() if type(part) is DeviceArray)


def _holds_objects(value: Any) -> bool:
    """An object array of numpy's: rows one by one."""
    return isinstance(value, np.ndarray) and value.dtype == object


def _has_dims(row: Any) -> bool:
    """Not a single number of numpy's, which is as good as one of Python's."""
    return not isinstance(row, np.generic)


def _blank(port: PortPlan) -> Any:
    """Numbers in place of a row that failed, where nothing tells its sizes but the port."""
    sizes = _blank_shape(port)
    return np.zeros(sizes, port.type.dtype.numpy).tolist() if sizes else 0


def _blank_shape(port: PortPlan) -> tuple[int, ...]:
    return tuple(d.size.value or 0 if isinstance(d, Sized) else 0 for d in port.type.dims[1:])
