"""GPUs of NVIDIA, through CuPy; torch shares streams and memory with it where it is loaded.

    driver(0)        the `Driver` of `cuda:0`, for an `Accelerator`
    misplaced        why a value is not the device tensor that a stage promised

What was run on a GPU, and what was not, is in docs/gpu.md.
"""

from __future__ import annotations

from backends.device.driver import CurrentChanged

from .driver import CudaDriver
from .foreign import misplaced, place

__all__ = ["CudaDriver", "CurrentChanged", "driver", "misplaced", "place"]


def driver(index: int) -> CudaDriver:
    """The driver of `cuda:index`. BackendError if it can not be used here, with what to do."""
    return CudaDriver(index)
