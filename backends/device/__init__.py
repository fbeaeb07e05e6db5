"""Where tensors live and work is ordered: `Device`, `Stream`, `Event`, and the host's form of them."""

from __future__ import annotations

from functools import cache

from backends.base import BackendError

from .base import Device, Event, Stream
from .host import HostDevice

__all__ = ["Device", "Event", "HostDevice", "Stream", "device"]


@cache
def device(name: str) -> Device:
    """The device of that name, one object per process. BackendError if this version can not use it."""
    if name == "cpu":
        return HostDevice()
    raise BackendError(f"device `{name}` is not part of this version", "write `device = cpu`")
