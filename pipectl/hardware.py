"""What this machine has, as the value the compiler plans with.

Cores are those this process may use: its affinity and its control group's quota. Memory is the smaller of the
machine's and the group's limit. GPUs come from NVML, if the `gpu` extra is installed and a driver answers, with what
is taken of them now.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline_dsl.plan import Gpu, Hardware


def probe(root: Path = Path("/")) -> Hardware:
    """The machine as this process sees it. `root` is where /proc and /sys are found."""
    return Hardware(cores(root), memory(root), gpus())


def cores(root: Path = Path("/")) -> int:
    """Whole cores this process may use, at least 1."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        allowed = os.cpu_count() or 1
    quota = _cpu_quota(root)
    return max(1, min(allowed, quota)) if quota else allowed


def memory(root: Path = Path("/")) -> int:
    """Bytes; 0 where unknown."""
    found = [n for n in (_total_memory(root), _memory_limit(root)) if n]
    return min(found, default=0)


def gpus() -> tuple[Gpu, ...]:
    """GPUs in the driver's order, limited to CUDA_VISIBLE_DEVICES where that lists indices."""
    try:
        pynvml = import_module("pynvml")
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver
        return ()
    try:
        return tuple(_gpu(pynvml, index) for index in _visible(pynvml.nvmlDeviceGetCount()))
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(nvml.nvmlDeviceGetName(handle), memory.total, memory.used, _busy(nvml, handle))


def _busy(nvml: Any, handle: Any) -> float:
    """The share of the last moments in which it had work; 0 where the driver does not tell, as of a part of a GPU."""
    try:
        return float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    except nvml.NVMLError:
        return 0.0


def _visible(count: int) -> list[int]:
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return list(range(count))
    indices = [int(part) for part in wanted.split(",") if part.strip().isdigit()]
    return [i for i in indices if i < count]


def _cpu_quota(root: Path) -> int:
    """Cores of the control group's quota, rounded down; 0 where there is none. Both versions of control
    groups."""
    words = _read(root / "sys/fs/cgroup/cpu.max").split()
    if len(words) == 2 and words[0].isdigit():
        return max(1, int(words[0]) // int(words[1]))
    quota = _read(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period = _read(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit():
        return max(1, int(quota) // int(period))
    return 0


def _total_memory(root: Path) -> int:
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _memory_limit(root: Path) -> int:
    for name in ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(root / name)
        if text.isdigit():
            return int(text)
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
