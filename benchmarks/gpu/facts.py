"""Figures of one GPU: what copies, launches and events cost, and from what time on a second stream pays."""

from __future__ import annotations

import importlib.metadata
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from backends.device import Accelerator
from benchmarks.figures import Figure

MIB = 1 << 20
PACKAGES = ("cupy-cuda13x", "torch", "onnxruntime-gpu", "onnxruntime", "tensorrt", "numpy", "networkx", "lark")


def machine(index: int) -> dict[str, str]:
    """What is measured: GPU, driver, versions."""
    import cupy

    runtime = cupy.cuda.runtime
    found = runtime.getDeviceProperties(index)
    name = found["name"]
    facts = {
        "gpu": name.decode() if isinstance(name, bytes) else str(name),
        "compute capability": f"{found['major']}.{found['minor']}",
        "multiprocessors": str(found["multiProcessorCount"]),
        "memory": f"{found['totalGlobalMem'] / (1 << 30):.1f} GiB",
        "gpus": str(runtime.getDeviceCount()),
        "driver supports CUDA": _version(runtime.driverGetVersion()),
        "runtime": _version(runtime.runtimeGetVersion()),
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return facts


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def seconds_on(stream: Any, work: Callable[[], object], repeats: int) -> float:
    """Of the device, for one of `repeats` calls that enqueue work on a torch stream: the median of five."""
    import torch

    times = []
    with torch.cuda.stream(stream):
        work()
        for _ in range(5):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record(stream)
            for _ in range(repeats):
                work()
            end.record(stream)
            end.synchronize()
            times.append(start.elapsed_time(end) / 1e3 / repeats)
    return float(statistics.median(times))


def host_us(call: Callable[[], object], repeats: int = 2000) -> float:
    """Microseconds of the calling thread for one call: the median of five."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        times.append((time.perf_counter() - start) / repeats * 1e6)
    return statistics.median(times)


def copy_bandwidth(on: str, mib: int) -> list[Figure]:
    """GiB/s of copies of `mib` MiB."""
    import torch

    stream = torch.cuda.Stream(on)
    pageable = torch.ones(mib * MIB, dtype=torch.uint8)
    pinned = pageable.pin_memory()
    here, there = (torch.empty(mib * MIB, dtype=torch.uint8, device=on) for _ in range(2))
    ways: dict[str, Callable[[], object]] = {
        "copy_h2d_pinned": lambda: here.copy_(pinned, non_blocking=True),
        "copy_d2h_pinned": lambda: pinned.copy_(here, non_blocking=True),
        "copy_h2d_pageable": lambda: here.copy_(pageable),
        "copy_d2h_pageable": lambda: pageable.copy_(here),
        "copy_d2d": lambda: there.copy_(here, non_blocking=True),
    }
    made = []
    for name, work in ways.items():
        seconds = seconds_on(stream, work, 5)
        made.append(Figure(name, mib / 1024 / seconds, 0.0, True, "GiB/s", {"MiB": float(mib)}))
    return made


def launch_cost(on: str) -> list[Figure]:
    """Microseconds of the host and of the device for a kernel that does next to nothing."""
    import torch

    stream = torch.cuda.Stream(on)
    x = torch.zeros(1, device=on)
    with torch.cuda.stream(stream):
        host = host_us(lambda: x.add_(1), 500)
        stream.synchronize()
    kernel = seconds_on(stream, lambda: x.add_(1), 500) * 1e6
    return [Figure("launch_us", host, 0.0, unit="us", details={"device_us": kernel})]


def event_cost(place: Accelerator) -> list[Figure]:
    """Microseconds of the host to order one stream behind another: ours, through the driver alone, and in torch."""
    import torch

    first, second = place.stream(), place.stream()
    driver = place.driver

    def ours() -> None:
        first.launched()
        second.wait(first.record())

    def bare() -> None:
        event = driver.record(first.handle)
        driver.wait(second.handle, event)
        driver.recycle(event)

    streams = [torch.cuda.Stream(place.name) for _ in range(2)]
    event = torch.cuda.Event()

    def in_torch() -> None:
        event.record(streams[0])
        streams[1].wait_event(event)

    found = {"driver_us": host_us(bare), "torch_us": host_us(in_torch)}
    made = Figure("event_and_wait_us", host_us(ours), 5.0, unit="us", details=found)
    place.synchronize()
    return [made]


def second_stream(on: str) -> list[Figure]:
    """From what time on two stages of equal length end sooner on two streams than on one, in microseconds."""
    import torch

    one, two = torch.cuda.Stream(on), torch.cuda.Stream(on)
    forked, joined = torch.cuda.Event(), torch.cuda.Event()
    cycles_per_us = _cycles_per_us(on)

    def serial(cycles: int) -> None:
        torch.cuda._sleep(cycles)
        torch.cuda._sleep(cycles)

    def parallel(cycles: int) -> None:
        forked.record(one)
        two.wait_event(forked)
        torch.cuda._sleep(cycles)
        with torch.cuda.stream(two):
            torch.cuda._sleep(cycles)
        joined.record(two)
        one.wait_event(joined)

    ratios: dict[int, float] = {}
    for us in (1, 2, 5, 10, 20, 50, 100, 200):
        cycles = int(us * cycles_per_us)
        times = [seconds_on(one, partial(way, cycles), 100) for way in (parallel, serial)]
        ratios[us] = times[0] / times[1]
    paying = min((us for us, ratio in ratios.items() if ratio < 1), default=float("inf"))
    details = {f"ratio_at_{us}us": ratio for us, ratio in ratios.items()}
    return [Figure("second_stream_pays_us", float(paying), 50.0, unit="us", details=details)]


def _cycles_per_us(on: str) -> float:
    import torch

    stream = torch.cuda.Stream(on)
    return 1_000_000 / (seconds_on(stream, lambda: torch.cuda._sleep(1_000_000), 5) * 1e6)


def node_cost(place: Accelerator) -> list[Figure]:
    """Microseconds of the host for what the executor does to the device at each stage, without the stage itself:
    an output allocated, its use noted, an event behind it."""
    stream = place.in_lane(0, 0)
    x = place.upload(np.zeros((8, 256), np.float32), stream)

    def node() -> None:
        with stream.use():
            stream.order(reads=[x])
            made = place.empty((8, 256), np.float32, stream)
            stream.launched(reads=[x], writes=[made])
            stream.record()

    made = Figure("device_node_us", host_us(node, 500), 10.0, unit="us")
    place.synchronize()
    return [made]


def all_facts(on: str, place: Accelerator, *, quick: bool) -> list[Callable[[], list[Figure]]]:
    """What to measure on a GPU."""
    return [
        lambda: copy_bandwidth(on, 16 if quick else 256),
        lambda: launch_cost(on),
        lambda: event_cost(place),
        lambda: node_cost(place),
        lambda: second_stream(on),
    ]
