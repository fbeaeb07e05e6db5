"""Programs over devices that tests run on the simulator, beside what numpy says they give."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from backends.device import Accelerator, DeviceArray, ops
from backends.device.sim import Simulation

ORDERS = ("random", "late", "eager")


def settle(simulation: Simulation, *devices: Accelerator) -> None:
    """Let everything end: nothing went wrong, and nothing is held."""
    for device in devices:
        device.synchronize()
    for device in devices:
        assert not device.sweep()
    simulation.check()
    assert simulation.idle(), simulation.leaks()
    assert all(device.live_bytes == 0 for device in devices)


def diamond(device: Accelerator, rounds: int = 3) -> None:
    """One stream forks to two, which join again; memory is used again by the rounds that follow. Raises AssertionError
    for a wrong value."""
    first, left, right = (device.in_lane(0, chain) for chain in range(3))
    landings = []
    for i in range(rounds):
        x = np.arange(12, dtype=np.float32).reshape(3, 4) + i
        with first.use():
            source = device.upload(x)
            doubled = device.compute(x.shape, x.dtype, _double, [source])
        with left.use():
            a = device.compute(x.shape, x.dtype, _increment, [doubled])
        with right.use():
            b = device.compute(x.shape, x.dtype, _negate, [doubled])
        del source, doubled
        with left.use():
            both = ops.concatenate([a, b])
        del a, b
        landings.append((device.download(both), np.concatenate([2 * x + 1, -2 * x])))
        del both
    for landing, expected in landings:
        landing.event.synchronize()
        assert np.array_equal(landing.array, expected)


def _double(out: Any, x: Any) -> None:
    np.multiply(x, 2, out=out)


def _increment(out: Any, x: Any) -> None:
    np.add(x, 1, out=out)


def _negate(out: Any, x: Any) -> None:
    np.negative(x, out=out)


class Program:
    """Random work on several streams and devices, and the same with numpy. What is made may be dropped at any time."""

    def __init__(self, simulation: Simulation, devices: int, streams: int) -> None:
        self.simulation = simulation
        self.random = random.Random(simulation.settings.seed)
        self.devices = [simulation.accelerator(i) for i in range(devices)]
        self.streams = [d.in_lane(i % 2, i) for d in self.devices for i in range(streams)]
        self.values: list[tuple[DeviceArray, Any]] = []
        self.landings: list[tuple[Any, Any]] = []
        self.work = 0
        self.crossings = 0
        """Reads on another stream than the one that wrote: events, if each edge had one of its own."""
        self.made = 0
        """Bytes of all arrays."""

    def run(self, steps: int) -> None:
        """So many steps. AssertionError for a wrong value."""
        self.upload()
        kinds = [
            "upload",
            "add",
            "add",
            "negate",
            "gather",
            "rows",
            "view",
            "write",
            "download",
            "drop",
            "drop",
            "look",
        ]
        for _ in range(steps):
            getattr(self, self.random.choice(kinds) if len(self.values) > 1 else "upload")()
            if len(self.values) > 12:
                self.drop()
        while self.values:
            self.download()
            self.drop()
        while self.landings:
            self.look()

    def pick(self) -> tuple[DeviceArray, Any]:
        return self.random.choice(self.values)

    def put(self, array: DeviceArray, value: Any, reads: list[DeviceArray], stream: Any) -> None:
        assert (array.shape, array.dtype) == (value.shape, value.dtype)
        self.values.append((array, value))
        self.work += 1
        self.made += array.nbytes
        self.crossings += sum(read.block.writer is not stream for read in reads)

    def upload(self) -> None:
        stream = self.random.choice(self.streams)
        dtype = self.random.choice([np.float32, np.int64, np.bool_])
        value = np.array(self.random.choices(range(100), k=12)).astype(dtype).reshape(-1, self.random.choice([1, 2, 3]))
        host = value.copy()
        with stream.use():
            self.put(stream.device.upload(host), value, [], stream)
        host[...] = 0

    def _compute(self, function: Any, shape: Any, reads: list[tuple[DeviceArray, Any]], expected: Any) -> None:
        stream = self.random.choice(self.streams)
        with stream.use():
            near = [stream.device.bring(array) for array, _ in reads]
            made = stream.device.compute(shape, expected.dtype, function, near)
            self.put(made, expected, near, stream)

    def add(self) -> None:
        (a, x), (b, y) = self.pick(), self.pick()
        if not len(x) or not len(y):
            return
        expected = x[:1, :1].astype(np.float32) + y[-1:, -1:].astype(np.float32)

        def work(out: Any, p: Any, q: Any) -> None:
            np.add(p[:1, :1], q[-1:, -1:], out=out, dtype=np.float32, casting="unsafe")

        self._compute(work, (1, 1), [(a, x), (b, y)], expected)

    def negate(self) -> None:
        a, x = self.pick()

        def work(out: Any, p: Any) -> None:
            out[...] = ~p if p.dtype == np.bool_ else -p

        self._compute(work, x.shape, [(a, x)], ~x if x.dtype == np.bool_ else -x)

    def gather(self) -> None:
        _, x = self.pick()
        same = [(b, y) for b, y in self.values if y.dtype == x.dtype and y.shape[1:] == x.shape[1:]][:4]
        stream = self.random.choice(self.streams)
        with stream.use():
            near = [stream.device.bring(b) for b, _ in same]
            self.put(ops.concatenate(near), np.concatenate([y for _, y in same]), near, stream)

    def rows(self) -> None:
        a, x = self.pick()
        wanted = [self.random.randrange(len(x)) for _ in range(3)] if len(x) else []
        stream = self.random.choice(self.streams)
        with stream.use():
            near = stream.device.bring(a)
            self.put(ops.take(near, wanted), x[wanted], [near], stream)

    def view(self) -> None:
        a, x = self.pick()
        low = self.random.randrange(len(x) + 1)
        self.values.append((a[low:], x[low:]))

    def write(self) -> None:
        a, x = self.pick()
        low, fill = self.random.randrange(len(x) + 1), self.random.randrange(2)

        def work(out: Any) -> None:
            out[...] = fill

        stream = self.random.choice([s for s in self.streams if s.device is a.block.device])
        stream.launch(work, writes=[a[low:]])
        x[low:] = fill

    def download(self) -> None:
        a, x = self.pick()
        self.landings.append((a.block.device.download(a), x.copy()))

    def drop(self) -> None:
        self.values.pop(self.random.randrange(len(self.values)))

    def look(self) -> None:
        if self.landings:
            landing, expected = self.landings[0]
            if self.random.random() < 0.3:
                landing.event.synchronize()
            if landing.event.ready():
                assert np.array_equal(landing.array, expected)
                self.landings.pop(0)
        self.random.choice(self.devices).sweep()
