"""What must hold on a GPU: each check gives a line that says what was found, or raises.

They answer what could not be known without one: how libraries share streams and memory, what waits."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from backends import load
from backends.base import InstanceConfig
from backends.device import Accelerator
from backends.device.cuda import CudaDriver

SPIN = 100_000_000
"""Cycles that a stream is kept busy: some 50 ms."""


class Skipped(Exception):
    """A check that can not be made here, and why."""


def stream_protocol(on: str, place: Accelerator) -> str:
    """A torch stream as CuPy sees it."""
    import cupy
    import torch

    stream = torch.cuda.Stream(on)
    if not hasattr(stream, "__cuda_stream__"):
        raise Skipped(f"torch {torch.__version__} has no __cuda_stream__; its address is used instead")
    seen = cupy.cuda.Stream.from_external(stream)
    assert seen.ptr == stream.cuda_stream, f"CuPy sees 0x{seen.ptr:x}, torch 0x{stream.cuda_stream:x}"
    return "torch.cuda.Stream -> cupy.cuda.Stream.from_external, same address"


def shared_order(on: str, place: Accelerator) -> str:
    """Work of CuPy and torch on one of our streams runs in the order in which it was given."""
    import torch

    stream = place.in_lane(0, 0)
    with stream.use():
        torch.cuda._sleep(SPIN)
        x = torch.full((1 << 20,), 1.0, device=on)
        place.xp.from_dlpack(x)[...] += 1
        total = (x * 2).sum()
        stream.synchronize()
    assert float(total) == 4 << 20, f"the sum is {float(total)}, not {4 << 20}"
    return "torch, CuPy, torch on one stream: in order"


def one_pool(on: str, place: Accelerator) -> str:
    """What CuPy allocates is counted by torch."""
    import torch

    before = torch.cuda.memory_allocated(on)
    with place.side.use():
        held = place.xp.empty(8 << 20, np.uint8)
        grown = torch.cuda.memory_allocated(on) - before
    assert grown >= held.nbytes, f"torch counts {grown} bytes more for an array of {held.nbytes}"
    return "CuPy's memory comes from torch's pool"


def capture_with_cupy(on: str, place: Accelerator) -> str:
    """CuPy inside of a graph that torch captures takes memory from the graph's own pool."""
    import torch

    driver = place.driver
    assert isinstance(driver, CudaDriver)
    stream = driver.open_stream(False)
    x = torch.ones(1 << 16, device=on)
    with driver.current(stream):
        warm = place.xp.from_dlpack(x) * 2 + 1  # all that is captured: kernels are compiled when they first run
        torch.cuda.synchronize(on)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream(on), capture_error_mode="thread_local"):
            made = place.xp.from_dlpack(x) * 2 + 1
        other = [torch.full((1 << 16,), 9.0, device=on) for _ in range(8)]
        x.fill_(5)
        graph.replay()
        torch.cuda.synchronize(on)
        found = float(made[0]), float(other[0][0]), float(warm[0])
    assert found == (11.0, 9.0, 3.0), f"after a replay: {found}"
    return "CuPy under torch.cuda.graph: replayed, and nothing else was overwritten"


def streams_differ(on: str, place: Accelerator) -> str:
    """Our streams are different ones, also beyond those that torch has."""
    addresses = [place.driver.address_of(place.stream().handle) for _ in range(80)]
    assert len(set(addresses)) == 80, f"{80 - len(set(addresses))} of 80 streams are the same"
    assert not set(addresses) & {0, 1, 2}, "a default stream was given out"
    return "80 streams, all different, none the default one"


def copies_do_not_wait(on: str, place: Accelerator) -> str:
    """A copy to the host behind a long kernel returns at once, and arrives after it."""
    import torch

    stream = place.in_lane(1, 0)
    with stream.use():
        array = place.upload(np.arange(1 << 16, dtype=np.float32), stream)
        torch.cuda._sleep(SPIN)
        stream.launched(writes=[array])
        landing = place.download(array)
        early = landing.event.ready()
    landing.event.synchronize()
    assert not early, "the copy had arrived before the kernel in front of it ended"
    assert landing.array[-1] == (1 << 16) - 1, "other values arrived"
    return "a download behind a kernel is enqueued without a wait"


def freed_memory_waits(on: str, place: Accelerator) -> str:
    """Memory whose reader on another stream is late is not given out again before."""
    import torch

    home, reader = place.in_lane(2, 0), place.in_lane(3, 0)
    size = 1 << 20
    with home.use():
        array = place.upload(np.full(size, 3, np.int32), home)
    with reader.use():
        torch.cuda._sleep(SPIN)
        reader.order(reads=[array])
        out = place.xp.empty(size, np.int32)
        out[...] = array.data
        reader.launched(reads=[array])
    del array
    with home.use():
        for _ in range(4):
            place.upload(np.full(size, 7, np.int32), home)
    with reader.use():
        wrong = int((out != 3).sum())
    assert not wrong, f"{wrong} values were overwritten while another stream read them"
    return "a block is reused only behind its readers on other streams"


def bf16_passes(on: str, place: Accelerator) -> str:
    """A bf16 tensor is taken and given back over the same memory."""
    import torch

    try:
        import_module("ml_dtypes")
    except ImportError:
        raise Skipped("ml_dtypes is not installed, and stages with bf16 ports need it") from None
    from backends.interop import as_stored, to_torch

    stream = place.in_lane(0, 0)
    with stream.use():
        tensor = torch.arange(16, device=on).to(torch.bfloat16)
        stored, dtype = as_stored(tensor)
        array = place.adopt(stored, stream, dtype)
        back = to_torch(array)
        stream.synchronize()
    assert back.dtype is torch.bfloat16, f"it came back as {back.dtype}"
    assert back.data_ptr() == tensor.data_ptr(), "it was copied"
    return "bf16: same memory, same dtype"


def out_of_memory(on: str, place: Accelerator) -> str:
    """Too large an array is a MemoryError, and the device goes on."""
    try:
        place.empty((1 << 45,), np.uint8, place.side)
    except MemoryError as error:
        text = str(error)
    else:
        raise AssertionError("32 TiB were given out")
    array = place.upload(np.ones(4, np.float32), place.side)
    landing = place.download(array)
    landing.event.synchronize()
    assert landing.array.tolist() == [1] * 4, "the device computes something else afterwards"
    return f"MemoryError: {text[:80]}"


def asynchronous_ort(on: str, place: Accelerator) -> str:
    """Whether ONNX Runtime's runs that do not wait give what those give that wait, as every stage is asked at load."""
    try:
        import onnxruntime
    except ImportError:
        raise Skipped("onnxruntime is not installed") from None
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise Skipped(f"onnxruntime {onnxruntime.__version__} has no CUDA provider")
    try:
        import_module("onnx")
        models: Any = import_module("tests.backends.models")
        stages: Any = import_module("tests.backends.stages")
    except ImportError as error:
        raise Skipped(f"no model can be written here: {error}") from None
    with TemporaryDirectory() as folder:
        path = models.doubling(Path(folder, "m.onnx"))
        plan = stages.stage("onnx", "x: f32[*, 4]", "y: f32[*, 4]", folder=folder, artifact=path.name)
        instance: Any = load("onnx").load(plan, InstanceConfig(device=on))
        asynchronous = instance.asynchronous
        instance.close()
    assert asynchronous, "runs without waits gave other results, or were refused: every run waits"
    return "runs without waits give the same as runs with them"


def partitions(on: str, place: Accelerator) -> str:
    """Streams on some of the multiprocessors."""
    from backends.base import BackendError
    from backends.device.cuda import Partition

    assert isinstance(place.driver, CudaDriver)
    try:
        stream = Partition(place.driver, sms=16).open_stream()
    except BackendError as error:
        raise Skipped(str(error)) from None
    with place.driver.current(stream):
        found = place.xp.ones(1 << 16).sum()
    event = place.driver.record(stream)
    place.driver.synchronize(event)
    place.driver.recycle(event)
    assert float(found) == 1 << 16, "it computes something else"
    return "a stream on 16 multiprocessors computes"


def peers(on: str, place: Accelerator) -> str:
    """Copies between two GPUs."""
    from backends.device import device

    count = place.xp.cuda.runtime.getDeviceCount()
    if count < 2:
        raise Skipped("one GPU")
    other = device("cuda:1")
    assert isinstance(other, Accelerator)
    direct = bool(place.xp.cuda.runtime.deviceCanAccessPeer(1, place.driver.index))
    values = np.arange(1 << 20, dtype=np.float32)
    stream, there = place.in_lane(0, 0), other.in_lane(0, 0)
    moved = other.transfer(place.upload(values, stream), there)
    landing = other.download(moved)
    landing.event.synchronize()
    assert np.array_equal(landing.array, values), "other values arrived"
    return f"{count} GPUs; a copy between two {'goes directly' if direct else 'goes through the host'}"


CHECKS: tuple[Callable[[str, Accelerator], str], ...] = (
    stream_protocol,
    shared_order,
    one_pool,
    capture_with_cupy,
    streams_differ,
    copies_do_not_wait,
    freed_memory_waits,
    bf16_passes,
    out_of_memory,
    asynchronous_ort,
    partitions,
    peers,
)


def unordered_work(on: str, place: Accelerator) -> str:
    """On the simulator: work that nothing orders is found."""
    from backends.device.sim import RaceError, Simulation

    device = Simulation(0).accelerator()
    first, second = device.in_lane(0, 0), device.in_lane(1, 0)
    array = device.empty((4,), np.float32, first)
    first.launch(_fill, writes=[array])
    try:
        device.driver.launch(second.handle, _read, [], [array.data])
    except RaceError as error:
        return f"RaceError: {str(error)[:60]}"
    raise AssertionError("a read that nothing orders behind the write went unnoticed")


def _fill(out: Any) -> None:
    out.fill(1)


def _read(source: Any) -> None:
    source.sum()
