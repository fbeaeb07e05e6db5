"""Arrays of other libraries: where they lie, and the same memory as CuPy sees it.

Nothing here orders streams: whoever hands an array over says on which stream it was written. So the addresses are
taken as they are, instead of through an exchange protocol that would make CuPy's current stream wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backends.device.array import DeviceArray

_ON_GPU = (2, 13)
"""DLPack's numbers for memory of a GPU, and memory that host and GPU share."""
_STORED = {
    "bfloat16": "u2",
    "float8_e4m3fn": "u1",
    "float8_e4m3fnuz": "u1",
    "float8_e5m2": "u1",
    "float8_e5m2fnuz": "u1",
    "float8_e8m0fnu": "u1",
}
"""torch's dtypes that CuPy does not know, by the unsigned integers they are stored in."""


def place(value: Any, runtime: Any = None) -> str:
    """`cpu`, `cuda:1`, or an empty string for what is no tensor. `runtime`: CUDA's, to ask where an address lies."""
    kind = type(value)
    if kind is DeviceArray:
        return str(value.device)
    if isinstance(value, np.ndarray | np.generic):
        return "cpu"
    library = kind.__module__.partition(".")[0]
    if library == "cupy" and hasattr(value, "data"):
        return f"cuda:{value.data.device_id}"
    if hasattr(value, "is_cuda") and hasattr(value, "untyped_storage"):
        return f"cuda:{value.device.index}" if value.is_cuda else str(value.device)
    exported = getattr(value, "__dlpack_device__", None)
    if exported is not None:
        number, index = exported()
        return f"cuda:{int(index)}" if int(number) in _ON_GPU else "cpu"
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is not None and runtime is not None:
        address = int(interface["data"][0])
        return f"cuda:{runtime.pointerGetAttributes(address).device}" if address else ""
    return "cpu" if hasattr(value, "__array_interface__") else ""


def as_cupy(cupy: Any, value: Any, index: int) -> Any:
    """An array over the memory of a value of this device, of the dtype it is stored in. TypeError for one that CuPy has
    no dtype for."""
    if type(value) is DeviceArray:
        return value.data
    if isinstance(value, cupy.ndarray):
        return value
    if hasattr(value, "untyped_storage"):
        return _of_torch(cupy, value, index)
    if hasattr(value, "__dlpack_device__"):
        return cupy.from_dlpack(_Unordered(value))
    interface = value.__cuda_array_interface__
    dtype = np.dtype(interface["typestr"])
    shape = tuple(interface["shape"])
    return _over(cupy, value, index, int(interface["data"][0]), dtype, shape, interface.get("strides"))


def _of_torch(cupy: Any, tensor: Any, index: int) -> Any:
    name = str(tensor.dtype).removeprefix("torch.")
    try:
        dtype = np.dtype(_STORED.get(name, name))
    except TypeError as error:
        raise TypeError(f"a torch tensor of dtype {name} can not be passed on; convert it in the stage") from error
    if tensor.is_conj() or tensor.is_neg():
        raise TypeError("a torch tensor that is conjugated or negated only on paper: return `tensor.resolve_conj()`")
    strides = tuple(step * dtype.itemsize for step in tensor.stride())
    return _over(cupy, tensor, index, tensor.data_ptr(), dtype, tuple(tensor.shape), strides)


def _over(
    cupy: Any,
    owner: Any,
    index: int,
    address: int,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    strides: Sequence[int] | None,
) -> Any:
    extent = _extent(shape, strides, dtype.itemsize)
    memory = cupy.cuda.UnownedMemory(address if extent else 0, extent, owner, index)
    pointer = cupy.cuda.MemoryPointer(memory, 0)
    return cupy.ndarray(shape, dtype, pointer, None if strides is None else tuple(strides))


def _extent(shape: tuple[int, ...], strides: Sequence[int] | None, itemsize: int) -> int:
    """Bytes from the first item to the end of the last one."""
    if 0 in shape:
        return 0
    if strides is None:
        return itemsize * int(np.prod(shape, dtype=np.int64))
    return itemsize + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))


class _Unordered:
    """A value whose exporter is told that nobody needs to wait."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __dlpack_device__(self) -> Any:
        return self._value.__dlpack_device__()

    def __dlpack__(self, **_: Any) -> Any:
        return self._value.__dlpack__(stream=-1)


def misplaced(value: Any, device: str) -> str:
    """Why a returned value is not the tensor of a device that was promised, and what to do; empty if it is."""
    found = place(value)
    if found == device:
        return ""
    kind = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
    if not found and not hasattr(value, "__cuda_array_interface__"):
        return f"{kind} is no tensor; return an array on {device}"
    if not found:
        return ""  # where an address lies is seen when it is adopted
    if found == "cpu":
        return f"a {kind} in the host's memory, where a tensor on {device} was promised; move it there in the stage"
    return f"a {kind} on {found}, where a tensor on {device} was promised; each instance computes on its own device"
