"""A stage of the host as if it ran on a simulated device.

It is called at once, on the values of program order, so that what it raises, the rows that fail and the shapes of what
it gives are those of any stage. What it enqueues is one op, which reads its inputs and writes its outputs when its time
comes: with the bytes that the call gave if the inputs are the ones that it got, else with undefined ones. In a
simulation with `rerun` the stage is called again then, on what the inputs hold; for stages without memory of their own.

Outputs that are inputs, or views of them, stay views of the same block. Text, objects and single values stay on the
host.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from backends.base import Backend, Batch, BatchResult, Elements, Instance, InstanceConfig
from backends.device import device
from backends.device.accelerator import Accelerator
from backends.device.array import DeviceArray, storage
from backends.device.stream import Stream
from backends.values import Array, Ragged, Value
from pipeline_dsl.plan import StagePlan

from .data import SimData
from .driver import SimDriver, Work
from .errors import WrongValue
from .memory import POISON, same_bytes


def load(stage: StagePlan, config: InstanceConfig, backend: Backend) -> Instance:
    """The stage as its backend loads it for the host, wrapped. BackendError if it can not be loaded."""
    inner = backend.load(replace(stage, device="cpu"), replace(config, device="cpu"))
    return SimInstance(inner, stage.name, config)


class SimInstance:
    """One instance on a simulated device. `batch.stream` is the stream that it enqueues on; who calls it orders the
    inputs on it, and books that they were read and the outputs written (`Stream.order`, `Stream.launched`)."""

    capturable = True
    """What was captured is called again when the graph is launched."""

    def __init__(self, inner: Instance, name: str, config: InstanceConfig) -> None:
        self.inner = inner
        self.name = name
        self.thread_affine = inner.thread_affine
        self.wants_context = getattr(inner, "wants_context", True)
        self._config = config
        self._calls = threading.Lock()
        """Held while the stage is called."""

    def warmup(self) -> None:
        self.inner.warmup()

    def close(self) -> None:
        self.inner.close()

    def execute(self, batch: Batch) -> BatchResult:
        stream: Stream = batch.stream or _accelerator(self._config.device).current()
        call = Call(self, batch, stream)
        result = call.run(call.before)
        if result.elements is not None:
            return BatchResult(result.outputs, result.failed, self._elements(result.elements, call))
        return BatchResult(call.launched(result.outputs, booked=False), result.failed)

    def call(self, batch: Batch) -> BatchResult:
        """Call the stage."""
        with self._calls:
            return self.inner.execute(batch)

    def call_again(self, batch: Batch) -> BatchResult | None:
        """Call the stage from whatever thread this is; None if it is being called."""
        if self.thread_affine or not self._calls.acquire(blocking=False):
            return None
        try:
            return self.inner.execute(batch)
        finally:
            self._calls.release()

    def copied(self, nbytes: int, reason: str) -> None:
        """Report a copy."""
        if self._config.on_copy is not None:
            self._config.on_copy(nbytes, reason)

    def _elements(self, elements: Elements, call: Call) -> Elements:
        """Elements on the device, each enqueued when it is asked for."""
        try:
            while True:
                with self._calls:
                    try:
                        values = next(elements)
                    except StopIteration as end:
                        return call.launched(end.value or (), booked=True)
                yield call.launched(values, booked=True)
        finally:
            elements.close()


class Call:
    """One batch: its inputs as the host sees them, and what becomes of its outputs."""

    __slots__ = ("batch", "before", "instance", "reads", "stream")

    def __init__(self, instance: SimInstance, batch: Batch, stream: Stream) -> None:
        self.instance = instance
        self.stream = stream
        self.batch = batch
        self.reads: list[DeviceArray] = []
        """What it reads on the device."""
        for value in batch.inputs:
            self.reads += device_arrays(value)
        driver: SimDriver = stream.device.driver  # type: ignore[assignment]  # a simulated one
        driver.readable(stream.handle, instance.name, [a.data for a in self.reads])
        self.before = snapshot(self.reads, ideal=True)
        """The values of those in program order."""

    def run(self, values: Sequence[Array], again: bool = False) -> BatchResult:
        """Call the stage with these values of what it reads."""
        taken = iter(values)
        batch = copy(self.batch)
        batch.inputs = tuple([_with_arrays(value, taken) for value in self.batch.inputs])
        batch.stream = None
        return (self.instance.call_again(batch) or BatchResult(())) if again else self.instance.call(batch)

    def launched(self, outputs: Sequence[Value], booked: bool) -> tuple[Value, ...]:
        """Outputs on the device, to be written by an op that is enqueued here."""
        new: list[DeviceArray] = []
        arrays: list[Array] = []

        def place(array: Any) -> Any:
            made = self._view(array)
            if made is None:
                made = self.stream.device.empty(array.shape, array.dtype, self.stream)
                new.append(made)
                arrays.append(np.array(array, order="C").view(storage(array.dtype)))
                if not array.flags.c_contiguous:
                    self.instance.copied(array.nbytes, "contiguous")
            return made

        placed = tuple([on_device(value, place) for value in outputs])
        if self.reads or new:
            self._issue(StageWork(self, new, arrays), new, booked)
        return placed

    def _issue(self, work: StageWork, new: list[DeviceArray], booked: bool) -> None:
        stream, driver = self.stream, self.stream.device.driver
        assert isinstance(driver, SimDriver), "a simulated stage runs on a simulated device"
        with stream.device.lock:
            if booked:
                stream.order(new, self.reads)
            driver.issue(stream.handle, self.instance.name, work, work.writes, work.reads)
            if booked:
                stream.launched(new, self.reads)

    def _view(self, array: Array) -> DeviceArray | None:
        """The part of an input's block that an output lies in; None if it is new."""
        if not array.size or not array.flags.c_contiguous:
            return None
        at = array.ctypes.data
        for source, value in zip(self.reads, self.before):
            start = value.ctypes.data
            if source.contiguous and start <= at and at + array.nbytes <= start + value.nbytes:
                data: SimData = source.data
                raw = data.reshape(-1).view(np.uint8)[at - start : at - start + array.nbytes]
                return DeviceArray(raw.view(storage(array.dtype)).reshape(array.shape), source.block, array.dtype)
        return None


class StageWork(Work):
    """What one call does to the device."""

    __slots__ = ("arrays", "before", "call", "known")

    def __init__(self, call: Call, new: Sequence[DeviceArray], arrays: Sequence[Array]) -> None:
        super().__init__(_nothing, [a.data for a in new], [a.data for a in call.reads])
        self.call = call
        self.arrays = arrays
        """What the writes are to hold."""
        self.before = call.before
        """What the reads hold in program order."""
        self.known = True
        """Whether the stage was called for this launch."""

    def again(self) -> StageWork:
        made = copy(self)
        made.known = False
        return made

    def begin(self) -> None:
        if not self.known:
            self.before = snapshot(self.call.reads, ideal=True)
            found = self._arrays(self.call.run(self.before))
            if found is None:
                raise RuntimeError(
                    f"stage `{self.call.instance.name}` gives other shapes when its graph is launched again"
                )
            self.arrays = found
        for data, array in zip(self.writes, self.arrays):
            np.copyto(data.ideal, array)

    def end(self) -> None:
        call = self.call
        simulation = call.stream.device.driver.simulation  # type: ignore[attr-defined]  # a simulated one
        now = snapshot(call.reads, ideal=False)
        wrong = next((i for i, (a, b) in enumerate(zip(now, self.before)) if not same_bytes(a, b)), None)
        arrays: Sequence[Array] | None = self.arrays if wrong is None else None
        if simulation.settings.rerun:
            try:
                arrays = self._arrays(call.run(now, again=True)) or arrays
            except Exception:  # what it does with wrong values is no news; with right ones it did not raise before
                arrays = self.arrays if wrong is None else None
        for i, data in enumerate(self.writes):
            if arrays is None:
                np.copyto(data.actual, np.full(data.nbytes, POISON, np.uint8).view(data.dtype).reshape(data.shape))
            else:
                np.copyto(data.actual, arrays[i])
        if wrong is not None and not simulation.lost:
            raise WrongValue(
                f"stage `{call.instance.name}` reads {call.reads[wrong]!r} when it holds other bytes than work in the "
                "order of issue gives"
            )

    def _arrays(self, result: BatchResult) -> list[Array] | None:
        """The new arrays of a result, where they are as many and as large as those there are."""
        found: list[Array] = []

        def collect(array: Any) -> Any:
            if self.call._view(array) is None:
                found.append(np.array(array, order="C").view(storage(array.dtype)))
            return array

        for value in result.outputs:
            on_device(value, collect)
        return found if [a.shape for a in found] == [w.shape for w in self.writes] else None


def _nothing(*_: Any) -> None:
    """Stands for a function: `begin` and `end` do what there is to do."""


def _accelerator(name: str) -> Accelerator:
    found = device(name)
    assert isinstance(found, Accelerator), f"{name} is no accelerator"
    return found


def snapshot(arrays: Sequence[DeviceArray], *, ideal: bool) -> list[Array]:
    """Copies of what device arrays hold, of the dtype that they mean, read-only."""
    made = []
    for array in arrays:
        value = np.array(array.data.ideal if ideal else array.data.actual, order="C")
        if value.dtype != array.dtype:
            value = value.view(array.dtype)
        value.flags.writeable = False
        made.append(value)
    return made


def device_arrays(value: Value) -> list[DeviceArray]:
    """The device arrays that an input consists of, in order."""
    if type(value) is DeviceArray:
        return [value]
    if type(value) is not Ragged:
        return []
    held: list[Any] = [value.padded_form] if value.is_padded else [value.packed()[0]] if value.is_packed else [*value]
    return [array for array in held if type(array) is DeviceArray]


def _with_arrays(value: Value, taken: Any) -> Value:
    """The value with the next host arrays in place of its device arrays."""
    if type(value) is DeviceArray:
        return next(taken)
    if type(value) is not Ragged or not device_arrays(value):
        return value
    if value.padded_form is not None:
        return Ragged(padded=next(taken), lengths=value.lengths(), fill=value.fill, on_copy=value.on_copy)
    if value.is_packed:
        return Ragged(values=next(taken), offsets=value.packed()[1], on_copy=value.on_copy)
    rows: list[Any] = list(value)
    return Ragged([next(taken) if type(row) is DeviceArray else row for row in rows], on_copy=value.on_copy)


def on_device(value: Value, place: Any) -> Value:
    """The value with `place(array)` instead of each array of numbers."""
    if isinstance(value, np.ndarray):
        return place(value) if value.ndim and not value.dtype.hasobject else value
    if type(value) is not Ragged or value.dtype.hasobject:
        return value
    if value.padded_form is not None:
        padded = place(value.padded_form)
        return Ragged(padded=padded, lengths=value.lengths(), fill=value.fill, on_copy=value.on_copy)
    if value.is_packed:
        values, offsets = value.packed()
        return Ragged(values=place(values), offsets=offsets, on_copy=value.on_copy)
    return Ragged([place(row) for row in value], on_copy=value.on_copy)
