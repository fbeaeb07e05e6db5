"""Drivers of `cuda:N` for tests: over a fake CuPy, over a fake CuPy and torch, and on a GPU where there is one."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from backends.device.cuda import driver as open_driver
from backends.device.cuda import libraries, memory
from backends.device.cuda.driver import CudaDriver
from tests.backends.device import fake_cupy, fake_torch


@contextmanager
def fake_gpus(monkeypatch: pytest.MonkeyPatch, torch: bool = False, **more: object) -> Iterator[fake_cupy.World]:
    """GPUs that are none, for drivers that are opened inside."""
    world = fake_cupy.World(**more)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy.make(world))
    if torch:
        monkeypatch.setitem(sys.modules, "torch", fake_torch.make(world))
    else:
        monkeypatch.delitem(sys.modules, "torch", raising=False)
    libraries.forget()
    yield world
    gc.collect()  # what is dropped late is given back to this module, not to the next
    for pool in list(memory._pools.values()):
        memory.uninstall(pool)
    libraries.forget()


def real_driver(torch: bool) -> CudaDriver:
    """`cuda:0`; skips the test where there is none."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    if not cupy.is_available():
        pytest.skip("no GPU that CUDA can use")
    if torch:
        module = pytest.importorskip("torch", reason="torch is not installed")
        if not module.cuda.is_available():
            pytest.skip("this torch can not use a GPU")
    libraries.forget()
    return open_driver(0)


def put(driver: CudaDriver, stream: object, values: np.ndarray) -> tuple[object, object]:
    """Memory and an array with these values, on their way."""
    memory = driver.allocate(values.nbytes, stream)
    data = driver.view(memory, values.shape, values.dtype)
    slab = np.frombuffer(driver.pinned(values.nbytes), values.dtype, values.size).reshape(values.shape)
    slab[...] = values
    driver.upload(stream, data, slab)
    finish(driver, stream)
    return memory, data


def got(driver: CudaDriver, stream: object, data: object) -> np.ndarray:
    """The values of an array, waited for."""
    slab = np.frombuffer(driver.pinned(data.nbytes), data.dtype, data.size).reshape(data.shape)
    driver.download(stream, slab, data)
    finish(driver, stream)
    return slab.copy()


def finish(driver: CudaDriver, stream: object) -> None:
    event = driver.record(stream)
    driver.synchronize(event)
    assert driver.ready(event)
    driver.recycle(event)
