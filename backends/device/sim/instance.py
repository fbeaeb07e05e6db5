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
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from backends.base import Backend, Batch, BatchResult, Elements, Instance, InstanceConfig
from backends.device import device
from backends.device.accelerator import Accelerator
from backends.device.array import DeviceArray, storage
from backends.device.stream import Stream
from backends.values import Array, Ragged, Value
from pipeline_dsl.plan import StagePlan

from .data import SimData
from .driver import SimDriver
from .errors import WrongValue
from .memory import POISON, same_bytes
from .simulation import Simulation
from .work import Work


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
        result = self.call(call.inputs.batch(call.before, batch.cancelled))
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


class Place(NamedTuple):
    """A device array without its block: it keeps no memory from being freed."""

    data: SimData
    dtype: np.dtype[Any]

    def value(self, *, ideal: bool) -> Array:
        """A copy of what it holds, read-only."""
        value = np.array(self.data.ideal if ideal else self.data.actual, order="C")
        if value.dtype != self.dtype:
            value = value.view(self.dtype)
        value.flags.writeable = False
        return value


class Inputs:
    """What a call reads, for as often as it is called."""

    __slots__ = ("_batch", "places")

    def __init__(self, batch: Batch) -> None:
        self.places: list[Place] = []
        """Of the device arrays, in order."""
        shells = tuple([_mapped(value, self._place) for value in batch.inputs])
        self._batch = Batch(shells, batch.rows, batch.sizes, batch.request_ids, batch.deadline_ns, node=batch.node)

    def _place(self, array: DeviceArray) -> Place:
        place = Place(array.data, array.dtype)
        self.places.append(place)
        return place

    def values(self, *, ideal: bool) -> list[Array]:
        """What the device arrays hold, in program order or by now."""
        return [place.value(ideal=ideal) for place in self.places]

    def batch(self, values: Sequence[Array], cancelled: Callable[[], bool] | None = None) -> Batch:
        """A batch of the host with these values of the device arrays."""
        taken = iter(values)
        batch = copy(self._batch)
        batch.inputs = tuple([_mapped(value, lambda _: next(taken)) for value in batch.inputs])
        batch.cancelled = cancelled or batch.cancelled
        return batch

    def source(self, array: Array, values: Sequence[Array]) -> tuple[int, int] | None:
        """Which of the values an array is a view of, and from which byte on; None if it is new."""
        if not array.size or not array.flags.c_contiguous:
            return None
        at = array.ctypes.data
        for i, (place, value) in enumerate(zip(self.places, values)):
            start = value.ctypes.data
            if place.data.flags.c_contiguous and start <= at and at + array.nbytes <= start + value.nbytes:
                return i, at - start
        return None


class Call:
    """One batch on its way to the device."""

    __slots__ = ("_instance", "_reads", "_stream", "before", "inputs")

    def __init__(self, instance: SimInstance, batch: Batch, stream: Stream) -> None:
        self.inputs = Inputs(batch)
        self._instance = instance
        self._stream = stream
        self._reads: list[DeviceArray] = []
        for value in batch.inputs:
            _mapped(value, self._noted)
        _driver(stream).readable(stream.handle, instance.name, [place.data for place in self.inputs.places])
        self.before = self.inputs.values(ideal=True)
        """What its inputs hold in program order."""

    def _noted(self, array: DeviceArray) -> DeviceArray:
        self._reads.append(array)
        return array

    def launched(self, outputs: Sequence[Value], booked: bool) -> tuple[Value, ...]:
        """Outputs on the device, to be written by an op that is enqueued here."""
        new: list[DeviceArray] = []
        arrays: list[Array] = []

        def place(array: Any) -> Any:
            made = self._view(array)
            if made is None:
                made = self._stream.device.empty(array.shape, array.dtype, self._stream)
                new.append(made)
                arrays.append(_stored(array))
                if not array.flags.c_contiguous:
                    self._instance.copied(array.nbytes, "contiguous")
            return made

        placed = tuple([on_device(value, place) for value in outputs])
        if self._reads or new:
            simulation = _driver(self._stream).simulation
            work = StageWork(simulation, self._instance, self.inputs, self.before, new, arrays)
            self._issue(work, new, booked)
        return placed

    def _issue(self, work: StageWork, new: list[DeviceArray], booked: bool) -> None:
        stream = self._stream
        with stream.device.lock:
            if booked:
                stream.order(new, self._reads)
            _driver(stream).issue(stream.handle, self._instance.name, work, work.writes, work.reads)
            if booked:
                stream.launched(new, self._reads)

    def _view(self, array: Array) -> DeviceArray | None:
        """The part of an input's block that an output lies in; None if it is new."""
        found = self.inputs.source(array, self.before)
        if found is None:
            return None
        read = self._reads[found[0]]
        data: SimData = read.data
        raw = data.reshape(-1).view(np.uint8)[found[1] : found[1] + array.nbytes]
        return DeviceArray(raw.view(storage(array.dtype)).reshape(array.shape), read.block, array.dtype)


class StageWork(Work):
    """What one call does to the device. It keeps no array alive: what it uses is kept by who should."""

    __slots__ = ("_arrays", "_before", "_inputs", "_instance", "_known", "_simulation")

    def __init__(
        self,
        simulation: Simulation,
        instance: SimInstance,
        inputs: Inputs,
        before: Sequence[Array],
        new: Sequence[DeviceArray],
        arrays: Sequence[Array],
    ) -> None:
        """`before`: what the reads hold in program order; `arrays`: what the new ones are to hold."""
        super().__init__(_nothing, [a.data for a in new], [place.data for place in inputs.places])
        self._simulation = simulation
        self._instance = instance
        self._inputs = inputs
        self._before = before
        self._arrays = arrays
        self._known = True
        """Whether the stage was called for this launch."""

    def again(self) -> StageWork:
        made = copy(self)
        made._known = False
        return made

    def begin(self) -> None:
        if not self._known:
            self._before = self._inputs.values(ideal=True)
            self._arrays = self._made(self._instance.call(self._inputs.batch(self._before)), self._before)
        for data, array in zip(self.writes, self._arrays):
            np.copyto(data.ideal, array)

    def end(self) -> None:
        now = self._inputs.values(ideal=False)
        wrong = next((i for i, (a, b) in enumerate(zip(now, self._before)) if not same_bytes(a, b)), None)
        arrays = self._rerun(now) if self._simulation.settings.rerun else None
        if arrays is None and wrong is None:
            arrays = self._arrays
        for i, data in enumerate(self.writes):
            if arrays is None:
                np.copyto(data.actual, np.full(data.nbytes, POISON, np.uint8).view(data.dtype).reshape(data.shape))
            else:
                np.copyto(data.actual, arrays[i])
        if wrong is not None and not self._simulation.lost:
            raise WrongValue(
                f"stage `{self._instance.name}` reads {self.reads[wrong]!r} when it holds other bytes than work in the "
                "order of issue gives"
            )

    def _rerun(self, values: Sequence[Array]) -> Sequence[Array] | None:
        """What the stage gives for these values; None if it can not be called now, or can not take them."""
        try:
            result = self._instance.call_again(self._inputs.batch(values))
            return None if result is None else self._made(result, values)
        except Exception:  # it did not raise for the values of program order: those are wrong, which is said
            return None

    def _made(self, result: BatchResult, values: Sequence[Array]) -> list[Array]:
        """The new arrays of a result. RuntimeError if they are not as many and as large as those there are."""
        found: list[Array] = []

        def collect(array: Any) -> Any:
            if self._inputs.source(array, values) is None:
                found.append(_stored(array))
            return array

        for value in result.outputs:
            on_device(value, collect)
        if [a.shape for a in found] != [w.shape for w in self.writes]:
            raise RuntimeError(f"stage `{self._instance.name}` gives arrays of other shapes when it is called again")
        return found


def _nothing(*_: Any) -> None:
    """Stands for a function: `begin` and `end` do what there is to do."""


def _accelerator(name: str) -> Accelerator:
    found = device(name)
    assert isinstance(found, Accelerator), f"{name} is no accelerator"
    return found


def _driver(stream: Stream) -> SimDriver:
    driver = stream.device.driver
    assert isinstance(driver, SimDriver), f"{stream} is no stream of a simulated device"
    return driver


def _stored(array: Array) -> Array:
    """A copy as a device stores it, its items side by side."""
    made: Array = np.array(array, order="C")
    return made.view(storage(array.dtype))


def _mapped(value: Value, change: Callable[[Any], Any]) -> Value:
    """An input with another thing for each of its device arrays, or for what stands for one."""

    def changed(part: Any) -> Any:
        return change(part) if isinstance(part, DeviceArray | Place) else part

    return value.converted(changed) if type(value) is Ragged else changed(value)


def on_device(value: Value, place: Callable[[Array], Any]) -> Value:
    """An output with `place(array)` instead of each array of numbers."""
    if isinstance(value, np.ndarray):
        return place(value) if value.ndim and not value.dtype.hasobject else value
    if type(value) is Ragged and not value.dtype.hasobject:
        return value.converted(place)
    return value
