"""All that this backend asks of devices and streams: memory, copies, order. The only file that knows their interface.

Arrays have `shape`, `dtype`, `nbytes` and `address`, are C-contiguous, and are ordered on the stream they are given
with. The library wants addresses that are multiples of 256, which allocations are and views need not be."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from backends.base import BackendError
from backends.device import device
from pipeline_dsl.plan import StagePlan

ALIGNMENT = 256
"""Bytes; what the library asks of each address."""

_MAJOR, _MINOR = 75, 76
"""Numbers of the compute capability among the attributes of the CUDA driver."""


def open_stream(name: str, stage: StagePlan) -> Any:
    """A stream of a device. BackendError if the device is no CUDA device, or can not be used."""
    if not name.startswith("cuda:"):
        message = f"stage `{stage.name}`: backend `{stage.backend}` runs on a CUDA device, not on {name}"
        raise BackendError(message, "set `device = cuda(0)` for it, or use onnx(..) with the model it was built from")
    try:
        return device(name).stream()
    except BackendError as error:
        raise BackendError(f"stage `{stage.name}`: {error}", error.hint) from error


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


def empty(shape: Sequence[int], dtype: Any, stream: Any) -> Any:
    """New device memory, ready on the stream."""
    return stream.device.empty(tuple(shape), dtype, stream)


def upload(array: Any, stream: Any) -> Any:
    """A host array on the stream's device. The caller keeps the array alive until the stream has passed."""
    return stream.device.to_device(np.ascontiguousarray(array), stream)


def download(array: Any, stream: Any) -> Any:
    """A device array as numpy array; waits for the stream."""
    host = stream.device.to_host(array, stream)
    stream.synchronize()
    return host


def aligned(array: Any, stream: Any) -> Any:
    """The array itself, or a copy of it if its address is no multiple of `ALIGNMENT`."""
    if array.address % ALIGNMENT == 0:
        return array
    copy = empty(array.shape, array.dtype, stream)
    stream.device.copy(copy, array, stream)
    return copy


def shaped(buffer: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """The first bytes of a byte buffer as an array of shape and dtype. It keeps the buffer alive."""
    return buffer.view(shape, dtype)


def follow(stream: Any, earlier: Any) -> None:
    """What is launched on `stream` from here on starts after what was launched on `earlier`."""
    stream.wait(earlier.record())
