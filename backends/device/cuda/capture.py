"""Writing down what streams are given, to launch it as often as wanted."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from .memory import Private
from .streams import CudaStream

_here = threading.local()


class CudaGraph:
    """What was captured, and the memory that it works in: keep it until its last replay has ended."""

    __slots__ = ("_spent", "cupy", "memory")

    def __init__(self, cupy_graph: Any, memory: Private, spent: deque[Private]) -> None:
        self.cupy = cupy_graph
        self.memory = memory
        self._spent = spent

    def __del__(self) -> None:
        self._spent.append(self.memory)


class Captures:
    """The captures of one device; a thread has one at a time."""

    def __init__(self, cupy: Any, index: int) -> None:
        self._cupy = cupy
        self._index = index
        self._lock = threading.Lock()
        self._under_way = 0
        self._spent: deque[Private] = deque()
        """Memory of graphs that are gone. torch ends the process if one of its pools goes while another one is in use
        for a capture, so they go when none is."""

    @property
    def any(self) -> bool:
        """Whether some thread captures on this device."""
        return self._under_way > 0

    def mine(self) -> bool:
        """Whether the calling thread captures."""
        return getattr(_here, "stream", None) is not None

    def has(self, stream: CudaStream) -> bool:
        """Whether what a stream is given now is written down."""
        return self._under_way > 0 and bool(stream.cupy.is_capturing())

    def begin(self, stream: CudaStream) -> None:
        """Write down what the stream is given, and what others are that wait for its events. RuntimeError if the thread
        captures already."""
        if self.mine():
            raise RuntimeError("a thread can capture one graph at a time")
        self.tidy()
        memory = Private(self._cupy, self._index)
        with self._lock:
            self._under_way += 1
        try:
            memory.begin()
            # Relaxed: the pool may have to grow, and other threads go on allocating and asking for events meanwhile.
            stream.cupy.begin_capture(self._cupy.cuda.runtime.streamCaptureModeRelaxed)
        except BaseException:
            self._ended(memory)
            self._spent.append(memory)
            raise
        _here.stream, _here.memory = stream, memory

    def tidy(self) -> None:
        """Let the memory of graphs that are gone go, unless some thread captures."""
        with self._lock:
            if not self._under_way:
                self._spent.clear()

    def _ended(self, memory: Private) -> None:
        memory.end()
        with self._lock:
            self._under_way -= 1

    def end(self, stream: CudaStream) -> CudaGraph:
        """The graph, ready to be launched. RuntimeError if something was not allowed; nothing is captured any more in
        any case."""
        if getattr(_here, "stream", None) is not stream:
            raise RuntimeError(f"a capture ends on the stream and in the thread that it began in, not on {stream}")
        memory = _here.memory
        _here.stream = _here.memory = None
        try:
            made = CudaGraph(stream.cupy.end_capture(), memory, self._spent)
        except BaseException:
            self._spent.append(memory)
            raise
        finally:
            self._ended(memory)
        made.cupy.upload(stream.cupy)
        return made
