"""Streams that CuPy and torch both know, and which of them a thread works on.

Without torch CuPy makes them, non-blocking, so that they never wait for the default stream. With torch, torch makes
them; it has 32 for each priority and hands out the same ones again after that, so each is checked against those that
are in use, and CuPy makes the rest. The default stream and the per-thread one are never used: address 0 and 2 mean
"none" to other libraries.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

from . import libraries
from .health import Health

HIGH, NORMAL = -1, 0
"""Lower is served first."""
_POOL = 32
"""Streams that torch has for a priority."""


class Foreign:
    """A stream that another library owns, in the protocol that CuPy reads."""

    def __init__(self, address: int, owner: Any) -> None:
        self.address = address
        self.owner = owner

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.address


class CudaStream:
    """One stream as both libraries see it."""

    __slots__ = ("__weakref__", "_torch", "address", "cupy", "index")

    def __init__(self, index: int, cupy_stream: Any, torch_stream: Any = None) -> None:
        self.index = index
        self.cupy = cupy_stream
        self.address = int(cupy_stream.ptr)
        self._torch = torch_stream

    def of_torch(self, torch: Any) -> Any:
        """torch's object for it; made when torch came after the stream."""
        if self._torch is None:
            self._torch = torch.cuda.ExternalStream(self.address, device=self.index)
        return self._torch

    def __repr__(self) -> str:
        return f"CudaStream(0x{self.address:x} of cuda:{self.index})"


class Streams:
    """The streams of one device. They are kept until it is closed: libraries hold their addresses."""

    def __init__(self, cupy: Any, index: int) -> None:
        self._cupy = cupy
        self.index = index
        self._lock = Lock()
        self._by_address: dict[int, CudaStream] = {}

    def open(self, high_priority: bool) -> CudaStream:
        """A stream that nobody else here has. The device must be the calling thread's current one."""
        with self._lock:
            priority = HIGH if high_priority else NORMAL
            torch = libraries.torch()
            made = self._of_torch(torch, priority) if torch is not None else None
            if made is None:
                made = CudaStream(self.index, self._cupy.cuda.Stream(non_blocking=True, priority=priority))
            return self._known(made)

    def wrapped(self, torch_stream: Any) -> CudaStream:
        """One that torch made, as a stream of a partition is."""
        with self._lock:
            return self._known(self._around(torch_stream))

    def at(self, address: int) -> CudaStream | None:
        """The stream with that address, if it is one of these."""
        return self._by_address.get(address)

    def close(self) -> None:
        """Nothing runs on them, and nobody uses them any more."""
        self._by_address.clear()

    def _of_torch(self, torch: Any, priority: int) -> CudaStream | None:
        for _ in range(_POOL):
            stream = torch.cuda.Stream(device=self.index, priority=priority)
            if stream.cuda_stream not in self._by_address:
                return self._around(stream)
        return None

    def _around(self, torch_stream: Any) -> CudaStream:
        foreign = Foreign(int(torch_stream.cuda_stream), torch_stream)
        return CudaStream(self.index, self._cupy.cuda.Stream.from_external(foreign), torch_stream)

    def _known(self, stream: CudaStream) -> CudaStream:
        if stream.address in (0, 1, 2):
            raise RuntimeError(f"cuda:{self.index} gave its default stream where a new one was asked for")
        if stream.address in self._by_address:
            raise RuntimeError(f"{stream} is in use already: two chains of work would wait for each other")
        self._by_address[stream.address] = stream
        return stream


class Current:
    """Device and stream are the calling thread's current ones in CuPy and torch inside of `with`, and what was before
    is so again behind it, whatever was changed inside."""

    __slots__ = ("_cupy", "_cupy_before", "_device_before", "_health", "_stream", "_torch_before")

    def __init__(self, cupy: Any, stream: CudaStream, health: Health) -> None:
        self._cupy = cupy
        self._stream = stream
        self._health = health

    def __enter__(self) -> CudaStream:
        try:
            return self._enter()
        except RuntimeError as error:
            self._health.reraise(error)
            raise

    def __exit__(self, *_: object) -> None:
        try:
            self._exit()
        except RuntimeError as error:
            self._health.reraise(error)
            raise

    def _enter(self) -> CudaStream:
        stream, cuda = self._stream, self._cupy.cuda
        self._device_before = cuda.runtime.getDevice()
        if self._device_before != stream.index:
            cuda.runtime.setDevice(stream.index)
        self._cupy_before = cuda.get_current_stream(stream.index)
        self._torch_before = None
        torch = libraries.torch()
        if torch is not None:
            self._torch_before = (torch.cuda.current_device(), torch.cuda.current_stream(stream.index))
        make_current(self._cupy, stream)
        return stream

    def _exit(self) -> None:
        index, cuda, torch = self._stream.index, self._cupy.cuda, libraries.torch()
        if cuda.runtime.getDevice() != index:
            cuda.runtime.setDevice(index)
        self._cupy_before.use()
        if torch is not None:
            # torch that was loaded in between was on its default stream before
            device, before = self._torch_before or (self._device_before, torch.cuda.default_stream(index))
            torch.cuda.set_stream(before)
            if torch.cuda.current_device() != device:
                torch.cuda.set_device(device)
        if cuda.runtime.getDevice() != self._device_before:
            cuda.runtime.setDevice(self._device_before)


def make_current(cupy: Any, stream: CudaStream) -> None:
    """Set device and stream of the calling thread where they are others."""
    cuda, index = cupy.cuda, stream.index
    if cuda.runtime.getDevice() != index:
        cuda.runtime.setDevice(index)
    if cuda.get_current_stream(index).ptr != stream.address:
        stream.cupy.use()
    torch = libraries.torch()
    if torch is not None:
        if torch.cuda.current_device() != index:
            torch.cuda.set_device(index)
        if libraries.raw_stream(torch, index) != stream.address:
            torch.cuda.set_stream(stream.of_torch(torch))


def is_current(cupy: Any, stream: CudaStream) -> bool:
    """Whether nothing needs to be set."""
    return not changes(cupy, stream)


def changes(cupy: Any, stream: CudaStream) -> str:
    """What is current for the calling thread in place of a stream and its device; empty where they are."""
    cuda, index = cupy.cuda, stream.index
    device = cuda.runtime.getDevice()
    if device != index:
        return f"device cuda:{device} in place of cuda:{index}"
    if cuda.get_current_stream(index).ptr != stream.address:
        return f"another stream of CuPy on cuda:{index}"
    torch = libraries.torch()
    if torch is not None:
        if torch.cuda.current_device() != index:
            return f"torch's device cuda:{torch.cuda.current_device()} in place of cuda:{index}"
        if libraries.raw_stream(torch, index) != stream.address:
            return f"another stream of torch on cuda:{index}"
    return ""
