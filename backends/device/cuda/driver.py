"""One GPU as CuPy sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from backends.device.driver import DeviceLost
from backends.values import Array

from . import copies, foreign
from .capture import Captures, CudaGraph
from .copies import Peers
from .events import CudaEvent, Events, Mark
from .guard import check_current
from .health import Health, guarded
from .memory import Memory, install, uninstall
from .opening import opened
from .partition import Partitions
from .pinned import Pinned
from .streams import CudaStream, Current, Streams, is_current


class CudaDriver:
    """The `Driver` of `cuda:N`. Every call may come from any thread; none leaves its current device changed."""

    def __init__(self, index: int) -> None:
        """BackendError if the device can not be used, with what to do."""
        self.index = index
        self.name = f"cuda:{index}"
        self.xp = opened(index)
        self.health = Health(self.name)
        self.streams = Streams(self.xp, index)
        self._runtime = self.xp.cuda.runtime
        self._events = Events(self.xp)
        self._captures = Captures(self.xp, index)
        self._peers = Peers(self._runtime, index)
        self._partitions = Partitions(self)
        with self.here():
            self._pool = install(self.xp, self.streams)
            self._pinned = Pinned(self.xp)

    def here(self) -> AbstractContextManager[Any]:
        """The device alone is current; not the stream."""
        if self._runtime.getDevice() == self.index:
            return nullcontext()
        return _Device(self._runtime, self.index)

    @property
    def lost(self) -> DeviceLost | None:
        return self.health.lost

    def translated(self, error: Exception) -> Exception:
        """What to raise for a stage's exception: MemoryError, DeviceLost (from then on at every call), or itself."""
        return self.health.translated(error)

    # ---- streams

    @guarded
    def open_stream(self, high_priority: bool) -> CudaStream:
        with self.here():
            return self.streams.open(high_priority)

    @guarded
    def open_partition_stream(self, sms: int) -> CudaStream:
        return self._partitions.of(sms).open_stream()

    @guarded
    def current(self, stream: CudaStream) -> AbstractContextManager[Any]:
        return Current(self.xp, stream, self.health)

    def check_current(self, stream: CudaStream, stage: str) -> None:
        check_current(self.xp, stream, stage)

    def address_of(self, stream: CudaStream) -> int:
        return stream.address

    @guarded
    def launch(
        self, stream: CudaStream, work: Callable[..., None], writes: Sequence[Any], reads: Sequence[Any]
    ) -> None:
        with self._on(stream):
            work(*writes, *reads)

    def _on(self, stream: CudaStream) -> AbstractContextManager[Any]:
        return nullcontext() if is_current(self.xp, stream) else Current(self.xp, stream, self.health)

    # ---- events

    @guarded
    def record(self, stream: CudaStream) -> CudaEvent:
        captured = self._captures.has(stream)
        if self._events.lacking:
            with self.here():
                event = self._events.take(captured)
        else:
            event = self._events.take(captured)
        stream.cupy.record(event.raw)
        return event

    @guarded
    def wait(self, stream: CudaStream, event: CudaEvent) -> None:
        raw = event.held()
        if event.captured and not self._captures.any:
            raise RuntimeError(
                "an event of a captured graph orders nothing outside of it; record one behind the replay"
            )
        stream.cupy.wait_event(raw)

    @guarded
    def ready(self, event: CudaEvent) -> bool:
        """False for an event of a captured graph: it stands for a place in the graph, not for a moment."""
        event.held()
        return not event.captured and self._events.passed(event)

    @guarded
    def synchronize(self, event: CudaEvent) -> None:
        raw = event.held()
        if event.captured:
            raise RuntimeError("an event of a captured graph never passes; wait for one recorded behind its replay")
        raw.synchronize()

    def recycle(self, event: CudaEvent) -> None:
        self._events.give_back(event)

    @guarded
    def mark(self, stream: CudaStream) -> Mark:
        with self.here():
            mark = self._events.take_mark(self._captures.has(stream))
        stream.cupy.record(mark.raw)
        return mark

    @guarded
    def elapsed(self, start: Mark, end: Mark) -> float:
        return float(self.xp.cuda.get_elapsed_time(start.held(), end.held())) / 1e3

    # ---- memory

    @guarded
    def allocate(self, nbytes: int, stream: CudaStream) -> Memory:
        with self._on(stream):
            return Memory(self._pool.allocate(nbytes), nbytes, stream)

    @guarded
    def free(self, memory: Memory, stream: CudaStream) -> None:
        home = memory.stream
        if stream is not home:  # the pool gives it to work of the stream it was allocated on
            memory.held()
            event = self.record(stream)
            self.wait(home, event)
            self.recycle(event)
        memory.release()

    def view(self, memory: Memory, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if wanted > memory.nbytes:
            raise ValueError(f"a view of {wanted:,} bytes of memory that has {memory.nbytes:,}")
        return self.xp.ndarray(shape, dtype, memory.held())

    def address(self, data: Any) -> int:
        return int(data.data.ptr)

    @guarded
    def holds(self, value: Any) -> bool:
        return foreign.place(value, self._runtime) == self.name

    @guarded
    def adopt(self, value: Any) -> Any:
        with self.here():
            return foreign.as_cupy(self.xp, value, self.index)

    @guarded
    def pinned(self, nbytes: int) -> Any:
        with self.here():
            return self._pinned.take(nbytes, self._captures.mine())

    @guarded
    def upload(self, stream: CudaStream, target: Any, source: Array) -> None:
        with self._on(stream):
            copies.upload(stream, target, source)

    @guarded
    def download(self, stream: CudaStream, target: Array, source: Any) -> None:
        with self._on(stream):
            copies.download(self.xp, stream, target, source)

    @guarded
    def transfer(self, stream: CudaStream, target: Any, source: Any, other: Any) -> bool:
        if not isinstance(other, CudaDriver):
            return False
        other.health.check()
        with self._on(stream):
            return self._peers.copy(stream, target, source)

    @guarded
    def memory(self) -> tuple[int, int]:
        """(bytes in use by anybody, bytes in all); memory that the pool keeps for later use is not in use."""
        with self.here():
            free, total = self._runtime.memGetInfo()
            return total - free - self._pool.idle(), total

    @guarded
    def trim(self) -> None:
        """Nothing while a graph is captured: giving memory back waits for the device."""
        if self._captures.any:
            return
        with self.here():
            self._captures.tidy()
            self._pool.trim()
            self._pinned.trim()

    # ---- graphs

    @guarded
    def begin_capture(self, stream: CudaStream) -> None:
        with self._on(stream):
            self._captures.begin(stream)

    @guarded
    def end_capture(self, stream: CudaStream) -> CudaGraph:
        with self._on(stream):
            return self._captures.end(stream)

    @guarded
    def replay(self, graph: CudaGraph, stream: CudaStream) -> None:
        with self._on(stream):
            graph.cupy.launch(stream.cupy)

    def close(self) -> None:
        if self.health.lost is None:
            with self.here():
                self._captures.tidy()
                self._pool.trim()
                self._pinned.trim()
        uninstall(self._pool)
        self.streams.close()
        self._partitions.close()


class _Device:
    """Makes a device the calling thread's current one for a while."""

    __slots__ = ("_before", "_index", "_runtime")

    def __init__(self, runtime: Any, index: int) -> None:
        self._runtime = runtime
        self._index = index

    def __enter__(self) -> None:
        self._before = self._runtime.getDevice()
        self._runtime.setDevice(self._index)

    def __exit__(self, *_: object) -> None:
        self._runtime.setDevice(self._before)
