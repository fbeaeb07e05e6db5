"""A device other than the host: memory blocks, streams in lanes, and copies that nobody waits for.

    upload      host array -> pinned slab -> device array, ordered on a stream
    download    device array -> pinned slab, with the event after which it may be read
    transfer    device array of another device -> device array, directly where the two can, else through the host

All of it is one class for CUDA and the simulator; what differs is in their `Driver`.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from backends.values import Array

from .array import DeviceArray, storage
from .block import Block
from .driver import DeviceLost, Driver
from .ops import assigned
from .stream import LOCK, Event, Stream, current

STREAMS = 16
"""Streams of one device at most, for all lanes together: more only add to what the device must look through."""

SHARE = 0.8
"""Of a device's memory, for what batches under way hold: the rest is for weights that come later, and for fragments."""


class Landing(NamedTuple):
    """A copy on its way to the host: `array` may be read once `event` has passed."""

    array: Array
    event: Event


class Accelerator:
    """One device."""

    is_host = False

    def __init__(self, driver: Driver, lanes: int = 4) -> None:
        """`lanes`: batches of one pipeline that may be under way at a time on streams of their own."""
        self.driver = driver
        self.name = driver.name
        self.lock = LOCK
        self.lanes = lanes
        self.events = 0
        """Recorded so far."""
        self.waits = 0
        """Of streams for events of others, so far."""
        self.held_bytes = 0
        """Of blocks that are not retired, without those of captured graphs."""
        self.peak_bytes = 0
        self.dropped: deque[Block] = deque()
        """Blocks that nobody refers to any more, to be retired."""
        self.keeping: deque[Event] = deque()
        """Events that keep something alive, oldest first."""
        self.limit = int(driver.memory()[1] * SHARE)
        """Bytes that batches under way may hold before doors close; 0: any number."""
        self.flying = 0
        """Batches under way; changed by the engines that launch them."""
        self._streams: dict[tuple[int, bool], Stream] = {}
        self._partitioned: dict[int, list[Stream]] = {}
        """Streams of partitions, by multiprocessors."""
        self._turns: dict[int, int] = {}
        """How often one of a size was asked for."""
        self._opening = threading.Lock()
        """Held instead of `lock` while a partition is made, which may import a library."""
        self._count = 0
        self.side = self.stream()
        """For odd work: what has no batch of its own."""
        self.inward = self.stream()
        """For copies from the host."""
        self.outward = self.stream()
        """For copies to the host."""

    @property
    def xp(self) -> Any:
        """The module that computes on its arrays: cupy, or numpy."""
        return self.driver.xp

    def __repr__(self) -> str:
        return f"Accelerator({self.name})"

    @property
    def lost(self) -> DeviceLost | None:
        """Why it can not be used any more; None while it can."""
        return self.driver.lost

    # ---- streams

    def stream(self, high_priority: bool = False, lane: int = 0) -> Stream:
        """A new stream, never the library's default one."""
        with self.lock:
            self._count += 1
            return Stream(self, self.driver.open_stream(high_priority), self._count - 1, lane)

    def in_lane(self, lane: int, chain: int = 0, width: int = 1, high_priority: bool = False) -> Stream:
        """The stream of one of `width` chains of steps in one of the lanes; where all lanes together have more chains
        than there are streams, lanes share them."""
        lane %= self.lanes
        key = ((lane * width + chain) % STREAMS, high_priority)
        with self.lock:
            found = self._streams.get(key)
            if found is None:
                found = self._streams[key] = self.stream(high_priority, lane)
            return found

    def partition_stream(self, sms: int) -> Stream:
        """A stream for one instance, whose work is kept to `sms` multiprocessors (`Driver.open_partition_stream`).
        After `STREAMS` of a size those that there are come again in turn. BackendError where there is none."""
        with self._opening:
            turn, known = self._turns.get(sms, 0), self._partitioned.get(sms, [])
            if len(known) < STREAMS:
                handle = self.driver.open_partition_stream(sms)
                with self.lock:
                    self._count += 1
                    # Who reads what is made there goes on in its lane: successive ones are in different lanes.
                    known = [*known, Stream(self, handle, self._count - 1, lane=turn)]
                    self._partitioned[sms] = known
            self._turns[sms] = turn + 1
            return known[turn % STREAMS]

    @property
    def streams_used(self) -> int:
        """Streams of lanes that work was launched on."""
        with self.lock:
            return sum(s.ticks > 0 for s in self._streams.values())

    def synchronize(self) -> None:
        """Block until everything launched on streams of lanes and partitions and the device's own has ended."""
        with self.lock:
            streams = self._own_streams()
        for stream in streams:
            stream.synchronize()
        self.sweep()

    def _own_streams(self) -> tuple[Stream, ...]:
        partitions = [stream for known in self._partitioned.values() for stream in known]
        return (*self._streams.values(), *partitions, self.side, self.inward, self.outward)

    # ---- memory

    def empty(self, shape: Sequence[int], dtype: Any, stream: Stream | None = None) -> DeviceArray:
        """A new C-contiguous array with undefined content, ready on `stream` (the calling thread's current one).

        Where memory is short, what runs is waited for and what is kept for later use given back. MemoryError where that
        does not help."""
        stream = stream or self.current()
        wanted, shape = np.dtype(dtype), tuple(shape)
        held = storage(wanted)
        nbytes = prod(shape) * held.itemsize
        with self.lock:
            self.retire_dropped()
            block = Block(self, self._allocate(nbytes, stream), nbytes, stream)
            self._grown(block)
            return DeviceArray(self.driver.view(block.memory, shape, held), block, wanted)

    def _grown(self, block: Block) -> None:
        if block.hold is None:  # memory of a graph is not that of batches
            self.held_bytes += block.nbytes
            self.peak_bytes = max(self.peak_bytes, self.held_bytes)

    def _allocate(self, nbytes: int, stream: Stream) -> Any:
        with contextlib.suppress(MemoryError):
            return self.driver.allocate(nbytes, stream.handle)
        self.trim()
        with contextlib.suppress(MemoryError):
            return self.driver.allocate(nbytes, stream.handle)
        used, total = self.memory()
        text = f"{self.name} has no {nbytes:,} bytes left: {used:,} of {total:,} are in use"
        raise MemoryError(f"{text}, {self.held_bytes:,} of them by batches under way")

    def adopt(self, value: Any, stream: Stream | None = None, dtype: Any = None) -> DeviceArray:
        """An array that another library allocated and wrote on `stream`, without a copy.

        `dtype`: what its items mean, where the library stores them as integers. TypeError if it is not on this
        device."""
        stream = stream or self.current()
        if not self.driver.holds(value):
            raise TypeError(f"{type(value).__name__} is not in the memory of {self.name}")
        data = self.driver.adopt(value)
        with self.lock:
            stream.launched()
            block = Block(self, None, int(data.nbytes), stream, owner=value)
            self._grown(block)
        return DeviceArray(data, block, np.dtype(dtype or data.dtype))

    def current(self) -> Stream:
        """The stream that the calling thread works on, if it is this device's; else `side`."""
        return current(self)

    @property
    def live_bytes(self) -> int:
        """Of arrays that somebody refers to."""
        with self.lock:
            self.retire_dropped()
            return self.held_bytes

    def retire_dropped(self) -> None:
        """Give back the memory of blocks that nobody refers to any more. With the lock held."""
        while self.dropped:
            self.dropped.popleft().retire()

    @property
    def crowded(self) -> bool:
        """Whether batches under way hold as much memory as they may: nothing new should be let in."""
        return bool(self.limit) and self.live_bytes >= self.limit

    def memory(self) -> tuple[int, int]:
        """(bytes in use, bytes in all); zeros where unknown."""
        return self.driver.memory()

    def trim(self) -> None:
        """Wait for what runs, and give back memory that is kept for later use."""
        self.synchronize()
        self.driver.trim()

    def sweep(self) -> bool:
        """Let go what was kept for work that has ended or never will, and retire what nobody refers to; whether
        something is still kept. Never blocks, never raises for work that failed."""
        with self.lock:
            while self.keeping and _ended(self.keeping[0]):
                self.keeping.popleft().kept = []
            if self.lost is not None:  # no event will be recorded behind it
                for stream in self._own_streams():
                    stream.abandon()
            self.retire_dropped()
            return bool(self.keeping)

    # ---- copies

    def upload(self, array: Array, stream: Stream | None = None) -> DeviceArray:
        """A host array on this device, ready on `stream`. The caller may change or drop `array` at once."""
        stream = stream or self.current()
        made = self.empty(array.shape, array.dtype, stream)
        if not array.size:
            return made
        held = storage(array.dtype)
        slab = self.pinned_array(array.shape, held)
        np.copyto(slab, array.view(held) if held != array.dtype else array)
        self._fly(made, slab, stream)
        return made

    def upload_joined(self, parts: Sequence[Array], stream: Stream | None = None) -> DeviceArray:
        """Host arrays of equal dtype and row shape, one after the other, as one array on this device."""
        stream = stream or self.current()
        first = parts[0]
        made = self.empty((sum(map(len, parts)), *first.shape[1:]), first.dtype, stream)
        held = storage(first.dtype)
        if any(part.shape[1:] != first.shape[1:] for part in parts):
            raise ValueError(f"rows of unequal shape: {', '.join(sorted({str(p.shape[1:]) for p in parts}))}")
        if made.size:
            slab = self.pinned_array(made.shape, held)
            np.concatenate([p.view(held) if held != p.dtype else p for p in parts], out=slab)
            self._fly(made, slab, stream)
        return made

    def _fly(self, target: DeviceArray, slab: Array, stream: Stream) -> None:
        """Enqueue a copy from pinned memory."""
        with self.lock:
            stream.order(writes=[target])
            self.driver.upload(stream.handle, target.data, slab)
            stream.keep(slab)
            stream.launched(writes=[target])

    def download(self, array: DeviceArray, stream: Stream | None = None) -> Landing:
        """A copy of a device array on its way to the host, on the stream for that."""
        stream = stream or self.outward
        array = self.contiguous(array, stream)
        target = self.pinned_array(array.shape, storage(array.dtype))
        with self.lock:
            stream.order(reads=[array])
            if array.size:
                self.driver.download(stream.handle, target, array.data)
            stream.launched(reads=[array])
            stream.keep(target, array)
            event = stream.record()
        return Landing(target.view(array.dtype) if target.dtype != array.dtype else target, event)

    def transfer(self, array: DeviceArray, stream: Stream | None = None) -> DeviceArray:
        """An array of another device on this one, ready on `stream`."""
        stream = stream or self.current()
        other = array.block.device
        if other is self:
            return array
        made = self.empty(array.shape, array.dtype, stream)
        leaving = other.outward
        with self.lock:
            leaving.order(reads=[array])
            event = leaving.record()
            stream.wait(event)
            stream.order(writes=[made])
            if self.driver.transfer(stream.handle, made.data, array.data, other.driver):
                stream.launched(writes=[made])
                stream.keep(array)
                array.block.was_read(stream, stream.ticks)
                return made
        landing = other.download(array)
        with self.lock:
            slab = landing.array.view(storage(array.dtype))
            stream.wait(landing.event)
            self.driver.upload(stream.handle, made.data, slab)
            stream.keep(slab)
            stream.launched(writes=[made])
        return made

    def contiguous(self, array: DeviceArray, stream: Stream | None = None) -> DeviceArray:
        """The array with its items side by side: itself if they are, else a copy ordered on `stream`."""
        if array.contiguous:
            return array
        return self.compute(array.shape, array.dtype, assigned, [array], stream)

    def bring(self, array: Array | DeviceArray, stream: Stream | None = None) -> DeviceArray:
        """An array of any place on this device, ready on `stream`: itself if it is here."""
        if isinstance(array, DeviceArray):
            return array if array.block.device is self else self.transfer(array, stream)
        return self.upload(array, stream)

    def pinned_array(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """A host array in memory that copies may use while the caller goes on."""
        count = prod(shape)
        if not count:
            return np.empty(tuple(shape), dtype)
        made: Array = np.frombuffer(self.driver.pinned(count * dtype.itemsize), dtype, count)
        return made.reshape(tuple(shape))

    # ---- computing

    def compute(
        self,
        shape: Sequence[int],
        dtype: Any,
        work: Callable[..., None],
        reads: Sequence[DeviceArray],
        stream: Stream | None = None,
    ) -> DeviceArray:
        """A new array that `work(out, *reads)` fills, ordered on `stream`."""
        stream = stream or self.current()
        made = self.empty(shape, dtype, stream)
        if made.size:
            stream.launch(work, writes=[made], reads=reads)
        return made

    def close(self) -> None:
        """Release everything; nothing is running."""
        self.driver.close()


def _ended(event: Event) -> bool:
    try:
        return event.ready()
    except Exception:  # the work before it failed, and is told so to who waits for it
        return True
