"""Whether `cuda:N` can be used here, and if not, why and what to do: one BackendError for each way it can fail."""

from __future__ import annotations

from typing import Any

from backends.base import BackendError

from . import libraries

NEEDED = 13000
"""CUDA version of the driver that the packages of the extra `gpu` are built for: major * 1000 + minor * 10."""

_INSTALL = "install the extra `gpu`: pip install 'pipectl[gpu]'"
_REASONS: dict[int, tuple[str, str]] = {
    2: (
        "no memory is left for a context",
        "`nvidia-smi` shows what else runs on it; stop that, or choose another device",
    ),
    3: ("CUDA can not be initialised", "after a fork it never can: start processes with `spawn`"),
    35: ("the driver is too old", "update the NVIDIA driver"),
    46: (
        "it is busy or closed to new processes",
        "`nvidia-smi -q -d COMPUTE` shows its compute mode: `Prohibited` lets nobody in, `Exclusive_Process` one"
        " process at a time",
    ),
    100: ("this machine shows no GPU", "is CUDA_VISIBLE_DEVICES set, and was the container started with GPUs?"),
    802: ("the system is not ready", "on machines with NVSwitch the fabric manager must run"),
    803: ("driver and its libraries are of different versions", "restart the machine after an update of the driver"),
    804: ("the compatibility libraries do not support this GPU", "update the NVIDIA driver"),
    999: ("unknown error of the driver", "`nvidia-smi` says whether it works at all"),
}


def opened(index: int) -> Any:
    """The cupy module, with a context on that device. BackendError where that can not be. The calling thread's current
    device stays as it was."""
    name = f"cuda:{index}"
    cupy = _library(name)
    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
        if not count:
            raise _refusal(name, *_REASONS[100])
        if not 0 <= index < count:
            there = ", ".join(f"cuda:{i}" for i in range(count))
            text = f"there is no device `{name}`: this process sees {there}"
            raise BackendError(text, "choose one of them; CUDA_VISIBLE_DEVICES may hide others")
        before = runtime.getDevice()
        try:
            runtime.setDevice(index)
            runtime.memGetInfo()
        finally:
            if before != index:
                runtime.setDevice(before)
    except runtime.CUDARuntimeError as error:
        raise _refusal(name, *_reason(runtime, error)) from error
    return cupy


def _library(name: str) -> Any:
    try:
        return libraries.cupy()
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise _broken(name, error) from error
        raise BackendError(f"device `{name}` needs CuPy, which is not installed", _INSTALL) from error
    except ImportError as error:
        raise _broken(name, error) from error


def _broken(name: str, error: ImportError) -> BackendError:
    text = " ".join(str(error).split())[:300]
    return BackendError(f"device `{name}` needs CuPy, which can not be imported: {text}", _INSTALL)


def _refusal(name: str, reason: str, hint: str) -> BackendError:
    return BackendError(f"device `{name}` can not be used: {reason}", hint)


def _reason(runtime: Any, error: Any) -> tuple[str, str]:
    if error.status == 35 and not runtime.driverGetVersion():
        return "there is no NVIDIA driver", "install it, or write `device = cpu`"
    if error.status == 35:
        found, needed = (f"{v // 1000}.{v % 1000 // 10}" for v in (runtime.driverGetVersion(), NEEDED))
        return f"the NVIDIA driver supports CUDA {found}, and {needed} is needed", "update the driver"
    return _REASONS.get(error.status, (str(error), "`nvidia-smi` says whether the GPU works at all"))
