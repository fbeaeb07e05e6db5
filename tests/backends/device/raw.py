"""A simulated device without the layer above it."""

from __future__ import annotations

import numpy as np

from backends.device.sim import Simulation

F4 = np.dtype(np.float32)


class Bench:
    """One device with two raw streams, and arrays of four floats."""

    def __init__(self, **settings):
        self.simulation = Simulation(**settings)
        self.driver = self.simulation.driver(0)
        self.one, self.two = self.driver.open_stream(), self.driver.open_stream()

    def array(self, stream=None, items=4):
        return self.driver.view(self.driver.allocate(4 * items, stream or self.one), (items,), F4)

    def fill(self, stream, data, value):
        self.driver.launch(stream, lambda out: out.fill(value), [data], [])

    def copy(self, stream, target, source):
        self.driver.launch(stream, lambda out, x: out.__setitem__(..., x), [target], [source])

    def cross(self, before, behind):
        event = self.driver.record(before)
        self.driver.wait(behind, event)
        return event

    def host(self, stream):
        self.driver.synchronize(self.driver.record(stream))

    def pinned(self, items=4):
        return np.frombuffer(self.driver.pinned(4 * items), F4, items)
