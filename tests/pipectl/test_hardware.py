import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipectl import hardware


def machine(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_this_machine():
    found = hardware.probe()
    assert 1 <= found.cores <= (os.cpu_count() or 1)


@pytest.fixture
def eight(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(("quota", "cores"), [("250000 100000", 2), ("50000 100000", 1), ("max 100000", 8)])
def test_cores_respect_the_quota_of_the_group(tmp_path, eight, quota, cores):
    assert hardware.cores(machine(tmp_path, sys__fs__cgroup__cpu_DOT_max=quota)) == cores


def test_cores_of_old_groups(tmp_path, eight):
    folder = tmp_path / "sys/fs/cgroup/cpu"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("300000")
    (folder / "cpu.cfs_period_us").write_text("100000")
    assert hardware.cores(tmp_path) == 3
    (folder / "cpu.cfs_quota_us").write_text("-1")
    assert hardware.cores(tmp_path) == 8


def test_memory_is_the_smaller_limit(tmp_path):
    root = machine(tmp_path, proc__meminfo="MemFree: 1 kB\nMemTotal:  1000 kB\n")
    assert hardware.memory(root) == 1_024_000
    machine(root, sys__fs__cgroup__memory_DOT_max="4096")
    assert hardware.memory(root) == 4096
    machine(root, sys__fs__cgroup__memory_DOT_max="max")
    assert hardware.memory(root) == 1_024_000


def test_unknown_memory_is_zero(tmp_path):
    assert hardware.memory(tmp_path) == 0


class NoDriver(Exception):
    pass


def nvml(count: int) -> SimpleNamespace:
    return SimpleNamespace(
        NVMLError=NoDriver,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: count,
        nvmlDeviceGetHandleByIndex=lambda i: i,
        nvmlDeviceGetName=lambda i: f"gpu {i}",
        nvmlDeviceGetMemoryInfo=lambda i: SimpleNamespace(total=100 + i, used=10 * i),
        nvmlDeviceGetUtilizationRates=lambda i: SimpleNamespace(gpu=50, memory=7),
    )


def test_gpus(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(2))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [(g.name, g.memory) for g in hardware.gpus()] == [("gpu 0", 100), ("gpu 1", 101)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,7")
    assert [g.name for g in hardware.gpus()] == ["gpu 1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert hardware.gpus() == ()


def test_what_is_taken_of_a_gpu(monkeypatch):
    library = nvml(2)
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [(g.used, g.busy) for g in hardware.gpus()] == [(0, 0.5), (10, 0.5)]

    def refuse(_: int) -> None:
        raise NoDriver

    library.nvmlDeviceGetUtilizationRates = refuse
    assert [(g.used, g.busy) for g in hardware.gpus()] == [(0, 0.0), (10, 0.0)]


def test_no_gpus_without_library_or_driver(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert hardware.gpus() == ()
    broken = nvml(1)

    def fail() -> None:
        raise NoDriver

    broken.nvmlInit = fail
    monkeypatch.setitem(sys.modules, "pynvml", broken)
    assert hardware.gpus() == ()
