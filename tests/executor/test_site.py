"""Where an instance on an accelerator runs its batches."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from backends.base import Batch, BatchResult
from backends.device import Accelerator
from backends.device.sim import Simulation
from executor.cohort import Cohort, Layout
from executor.columns import Stack
from executor.devices.site import Site
from executor.gpu_time import GpuTime
from tests.backends.fake_cuda import FakeDriver
from tests.backends.stages import stage


@pytest.mark.parametrize("order", ["random", "late", "eager"])
def test_the_end_of_a_group_is_behind_the_time_that_was_taken_of_it(order):
    """Also where something that the group enqueued was recorded already."""
    simulation = Simulation(order=order, speeds=(1e6,), launch_cost=0.0)
    device = simulation.accelerator()
    stream = device.in_lane(0, 0)
    array = device.empty((1000,), np.int8, stream)

    def run(parts):
        stream.launch(lambda out: out.fill(1), writes=[array])
        stream.record()

    plan = stage("null", "x: f32[*, 4]", "y: f32[*, 4]")
    site = Site(device, SimpleNamespace(stream=stream), plan, 0, serial=False)
    times = GpuTime()
    launch = site.run(SimpleNamespace(run=SimpleNamespace(run=run, ledger=None), stream=None), [], times)
    launch.event.synchronize()
    launch.span.passed()
    assert times.seconds("s") == pytest.approx(1e-3)


def test_waiting_for_what_is_read_is_no_time_of_the_stage():
    simulation = Simulation(speeds=(1e6,), launch_cost=0.0)
    device = simulation.accelerator()
    other, stream = device.in_lane(0, 0), device.in_lane(1, 0)
    slow, array = (device.empty((n,), np.int8, s) for n, s in ((5000, other), (1000, stream)))
    other.launch(lambda out: out.fill(1), writes=[slow])

    def run(parts):
        stream.launch(lambda out, part: out.fill(part[0]), writes=[array], reads=[slow[:1]])

    site = Site(device, SimpleNamespace(stream=stream), stage("null", "x: f32[*, 4]", "y: f32[*, 4]"), 0, serial=False)
    times, part = GpuTime(), (None, Cohort(Layout(()), (Stack(slow, None),)), 0)
    launch = site.run(SimpleNamespace(run=SimpleNamespace(run=run, ledger=None), stream=None), [part], times)
    launch.event.synchronize()
    launch.span.passed()
    assert times.seconds("s") == pytest.approx(1.001e-3)


class Passes:
    """Gives a part of its input."""

    thread_affine = False

    def execute(self, batch):
        return BatchResult((batch.inputs[0][1:],))

    def warmup(self):
        """Nothing to warm up."""

    def close(self):
        """Nothing to release."""


def test_a_view_of_an_input_is_no_write_and_other_readers_stay_known():
    device = Accelerator(FakeDriver())
    array = device.upload(np.ones((3, 4), np.float32))
    reader, stream = device.in_lane(0, 0), device.in_lane(1, 0)
    reader.order(reads=[array])
    reader.launched(reads=[array])
    writer = array.block.writer
    site = Site(device, Passes(), stage("python", "x: f32[*, 4]", "y: f32[*, 4]"), 0, serial=False)
    with stream.use():
        result = site.execute(Batch((array,), 3, sizes=(3,), stream=stream))
    assert result.outputs[0].block is array.block
    assert array.block.writer is writer
    assert set(array.block.reads) == {reader, stream}
