"""Streams whose work runs on some of a GPU's multiprocessors, through torch's green contexts.

The memory is the whole device's, so arrays pass between partitions as they do between streams. torch calls these
contexts beta; it sets their sizes to what the hardware allows (multiples of 8 on recent GPUs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backends.base import BackendError

from . import libraries
from .streams import CudaStream

if TYPE_CHECKING:
    from .driver import CudaDriver


class Partition:
    """Some multiprocessors of a device; keep it as long as its streams."""

    def __init__(self, driver: CudaDriver, sms: int) -> None:
        """`sms`: multiprocessors. BackendError where they can not be set aside."""
        self._driver = driver
        self.sms = sms
        self._context = _context(driver, sms)

    def open_stream(self) -> CudaStream:
        """A stream that works on this partition only. RuntimeError if torch gives one out twice."""
        with self._driver.here():
            return self._driver.streams.wrapped(self._context.Stream())


def _context(driver: CudaDriver, sms: int) -> Any:
    name = f"{sms} multiprocessors of {driver.name}"
    if sms < 1:
        raise BackendError(f"a partition has at least one multiprocessor, not {sms}")
    torch = libraries.torch()
    if torch is None:
        raise BackendError(f"{name} can not be set aside without torch", "add the extra `torch`, and import it first")
    try:
        from torch.cuda import green_contexts
    except ImportError:
        green_contexts = None
    gives_streams = hasattr(getattr(green_contexts, "GreenContext", None), "Stream")  # the first ones did not
    if not gives_streams or not getattr(green_contexts, "SUPPORTED", True):
        text = f"{name} can not be set aside: torch {torch.__version__} has no green contexts that give streams"
        raise BackendError(text, "update torch")
    try:
        return green_contexts.GreenContext.create(num_sms=sms, device_id=driver.index)
    except (RuntimeError, ValueError) as error:
        text = f"{name} can not be set aside: {' '.join(str(error).split())[:200]}"
        raise BackendError(text, "ask for a multiple of 8, and fewer than all") from error
