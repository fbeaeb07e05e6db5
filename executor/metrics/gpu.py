"""Metrics of GPUs, `pipe_gpu_*`, in base units: seconds, bytes, watts, joules."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from executor.gpus import GpuSnapshot
from executor.stats import Snapshot

from .family import Family, Sample


def gpus(value: Callable[[GpuSnapshot], float | None]) -> Callable[[Snapshot], Iterator[Sample]]:
    """A sample for each GPU that says."""

    def read(s: Snapshot) -> Iterator[Sample]:
        for gpu in s.gpus:
            found = value(gpu)
            if found is not None:
                yield (gpu.uuid,), found

    return read


def _stage_seconds(s: Snapshot) -> Iterator[Sample]:
    for g in s.stages:
        if g.gpu_seconds is not None:
            yield (g.stage, g.version, g.device), g.gpu_seconds


GPU = ("gpu_uuid",)

GPU_FAMILIES: tuple[Family, ...] = (
    Family(
        "pipe_gpu_utilization_ratio",
        "gauge",
        "Share of the last second in which some kernel ran on the GPU, 0 to 1.",
        GPU,
        gpus(lambda g: g.utilization),
    ),
    Family("pipe_gpu_memory_bytes", "gauge", "Memory of the GPU.", GPU, gpus(lambda g: g.memory_total)),
    Family(
        "pipe_gpu_memory_used_bytes",
        "gauge",
        "Memory of the GPU that processes hold, what they keep for later use included.",
        GPU,
        gpus(lambda g: g.memory_used),
    ),
    Family("pipe_gpu_power_watts", "gauge", "Power that the GPU draws.", GPU, gpus(lambda g: g.power)),
    Family("pipe_gpu_power_limit_watts", "gauge", "Power that it may draw.", GPU, gpus(lambda g: g.power_limit)),
    Family(
        "pipe_gpu_energy_joules_total",
        "counter",
        "Energy that the GPU took since this process first looked.",
        GPU,
        gpus(lambda g: g.energy),
    ),
    Family(
        "pipe_gpu_seconds_total",
        "counter",
        "GPU time of a stage, estimated from the executions whose time was taken.",
        ("stage", "version", "device"),
        _stage_seconds,
    ),
)
