"""Each way in which a GPU can not be used, in full, and what becomes of one that is lost."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from backends.base import BackendError
from backends.device import Accelerator, DeviceLost, device
from backends.device.cuda import driver, libraries
from tests.backends.device.cuda_fixtures import fake_gpus, finish, put
from tests.backends.device.fake_cupy import CUDARuntimeError, World

REFUSALS = [
    (
        {"getDeviceCount": 35},
        0,
        "device `cuda:0` can not be used: there is no NVIDIA driver",
        "install it, or write `device = cpu`",
    ),
    (
        {"getDeviceCount": 35},
        12040,
        "device `cuda:0` can not be used: the NVIDIA driver supports CUDA 12.4, and 13.0 is needed",
        "update the driver",
    ),
    (
        {"getDeviceCount": 100},
        13000,
        "device `cuda:0` can not be used: this machine shows no GPU",
        "is CUDA_VISIBLE_DEVICES set, and was the container started with GPUs?",
    ),
    (
        {"setDevice": 46},
        13000,
        "device `cuda:0` can not be used: it is busy or closed to new processes",
        "`nvidia-smi -q -d COMPUTE` shows its compute mode: `Prohibited` lets nobody in, `Exclusive_Process` one"
        " process at a time",
    ),
    (
        {"memGetInfo": 2},
        13000,
        "device `cuda:0` can not be used: no memory is left for a context",
        "`nvidia-smi` shows what else runs on it; stop that, or choose another device",
    ),
    (
        {"setDevice": 802},
        13000,
        "device `cuda:0` can not be used: the system is not ready",
        "on machines with NVSwitch the fabric manager must run",
    ),
    (
        {"memGetInfo": 801},
        13000,
        "device `cuda:0` can not be used: cudaErrorNotSupported: operation not supported",
        "`nvidia-smi` says whether the GPU works at all",
    ),
]


@pytest.mark.parametrize(("fails", "version", "text", "hint"), REFUSALS)
def test_a_gpu_that_can_not_be_used(monkeypatch, fails: dict[str, int], version: int, text: str, hint: str):
    with fake_gpus(monkeypatch) as world:
        world.fails, world.driver_version = fails, version
        with pytest.raises(BackendError) as caught:
            driver(0)
        assert (str(caught.value), caught.value.hint) == (text, hint)


def test_an_index_that_is_not_there(monkeypatch):
    with fake_gpus(monkeypatch, devices=2) as world:
        with pytest.raises(BackendError) as caught:
            driver(5)
        assert str(caught.value) == "there is no device `cuda:5`: this process sees cuda:0, cuda:1"
        assert "CUDA_VISIBLE_DEVICES" in caught.value.hint
        assert world.device == 0


def test_no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(BackendError) as caught:
        driver(0)
    assert "can not be imported" in str(caught.value) or "not installed" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ModuleNotFoundError("No module named 'cupy'", name="cupy"), "needs CuPy, which is not installed"),
        (ImportError("libcudart.so.13: no such file"), "which can not be imported: libcudart.so.13: no such file"),
        (ModuleNotFoundError("No module named 'x'", name="x"), "which can not be imported: No module named 'x'"),
    ],
)
def test_a_cupy_that_does_not_import(monkeypatch, error: ImportError, text: str):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    real = builtins.__import__

    def refuse(name, *more, **kwargs):
        if name == "cupy":
            raise error
        return real(name, *more, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(BackendError, match=text) as caught:
        driver(0)
    assert caught.value.hint == "install the extra `gpu`: pip install 'pipectl[gpu]'"


def test_the_host_goes_on(monkeypatch):
    with fake_gpus(monkeypatch) as world:
        world.fails = {"getDeviceCount": 100}
        with pytest.raises(BackendError):
            driver(0)
        assert device("cpu").is_host


@pytest.fixture
def world(monkeypatch) -> Iterator[World]:
    with fake_gpus(monkeypatch) as made:
        yield made


LOST = (
    "cuda:0 is lost: illegal address (cudaErrorIllegalAddress: an illegal memory access was encountered); it can be"
    " used again in a new process only. CUDA_LAUNCH_BLOCKING=1 makes the call that is at fault raise"
)


@pytest.mark.parametrize("seen_by", ["synchronize", "ready"])
def test_an_illegal_address_ends_the_device_for_good(world: World, seen_by: str):
    gpu = driver(0)
    stream = gpu.open_stream(False)
    event, late = gpu.record(stream), gpu.record(stream)
    memory = gpu.allocate(64, stream)
    world.poisoned[0] = 700
    with pytest.raises(DeviceLost) as caught:
        getattr(gpu, seen_by)(event)
    assert str(caught.value) == LOST
    world.poisoned.clear()
    calls = [
        lambda: gpu.ready(event),
        lambda: gpu.record(stream),
        lambda: gpu.open_stream(False),
        lambda: gpu.allocate(8, stream),
        lambda: gpu.free(memory, stream),
        lambda: gpu.launch(stream, lambda: None, [], []),
        lambda: gpu.current(stream),
        gpu.memory,
        gpu.trim,
    ]
    for call in calls:
        with pytest.raises(DeviceLost, match="illegal address"):
            call()
    gpu.recycle(late)  # comes from a destructor: nobody could catch it
    gpu.close()
    assert driver(1).memory()[1] > 0, "the other device is unharmed"


def test_a_fault_that_a_stage_meets_is_the_devices(world: World):
    gpu = driver(0)
    stream = gpu.open_stream(False)
    _, data = put(gpu, stream, np.zeros(4, np.float32))
    world.poisoned[0] = 719
    with pytest.raises(CUDARuntimeError) as caught, gpu.current(stream):
        data[...] = 1
    meant = gpu.translated(caught.value)
    assert "a kernel failed" in str(meant)
    with pytest.raises(DeviceLost):
        gpu.record(stream)


def test_accelerator_lets_blocks_of_a_lost_device_go(world: World):
    accelerator = Accelerator(driver(0))
    held = accelerator.empty((4,), np.float32)
    world.poisoned[0] = 700
    with pytest.raises(DeviceLost):
        accelerator.side.synchronize()
    del held


class AcceleratorError(RuntimeError):
    """As torch raises it."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.error_code = code


class CUBLASError(RuntimeError):
    status = 700  # cuBLAS has numbers of its own


ILLEGAL = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AcceleratorError(ILLEGAL, 700), DeviceLost),
        (RuntimeError(ILLEGAL), DeviceLost),
        (AcceleratorError("CUDA error: out of memory", 2), MemoryError),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 20 MiB."), MemoryError),
        (CUDARuntimeError(2), MemoryError),
        (CUDARuntimeError(400), CUDARuntimeError),
        (CUBLASError("CUBLAS_STATUS_NOT_INITIALIZED"), CUBLASError),
        (ValueError("an illegal memory access was encountered"), ValueError),
        (RuntimeError("the model has no weights"), RuntimeError),
    ],
)
def test_what_an_error_of_a_stage_means(world: World, error: Exception, kind: type[Exception]):
    gpu = driver(0)
    meant = gpu.translated(error)
    assert type(meant) is kind
    assert (meant is error) == (type(error) is kind)
    assert (gpu.health.lost is not None) == (kind is DeviceLost)


def test_torch_out_of_memory_is_a_memory_error(monkeypatch):
    with fake_gpus(monkeypatch, torch=True, capacity=1 << 16):
        gpu = driver(0)
        with pytest.raises(MemoryError, match="cuda:0: CUDA out of memory"):
            gpu.allocate(1 << 17, gpu.open_stream(False))


def test_memory_that_is_kept_is_given_back_before_it_is_short(world: World):
    accelerator = Accelerator(driver(0))
    first = accelerator.in_lane(0, 0)
    for n in range(1, 9):  # of sizes that do not fit each other
        accelerator.empty(((n << 20) - 4096 * n,), np.uint8, first)
    big = accelerator.empty((15 << 20,), np.uint8, first)
    assert big.nbytes == 15 << 20


def test_pinned_memory_that_is_short(world: World):
    gpu = driver(0)
    world.fails = {"hostAlloc": 2}
    with pytest.raises(MemoryError):
        gpu.pinned(64 << 20)
    stream = gpu.open_stream(False)
    world.fails = {}
    put(gpu, stream, np.ones(4, np.float32))
    finish(gpu, stream)


def test_idle_slabs_go_before_pinned_memory_is_short(world: World):
    gpu = driver(0)
    world.pinned_limit = 4 << 20
    gpu.pinned(2 << 20)
    assert len(np.frombuffer(gpu.pinned(3 << 20), np.uint8)) == 3 << 20
    with pytest.raises(MemoryError):
        gpu.pinned(5 << 20)


def test_looking_for_torch_never_imports_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    libraries.forget()
    assert libraries.torch() is None
    assert "torch" not in sys.modules
