"""Where tensors live and work is ordered: `Device`, `Stream`, `Event`, and the host's form of them."""

from .base import Device, Event, Stream
from .host import HostDevice

__all__ = ["Device", "Event", "HostDevice", "Stream"]
