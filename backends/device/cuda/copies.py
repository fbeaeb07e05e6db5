"""Copies between host, this device and others, enqueued on a stream."""

from __future__ import annotations

from threading import Lock
from typing import Any

from backends.values import Array

from .streams import CudaStream

PEER_ACCESS_ALREADY_ENABLED = 704


def upload(stream: CudaStream, target: Any, source: Array) -> None:
    """From a contiguous host array in page-locked memory. The stream must be current where `target` has gaps."""
    if not source.flags.c_contiguous:
        raise ValueError("a copy to the device starts from a host array whose items lie side by side")
    if target.flags.c_contiguous:
        target.data.copy_from_host_async(_address(source), target.nbytes, stream.cupy)
    else:
        whole = target.copy(order="C")
        upload(stream, whole, source)
        target[...] = whole


def download(xp: Any, stream: CudaStream, target: Array, source: Any) -> None:
    """Into a contiguous host array in page-locked memory. The stream must be current where `source` has gaps."""
    if not target.flags.c_contiguous:
        raise ValueError("a copy from the device goes to a host array whose items lie side by side")
    whole = source if source.flags.c_contiguous else xp.ascontiguousarray(source)
    whole.data.copy_to_host_async(_address(target), whole.nbytes, stream.cupy)


class Peers:
    """Which other devices this one can read from, each made accessible once."""

    def __init__(self, runtime: Any, index: int) -> None:
        self._runtime = runtime
        self.index = index
        self._lock = Lock()
        self._reached: dict[int, bool] = {}

    def reaches(self, other: int) -> bool:
        """Whether memory of the other device can be read directly. This device must be current."""
        with self._lock:
            found = self._reached.get(other)
            if found is None:
                found = self._reached[other] = self._open(other)
            return found

    def _open(self, other: int) -> bool:
        if not self._runtime.deviceCanAccessPeer(self.index, other):
            return False
        try:
            self._runtime.deviceEnablePeerAccess(other)
        except self._runtime.CUDARuntimeError as error:
            return bool(error.status == PEER_ACCESS_ALREADY_ENABLED)  # another library did it; or there are too many
        return True

    def copy(self, stream: CudaStream, target: Any, source: Any) -> bool:
        """Enqueue a copy from the other device's memory; False where it can not be done directly."""
        other = source.data.device_id
        if not (target.flags.c_contiguous and source.flags.c_contiguous and self.reaches(other)):
            return False
        if target.nbytes:
            self._runtime.memcpyPeerAsync(
                target.data.ptr, self.index, source.data.ptr, other, target.nbytes, stream.address
            )
        return True


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
