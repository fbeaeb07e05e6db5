"""Where tensors live and work is ordered.

host            numpy arrays; everything has happened when a call returns
Accelerator     `DeviceArray`s in blocks of device memory, streams and events, over a `Driver`: CUDA, or a simulator
"""

from __future__ import annotations

import threading
from functools import cache

from backends.base import BackendError

from .accelerator import Accelerator, Landing
from .array import DeviceArray
from .driver import DeviceLost, Driver
from .host import HostDevice
from .ops import on_device
from .stream import Event, Stream

__all__ = [
    "Accelerator",
    "DeviceArray",
    "DeviceLost",
    "Driver",
    "Event",
    "HostDevice",
    "Landing",
    "Stream",
    "device",
    "forget",
    "on_device",
]


_opening = threading.RLock()
"""Instances load side by side, and a device has one object: order is kept by what that knows."""


def device(name: str) -> HostDevice | Accelerator:
    """The device of that name, one object per process: `cpu`, `cuda:1`, `sim:0`.

    BackendError if it can not be used here, with what to do."""
    with _opening:
        return _opened(name)


def forget() -> None:
    """Open devices anew when they are asked for next; for tests."""
    with _opening:
        _opened.cache_clear()


@cache
def _opened(name: str) -> HostDevice | Accelerator:
    kind, _, number = name.partition(":")
    if name == "cpu":
        return HostDevice()
    if kind == "sim":
        from .sim import driver

        return Accelerator(driver(int(number or 0)))
    if kind == "cuda":
        from .cuda import driver as cuda_driver

        return Accelerator(cuda_driver(int(number or 0)))
    raise BackendError(f"device `{name}` is unknown", "write `device = cpu`, `cuda(0)` or `any`")
