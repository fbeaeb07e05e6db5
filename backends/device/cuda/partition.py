"""Streams whose work is kept to some of a GPU's multiprocessors, through torch's green contexts.

A partition bounds what its own work uses, and keeps nothing free for it: work of other streams runs on the same
multiprocessors, and torch takes each partition out of the whole device anew, so two may overlap. CUDA rounds sizes up
to what it splits the hardware by: multiples of 2, at least 4, on GPUs of compute capability 8, of 8 from 9.0 on. The
memory is the whole device's, so arrays pass between partitions as between streams. torch calls these contexts beta.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from backends.base import BackendError
from backends.device.driver import partition_refused

from . import libraries
from .streams import CudaStream

if TYPE_CHECKING:
    from .driver import CudaDriver

_MULTIPROCESSORS = 16
"""Number among the attributes that the CUDA runtime has of a device."""


class Partition:
    """Some multiprocessors of a device; keep it as long as its streams."""

    def __init__(self, driver: CudaDriver, sms: int) -> None:
        """`sms`: multiprocessors. BackendError where work can not be kept to as many."""
        self._driver = driver
        self.sms = sms
        self._context = _context(driver, sms)

    def open_stream(self) -> CudaStream:
        """A stream that works on this partition only. RuntimeError if torch gives one out twice: it has 32 of each
        partition."""
        with self._driver.here():
            return self._driver.streams.wrapped(self._context.Stream())


class Partitions:
    """The partitions of one device: one of each size, kept until the device is closed, as its streams are."""

    def __init__(self, driver: CudaDriver) -> None:
        self._driver = driver
        self._lock = threading.Lock()
        self._by_size: dict[int, Partition] = {}

    def of(self, sms: int) -> Partition:
        """The partition of that many multiprocessors, made when it is first asked for. BackendError, see above."""
        with self._lock:
            if sms not in self._by_size:
                self._by_size[sms] = Partition(self._driver, sms)
            return self._by_size[sms]

    def close(self) -> None:
        """Nothing runs on their streams, and nobody uses them any more."""
        self._by_size.clear()


def _context(driver: CudaDriver, sms: int) -> Any:
    runtime = driver.xp.cuda.runtime
    there = int(runtime.deviceGetAttribute(_MULTIPROCESSORS, driver.index))
    if not 0 < sms <= there:
        raise partition_refused(driver.name, sms, there)
    failed = f"`sms = {sms}` on {driver.name}"
    torch = libraries.loaded_torch()
    if torch is None:
        raise BackendError(f"{failed} needs a torch that can use this GPU", "add the extra `torch`, or leave `sms` out")
    old = BackendError(
        f"{failed}: torch {torch.__version__} has no green contexts with streams", "update torch, or leave `sms` out"
    )
    try:
        from torch.cuda import green_contexts
    except ImportError:
        raise old from None
    try:
        with driver.here():
            runtime.memGetInfo()  # this thread may not have used CUDA, and torch asks for its context
            context = green_contexts.GreenContext.create(num_sms=sms, device_id=driver.index)
    except (RuntimeError, ValueError) as error:
        text = f"{failed}: {' '.join(str(error).split())[:200]}"
        raise BackendError(text, 'leave `sms` out, or see "Sharing a GPU" in docs/gpu.md') from error
    if not hasattr(context, "Stream"):
        raise old
    return context
