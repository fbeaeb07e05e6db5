"""What the GPUs of this machine do, read from NVML at most once a second.

Without the library (`nvidia-ml-py`, extra `gpu`) or a driver there is nothing to read, which the log says once, at
level debug. What a GPU does not tell (a laptop's power, a virtual one's energy) is None.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

PERIOD = 1.0
"""Seconds for which what was read stays good: NVML itself looks no more often."""

_log = logging.getLogger("pipectl")


@dataclass(frozen=True, slots=True)
class GpuSnapshot:
    """One GPU."""

    uuid: str
    """`GPU-...`: the same in every process and after every start."""
    utilization: float | None = None
    """Share of the last sampling window in which some kernel ran, 0 to 1; not how much of the GPU it used."""
    memory_total: int | None = None
    """Bytes."""
    memory_used: int | None = None
    """Bytes, of all processes."""
    power: float | None = None
    """Watts."""
    power_limit: float | None = None
    """Watts."""
    energy: float | None = None
    """Joules since this process first looked."""


class Gpus:
    """The GPUs that this process may use."""

    def __init__(
        self,
        library: Callable[[], Any] | None = None,
        seconds: Callable[[], float] = time.monotonic,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """`library`: gives the module `pynvml`, or raises ImportError."""
        self._library = library or _pynvml
        self._seconds = seconds
        self._environ = environ
        self._lock = Lock()
        self._nvml: Any = None
        self._handles: list[tuple[str, Any]] | None = None
        self._begun: dict[str, float] = {}
        self._read: tuple[GpuSnapshot, ...] = ()
        self._until = float("-inf")

    def read(self) -> tuple[GpuSnapshot, ...]:
        """All of them, as of the last second."""
        with self._lock:
            if self._handles is None:
                self._handles = self._open()
            now = self._seconds()
            if self._handles and now >= self._until:
                self._read = tuple(self._one(uuid, handle) for uuid, handle in self._handles)
                self._until = now + PERIOD
            return self._read

    def _open(self) -> list[tuple[str, Any]]:
        try:
            nvml = self._nvml = self._library()
            nvml.nvmlInit()
            handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
            found = [(_text(nvml.nvmlDeviceGetUUID(handle)), handle) for handle in handles]
        except Exception as error:  # no library, no driver, no permission: all the same to who serves
            _log.debug("no metrics of GPUs: %s", error)
            return []
        return [found[i] for i in visible([uuid for uuid, _ in found], self._environ.get("CUDA_VISIBLE_DEVICES"))]

    def _one(self, uuid: str, handle: Any) -> GpuSnapshot:
        nvml = self._nvml
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)
        rates = self._ask(nvml.nvmlDeviceGetUtilizationRates, handle)
        energy = _scaled(self._ask(nvml.nvmlDeviceGetTotalEnergyConsumption, handle))
        return GpuSnapshot(
            uuid,
            None if rates is None else rates.gpu / 100,
            None if memory is None else memory.total,
            None if memory is None else memory.used,
            _scaled(self._ask(nvml.nvmlDeviceGetPowerUsage, handle)),
            _scaled(self._ask(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
            None if energy is None else max(0.0, energy - self._begun.setdefault(uuid, energy)),
        )

    def _ask(self, question: Callable[[Any], Any], handle: Any) -> Any:
        """None where this GPU does not say."""
        try:
            return question(handle)
        except self._nvml.NVMLError:
            return None


def visible(uuids: Sequence[str], setting: str | None) -> list[int]:
    """The numbers of the GPUs that CUDA_VISIBLE_DEVICES leaves: all where it is not set; up to the first entry that
    is none of them, as CUDA reads it. Numbers are NVML's, in the order of the bus."""
    if setting is None:
        return list(range(len(uuids)))
    return list(_named(uuids, setting))


def _named(uuids: Sequence[str], setting: str) -> Iterator[int]:
    for entry in map(str.strip, setting.split(",")):
        if entry.isdigit():
            found = [int(entry)] if int(entry) < len(uuids) else []
        else:
            found = [i for i, uuid in enumerate(uuids) if entry and uuid.startswith(entry)]
        if len(found) != 1:
            return
        yield found[0]


def _scaled(value: int | None) -> float | None:
    """Watts of milliwatts, joules of millijoules."""
    return None if value is None else value / 1000


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _pynvml() -> Any:
    import pynvml

    return pynvml


GPUS = Gpus()
"""Those of this process."""
