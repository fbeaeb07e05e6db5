"""All that this backend asks of devices and streams: memory, copies, order. The only file that knows their interface.

Arrays have `shape`, `dtype`, `nbytes` and `address`, are C-contiguous, and are ordered on the stream they are given
with. The library wants addresses that are multiples of 256, which allocations are and views need not be."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from backends.base import BackendError
from backends.device import DeviceArray
from backends.device.array import storage
from backends.placement import host_or_cuda
from pipeline_dsl.plan import StagePlan

ALIGNMENT = 256
"""Bytes; what the library asks of each address."""

_MAJOR, _MINOR = 75, 76
"""Numbers of the compute capability among the attributes of the CUDA driver."""


def refuse_others(name: str, stage: StagePlan) -> None:
    """BackendError for a device that is no CUDA device."""
    if not name.startswith("cuda:"):
        message = f"stage `{stage.name}`: backend `{stage.backend}` runs on a CUDA device, not on {name}"
        raise BackendError(message, "set `device = cuda(0)` for it, or use onnx(..) with the model it was built from")


def open_stream(name: str, stage: StagePlan) -> Any:
    """A stream of a CUDA device. BackendError if the device can not be used."""
    found = host_or_cuda(stage, name)
    assert found is not None, "a CUDA device is no host"
    return found.stream()


def capability(name: str) -> str:
    """Compute capability of a device, `9.0`. RuntimeError if the driver does not say."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise RuntimeError(f"there is no CUDA driver: {error}") from error
    ordinal = int(name.partition(":")[2])
    handle = ctypes.c_int()
    status = driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(handle), ordinal)
    numbers = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        status = status or driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, handle)
        numbers.append(value.value)
    if status:
        raise RuntimeError(f"the CUDA driver answers with error {status} for {name}")
    return f"{numbers[0]}.{numbers[1]}"


def number(stream: Any) -> int:
    """The stream as the library wants it; never 0."""
    return int(stream.address)


def empty(shape: Sequence[int], dtype: Any, stream: Any) -> Any:
    """New device memory, ready on the stream."""
    return stream.device.empty(tuple(shape), dtype, stream)


def upload(array: Any, stream: Any) -> Any:
    """A host array on the stream's device. The caller may change or drop it at once."""
    return stream.device.upload(np.asarray(array, order="C"), stream)


def download(array: Any, stream: Any) -> Any:
    """A device array as numpy array; waits for the stream."""
    landing = stream.device.download(array, stream)
    landing.event.synchronize()
    return landing.array


def aligned(array: Any, stream: Any) -> Any:
    """The array itself, or a copy of it if its items are apart or its address is no multiple of `ALIGNMENT`."""
    if array.contiguous and (array.address % ALIGNMENT == 0 or not array.nbytes):
        return array
    return stream.device.compute(array.shape, array.dtype, _copy, [array], stream)


def shaped(buffer: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """The first bytes of a byte buffer as an array of shape and dtype. It keeps the buffer alive."""
    block, wanted = buffer.block, np.dtype(dtype)
    return DeviceArray(block.device.driver.view(block.memory, shape, storage(wanted)), block, wanted)


def order(stream: Any, writes: Sequence[Any], reads: Sequence[Any]) -> None:
    """Order what is launched next on the stream behind the work that made or used these arrays."""
    stream.order(writes=writes, reads=reads)


def launched(stream: Any, writes: Sequence[Any], reads: Sequence[Any]) -> None:
    """Say that the library has enqueued work on these arrays."""
    stream.launched(writes=writes, reads=reads)


def follow(stream: Any, earlier: Any) -> None:
    """What is launched on `stream` from here on starts after what was launched on `earlier`."""
    stream.wait(earlier.record())


def on_device(value: Any) -> bool:
    """Whether a value lies in device memory."""
    return type(value) is DeviceArray


def _copy(out: Any, source: Any) -> None:
    out[...] = source
