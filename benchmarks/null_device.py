"""A device that does nothing: what is left is what the host does for each launch, event and copy.

`NullDriver` gives arrays of zeros and answers at once. `placed(driver)` makes engines run stages of `cuda:0` on it,
with stages that launch one piece of work (`LaunchBackend`, registered as `launch`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

import backends
import executor.loading
from backends.base import Batch, BatchResult, InstanceConfig
from backends.device import Accelerator, DeviceArray
from pipeline_dsl.plan import StagePlan


class NullDriver:
    """See `backends.device.Driver`."""

    name = "cuda:0"
    index = 0
    xp: Any = np
    lost = None

    def __init__(self) -> None:
        self.launches = 0
        """Pieces of work and graphs that were launched."""
        self._streams = 0

    def open_stream(self, high_priority: bool) -> Any:
        self._streams += 1
        return SimpleNamespace(number=self._streams)

    def open_partition_stream(self, sms: int) -> Any:
        return self.open_stream(False)

    def current(self, stream: Any) -> Any:
        return nullcontext()

    def address_of(self, stream: Any) -> int:
        return int(stream.number)

    def check_current(self, stream: Any, stage: str) -> None: ...

    def launch(self, stream: Any, work: Callable[..., None], writes: Sequence[Any], reads: Sequence[Any]) -> None:
        self.launches += 1

    def record(self, stream: Any) -> Any:
        return stream

    def wait(self, stream: Any, event: Any) -> None: ...

    def ready(self, event: Any) -> bool:
        return True

    def synchronize(self, event: Any) -> None: ...

    def recycle(self, event: Any) -> None: ...

    def mark(self, stream: Any) -> Any:
        return time.perf_counter()

    def elapsed(self, start: Any, end: Any) -> float:
        return float(end - start)

    def allocate(self, nbytes: int, stream: Any) -> Any:
        return nbytes

    def free(self, memory: Any, stream: Any) -> None: ...

    def view(self, memory: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        return np.zeros(shape, dtype)

    def address(self, data: Any) -> int:
        return int(data.ctypes.data)

    def holds(self, value: Any) -> bool:
        return False

    def adopt(self, value: Any) -> Any:
        return value

    def pinned(self, nbytes: int) -> Any:
        return bytearray(nbytes)

    def upload(self, stream: Any, target: Any, source: Any) -> None: ...

    def download(self, stream: Any, target: Any, source: Any) -> None: ...

    def transfer(self, stream: Any, target: Any, source: Any, other: Any) -> bool:
        return True

    def memory(self) -> tuple[int, int]:
        return 0, 0

    def trim(self) -> None: ...

    def begin_capture(self, stream: Any) -> None: ...

    def end_capture(self, stream: Any) -> Any:
        return stream

    def replay(self, graph: Any, stream: Any) -> None:
        self.launches += 1

    def close(self) -> None: ...


class LaunchBackend:
    """Stages that launch one piece of work, whose output is like their first input."""

    name = "launch"

    def load(self, stage: StagePlan, config: InstanceConfig) -> LaunchInstance:
        return LaunchInstance()


class LaunchInstance:
    thread_affine = False
    wants_context = False
    asynchronous = True
    capturable = True

    def execute(self, batch: Batch) -> BatchResult:
        first: DeviceArray = batch.inputs[0]
        reads = [v for v in batch.inputs if isinstance(v, DeviceArray)]
        return BatchResult((first.block.device.compute(first.shape, first.dtype, _work, reads, batch.stream),))

    def warmup(self) -> None: ...

    def close(self) -> None: ...


def _work(out: Any, *reads: Any) -> None: ...


@contextmanager
def placed(driver: NullDriver) -> Iterator[Accelerator]:
    """Engines that start here run what is on a device on this one."""
    accelerator = Accelerator(driver)
    backends.register("launch", LaunchBackend)
    original = executor.loading.device
    with patch.object(executor.loading, "device", lambda name: original(name) if name == "cpu" else accelerator):
        yield accelerator
