"""One pool of device memory for CuPy and torch: torch's allocator where torch is loaded, else CuPy's pool.

Both give memory out *on a stream*: what is freed may be given out again at once to work of the stream it was allocated
on, and to nobody else. So memory is allocated while its stream is current, and goes back only after that stream was
ordered behind every use, which `Block` sees to. `record_stream` is not needed.

What a thread allocates while it captures a graph comes from a pool of the graph's own, which lives as long as the
graph: a replay writes to the same addresses, so nobody else may have them in between.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress
from typing import Any

from . import libraries
from .streams import CudaStream, Streams

_here = threading.local()
_pools: dict[int, Pool] = {}
"""Of each device that is open."""
_lock = threading.Lock()


class Memory:
    """A piece of device memory. It goes back to its pool when neither this nor an array refers to it."""

    __slots__ = ("nbytes", "pointer", "stream")

    def __init__(self, pointer: Any, nbytes: int, stream: CudaStream) -> None:
        self.pointer = pointer
        """CuPy's MemoryPointer; None once it was freed."""
        self.nbytes = nbytes
        self.stream = stream
        """It was allocated on."""

    def held(self) -> Any:
        """The MemoryPointer. RuntimeError if it was freed."""
        if self.pointer is None:
            raise RuntimeError("device memory was used after it was freed, or freed twice")
        return self.pointer

    def release(self) -> None:
        """RuntimeError the second time."""
        self.held()
        self.pointer = None


class TorchMemory:
    """What CuPy's pointers to memory of torch's pool keep alive; the memory goes back when nothing does any more.

    CuPy's allocator of Python functions would do the same, but it forgets how to free what a collector finds in a
    cycle, as the arrays of a stage that raised often are: that memory would never come back."""

    __slots__ = ("_address", "_torch")

    def __init__(self, torch: Any, address: int) -> None:
        self._torch = torch
        self._address = address

    def __del__(self) -> None:
        with suppress(AttributeError, TypeError):  # at the interpreter's end torch may be half gone
            self._torch.cuda.caching_allocator_delete(self._address)


class Private:
    """Memory of one captured graph."""

    def __init__(self, cupy: Any, index: int) -> None:
        self._stack = ExitStack()
        torch = libraries.torch()
        self.of_torch = torch.cuda.MemPool() if torch is not None else None
        self.of_cupy = cupy.cuda.MemoryPool() if torch is None else None
        self._torch, self._index = torch, index

    def begin(self) -> None:
        """The calling thread's allocations come from here, from now on."""
        _here.private = self
        if self.of_torch is not None:
            self._stack.enter_context(self._torch.cuda.use_mem_pool(self.of_torch, self._index))

    def end(self) -> None:
        """They do no longer."""
        _here.private = None
        self._stack.close()


class Pool:
    """The pool of one device."""

    def __init__(self, cupy: Any, streams: Streams) -> None:
        self.cupy = cupy
        self.streams = streams
        self.index = streams.index
        self._of_cupy = cupy.get_default_memory_pool()

    def allocate(self, nbytes: int) -> Any:
        """A MemoryPointer for work on the calling thread's current stream, which is one of this device. MemoryError,
        or the library's own error where memory is short."""
        if not nbytes:
            return empty_pointer(self.cupy, self.index)
        torch = libraries.torch()
        if torch is not None:
            return self._of_torch(torch, nbytes)
        private = getattr(_here, "private", None)
        return (self._of_cupy if private is None else private.of_cupy).malloc(nbytes)

    def _of_torch(self, torch: Any, nbytes: int) -> Any:
        cuda, index = self.cupy.cuda, self.index
        stream = int(cuda.get_current_stream(index).ptr)
        if libraries.raw_stream(torch, index) != stream:
            self._agree(torch, index, stream)
        address = int(torch.cuda.caching_allocator_alloc(nbytes, index, stream))
        return cuda.MemoryPointer(cuda.UnownedMemory(address, nbytes, TorchMemory(torch, address), index), 0)

    def _agree(self, torch: Any, index: int, address: int) -> None:
        """The two libraries' current streams differ. If torch was loaded while ours was current it has not been told;
        otherwise somebody changed one of them, and an array that goes from one to the other would not be ordered."""
        ours = self.streams.at(address)
        if ours is not None and not libraries.raw_stream(torch, index):
            torch.cuda.set_stream(ours.of_torch(torch))
            return
        raise RuntimeError(
            f"CuPy and torch work on different streams of cuda:{index} in this thread, and what one allocates and the"
            " other uses would not be ordered. Make both current, or neither"
        )

    def idle(self) -> int:
        """Bytes that are kept for later use."""
        torch = libraries.torch()
        kept = int(self._of_cupy.free_bytes())
        if torch is not None:
            kept += int(torch.cuda.memory_reserved(self.index)) - int(torch.cuda.memory_allocated(self.index))
        return kept

    def trim(self) -> None:
        """Give them back. The device must be the calling thread's current one."""
        torch = libraries.torch()
        if torch is not None:
            torch.cuda.empty_cache()
        self._of_cupy.free_all_blocks()


def install(cupy: Any, streams: Streams) -> Pool:
    """Make CuPy allocate from the pool of the current device, in whatever it computes."""
    with _lock:
        pool = _pools[streams.index] = Pool(cupy, streams)
        cupy.cuda.set_allocator(_allocate)
        return pool


def uninstall(pool: Pool) -> None:
    """The device is closed. CuPy allocates from its own pool again once all are."""
    with _lock:
        if _pools.get(pool.index) is pool:
            del _pools[pool.index]
        if not _pools:
            pool.cupy.cuda.set_allocator(pool.cupy.get_default_memory_pool().malloc)


def empty_pointer(cupy: Any, index: int) -> Any:
    """To no memory, on a device."""
    return cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(0, 0, None, index), 0)


def _allocate(nbytes: int) -> Any:
    cupy = libraries.cupy()
    pool = _pools.get(cupy.cuda.runtime.getDevice())
    return cupy.get_default_memory_pool().malloc(nbytes) if pool is None else pool.allocate(nbytes)
