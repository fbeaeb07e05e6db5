"""Arrays of ours and torch tensors over the same memory, without a copy. Imports torch inside its functions.

    host          ndarray      <-> tensor on cpu
    accelerator   DeviceArray   -> tensor on cuda, and back as a tensor whose memory `Accelerator.adopt` takes

torch has no read-only tensors: what is given as a tensor must not be written, and `unwritten` tells whether it was.
bf16 and fp8 go through a view of unsigned integers of their width, since no two libraries share them. Nothing here
waits, and no order is added: on an accelerator the tensor is ready on the stream that the array is ready on."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np

from .device.array import DeviceArray, storage
from .shapes import Mismatch

ML_DTYPES = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
"""Dtypes of torch and of ml_dtypes, under one name in both, that numpy and DLPack do not have."""

_once = threading.Lock()
_silenced = False


def to_torch(array: Any) -> Any:
    """A tensor over the memory of an ndarray (also a read-only one) or of a `DeviceArray`."""
    import torch

    if type(array) is DeviceArray:
        return _seen_as(torch, torch.from_dlpack(array.data), array.dtype)
    if not _silenced:
        _silence_read_only_warning(torch)
    held = storage(array.dtype)
    if held is array.dtype:
        return torch.from_numpy(array)
    return _seen_as(torch, torch.from_numpy(array.view(held)), array.dtype)


def to_numpy(tensor: Any) -> Any:
    """An ndarray over the memory of a host tensor. Mismatch for a tensor on another device."""
    if tensor.requires_grad:
        tensor = tensor.detach()
    if tensor.device.type != "cpu":
        raise Mismatch(
            f"a tensor on {tensor.device} is expected on cpu, where the stage runs: return it with .cpu(), or place "
            f"the stage with `device = cuda({tensor.device.index or 0})`"
        )
    stored, dtype = as_stored(tensor)
    array = stored.numpy()
    return array if dtype is None else array.view(dtype)


def as_stored(tensor: Any) -> tuple[Any, np.dtype[Any] | None]:
    """A tensor that DLPack can pass on, over the same memory, and what its items mean where that is another dtype."""
    import torch

    if tensor.requires_grad:
        tensor = tensor.detach()
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in ML_DTYPES:
        return tensor, None
    import ml_dtypes

    return tensor.view(torch.uint16 if tensor.itemsize == 2 else torch.uint8), np.dtype(getattr(ml_dtypes, name))


def unwritten(tensor: Any) -> bool:
    """Whether a tensor that `to_torch` made was left as it was, by torch's own count of writes to it and its views.

    Writes past that count (through `.data`, or an array made from the tensor) are not seen."""
    return not tensor._version


def _seen_as(torch: Any, tensor: Any, dtype: np.dtype[Any]) -> Any:
    return tensor.view(getattr(torch, dtype.name)) if dtype.name in ML_DTYPES else tensor


def _silence_read_only_warning(torch: Any) -> None:
    """torch warns once per process that it can write a read-only array; spend that warning here."""
    global _silenced
    with _once, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = np.zeros(1, np.float32)
        array.flags.writeable = False
        torch.from_numpy(array)
        _silenced = True
