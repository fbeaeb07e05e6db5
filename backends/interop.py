"""Host tensors between numpy and torch, without a copy. Imports torch inside its functions.

torch has no read-only tensors: what `to_torch` gives must not be written, and `pytorch` checks that it was
not. bf16 goes through a view of 16-bit integers, since neither library exports the other's bfloat16."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np

_once = threading.Lock()
_silenced = False


def to_torch(array: Any) -> Any:
    """A tensor over the memory of an ndarray (also a read-only one)."""
    import torch

    if not _silenced:
        _silence_read_only_warning(torch)
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_numpy(tensor: Any) -> Any:
    """An ndarray over the memory of a host tensor. A tensor on another device is copied to the host."""
    import torch

    if tensor.requires_grad or tensor.device.type != "cpu":
        tensor = tensor.detach().cpu()
    if tensor.dtype is torch.bfloat16:
        import ml_dtypes

        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def _silence_read_only_warning(torch: Any) -> None:
    """torch warns once per process that it can write a read-only array; spend that warning here."""
    global _silenced
    with _once, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = np.zeros(1, np.float32)
        array.flags.writeable = False
        torch.from_numpy(array)
        _silenced = True
