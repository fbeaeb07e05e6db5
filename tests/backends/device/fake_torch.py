"""The part of torch that shares a GPU with CuPy: streams from a pool that wraps around, and the caching allocator."""

from __future__ import annotations

import contextlib
import threading
import types
from typing import Any, ClassVar

from .fake_cupy import StreamState, World

POOL = 32


class OutOfMemoryError(RuntimeError):
    """Not a MemoryError, as in torch."""


def make(world: World) -> types.ModuleType:
    """The module. Its device and CuPy's are one, as the CUDA runtime's is; its streams are its own."""
    torch = types.ModuleType("torch")
    torch.__version__ = "2.11.0"
    here = threading.local()
    pools: dict[tuple[int, int], list[int]] = {}
    turns: dict[tuple[int, int], int] = {}
    blocks: dict[int, tuple[int, int, int, Any]] = {}
    idle: dict[tuple[int, int, int, Any], list[int]] = {}

    class Stream:
        def __init__(self, address: int, index: int) -> None:
            self.cuda_stream, self.device_index = address, index

    def new_stream(device: int, priority: int = 0) -> Stream:
        key = (device, priority)
        if key not in pools:
            pools[key] = [world.address() for _ in range(POOL)]
            for address in pools[key]:
                world.streams[address] = StreamState(device, priority, True)
        turns[key] = turns.get(key, -1) + 1
        return Stream(pools[key][turns[key] % POOL], device)

    def current() -> dict[int, Stream]:
        if not hasattr(here, "streams"):
            here.streams = {}
        return here.streams

    def current_stream(index: int) -> Stream:
        return current().get(index) or Stream(0, index)

    def set_stream(stream: Stream) -> None:
        world.device = stream.device_index
        current()[stream.device_index] = stream

    def alloc(size: int, index: int, stream: int) -> int:
        key = (index, stream, size, getattr(here, "pool", None))
        if idle.get(key):
            address = idle[key].pop()
        else:
            before, world.device = world.device, index
            try:
                address = world.malloc(size)
            except RuntimeError:
                raise OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes.") from None
            finally:
                world.device = before
        blocks[address] = key
        return address

    def delete(address: int) -> None:
        idle.setdefault(blocks.pop(address), []).append(address)

    def empty_cache() -> None:
        for key, addresses in idle.items():
            if key[3] is None:
                while addresses:
                    world.free(addresses.pop())

    in_use: list[Any] = []

    class MemPool:
        alive: ClassVar[list[int]] = []
        ended_the_process: ClassVar[list[str]] = []

        def __init__(self) -> None:
            self.alive.append(id(self))

        def __del__(self) -> None:
            self.alive.remove(id(self))
            if in_use:  # what torch asserts here is raised in a destructor
                self.ended_the_process.append("a pool went while memory was allocated from another one")

    @contextlib.contextmanager
    def use_mem_pool(pool: Any, index: int) -> Any:
        here.pool = id(pool)
        in_use.append(here.pool)
        try:
            yield
        finally:
            in_use.remove(here.pool)
            here.pool = None

    def set_device(index: int) -> None:
        world.device = index

    allocated = lambda index: sum(key[2] for key in blocks.values() if key[0] == index)  # noqa: E731
    torch.OutOfMemoryError = OutOfMemoryError  # type: ignore[attr-defined]
    torch._C = types.SimpleNamespace(_cuda_getCurrentRawStream=lambda index: current_stream(index).cuda_stream)  # type: ignore[attr-defined]
    torch.cuda = types.SimpleNamespace(  # type: ignore[attr-defined]
        is_available=lambda: True,
        init=lambda: None,
        Stream=new_stream,
        ExternalStream=lambda address, device: Stream(address, device),
        current_stream=current_stream,
        default_stream=lambda index: Stream(0, index),
        set_stream=set_stream,
        current_device=lambda: world.device,
        set_device=set_device,
        caching_allocator_alloc=alloc,
        caching_allocator_delete=delete,
        memory_allocated=allocated,
        memory_reserved=lambda i: allocated(i) + sum(k[2] * len(a) for k, a in idle.items() if k[0] == i),
        empty_cache=empty_cache,
        MemPool=MemPool,
        use_mem_pool=use_mem_pool,
    )
    return torch


class Tensor:
    """A tensor of it, over device memory or none."""

    def __init__(self, address: int, shape: tuple[int, ...], dtype: str, device: str, strides: Any = None) -> None:
        kind, _, index = device.partition(":")
        self.shape, self.dtype = shape, f"torch.{dtype}"
        self.device = type("Device", (), {"index": int(index or 0), "__str__": lambda _: device})()
        self.is_cuda = kind == "cuda"
        self._address, self._strides = address, strides or _row_major(shape)

    data_ptr = property(lambda self: lambda: self._address)
    stride = property(lambda self: lambda: self._strides)
    untyped_storage = is_conj = is_neg = lambda self: False


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))
