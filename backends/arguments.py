"""What a python callable gets for its ports, in the array library that the stage asked for.

                     arrays = "numpy"                     arrays = "torch"
    host             numpy arrays, read-only              tensors over the same memory
    cuda:N           CuPy arrays over the same memory     tensors over the same memory

Inputs are shared with other stages and must not be written. numpy refuses that itself. torch and CuPy have no such
arrays: after a call torch's count of writes is looked at, and what a CuPy function did to its inputs is found by
comparing them with copies made before, once, on the first batch of an instance, which is waited for. bf16 is
`torch.bfloat16` in a tensor, and an array of its bits (`uint16`) in CuPy."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeAlias

import numpy as np

from pipeline_dsl.plan import StagePlan

from .artifact import missing_library
from .base import BackendError
from .checks import OutputError
from .device import Accelerator, DeviceArray
from .device.ops import copied
from .interop import to_torch, unwritten
from .library_rows import LibraryRows
from .streams import Reader
from .values import Ragged

Callable_: TypeAlias = Callable[..., Any]
_HINT = "other stages read it; copy it first"


def with_library(fn: Callable_, stage: StagePlan, device: Accelerator | None) -> Callable_:
    """`fn` itself, or one that gets its numeric arrays in the library that the stage names. BackendError if that is
    not installed."""
    kind = stage.arguments.get("arrays", "numpy")
    if kind not in ("numpy", "torch"):
        raise BackendError(f"stage `{stage.name}`: arrays = {kind!r} is unknown", 'write "numpy" or "torch"')
    if kind == "torch":
        try:
            import torch  # noqa: F401 - its absence is to be reported at load
        except ImportError as error:
            raise missing_library(stage, "torch", "torch", error) from error
        return _with_tensors(fn, stage, device)
    return fn if device is None else _with_device_arrays(fn, stage, device)


def numeric_ports(stage: StagePlan) -> frozenset[str]:
    """Inputs that are arrays of numbers."""
    return frozenset(p.name for p in stage.inputs if p.type.dtype.numeric and p.type.dims)


# ---- torch


def _with_tensors(fn: Callable_, stage: StagePlan, device: Accelerator | None) -> Callable_:
    numeric = numeric_ports(stage)

    def with_tensors(**arguments: Any) -> Any:
        given: list[tuple[str, Any]] = []

        def tensor(name: str, value: Any) -> Any:
            if isinstance(value, Reader):
                return (tensor(name, element) for element in value)
            if isinstance(value, Ragged):
                opened = _opening(name, given)
                return [opened(row) for row in value] if device is None else LibraryRows(value, opened)
            return _opening(name, given)(value) if hasattr(value, "ndim") else value

        returned = fn(**{name: tensor(name, v) if name in numeric else v for name, v in arguments.items()})
        if hasattr(returned, "__next__"):
            return _watched(returned, given, stage)
        _check_unwritten(given, stage)
        return returned

    return with_tensors


def _opening(name: str, given: list[tuple[str, Any]]) -> Callable[[Any], Any]:
    """Makes tensors and notes them under the name of their port."""

    def opened(array: Any) -> Any:
        made = to_torch(array)
        given.append((name, made))
        return made

    return opened


def _check_unwritten(given: list[tuple[str, Any]], stage: StagePlan) -> None:
    for name, tensor in given:
        if not unwritten(tensor):
            raise _written(name, stage)


def _watched(iterator: Iterator[Any], given: list[tuple[str, Any]], stage: StagePlan) -> Generator[Any, None, Any]:
    """A generator's elements, each checked before it is handed on."""
    try:
        while True:
            try:
                element = next(iterator)
            except StopIteration as stop:
                _check_unwritten(given, stage)
                return stop.value
            _check_unwritten(given, stage)
            yield element
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


# ---- CuPy


def _with_device_arrays(fn: Callable_, stage: StagePlan, device: Accelerator) -> Callable_:
    numeric = numeric_ports(stage)
    guard: list[WriteGuard] = [WriteGuard(stage, device)]

    def opened(value: Any) -> Any:
        if type(value) is DeviceArray:
            return value.data
        if isinstance(value, Reader):
            return map(opened, value)
        return LibraryRows(value, _data) if isinstance(value, Ragged) else value

    def with_device_arrays(**arguments: Any) -> Any:
        first = guard.pop() if guard else None
        if first is not None:
            first.begin(arguments)
        returned = fn(**{name: opened(v) if name in numeric else v for name, v in arguments.items()})
        if first is not None:
            first.end()
        return returned

    return with_device_arrays


def _data(array: DeviceArray) -> Any:
    return array.data


class WriteGuard:
    """Sees whether a function writes its inputs, which CuPy can not refuse, by comparing them with copies."""

    def __init__(self, stage: StagePlan, device: Accelerator) -> None:
        self._stage = stage
        self._device = device
        self._copies: list[tuple[str, DeviceArray, DeviceArray]] = []

    def begin(self, arguments: dict[str, Any]) -> None:
        """Copy the arrays among the arguments, on the device."""
        for name, value in arguments.items():
            parts = value.parts() if isinstance(value, Ragged) else (value,)
            self._copies += [(name, p, copied(p)) for p in parts if type(p) is DeviceArray and p.size]

    def end(self) -> None:
        """Compare, and wait for it. OutputError if one was written."""
        same = [(name, self._device.download(self._equal(a, b))) for name, a, b in self._copies]
        self._copies = []
        for name, landing in same:
            landing.event.synchronize()
            if not landing.array[0]:
                raise _written(name, self._stage)

    def _equal(self, left: DeviceArray, right: DeviceArray) -> DeviceArray:
        def work(out: Any, a: Any, b: Any) -> None:
            out[...] = (a.reshape(-1).view(np.uint8) == b.reshape(-1).view(np.uint8)).all()

        return self._device.compute((1,), np.bool_, work, [left, right])


def _written(name: str, stage: StagePlan) -> OutputError:
    return OutputError(stage.name, "", f"the function writes its input `{name}`, which {_HINT}")
