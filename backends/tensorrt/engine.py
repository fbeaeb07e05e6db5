"""An engine: what its file says of tensors and profiles, and the contexts that run it.

One engine serves all instances that are loaded from one file on one device; each has a context of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import Any
from weakref import WeakValueDictionary

from backends.base import BackendError
from backends.ort_tensors import Tensor
from pipeline_dsl.plan import StagePlan

from .library import DTYPES, Library
from .profiles import Profile, Range


class Engine:
    """A deserialised engine and its runtime, which must outlive it."""

    def __init__(self, library: Library, runtime: Any, raw: Any) -> None:
        trt = library.trt
        self.library = library
        self.raw = raw
        self._runtime = runtime
        self._lock = threading.Lock()
        names = [raw.get_tensor_name(i) for i in range(raw.num_io_tensors)]
        modes = {name: raw.get_tensor_mode(name) for name in names}
        self.inputs = tuple(_tensor(raw, n) for n in names if modes[n] == trt.TensorIOMode.INPUT)
        self.outputs = tuple(_tensor(raw, n) for n in names if modes[n] == trt.TensorIOMode.OUTPUT)
        self.on_host = frozenset(n for n in names if raw.get_tensor_location(n) == trt.TensorLocation.HOST)
        """Tensors whose values are sizes, which the library reads and writes in main memory."""
        self.profiles: tuple[Profile, ...] = tuple(
            {t.name: _ranges(raw, t, index) for t in self.inputs} for index in range(raw.num_optimization_profiles)
        )

    def context(self, stage: StagePlan) -> Any:
        """A new execution context. BackendError if there is no memory for it."""
        with self._lock:
            self.library.log.forget()
            made = self.raw.create_execution_context()
            if made is None:
                reasons = self.library.log.reasons() or "the library gives no reason"
                hint = "fewer instances, a smaller `batching.max`, or a device with more free memory"
                raise BackendError(f"stage `{stage.name}`: no execution context can be made: {reasons}", hint)
            return made


class Engines:
    """Engines that instances hold, by what they were asked for with."""

    def __init__(self) -> None:
        self._made: WeakValueDictionary[Hashable, Engine] = WeakValueDictionary()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Engine]) -> Engine:
        """The engine of that key, made if nobody holds it. Others that want it meanwhile wait."""
        with self._of(key):
            found = self._made.get(key)
            if found is None:
                found = self._made[key] = make()
            return found

    def _of(self, key: Hashable) -> AbstractContextManager[Any]:
        with self._lock:
            return self._locks.setdefault(key, threading.Lock())


def deserialize(library: Library, plan: bytes) -> Engine | str:
    """The engine in a plan, or the library's reasons why there is none."""
    library.log.forget()
    try:
        runtime = library.trt.Runtime(library.logger)
    except (TypeError, RuntimeError) as error:  # what its bindings make of a null pointer
        return library.log.reasons() or str(error)
    raw = runtime.deserialize_cuda_engine(plan)
    if raw is None:
        return library.log.reasons() or "the library gives no reason"
    return Engine(library, runtime, raw)


def _tensor(raw: Any, name: str) -> Tensor:
    dtype = raw.get_tensor_dtype(name).name
    shape = tuple(n if n >= 0 else None for n in raw.get_tensor_shape(name))
    return Tensor(name, DTYPES.get(dtype, dtype.lower()), shape)


def _ranges(raw: Any, tensor: Tensor, index: int) -> tuple[Range, ...]:
    if all(isinstance(n, int) for n in tensor.shape):
        return tuple(Range(n, n, n) for n in tensor.shape if isinstance(n, int))
    least, best, most = (tuple(dims) for dims in raw.get_tensor_profile_shape(tensor.name, index))
    return tuple(Range(*sizes) for sizes in zip(least, best, most))
