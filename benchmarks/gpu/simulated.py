"""The same work by hand on a simulated device: in one stream, and with the host waiting behind each stage.

Times are the device's, in simulated seconds. Streams of a simulated device do not slow each other down.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import backends
from backends.base import Batch, Instance, InstanceConfig
from backends.device import Accelerator, DeviceArray, Stream
from backends.device.ops import copied
from backends.device.sim import Simulation
from backends.device.sim.instance import load

from .works import Work, planned


def by_hand(work: Work, x: Any, *, stepwise: bool) -> tuple[Any, float]:
    """The answer, and the seconds from the copy to the device to the end of the last stage.

    `stepwise`: the host waits behind each stage, and the next one gets a copy."""
    simulation = Simulation(0)
    device = simulation.accelerator()
    plan = planned(work, "sim:0", "numpy", "apart", len(x))
    config = InstanceConfig(device="sim:0")
    instances = {s.name: load(s, config, backends.load(s.backend)) for s in plan.stages}
    stream = device.in_lane(0, 0)
    with stream.use():
        start = device.driver.mark(stream.handle)
        values: dict[str, DeviceArray] = {"x": device.upload(x, stream)}
        for node in work.nodes:
            inputs = [values[read] for read in node.reads]
            if stepwise:
                inputs = [copied(array) for array in inputs]
            values[node.name] = _called(instances[node.name], inputs, len(x), stream)
            if stepwise:
                stream.synchronize()
        end = device.driver.mark(stream.handle)
        answer = _landed(device, values[work.nodes[-1].name])
    for instance in instances.values():
        instance.close()
    simulation.check()
    return answer, device.driver.elapsed(start, end)


def _called(instance: Instance, inputs: list[DeviceArray], rows: int, stream: Stream) -> DeviceArray:
    batch = Batch(tuple(inputs), rows, sizes=(rows,), stream=stream)
    stream.order(reads=inputs)
    (made,) = instance.execute(batch).outputs
    assert isinstance(made, DeviceArray), "stages give arrays of the device"
    stream.launched(reads=inputs, writes=[made])
    return made


def _landed(device: Accelerator, array: DeviceArray) -> Any:
    landing = device.download(array)
    landing.event.synchronize()
    return np.array(landing.array)
