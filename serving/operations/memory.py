"""Shared memory of clients."""

from __future__ import annotations

from serving.access import Caller
from serving.errors import InvalidArgument, Unsupported
from serving.shared_memory import RegionInfo, SharedMemory

from .guard import guarded


class Memory:
    """Regions of the caller; those of others are not seen."""

    def __init__(self, shared: SharedMemory) -> None:
        self._shared = shared

    @guarded("shared-memory")
    def status(self, caller: Caller, name: str = "") -> list[RegionInfo]:
        return self._shared.status(caller.name, name)

    @guarded("shared-memory")
    def register(self, caller: Caller, name: str, key: str, offset: int, byte_size: int) -> None:
        self._shared.register(caller.name, name, key, offset, byte_size)

    @guarded("shared-memory")
    def unregister(self, caller: Caller, name: str = "") -> None:
        self._shared.unregister(caller.name, name)

    @guarded("shared-memory")
    def cuda_status(self, caller: Caller, name: str = "") -> list[RegionInfo]:
        """None: there is no device whose memory could be shared."""
        if name:
            raise InvalidArgument(f"there is no region `{name[:80]}` of CUDA shared memory")
        return []

    @guarded("shared-memory")
    def cuda_register(self, caller: Caller, name: str) -> None:
        raise Unsupported(f"region `{name[:80]}`: this server shares no memory of CUDA devices")

    @guarded("shared-memory")
    def cuda_unregister(self, caller: Caller, name: str = "") -> None:
        """Nothing is registered, so all of nothing may be forgotten."""
        if name:
            raise InvalidArgument(f"there is no region `{name[:80]}` of CUDA shared memory")
