"""Where an instance on an accelerator runs its batches."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from backends.device.sim import Simulation
from executor.devices.site import Site
from executor.gpu_time import GpuTime
from tests.backends.stages import stage


@pytest.mark.parametrize("order", ["random", "late", "eager"])
def test_the_end_of_a_group_is_behind_the_time_that_was_taken_of_it(order):
    """Also where something that the group enqueued was recorded already."""
    simulation = Simulation(order=order, speeds=(1e6,), launch_cost=0.0)
    device = simulation.accelerator()
    stream = device.in_lane(0, 0)
    array = device.empty((1000,), np.int8, stream)

    def run(entries):
        stream.launch(lambda out: out.fill(1), writes=[array])
        stream.record()

    plan = stage("null", "x: f32[*, 4]", "y: f32[*, 4]")
    site = Site(device, SimpleNamespace(stream=stream), plan, 0, serial=False)
    times = GpuTime()
    launch = site.run(SimpleNamespace(run=SimpleNamespace(run=run, ledger=None), stream=None), [], times)
    launch.event.synchronize()
    launch.span.passed()
    assert times.seconds("s") == pytest.approx(1e-3)
