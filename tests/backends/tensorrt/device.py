"""A device without hardware for these tests: a `Driver` whose streams run as late as they may.

Nothing that is launched runs before somebody waits for it. Memory that is free is poisoned, and reading it, or an
address that was never given out, is a `Fault`: so what is dropped too early, or read before it is written, shows."""

import threading
from collections import deque
from contextlib import contextmanager
from functools import wraps
from math import prod

import numpy as np

from backends.device import Accelerator

POISON = 0xA5
LOCK = threading.RLock()
"""Work of one queue may have to run another's, from any thread: one thread at a time runs work."""

BY_ADDRESS = {}
"""Queues, as the library knows them."""

_here = threading.local()


def locked(method):
    @wraps(method)
    def call(*args):
        with LOCK:
            return method(*args)

    return call


class Fault(Exception):
    """Work touched memory that it may not."""


class Queue:
    """A stream: work that has not run yet. Each item is (done before it, work)."""

    numbers = iter(range(0x7000, 1 << 40, 0x10))

    def __init__(self):
        self.address = next(self.numbers)
        BY_ADDRESS[self.address] = self
        self.work = deque()
        self.launched = self.ran = 0

    def enqueue(self, work):
        with LOCK:
            self.work.append(work)
            self.launched += 1

    def run_to(self, position):
        with LOCK:
            while self.ran < position:
                work = self.work.popleft()
                self.ran += 1
                work()

    def drain(self):
        self.run_to(self.launched)


class Point:
    """An event: a position in a queue."""

    def __init__(self, queue):
        self.queue, self.position = queue, queue.launched


class Blocks:
    """All device memory."""

    def __init__(self):
        self.next = 0x100000
        self.live = {}
        self.short = False

    @locked
    def allocate(self, nbytes):
        if self.short:
            raise MemoryError(f"{nbytes} bytes are not to be had")
        address = self.next
        self.next += (nbytes + 255) // 256 * 256 + 256
        self.live[address] = np.full(max(nbytes, 1), POISON, np.uint8)
        return address

    def free(self, address):
        self.live.pop(address)[:] = POISON

    @locked
    def address_of(self, data):
        """Where an array over a block begins; 0 for one without items."""
        place = data.ctypes.data
        for start, block in self.live.items():
            if data.size and block.ctypes.data <= place < block.ctypes.data + len(block):
                return start + place - block.ctypes.data
        return 0

    @locked
    def at(self, address, nbytes):
        """The bytes at an address, wherever in a block it lies."""
        for start, block in self.live.items():
            if start <= address and address + nbytes <= start + max(len(block), 1):
                return block[address - start : address - start + nbytes]
        raise Fault(f"{nbytes} bytes at {address:#x} are not anybody's memory")


BLOCKS = Blocks()


def current_queue():
    """Of the calling thread; None where no device is current."""
    return getattr(_here, "queue", None)


class LateDriver:
    """Implements `backends.device.Driver`."""

    xp = np

    def __init__(self, name="cuda:0"):
        self.name, self.index = name, 0
        self.moves = False
        """Asking whether an event has passed makes it pass; else only waiting does."""

    lost = None

    def translated(self, error):
        return error

    def open_stream(self, high_priority):
        return Queue()

    def open_partition_stream(self, sms):
        return Queue()

    @contextmanager
    def current(self, stream):
        before = current_queue()
        _here.queue = stream
        try:
            yield
        finally:
            _here.queue = before

    def address_of(self, stream):
        return stream.address

    def check_current(self, stream, stage):
        if current_queue() is not stream:
            raise Fault(f"stage {stage} left another stream current")

    def launch(self, stream, work, writes, reads):
        stream.enqueue(lambda: work(*writes, *reads))

    def record(self, stream):
        return Point(stream)

    def wait(self, stream, event):
        stream.enqueue(lambda: event.queue.run_to(event.position))

    def ready(self, event):
        if self.moves:
            event.queue.run_to(event.position)
        return event.queue.ran >= event.position

    def synchronize(self, event):
        event.queue.run_to(event.position)

    def recycle(self, event):
        pass

    def mark(self, stream):
        return Point(stream)

    def elapsed(self, start, end):
        """Of no length: time is not what these tests look at."""
        return 0.0

    def allocate(self, nbytes, stream):
        return BLOCKS.allocate(nbytes)

    def free(self, memory, stream):
        stream.enqueue(lambda: BLOCKS.free(memory))

    def view(self, memory, shape, dtype):
        nbytes = prod(shape) * dtype.itemsize
        return BLOCKS.at(memory, nbytes).view(dtype).reshape(shape) if nbytes else np.empty(shape, dtype)

    def address(self, data):
        return BLOCKS.address_of(data)

    def pinned(self, nbytes):
        return bytearray(nbytes)

    def upload(self, stream, target, source):
        stream.enqueue(lambda: np.copyto(target, source))

    def download(self, stream, target, source):
        stream.enqueue(lambda: np.copyto(target, source))

    def memory(self):
        return 0, 0

    def trim(self):
        pass

    def close(self):
        pass


def accelerator(name="cuda:0"):
    return Accelerator(LateDriver(name))
