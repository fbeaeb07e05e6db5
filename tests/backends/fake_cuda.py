"""A CUDA device that is none: a `Driver` over host memory, for what backends do with arrays of an accelerator.

Work runs when it is launched, so nothing here is said about order; that is the simulator's task. What it does know is
who owns memory: freed memory is poisoned, arrays of this device are `Memory`, an ndarray class of its own as CuPy's is,
and plain numpy arrays are of the host. torch tensors count as the device's, since there are none but those of the host
here; a `meta` tensor is one of another device."""

from __future__ import annotations

import sys
import types
from contextlib import contextmanager

import numpy as np


class Memory(np.ndarray):
    """An array in the memory of the device. What is computed from one is one, and may be written."""


class FakeEvent:
    def __init__(self):
        self.passed = False


class FakeDriver:
    xp = np
    lost = None

    def __init__(self, index=0, addresses=()):
        self.name = f"cuda:{index}"
        self.index = index
        self.opened = 0
        self.addresses = list(addresses)
        """Of streams, in the order they are opened; else counted from 4096."""
        self.current_stream = None
        self.pending = []
        """Events that are passed when someone waits."""
        self.freed = []
        self.pinned_bytes = 0

    # ---- streams and events

    def open_stream(self, high_priority):
        self.opened += 1
        return self.addresses.pop(0) if self.addresses else 4096 + self.opened

    def open_partition_stream(self, sms):
        return self.open_stream(False)

    @contextmanager
    def current(self, stream):
        before, self.current_stream = self.current_stream, stream
        try:
            yield
        finally:
            self.current_stream = before

    def check_current(self, stream, stage):
        """A stage has no way to leave another stream current here."""

    def address_of(self, stream):
        return stream

    def launch(self, stream, work, writes, reads):
        work(*writes, *reads)

    def record(self, stream):
        event = FakeEvent()
        self.pending.append(event)
        return event

    def wait(self, stream, event):
        pass

    def ready(self, event):
        return event.passed

    def synchronize(self, event):
        event.passed = True

    def recycle(self, event):
        pass

    # ---- memory

    def allocate(self, nbytes, stream):
        return np.full(max(nbytes, 1), 0xAB, np.uint8)

    def free(self, memory, stream):
        self.freed.append(memory.size)
        memory[:] = 0xDD

    def view(self, memory, shape, dtype):
        count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return memory[:count].view(dtype).reshape(shape).view(Memory)

    def address(self, data):
        return data.__array_interface__["data"][0]

    def holds(self, value):
        if isinstance(value, Memory):
            return True
        if type(value).__module__.partition(".")[0] == "torch":
            return value.device.type == "cpu"
        return hasattr(value, "__cuda_array_interface__")

    def adopt(self, value):
        if isinstance(value, Memory):
            return value
        if hasattr(value, "__cuda_array_interface__"):
            holder = types.SimpleNamespace(__array_interface__=value.__cuda_array_interface__, owner=value)
            return np.asarray(holder).view(Memory)
        return np.from_dlpack(value).view(Memory)

    def pinned(self, nbytes):
        self.pinned_bytes += nbytes
        return bytearray(nbytes)

    def upload(self, stream, target, source):
        target[...] = source

    def download(self, stream, target, source):
        target[...] = source

    def transfer(self, stream, target, source, other):
        return False

    def memory(self):
        return 0, 0

    def trim(self):
        pass

    def close(self):
        pass


@contextmanager
def installed(monkeypatch, **options):
    """`device("cuda:0")` is an accelerator over the fake; the real one is back afterwards."""
    from backends.device import device, forget

    drivers = {}

    def driver(index):
        return drivers.setdefault(index, FakeDriver(index, **options))

    monkeypatch.setitem(sys.modules, "backends.device.cuda", types.SimpleNamespace(driver=driver))
    forget()
    try:
        yield device("cuda:0")
    finally:
        forget()


def host(array):
    """A device array as numpy array of its own dtype."""
    landing = array.block.device.download(array)
    landing.event.synchronize()
    return landing.array
