"""Where a conformance suite runs: `device = "cpu"`, or an accelerator, simulated or real.

    class TestMineOnCuda(TestMine):
        device = "cuda:0"

Inputs are brought to the device, each call is made as an executor makes it, on a stream of its own, and results are
read back before they are compared. On `sim:N` the backend's instances of the host are wrapped by the simulator, which
raises on work that nothing orders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np

from pipeline_dsl.plan import StagePlan

from .base import Backend, Batch, BatchResult, Elements, Instance, InstanceConfig
from .device import Accelerator, DeviceArray, Stream, device
from .values import Array, Value

_lanes = count()


class OnDevice(ABC):
    """What the suites share."""

    device: str = "cpu"
    """`cuda:0`, `sim:0`; numbers of inputs and outputs are there."""

    @abstractmethod
    def backend(self) -> Backend:
        """The backend under test."""

    @property
    def accelerator(self) -> Accelerator | None:
        """The device; None for the host."""
        found = device(self.device)
        return found if isinstance(found, Accelerator) else None

    def placed(self, stage: StagePlan) -> StagePlan:
        """The stage where it runs."""
        return replace(stage, device=self.device)

    def load(self, stage: StagePlan, **options: Any) -> Instance:
        """An instance on the device."""
        config = InstanceConfig(device=self.device, **options)
        if self.device.startswith("sim"):
            from .device.sim.instance import load

            return load(self.placed(stage), config, self.backend())
        return self.backend().load(self.placed(stage), config)

    def on_device(self, array: Array) -> Any:
        """A read-only array of the host, where the stage takes it."""
        array.flags.writeable = False
        accelerator = self.accelerator
        return array if accelerator is None else accelerator.upload(array)

    def call(self, instance: Instance, batch: Batch) -> BatchResult:
        """One call as an executor makes it."""
        accelerator = self.accelerator
        if accelerator is None:
            return instance.execute(batch)
        stream: Stream = getattr(instance, "stream", None) or accelerator.in_lane(next(_lanes), 0)
        batch.stream = stream
        read = _arrays(batch.inputs)
        with stream.use():
            stream.order(reads=read)
            result = instance.execute(batch)
            shared = {id(a.block) for a in read}
            made = [a for a in _arrays(result.outputs) if id(a.block) not in shared]
            stream.launched(reads=read, writes=made)
        if result.elements is not None:
            result.elements = _under(stream, result.elements)
        return result

    def read(self, value: Value) -> Array:
        """A result as the host sees it, which waits for it."""
        if type(value) is not DeviceArray:
            found: Array = value
            return found
        landing = value.block.device.download(value)
        landing.event.synchronize()
        return landing.array


def share_memory(left: Value, right: Value) -> bool:
    """Whether two contiguous arrays of one place have an item in common."""
    if type(left) is not DeviceArray:
        return np.shares_memory(left, right)
    return bool(left.address < right.address + right.nbytes and right.address < left.address + left.nbytes)


def _arrays(values: tuple[Value, ...]) -> list[DeviceArray]:
    return [value for value in values if type(value) is DeviceArray]


def _under(stream: Stream, elements: Elements) -> Elements:
    """Elements, each made while the stream is the current one."""

    try:
        while True:
            with stream.use():
                try:
                    values = next(elements)
                except StopIteration as stop:
                    return stop.value or ()
            yield values
    finally:
        with stream.use():
            elements.close()
