"""CuPy, imported when a device is opened, and torch, used where something else loaded it or nothing else will do."""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module
from typing import Any

_torch: Any = None
_without_gpu: Any = None
"""A torch that was asked and can not use one."""


def cupy() -> Any:
    """The module. ImportError where it is missing or its own libraries are."""
    import cupy as module

    return module


def torch() -> Any:
    """torch, if this process has loaded it and it can use a GPU; else None. Never imports it."""
    global _torch, _without_gpu
    if _torch is None:
        module = sys.modules.get("torch")
        if module is None or module is _without_gpu or getattr(module.__spec__, "_initializing", False):
            return None
        if not module.cuda.is_available():
            _without_gpu = module
            return None
        module.cuda.init()
        _torch = module
    return _torch


def loaded_torch() -> Any:
    """torch, imported now if it was not; None where it is missing or can not use a GPU."""
    with contextlib.suppress(ImportError):
        import_module("torch")
    return torch()


def raw_stream(torch: Any, index: int) -> int:
    """Address of torch's current stream on a device; 0 is its default one."""
    quick = getattr(torch._C, "_cuda_getCurrentRawStream", None)  # a tenth of the time of the public way
    return int(quick(index) if quick is not None else torch.cuda.current_stream(index).cuda_stream)


def forget() -> None:
    """Look for torch anew: for tests."""
    global _torch, _without_gpu
    _torch = _without_gpu = None
