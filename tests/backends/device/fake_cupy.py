"""A cupy that computes with numpy, late: what CuPy and CUDA promise, and an error for what they do not allow.

Work that is enqueued runs when somebody waits for it, so a value that is read too early is wrong. Addresses are numbers
of a space of their own. A misuse that CUDA answers with undefined behaviour is an AssertionError here: the default
stream, an array of another device, memory that was freed, page-locking while a graph is captured.
"""

from __future__ import annotations

import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

NAMES = {
    2: "cudaErrorMemoryAllocation: out of memory",
    35: "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
    46: "cudaErrorDevicesUnavailable: CUDA-capable device(s) is/are busy or unavailable",
    100: "cudaErrorNoDevice: no CUDA-capable device is detected",
    101: "cudaErrorInvalidDevice: invalid device ordinal",
    400: "cudaErrorInvalidResourceHandle: invalid resource handle",
    700: "cudaErrorIllegalAddress: an illegal memory access was encountered",
    704: "cudaErrorPeerAccessAlreadyEnabled: peer access is already enabled",
    719: "cudaErrorLaunchFailure: unspecified launch failure",
    801: "cudaErrorNotSupported: operation not supported",
    901: "cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during capture",
    904: "cudaErrorStreamCaptureUnjoined: capturing stream has unjoined work",
    907: "cudaErrorCapturedEvent: operation not permitted on an event last recorded in a capturing stream",
}
ROUND = 512


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(NAMES.get(status, f"cudaError{status}: error {status}"))


class OutOfMemoryError(MemoryError):
    pass


class StreamState:
    """A queue; `done` of its operations have run."""

    def __init__(self, device: int, priority: int, non_blocking: bool) -> None:
        self.device, self.priority, self.non_blocking = device, priority, non_blocking
        self.work: list[Callable[[], None]] = []
        self.done = 0
        self.capture: Capture | None = None

    def run_to(self, position: int) -> None:
        while self.done < position:
            self.done += 1
            self.work[self.done - 1]()


class Capture:
    def __init__(self, origin: StreamState, thread: int) -> None:
        self.origin, self.thread = origin, thread
        self.work: list[Callable[[], None]] = []
        self.unjoined: dict[StreamState, int] = {}


class World:
    """What all calls of one fake module act on."""

    def __init__(self, devices: int = 2, capacity: int = 1 << 24, peers: bool = True) -> None:
        self.devices, self.capacity, self.peers = devices, capacity, peers
        self.driver_version = 13000
        self.multiprocessors = 132
        self.fails: dict[str, int] = {}
        """Status that a call of the runtime ends with, by its name."""
        self.poisoned: dict[int, int] = {}
        """Status of every later call on a device."""
        self.memory: dict[int, tuple[int, np.ndarray]] = {}
        self.streams: dict[int, StreamState] = {}
        self.default = [StreamState(d, 0, False) for d in range(devices)]
        self.used = [0] * devices
        self.calls: list[tuple[Any, ...]] = []
        self.clock = 0
        self._here = threading.local()
        self._next = 0x1000
        self.pinned_limit = 1 << 32
        self.peered: set[tuple[int, int]] = set()
        self.capturing: dict[int, Capture] = {}
        self.events: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

    # ---- the calling thread

    @property
    def device(self) -> int:
        return getattr(self._here, "device", 0)

    @device.setter
    def device(self, index: int) -> None:
        self._here.device = index

    def current(self) -> dict[int, Any]:
        if not hasattr(self._here, "streams"):
            self._here.streams = {}
        return self._here.streams

    # ---- checks

    def call(self, name: str, device: int | None = None) -> None:
        if name in self.fails:
            raise CUDARuntimeError(self.fails[name])
        status = self.poisoned.get(self.device if device is None else device)
        if status is not None:
            raise CUDARuntimeError(status)

    def state(self, address: int) -> StreamState:
        if address == 0:
            return self.default[self.device]
        if address not in self.streams:
            raise CUDARuntimeError(400)
        return self.streams[address]

    def address(self) -> int:
        self._next += 0x1000
        return self._next

    def bytes_at(self, address: int, nbytes: int) -> tuple[np.ndarray, int]:
        """The memory that holds an address, and the offset. AssertionError if that was freed, or is too small."""
        assert address, "a null pointer"
        for start, (_, memory) in self.memory.items():
            if start <= address < start + len(memory):
                assert address + nbytes <= start + len(memory), "behind the end of the memory"
                return memory, address - start
        raise AssertionError(f"no memory at 0x{address:x}: freed, or never allocated")

    def malloc(self, nbytes: int) -> int:
        self.call("malloc")
        if self.used[self.device] + nbytes > self.capacity:
            raise CUDARuntimeError(2)
        self.used[self.device] += nbytes
        start = 0x7000_0000_0000 + (self.device << 36) + self.address()
        self._next += nbytes
        self.memory[start] = (self.device, np.full(nbytes, 0xAB, np.uint8))
        return start

    def free(self, start: int) -> None:
        assert start in self.memory, "freed twice"
        for state in list(self.streams.values()):  # cudaFree waits for the device
            state.run_to(len(state.work))
        device, memory = self.memory.pop(start)
        self.used[device] -= len(memory)

    # ---- work

    def enqueue(self, state: StreamState, work: Callable[[], None]) -> None:
        def timed() -> None:
            self.clock += 1
            work()

        if state.capture is not None:
            state.capture.work.append(timed)
            if state is not state.capture.origin:
                state.capture.unjoined[state] = len(state.capture.work)
        else:
            state.work.append(timed)

    def kernel(self, work: Callable[[], None], *arrays: Any) -> None:
        """Enqueue on the current stream, with all that a launch needs."""
        self.call("launch")
        stream = self.get_current_stream()
        assert stream.ptr != 0, "work on the default stream"
        state = self.state(stream.ptr)
        assert state.device == self.device, "a stream of another device"
        assert all(a.data.device_id == self.device for a in arrays), "an array of another device"
        self.enqueue(state, work)

    def get_current_stream(self, device: int = -1) -> Any:
        device = self.device if device == -1 else device
        return self.current().get(device) or self.module.cuda.Stream.null

    module: Any = None


def make(world: World) -> types.ModuleType:
    """The module, with what the driver uses of it."""
    cupy = types.ModuleType("cupy")
    cuda = types.SimpleNamespace()
    runtime = _runtime(world)
    world.module = cupy
    cupy.cuda, cuda.runtime = cuda, runtime  # type: ignore[attr-defined]

    class Stream:
        null: Any = None

        def __init__(self, null=False, non_blocking=False, ptds=False, priority=None) -> None:
            assert not ptds, "the per-thread default stream"
            self._foreign_stream_ref = None
            self.ptr, self.device_id = 0, -1
            if not null:
                world.call("streamCreate")
                self.ptr, self.device_id = world.address(), world.device
                world.streams[self.ptr] = StreamState(world.device, priority or 0, non_blocking)

        @classmethod
        def from_external(cls, obj: Any) -> Any:
            version, address = obj.__cuda_stream__()
            assert version == 0
            made = cls.__new__(cls)
            made.ptr, made.device_id, made._foreign_stream_ref = address, world.device, obj
            return made

        def __del__(self) -> None:
            if self.ptr and self._foreign_stream_ref is None:
                world.streams.pop(self.ptr, None)

        def use(self) -> Any:
            assert self.device_id in (-1, world.device), "the device that the stream is on is not current"
            world.current()[world.device] = self
            return self

        def record(self, event: Any) -> Any:
            state = world.state(self.ptr)
            world.call("eventRecord", state.device)
            if event.device != state.device:
                raise CUDARuntimeError(400)
            event.recorded(state)
            return event

        def wait_event(self, event: Any) -> None:
            state = world.state(self.ptr)
            world.call("streamWaitEvent", state.device)
            event.awaited(state)

        def is_capturing(self) -> bool:
            return world.state(self.ptr).capture is not None

        def begin_capture(self, mode: int) -> None:
            state = world.state(self.ptr)
            world.call("streamBeginCapture", state.device)
            assert self.ptr, "a capture on the default stream"
            assert mode == runtime.streamCaptureModeRelaxed
            assert state.capture is None
            state.capture = world.capturing[threading.get_ident()] = Capture(state, threading.get_ident())

        def end_capture(self) -> Any:
            state = world.state(self.ptr)
            capture, state.capture = state.capture, None
            assert capture is not None
            world.capturing.pop(capture.thread)
            for other in world.streams.values():
                if other.capture is capture:
                    other.capture = None
            world.call("streamEndCapture", state.device)
            if capture.unjoined:
                raise CUDARuntimeError(904)
            return Graph(capture.work)

    class Graph:
        def __init__(self, work: list[Callable[[], None]]) -> None:
            self.work = work
            self.uploaded = 0

        def launch(self, stream: Any) -> None:
            state = world.state(stream.ptr)
            world.call("graphLaunch", state.device)
            for work in self.work:
                world.enqueue(state, work)

        def upload(self, stream: Any) -> None:
            self.uploaded += 1

    class Event:
        made = 0

        def __init__(self, block=False, disable_timing=False, interprocess=False) -> None:
            world.call("eventCreate")
            type(self).made += 1
            self.block, self.disable_timing, self.device = block, disable_timing, world.device
            self.stream: StreamState | None = None
            self.position, self.time, self.of = 0, -1, None
            self.ptr = world.address()
            world.events[self.ptr] = self

        def recorded(self, state: StreamState) -> None:
            self.of, self.stream = state.capture, state
            if state.capture is not None:
                self.position = state.capture.unjoined.get(state, 0)
                return

            def passed() -> None:
                self.time = world.clock

            state.work.append(passed)
            self.position = len(state.work)

        def awaited(self, state: StreamState) -> None:
            source, position = self.stream, self.position
            if self.of is not None:
                assert world.capturing.get(self.of.thread) is self.of, "an event of a capture that has ended"
                if state is self.of.origin:
                    if self.of.unjoined.get(source, -1) == position:
                        del self.of.unjoined[source]
                else:
                    state.capture = self.of
                    self.of.unjoined.setdefault(state, 0)
                return
            assert state.capture is None, "a capture that waits for work outside of it"
            if source is not None:
                state.work.append(lambda: source.run_to(position))

        @property
        def done(self) -> bool:
            return runtime.eventQuery(self.ptr) == 0

        def synchronize(self) -> None:
            world.call("eventSynchronize", self.device)
            assert self.block, "a thread that waits spins"
            assert self.of is None, "an event of a capture"
            if self.stream is not None:
                self.stream.run_to(self.position)

    def get_elapsed_time(start: Any, end: Any) -> float:
        if start.disable_timing or end.disable_timing:
            raise CUDARuntimeError(400)
        assert start.done
        assert end.done
        return float(end.time - start.time)

    Stream.null = Stream(null=True)
    cuda.Stream, cuda.Event, cuda.get_elapsed_time = Stream, Event, get_elapsed_time
    cuda.get_current_stream = world.get_current_stream
    _memory(world, cupy)
    _arrays(world, cupy)
    return cupy


def _runtime(world: World) -> Any:
    def get_count() -> int:
        world.call("getDeviceCount")
        return world.devices

    def set_device(index: int) -> None:
        world.call("setDevice", index)
        if not 0 <= index < world.devices:
            raise CUDARuntimeError(101)
        world.device = index

    def mem_info() -> tuple[int, int]:
        world.call("memGetInfo")
        return world.capacity - world.used[world.device], world.capacity

    def enable_peer(other: int) -> None:
        pair = (world.device, other)
        world.calls.append(("enable", *pair))
        if pair in world.peered:
            raise CUDARuntimeError(704)
        world.peered.add(pair)

    def peer_copy(to: int, to_device: int, source: int, source_device: int, nbytes: int, stream: int) -> None:
        state = world.state(stream)
        world.call("memcpyPeerAsync", state.device)
        assert stream, "a copy on the default stream"
        assert (to_device, source_device) in world.peered

        def copy() -> None:
            target, at = world.bytes_at(to, nbytes)
            origin, start = world.bytes_at(source, nbytes)
            target[at : at + nbytes] = origin[start : start + nbytes]

        world.enqueue(state, copy)

    def query(address: int) -> int:
        """CuPy hands the status out, errors too."""
        event = world.events[address]
        if event.device in world.poisoned:
            return world.poisoned[event.device]
        if event.of is not None:
            return 907
        return 0 if event.stream is None or event.stream.done >= event.position else 600

    def attributes(address: int) -> Any:
        for start, (device, memory) in world.memory.items():
            if start <= address < start + len(memory):
                return types.SimpleNamespace(device=device)
        return types.SimpleNamespace(device=-2)

    return types.SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        hostAllocPortable=1,
        streamCaptureModeRelaxed=2,
        getDeviceCount=get_count,
        getDevice=lambda: world.device,
        setDevice=set_device,
        memGetInfo=mem_info,
        eventQuery=query,
        driverGetVersion=lambda: world.driver_version,
        deviceGetAttribute=lambda number, device: {16: world.multiprocessors}[number],
        deviceCanAccessPeer=lambda device, other: int(world.peers and device != other),
        deviceEnablePeerAccess=enable_peer,
        memcpyPeerAsync=peer_copy,
        pointerGetAttributes=attributes,
    )


def _memory(world: World, cupy: Any) -> None:
    cuda = cupy.cuda

    class Memory:
        def __init__(self, nbytes: int) -> None:
            self.size, self.device_id, self.ptr = nbytes, world.device, world.malloc(nbytes)

        def __del__(self) -> None:
            if getattr(self, "ptr", 0):
                world.free(self.ptr)

    class UnownedMemory:
        def __init__(self, ptr: int, size: int, owner: Any, device_id: int = -1) -> None:
            assert ptr or not size, "a null pointer"
            self.ptr, self.size, self._owner, self.device_id = ptr, size, owner, device_id

    class MemoryPointer:
        def __init__(self, mem: Any, offset: int) -> None:
            self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, mem.device_id

        def _copy(self, stream: Any, work: Callable[[], None]) -> None:
            state = world.state(stream.ptr)
            world.call("memcpyAsync", state.device)
            assert stream.ptr, "a copy on the default stream"
            assert state.device == self.device_id, "a stream of another device"
            world.enqueue(state, work)

        def copy_from_host_async(self, mem: int, size: int, stream: Any = None) -> None:
            host, address = world.pinned_at(mem, size), self.ptr

            def copy() -> None:
                target, at = world.bytes_at(address, size)
                target[at : at + size] = host

            self._copy(stream, copy)

        def copy_to_host_async(self, mem: int, size: int, stream: Any = None) -> None:
            host, address = world.pinned_at(mem, size), self.ptr

            def copy() -> None:
                source, at = world.bytes_at(address, size)
                host[:] = source[at : at + size]

            self._copy(stream, copy)

    class Pooled:
        def __init__(self, memory: Memory, home: list[Memory]) -> None:
            self.ptr, self.size, self.device_id = memory.ptr, memory.size, memory.device_id
            self._memory, self._home = memory, home

        def __del__(self) -> None:
            self._home.append(self._memory)

    class MemoryPool:
        def __init__(self) -> None:
            self.idle: dict[tuple[int, int, int], list[Memory]] = {}

        def malloc(self, size: int) -> MemoryPointer:
            rounded = -(-size // ROUND) * ROUND
            home = self.idle.setdefault((world.device, world.get_current_stream().ptr, rounded), [])
            try:
                memory = home.pop() if home else Memory(rounded)
            except CUDARuntimeError as error:
                if error.status != 2:
                    raise
                self.free_all_blocks()
                try:
                    memory = Memory(rounded)
                except CUDARuntimeError:
                    raise OutOfMemoryError(f"Out of memory allocating {rounded:,} bytes") from None
            return MemoryPointer(Pooled(memory, home), 0)

        def free_bytes(self) -> int:
            return sum(m.size for (d, _, _), home in self.idle.items() if d == world.device for m in home)

        def free_all_blocks(self) -> None:
            for home in self.idle.values():
                home.clear()

    class FunctionMemory:
        def __init__(self, size: int, malloc: Any, free: Any) -> None:
            self.size, self.device_id, self._free = size, world.device, free
            self.ptr = malloc(size, world.device)
            self._found = weakref.ref(self, lambda _: None)

        def __del__(self) -> None:
            """What a collector finds in a cycle has lost its function by then, and its memory is never given back."""
            if getattr(self, "ptr", 0) and self._found() is not None:
                self._free(self.ptr, self.device_id)

    class PythonFunctionAllocator:
        def __init__(self, malloc: Any, free: Any) -> None:
            self._functions = malloc, free

        def malloc(self, size: int) -> MemoryPointer:
            return MemoryPointer(FunctionMemory(size, *self._functions), 0)

    pinned: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

    class PinnedMemory:
        def __init__(self, size: int, flags: int = 0) -> None:
            world.call("hostAlloc")
            assert flags == 1, "page-locked for one device only"
            assert threading.get_ident() not in world.capturing, "page-locking while a graph is captured"
            if size + sum(memory.size for memory in pinned.values()) > world.pinned_limit:
                raise CUDARuntimeError(2)
            self.size, self._bytes = size, np.zeros(size, np.uint8)
            self.ptr = self._bytes.__array_interface__["data"][0]
            pinned[self.ptr] = self

    class PinnedMemoryPointer:
        """As CuPy's: any object with `ptr` and `size` behind it."""

        def __new__(cls, mem: Any, offset: int) -> Any:
            import ctypes

            buffer = (ctypes.c_char * mem.size).from_address(mem.ptr + offset)
            buffer._mem = mem
            return buffer

    def pinned_at(address: int, nbytes: int) -> np.ndarray:
        for start, memory in list(pinned.items()):
            if start <= address and address + nbytes <= start + memory.size:
                return memory._bytes[address - start : address - start + nbytes]
        raise AssertionError("an asynchronous copy of memory that is not page-locked")

    world.pinned_at = pinned_at  # type: ignore[attr-defined]
    world.allocator = default = MemoryPool()  # type: ignore[attr-defined]
    state = {"allocator": default.malloc}
    cuda.set_allocator = lambda allocator: state.update(allocator=allocator)
    cuda.alloc = lambda nbytes: state["allocator"](nbytes)
    cuda.UnownedMemory, cuda.MemoryPointer, cuda.MemoryPool = UnownedMemory, MemoryPointer, MemoryPool
    cuda.PythonFunctionAllocator = PythonFunctionAllocator
    cuda.PinnedMemory, cuda.PinnedMemoryPointer = PinnedMemory, PinnedMemoryPointer
    cupy.get_default_memory_pool = lambda: default


def _arrays(world: World, cupy: Any) -> None:
    class ndarray:
        def __init__(self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None) -> None:
            plain = np.ndarray(shape, dtype, np.empty(0, np.uint8) if 0 in shape else None, strides=None)
            self.shape, self.dtype, self.strides = plain.shape, plain.dtype, strides or plain.strides
            assert self.dtype.kind != "V", "a dtype that CuPy does not know"
            self.data = memptr if memptr is not None else cupy.cuda.alloc(plain.nbytes)

        ndim = property(lambda self: len(self.shape))
        size = property(lambda self: int(np.prod(self.shape)))
        nbytes = property(lambda self: self.size * self.dtype.itemsize)
        device = property(lambda self: types.SimpleNamespace(id=self.data.device_id))

        @property
        def flags(self) -> Any:
            step, whole = self.dtype.itemsize, True
            for n, stride in zip(reversed(self.shape), reversed(self.strides)):
                whole, step = whole and (n <= 1 or stride == step), step * n
            return types.SimpleNamespace(c_contiguous=whole)

        def later(self) -> Callable[[], np.ndarray]:
            """What lies there when it is called, as numpy array over the memory: as a kernel, it has the address and
            does not keep the memory."""
            shape, dtype, strides, address = self.shape, self.dtype, self.strides, self.data.ptr
            extent = dtype.itemsize + sum((n - 1) * s for n, s in zip(shape, strides))

            def values() -> np.ndarray:
                if 0 in shape:
                    return np.empty(shape, dtype)
                memory, at = world.bytes_at(address, extent)
                return np.ndarray(shape, dtype, memory.data, at, strides)

            return values

        def _view(self, view: np.ndarray, base: np.ndarray) -> Any:
            offset = view.__array_interface__["data"][0] - base.__array_interface__["data"][0]
            pointer = cupy.cuda.MemoryPointer(self.data.mem, self.data.ptr - self.data.mem.ptr + offset)
            return ndarray(view.shape, self.dtype, pointer, view.strides)

        def __getitem__(self, key: Any) -> Any:
            base = np.lib.stride_tricks.as_strided(np.empty(1, self.dtype), self.shape, self.strides)
            return self._view(base[key], base)

        def __len__(self) -> int:
            return self.shape[0]

        def reshape(self, *shape: Any) -> Any:
            return ndarray(np.empty(self.shape, np.uint8).reshape(*shape).shape, self.dtype, self.data)

        def __setitem__(self, key: Any, value: Any) -> None:
            target = self.later()
            where, what = (x.later() if isinstance(x, ndarray) else lambda x=x: x for x in (key, value))

            def store() -> None:
                target()[where()] = what()

            world.kernel(store, self, *(a for a in (key, value) if isinstance(a, ndarray)))

        def copy(self, order: str = "C") -> Any:
            made = ndarray(self.shape, self.dtype)
            made[...] = self
            return made

        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, self.data.device_id

    ndarray.__module__ = "cupy"

    def asarray(value: Any) -> Any:
        if isinstance(value, ndarray):
            return value
        plain = np.array(value, order="C")
        made = ndarray(plain.shape, plain.dtype)
        target = made.later()
        world.kernel(lambda: target().__setitem__(..., plain), made)
        return made

    def concatenate(parts: Any, out: Any) -> None:
        target, sources = out.later(), [p.later() for p in parts]
        world.kernel(lambda: np.concatenate([source() for source in sources], out=target()), out, *parts)

    def take(source: Any, rows: Any, axis: int, out: Any) -> None:
        target, origin, where = out.later(), source.later(), rows.later()

        def work() -> None:
            target()[...] = np.take(origin(), where(), axis=axis)

        world.kernel(work, out, source, rows)

    cupy.ndarray, cupy.asarray, cupy.concatenate, cupy.take = ndarray, asarray, concatenate, take
    cupy.ascontiguousarray = lambda a: a if a.flags.c_contiguous else a.copy()
    cupy.from_dlpack = lambda value: value.__dlpack__()
