"""An instance's place on a device: what is booked of the arrays that a call reads and gives."""

from __future__ import annotations

import numpy as np

from backends.base import Batch, BatchResult
from backends.device import Accelerator
from executor.devices.site import Site
from tests.backends.fake_cuda import FakeDriver
from tests.backends.stages import stage


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
