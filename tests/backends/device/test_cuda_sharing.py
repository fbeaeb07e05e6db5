"""What CuPy and torch share on a GPU, and what several GPUs do: with fakes that do not allow what CUDA does not."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from importlib.util import spec_from_loader
from types import SimpleNamespace

import numpy as np
import pytest

from backends.base import BackendError
from backends.device import Accelerator
from backends.device.cuda import CurrentChanged, driver, libraries, misplaced
from tests.backends.device import fake_torch
from tests.backends.device.cuda_fixtures import fake_gpus, finish, got, put
from tests.backends.device.fake_cupy import World
from tests.backends.device.fake_torch import Tensor


@pytest.fixture
def world(monkeypatch) -> Iterator[World]:
    with fake_gpus(monkeypatch) as made:
        yield made


@pytest.fixture
def shared(monkeypatch) -> Iterator[World]:
    with fake_gpus(monkeypatch, torch=True) as made:
        yield made


def test_streams_of_torch_where_it_is_loaded_and_of_cupy_when_those_are_used_up(shared: World):
    gpu = driver(0)
    streams = [gpu.open_stream(False) for _ in range(40)]
    foreign = [s for s in streams if s.cupy._foreign_stream_ref is not None]
    assert len(foreign) == 32
    torch = libraries.torch()
    assert {s.of_torch(torch).cuda_stream for s in streams} == {s.address for s in streams}
    assert len(shared.streams) == 40


def test_priorities(world: World):
    gpu = driver(0)
    high, normal = gpu.open_stream(True), gpu.open_stream(False)
    assert world.state(high.address).priority < world.state(normal.address).priority
    assert world.state(normal.address).non_blocking


def test_current_is_so_in_both_libraries(shared: World):
    gpu, torch = driver(1), libraries.torch()
    stream = gpu.open_stream(False)
    theirs = torch.cuda.Stream(0)
    torch.cuda.set_stream(theirs)
    with gpu.current(stream):
        assert shared.device == 1
        assert torch.cuda.current_stream(1).cuda_stream == stream.address
        assert gpu.xp.cuda.get_current_stream(1).ptr == stream.address
    assert shared.device == 0
    assert torch.cuda.current_stream(0) is theirs
    assert torch.cuda.current_stream(1).cuda_stream == gpu.xp.cuda.get_current_stream(1).ptr == 0


def test_it_is_set_back_whatever_a_stage_did(shared: World):
    gpu, torch = driver(0), libraries.torch()
    stream = gpu.open_stream(False)

    def stage() -> None:
        with gpu.current(stream):
            torch.cuda.set_stream(torch.cuda.Stream(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stage()
    assert shared.device == 0
    assert torch.cuda.current_stream(0).cuda_stream == gpu.xp.cuda.get_current_stream(0).ptr == 0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("device", "device cuda:1 in place of cuda:0"),
        ("torch", "another stream of torch on cuda:0"),
    ],
)
def test_what_a_stage_left(shared: World, change: str, text: str):
    gpu, torch = driver(0), libraries.torch()
    stream = gpu.open_stream(False)
    with gpu.current(stream):
        if change == "device":
            gpu.xp.cuda.runtime.setDevice(1)
        else:
            torch.cuda.set_stream(torch.cuda.Stream(0))
        with pytest.raises(CurrentChanged, match=f"stage `ocr` left {text} current"):
            gpu.check_current(stream, "ocr")
        gpu.check_current(stream, "ocr")


def test_torch_that_is_loaded_later(world: World, monkeypatch):
    gpu = driver(0)
    stream = gpu.open_stream(False)
    memory, data = put(gpu, stream, np.arange(4, dtype=np.int32))
    with gpu.current(stream):
        monkeypatch.setitem(sys.modules, "torch", fake_torch.make(world))
        made = gpu.xp.ndarray((4,), np.int32)  # from torch's pool now, on the stream that is current
        assert libraries.torch().cuda.current_stream(0).cuda_stream == stream.address
        assert libraries.torch().cuda.memory_allocated(0) == 16
        made[...] = data
    assert libraries.torch().cuda.current_stream(0).cuda_stream == 0
    assert got(gpu, stream, made).tolist() == [0, 1, 2, 3]
    gpu.free(memory, stream)


def test_memory_is_torchs_and_tagged_with_the_stream(shared: World):
    gpu, torch = driver(0), libraries.torch()
    one, two = gpu.open_stream(False), gpu.open_stream(False)
    memory = gpu.allocate(1024, one)
    assert torch.cuda.memory_allocated(0) == 1024
    address = memory.pointer.ptr
    gpu.free(memory, one)
    assert torch.cuda.memory_allocated(0) == 0
    assert torch.cuda.caching_allocator_alloc(1024, 0, two.address) != address
    assert torch.cuda.caching_allocator_alloc(1024, 0, one.address) == address


@pytest.mark.parametrize("torch", [False, True])
def test_memory_that_is_kept_for_later_is_not_in_use(monkeypatch, torch: bool):
    with fake_gpus(monkeypatch, torch):
        gpu = driver(0)
        stream = gpu.open_stream(False)
        before = gpu.memory()
        memory = gpu.allocate(1 << 20, stream)
        assert gpu.memory()[0] == before[0] + (1 << 20)
        gpu.free(memory, stream)
        assert gpu.memory() == before


def test_an_array_keeps_its_memory_however_long_it_lives(shared: World):
    gpu = driver(0)
    stream = gpu.open_stream(False)
    memory, data = put(gpu, stream, np.arange(3, dtype=np.int32))
    gpu.free(memory, stream)
    put(gpu, stream, np.zeros(3, np.int32))
    assert got(gpu, stream, data).tolist() == [0, 1, 2]


def test_memory_of_an_array_in_a_cycle_comes_back(shared: World):
    """As of the frames of a stage that raised."""
    gpu, torch = driver(0), libraries.torch()
    stream = gpu.open_stream(False)
    with gpu.current(stream):
        cycle: list[object] = [gpu.xp.ndarray((256,), np.int32)]
    cycle.append(cycle)
    assert torch.cuda.memory_allocated(0) == 1024
    del cycle
    gc.collect()
    assert torch.cuda.memory_allocated(0) == 0


def test_memory_that_is_freed_on_another_stream_waits_for_it(world: World):
    gpu = driver(0)
    home, other = gpu.open_stream(False), gpu.open_stream(False)
    memory, data = put(gpu, home, np.zeros(128, np.int32))
    seen = []

    def see(read: object) -> None:
        values = read.later()
        world.kernel(lambda: seen.append(values().copy()), read)

    gpu.launch(other, see, [], [data])
    address = gpu.address(data)
    del data
    gpu.free(memory, other)
    _, again = put(gpu, home, np.ones(128, np.int32))
    assert gpu.address(again) == address
    finish(gpu, other)
    assert seen[0].tolist() == [0] * 128


def test_two_streams_that_differ_are_an_error_and_not_a_race(shared: World):
    gpu, torch = driver(0), libraries.torch()
    with gpu.current(gpu.open_stream(False)):
        torch.cuda.set_stream(torch.cuda.Stream(0))
        with pytest.raises(RuntimeError, match="CuPy and torch work on different streams of cuda:0"):
            gpu.xp.ndarray((4,), np.int32)


def test_closing_gives_cupy_its_own_allocator_back(world: World):
    first, second = driver(0), driver(1)
    first.close()
    second.close()
    stream = first.xp.cuda.Stream(non_blocking=True)
    stream.use()
    assert first.xp.ndarray((4,), np.int32).data.mem.size == 512


def test_dropped_events_are_used_again(world: World):
    gpu = driver(0)
    stream = gpu.open_stream(False)
    for _ in range(20):
        finish(gpu, stream)
    assert gpu._events.made == 1
    for _ in range(20):
        start, end = gpu.mark(stream), gpu.mark(stream)
        finish(gpu, stream)
        assert gpu.elapsed(start, end) >= 0
    del start, end
    assert gpu._events.made <= 5


def test_nothing_is_asked_of_events_of_a_capture(world: World):
    gpu = driver(0)
    stream = gpu.open_stream(False)
    gpu.begin_capture(stream)
    event = gpu.record(stream)
    assert not gpu.ready(event)
    with pytest.raises(RuntimeError, match="never passes"):
        gpu.synchronize(event)
    gpu.end_capture(stream)
    assert not gpu.ready(event)


def test_a_capture_that_fails_leaves_nothing_behind(world: World):
    gpu = driver(0)
    stream, side = gpu.open_stream(False), gpu.open_stream(False)
    _, data = put(gpu, stream, np.zeros(4, np.int32))
    gpu.begin_capture(stream)
    gpu.wait(side, gpu.record(stream))
    gpu.launch(side, lambda out: out.__setitem__(..., 1), [data], [])
    with pytest.raises(RuntimeError, match="unjoined"):
        gpu.end_capture(stream)
    assert not gpu._captures.any
    gpu.pinned(64 << 20)
    gpu.begin_capture(stream)
    gpu.end_capture(stream)


def test_a_graph_that_is_dropped_during_a_capture_keeps_its_pool_until_that_has_ended(shared: World):
    gpu, pools = driver(0), libraries.torch().cuda.MemPool
    one, two = gpu.open_stream(False), gpu.open_stream(False)
    gpu.begin_capture(one)
    graph = gpu.end_capture(one)
    gpu.begin_capture(two)
    del graph
    gc.collect()
    assert len(pools.alive) == 2
    kept = gpu.end_capture(two)
    gpu.trim()
    assert len(pools.alive) == 1
    assert pools.ended_the_process == []
    gpu.replay(kept, two)


def test_a_capture_that_can_not_begin_leaves_nothing_behind(world: World):
    gpu = driver(0)
    stream = gpu.open_stream(False)
    world.fails["streamBeginCapture"] = 801
    with pytest.raises(RuntimeError, match="not supported"):
        gpu.begin_capture(stream)
    world.fails.clear()
    gpu.begin_capture(stream)
    gpu.end_capture(stream)


def test_trimming_waits_until_nothing_is_captured(world: World):
    gpu = driver(0)
    stream = gpu.open_stream(False)
    gpu.free(gpu.allocate(1 << 20, stream), stream)
    kept = world.used[0]
    gpu.begin_capture(stream)
    gpu.trim()
    assert world.used[0] == kept
    gpu.end_capture(stream)
    gpu.trim()
    assert world.used[0] < kept


# ---- several devices


def test_a_copy_between_devices_that_reach_each_other(world: World):
    near, far = driver(0), driver(1)
    there, here = far.open_stream(False), near.open_stream(False)
    _, source = put(far, there, np.arange(5, dtype=np.int64))
    for _ in range(2):
        _, target = put(near, here, np.zeros(5, np.int64))
        assert near.transfer(here, target, source, far)
        assert got(near, here, target).tolist() == [0, 1, 2, 3, 4]
    assert world.calls == [("enable", 0, 1)], "access is asked for once"
    assert world.device == 0


def test_access_that_another_library_asked_for(world: World):
    world.peered.add((0, 1))
    near, far = driver(0), driver(1)
    _, source = put(far, far.open_stream(False), np.arange(5, dtype=np.int64))
    here = near.open_stream(False)
    _, target = put(near, here, np.zeros(5, np.int64))
    assert near.transfer(here, target, source, far)


def read(device: Accelerator, array: object) -> np.ndarray:
    landing = device.download(array)
    landing.event.synchronize()
    return landing.array.copy()


def settle(*devices: Accelerator) -> None:
    for device in devices:
        device.synchronize()
        assert not device.sweep()


def test_a_copy_between_devices_that_do_not(monkeypatch):
    with fake_gpus(monkeypatch, peers=False):
        near, far = Accelerator(driver(0)), Accelerator(driver(1))
        there = far.upload(np.arange(6, dtype=np.float32))
        assert not near.driver.transfer(near.side.handle, near.empty((6,), np.float32).data, there.data, far.driver)
        assert read(near, near.transfer(there)).tolist() == [0, 1, 2, 3, 4, 5]
        settle(near, far)


def test_columns_go_through_the_host(world: World):
    near, far = Accelerator(driver(0)), Accelerator(driver(1))
    there = far.upload(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert read(near, near.transfer(there[:, 1:])).tolist() == [[1, 2], [4, 5]]
    settle(near, far)


# ---- arrays of other libraries


STORED = {"float32": "float32", "bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8", "bool": "bool"}


@pytest.mark.parametrize(("dtype", "stored"), STORED.items())
def test_tensors_of_torch(shared: World, dtype: str, stored: str):
    gpu = driver(0)
    stream = gpu.open_stream(False)
    memory = gpu.allocate(64, stream)
    address = memory.pointer.ptr
    tensor = Tensor(address, (2, 3), dtype, "cuda:0")
    assert gpu.holds(tensor)
    data = gpu.adopt(tensor)
    assert (data.dtype, data.shape, gpu.address(data)) == (np.dtype(stored), (2, 3), address)
    assert data.data.mem._owner is tensor


def test_a_transposed_tensor_keeps_its_strides(shared: World):
    gpu = driver(0)
    stream = gpu.open_stream(False)
    _, data = put(gpu, stream, np.arange(6, dtype=np.float32).reshape(2, 3))
    turned = gpu.adopt(Tensor(gpu.address(data), (3, 2), "float32", "cuda:0", strides=(1, 3)))
    assert got(gpu, stream, turned).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_dtypes_without_a_place(shared: World):
    gpu = driver(0)
    memory = gpu.allocate(64, gpu.open_stream(False))
    with pytest.raises(TypeError, match="dtype float4_e2m1fn_x2 can not be passed on"):
        gpu.adopt(Tensor(memory.pointer.ptr, (2,), "float4_e2m1fn_x2", "cuda:0"))


def test_an_empty_tensor(shared: World):
    gpu = driver(0)
    assert gpu.adopt(Tensor(0, (2, 0, 3), "float32", "cuda:0", strides=(3, 3, 1))).shape == (2, 0, 3)


def test_whatever_has_the_array_interface(world: World):
    gpu = driver(0)
    stream = gpu.open_stream(False)
    _, data = put(gpu, stream, np.arange(4, dtype=np.int32))
    interface = {"shape": (2,), "typestr": "<i4", "data": (gpu.address(data) + 4, False), "strides": None, "version": 3}
    other = SimpleNamespace(__cuda_array_interface__=interface)
    assert gpu.holds(other)
    assert not driver(1).holds(other)
    assert got(gpu, stream, gpu.adopt(other)).tolist() == [1, 2]


def test_whatever_has_dlpack_is_told_that_nobody_waits(world: World):
    gpu = driver(0)
    told = []

    class Exported:
        def __dlpack_device__(self):
            return 2, 0

        def __dlpack__(self, stream=None):
            told.append(stream)
            return "array"

    assert gpu.holds(Exported())
    assert gpu.adopt(Exported()) == "array"
    assert told == [-1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros(2), "a numpy.ndarray in the host's memory, where a tensor on cuda:0 was promised"),
        (Tensor(0, (2,), "float32", "cpu"), "in the host's memory, where a tensor on cuda:0 was promised"),
        (Tensor(64, (2,), "float32", "cuda:1"), "on cuda:1, where a tensor on cuda:0 was promised"),
        ([1, 2], "builtins.list is no tensor; return an array on cuda:0"),
        (None, "builtins.NoneType is no tensor"),
        (Tensor(64, (2,), "float32", "cuda:0"), ""),
    ],
)
def test_values_that_are_somewhere_else(value: object, text: str):
    found = misplaced(value, "cuda:0")
    assert text in found
    assert bool(found) == bool(text)


def test_an_array_of_another_device(world: World):
    there = Accelerator(driver(1)).upload(np.zeros(2, np.float32))
    assert "on cuda:1, where a tensor on cuda:0 was promised" in misplaced(there, "cuda:0")
    assert misplaced(there, "cuda:1") == ""
    assert "on cuda:1" in misplaced(there.data, "cuda:0")


# ---- partitions


@pytest.fixture
def green(shared: World, monkeypatch) -> list[dict[str, int]]:
    """What torch's green contexts were asked for; each has the streams of a pool of its own."""
    asked: list[dict[str, int]] = []

    class GreenContext:
        @staticmethod
        def create(**what: int) -> object:
            asked.append(what)
            if what["num_sms"] > 64:
                raise RuntimeError("not enough\nmultiprocessors")
            return SimpleNamespace(Stream=lambda: libraries.torch().cuda.Stream(what["device_id"], -what["num_sms"]))

    contexts = SimpleNamespace(GreenContext=GreenContext)
    monkeypatch.setitem(sys.modules, "torch.cuda", SimpleNamespace(green_contexts=contexts))
    return asked


def test_streams_of_one_size_share_a_partition(green: list[dict[str, int]]):
    gpu = driver(1)
    one, two, other = gpu.open_partition_stream(16), gpu.open_partition_stream(16), gpu.open_partition_stream(32)
    assert green == [{"num_sms": 16, "device_id": 1}, {"num_sms": 32, "device_id": 1}]
    assert len({one.address, two.address, other.address}) == 3
    _, data = put(gpu, one, np.arange(3, dtype=np.int32))
    assert got(gpu, one, data).tolist() == [0, 1, 2]
    gpu.close()
    gpu.open_partition_stream(16)
    assert len(green) == 3


def test_instances_share_streams_before_torch_gives_one_out_twice(green: list[dict[str, int]]):
    device = Accelerator(driver(0))
    streams = [device.partition_stream(16) for _ in range(70)]
    assert len(green) == 1
    assert len(set(streams)) == len({s.address for s in streams}) == 16
    assert streams[16:32] == streams[:16]
    assert device.partition_stream(8) not in streams


@pytest.mark.parametrize("sms", [0, -8, 133])
def test_more_multiprocessors_than_there_are(green: list[dict[str, int]], sms: int):
    with pytest.raises(BackendError, match=f"`sms = {sms}`: cuda:0 has 132 multiprocessors") as caught:
        driver(0).open_partition_stream(sms)
    assert caught.value.hint == "write a number from 1 to 132, or leave `sms` out"
    assert not green


def test_what_torch_says_is_told_and_nothing_is_kept(green: list[dict[str, int]]):
    device = Accelerator(driver(0))
    for _ in range(2):
        with pytest.raises(BackendError, match="`sms = 100` on cuda:0: not enough multiprocessors"):
            device.partition_stream(100)
    assert device.partition_stream(16) is not device.partition_stream(16)


def test_contexts_of_a_torch_that_gives_no_streams(green: list[dict[str, int]], monkeypatch):
    contexts = sys.modules["torch.cuda"].green_contexts
    monkeypatch.setattr(contexts.GreenContext, "create", lambda **_: object())
    with pytest.raises(BackendError, match=r"torch 2.11.0 has no green contexts with streams"):
        driver(0).open_partition_stream(16)
    monkeypatch.setitem(sys.modules, "torch.cuda", SimpleNamespace())
    with pytest.raises(BackendError, match=r"torch 2.11.0 has no green contexts with streams"):
        driver(0).open_partition_stream(16)


def test_no_partition_without_torch(world: World, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendError, match="`sms = 16` on cuda:0 needs a torch that can use this GPU"):
        driver(0).open_partition_stream(16)


def test_torch_is_loaded_where_a_partition_needs_it(world: World, monkeypatch):
    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> object:
            return spec_from_loader(name, Finder) if name == "torch" else None

        @staticmethod
        def create_module(spec: object) -> object:
            return fake_torch.make(world)

        @staticmethod
        def exec_module(module: object) -> None:
            made = SimpleNamespace(Stream=lambda: module.cuda.Stream(0))
            context = SimpleNamespace(create=lambda **_: made)
            contexts = SimpleNamespace(green_contexts=SimpleNamespace(GreenContext=context))
            monkeypatch.setitem(sys.modules, "torch.cuda", contexts)

    gpu = driver(0)
    before = gpu.open_stream(False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    monkeypatch.setitem(sys.modules, "torch", None)  # what is imported in its place goes behind the test
    del sys.modules["torch"]
    stream = gpu.open_partition_stream(16)
    for each in (before, stream):
        memory, data = put(gpu, each, np.arange(3, dtype=np.int32))
        assert got(gpu, each, data).tolist() == [0, 1, 2]
        gpu.free(memory, each)
