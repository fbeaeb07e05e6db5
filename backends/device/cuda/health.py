"""What an exception of a CUDA library means: memory is short, the device is lost, or neither.

    cudaErrorMemoryAllocation, torch.OutOfMemoryError  -> MemoryError
    an illegal address, a failed assertion, ...         -> DeviceLost, now and at every later call
    everything else                                     -> as it is

A kernel's fault shows up at some later call, often of other work: it says that the device is lost, not who did it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from backends.device.driver import DeviceLost

OUT_OF_MEMORY = 2
FATAL = {
    214: "uncorrectable memory error",
    220: "uncorrectable NVLink error",
    700: "illegal address",
    702: "a kernel that ran too long was stopped",
    709: "its context was destroyed",
    710: "an assertion in a kernel failed",
    714: "hardware stack error",
    715: "illegal instruction",
    716: "misaligned address",
    717: "illegal address space",
    718: "invalid program counter",
    719: "a kernel failed",
    805: "no connection to the MPS server",
    806: "the MPS server failed",
    807: "the MPS server is not ready",
    999: "unknown error of the driver",
}
"""CUDA's error codes after which nothing in this process can use the device again."""

_TEXTS = (
    "an illegal memory access was encountered",
    "device-side assert triggered",
    "unspecified launch failure",
    "uncorrectable ECC error",
    "an illegal instruction was encountered",
    "misaligned address",
    "operation not supported on global/shared address space",
    "invalid program counter",
    "hardware stack error",
    "the launch timed out and was terminated",
)
"""The same in the words of a library that gives no code."""


_NUMBERED = ("CUDARuntimeError", "CUDADriverError", "AcceleratorError")
"""Exceptions with CUDA's numbers; other libraries have their own: 13 of cuBLAS is not 13 of CUDA."""


class Health:
    """Whether a device can be used."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lost: DeviceLost | None = None
        """Why not."""

    def check(self) -> None:
        """DeviceLost if it was lost before."""
        if self.lost is not None:
            raise DeviceLost(*self.lost.args)

    def translated(self, error: Exception) -> Exception:
        """What to raise for an exception that work on the device ended with; itself, if it says all there is to say."""
        if isinstance(error, DeviceLost | MemoryError) or not isinstance(error, RuntimeError):
            return error
        code = _code(error)
        if code == OUT_OF_MEMORY or _is_torch_out_of_memory(error):
            return MemoryError(f"{self.name}: {_line(error)}")
        if code in FATAL or any(text in str(error) for text in _TEXTS):
            reason = FATAL.get(code, "") or _line(error)
            self.lost = DeviceLost(
                f"{self.name} is lost: {reason} ({_line(error)}); it can be used again in a new process only. "
                f"CUDA_LAUNCH_BLOCKING=1 makes the call that is at fault raise"
            )
            return DeviceLost(*self.lost.args)
        return error

    def reraise(self, error: Exception) -> None:
        """Raise what it means, if that is something else."""
        meant = self.translated(error)
        if meant is not error:
            raise meant from error


def _code(error: BaseException) -> int:
    """CUDA's number, as CuPy (`status`) or torch (`error_code`) attach it; -1 without one."""
    for name in ("status", "error_code"):
        found = getattr(error, name, None)
        if isinstance(found, int) and type(error).__name__ in _NUMBERED:
            return found
    return -1


def _is_torch_out_of_memory(error: BaseException) -> bool:
    return type(error).__name__ == "OutOfMemoryError"


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")


P = ParamSpec("P")
T = TypeVar("T")


def guarded(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """A driver's method that raises DeviceLost where the device is lost, and MemoryError where memory is short."""

    @wraps(method)
    def call(self: Any, /, *args: P.args, **more: P.kwargs) -> T:
        health = self.health
        if health.lost is not None:
            health.check()
        try:
            return method(self, *args, **more)
        except Exception as error:
            health.reraise(error)
            raise

    return call
