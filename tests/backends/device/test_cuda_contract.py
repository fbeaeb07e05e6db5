"""What every driver of a GPU does, over the fakes and, with `-m gpu`, on a real one."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread

import numpy as np
import pytest

from backends.device import Accelerator, ops
from backends.device.cuda import CudaDriver, CurrentChanged, driver, misplaced
from backends.device.ops import concatenate, take
from tests.backends.device.cuda_fixtures import fake_gpus, finish, got, put, real_driver

GPU = pytest.mark.gpu
KINDS = ["cupy", "cupy+torch", pytest.param("gpu", marks=GPU), pytest.param("gpu+torch", marks=GPU)]


@pytest.fixture(params=KINDS)
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[CudaDriver]:
    torch = request.param.endswith("torch")
    if request.param.startswith("gpu"):
        made = real_driver(torch)
        yield made
        made.close()
        return
    with fake_gpus(monkeypatch, torch):
        yield driver(0)


def test_streams_are_new_ones_and_never_the_default(gpu: CudaDriver):
    streams = [gpu.open_stream(high_priority=i % 2 == 0) for i in range(80)]
    addresses = [gpu.address_of(s) for s in streams]
    assert len(set(addresses)) == 80, "more than torch has for a priority"
    assert not set(addresses) & {0, 1, 2}


def test_a_copy_there_and_back(gpu: CudaDriver):
    stream = gpu.open_stream(False)
    values = np.arange(24, dtype=np.float32).reshape(4, 6)
    memory, data = put(gpu, stream, values)
    assert got(gpu, stream, data).tolist() == values.tolist()
    assert gpu.address(data) != 0
    assert gpu.address(data[1:]) - gpu.address(data) == 24
    gpu.free(memory, stream)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", "complex64"])
def test_dtypes(gpu: CudaDriver, dtype: str):
    stream = gpu.open_stream(False)
    values = (np.arange(7) % 2).astype(dtype)
    assert got(gpu, stream, put(gpu, stream, values)[1]).tolist() == values.tolist()


def test_columns_of_an_array_go_both_ways(gpu: CudaDriver):
    stream = gpu.open_stream(False)
    _, data = put(gpu, stream, np.zeros((3, 4), np.int32))
    slab = np.frombuffer(gpu.pinned(24), np.int32, 6).reshape(3, 2)
    slab[...] = [[1, 2], [3, 4], [5, 6]]
    gpu.upload(stream, data[:, 1:3], slab)
    finish(gpu, stream)
    assert got(gpu, stream, data).tolist() == [[0, 1, 2, 0], [0, 3, 4, 0], [0, 5, 6, 0]]
    assert got(gpu, stream, data[:, 2]).tolist() == [2, 4, 6]


def test_no_bytes_at_all(gpu: CudaDriver):
    stream = gpu.open_stream(False)
    memory = gpu.allocate(0, stream)
    assert gpu.view(memory, (0, 3), np.dtype(np.float32)).shape == (0, 3)
    gpu.free(memory, stream)


def test_work_of_two_streams_is_ordered_by_an_event(gpu: CudaDriver):
    first, second = gpu.open_stream(False), gpu.open_stream(True)
    _, data = put(gpu, first, np.zeros(1 << 10, np.int32))

    def fill(out: object) -> None:
        out[...] = 7

    gpu.launch(first, fill, [data], [])
    event = gpu.record(first)
    gpu.wait(second, event)
    assert got(gpu, second, data).tolist() == [7] * (1 << 10)


def test_an_event_that_went_back_is_not_used_again(gpu: CudaDriver):
    stream = gpu.open_stream(False)
    event = gpu.record(stream)
    gpu.recycle(event)
    with pytest.raises(RuntimeError, match="went back"):
        gpu.ready(event)
    with pytest.raises(RuntimeError, match="went back"):
        gpu.recycle(event)


def test_marks_take_the_time(gpu: CudaDriver):
    stream = gpu.open_stream(False)
    _, data = put(gpu, stream, np.zeros(8, np.int32))

    def fill(out: object) -> None:
        out[...] = 1

    gpu.launch(stream, fill, [data], [])  # a kernel's first launch compiles it
    start = gpu.mark(stream)
    gpu.launch(stream, fill, [data], [])
    end = gpu.mark(stream)
    finish(gpu, stream)
    assert gpu.elapsed(start, end) > 0


def test_current_is_set_and_set_back(gpu: CudaDriver):
    stream = gpu.open_stream(False)
    cuda = gpu.xp.cuda
    before = cuda.get_current_stream().ptr
    with gpu.current(stream):
        assert cuda.get_current_stream().ptr == gpu.address_of(stream)
        gpu.check_current(stream, "encode")
        with gpu.current(gpu.open_stream(False)):
            assert cuda.get_current_stream().ptr != gpu.address_of(stream)
        assert cuda.get_current_stream().ptr == gpu.address_of(stream)
    assert cuda.get_current_stream().ptr == before


def test_a_stage_that_leaves_another_stream_current_is_named(gpu: CudaDriver):
    stream = gpu.open_stream(False)
    theirs = gpu.open_stream(False)
    with gpu.current(stream):
        theirs.cupy.use()
        with pytest.raises(CurrentChanged, match="stage `encode` left another stream of CuPy on cuda:0 current"):
            gpu.check_current(stream, "encode")
        gpu.check_current(stream, "encode")


def test_threads_have_a_current_stream_each(gpu: CudaDriver):
    streams = [gpu.open_stream(False) for _ in range(4)]
    found: dict[int, int] = {}

    def work(n: int) -> None:
        with gpu.current(streams[n]):
            found[n] = gpu.xp.cuda.get_current_stream().ptr

    threads = [Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: gpu.address_of(s) for n, s in enumerate(streams)}


def test_freed_memory_goes_to_work_of_its_stream_again(gpu: CudaDriver):
    home, other = gpu.open_stream(False), gpu.open_stream(False)
    memory = gpu.allocate(4096, home)
    address = gpu.address(gpu.view(memory, (4096,), np.dtype(np.uint8)))
    gpu.free(memory, home)
    with pytest.raises(RuntimeError, match="freed"):
        gpu.free(memory, home)
    with pytest.raises(RuntimeError, match="freed"):
        gpu.view(memory, (1,), np.dtype(np.uint8))
    elsewhere = gpu.allocate(4096, other)
    assert gpu.address(gpu.view(elsewhere, (4096,), np.dtype(np.uint8))) != address
    again = gpu.allocate(4096, home)
    assert gpu.address(gpu.view(again, (4096,), np.dtype(np.uint8))) == address


def test_a_view_is_not_larger_than_its_memory(gpu: CudaDriver):
    memory = gpu.allocate(16, gpu.open_stream(False))
    with pytest.raises(ValueError, match="20 bytes of memory that has 16"):
        gpu.view(memory, (5,), np.dtype(np.int32))


def test_memory_counts_what_is_in_use(gpu: CudaDriver):
    stream = gpu.open_stream(False)
    used, total = gpu.memory()
    size = 4 << 20
    memory = gpu.allocate(size, stream)
    more, _ = gpu.memory()
    assert more - used >= size
    gpu.free(memory, stream)
    gpu.trim()
    less, _ = gpu.memory()
    assert less < more <= total


def test_too_much_is_a_memory_error(gpu: CudaDriver):
    with pytest.raises(MemoryError):
        gpu.allocate(1 << 50, gpu.open_stream(False))


def test_pinned_slabs_go_round(gpu: CudaDriver):
    made = gpu._pinned.made
    for _ in range(5):
        buffer = np.frombuffer(gpu.pinned(5000), np.uint8)
        buffer[:] = 3
        assert len(buffer) == 5000
        del buffer
    assert gpu._pinned.made == made, "that class was there from the start"


def test_a_captured_graph_is_replayed(gpu: CudaDriver):
    stream = gpu.open_stream(False)
    _, source = put(gpu, stream, np.arange(8, dtype=np.int32))
    _, target = put(gpu, stream, np.zeros(16, np.int32))

    def double(out: object, read: object) -> None:
        out[:8] = read
        out[8:] = read

    gpu.launch(stream, double, [target], [source])  # compiles
    finish(gpu, stream)
    gpu.begin_capture(stream)
    gpu.launch(stream, double, [target], [source])
    inside = gpu.record(stream)
    assert not gpu.ready(inside)
    graph = gpu.end_capture(stream)
    with pytest.raises(RuntimeError, match="captured graph"):
        gpu.wait(gpu.open_stream(False), inside)
    gpu.recycle(inside)

    slab = np.frombuffer(gpu.pinned(32), np.int32, 8)
    for n in (10, 20):
        slab[:] = n
        gpu.upload(stream, source, slab)
        gpu.replay(graph, stream)
        assert got(gpu, stream, target).tolist() == [n] * 16


def test_memory_of_a_capture_is_the_graphs_own(gpu: CudaDriver):
    stream = gpu.open_stream(False)
    _, other = put(gpu, stream, np.zeros(4096, np.uint8))

    def fill(out: object) -> None:
        out[...] = 1

    gpu.launch(stream, fill, [other], [])  # compiles
    finish(gpu, stream)
    gpu.begin_capture(stream)
    inside = gpu.allocate(4096, stream)
    address = gpu.address(gpu.view(inside, (4096,), np.dtype(np.uint8)))
    gpu.launch(stream, fill, [gpu.view(inside, (4096,), np.dtype(np.uint8))], [])
    gpu.free(inside, stream)
    graph = gpu.end_capture(stream)
    outside = [gpu.allocate(4096, stream) for _ in range(8)]
    assert address not in {gpu.address(gpu.view(m, (1,), np.dtype(np.uint8))) for m in outside}
    gpu.replay(graph, stream)
    finish(gpu, stream)


def test_a_graph_of_two_streams(gpu: CudaDriver):
    main, side = gpu.open_stream(False), gpu.open_stream(False)
    _, left = put(gpu, main, np.zeros(4, np.int32))
    _, right = put(gpu, main, np.zeros(4, np.int32))

    def fill(value: int):
        def work(out: object) -> None:
            out[...] = value

        return work

    gpu.launch(main, fill(0), [left], [])
    finish(gpu, main)
    gpu.begin_capture(main)
    fork = gpu.record(main)
    gpu.wait(side, fork)
    gpu.launch(side, fill(5), [right], [])
    gpu.launch(main, fill(4), [left], [])
    join = gpu.record(side)
    gpu.wait(main, join)
    graph = gpu.end_capture(main)
    gpu.replay(graph, main)
    assert got(gpu, main, left).tolist() == [4] * 4
    assert got(gpu, main, right).tolist() == [5] * 4


def test_one_capture_of_a_thread_at_a_time(gpu: CudaDriver):
    stream, other = gpu.open_stream(False), gpu.open_stream(False)
    gpu.begin_capture(stream)
    with pytest.raises(RuntimeError, match="one graph at a time"):
        gpu.begin_capture(other)
    with pytest.raises(RuntimeError, match="began in"):
        gpu.end_capture(other)
    gpu.end_capture(stream)
    gpu.begin_capture(other)
    gpu.end_capture(other)


def test_pinned_memory_is_not_made_while_capturing(gpu: CudaDriver):
    stream = gpu.open_stream(False)
    gpu.begin_capture(stream)
    with pytest.raises(RuntimeError, match="page-locked memory were asked for while a graph is captured"):
        gpu.pinned(40 << 20)
    gpu.end_capture(stream)


def test_arrays_of_other_libraries(gpu: CudaDriver):
    stream = gpu.open_stream(False)
    _, data = put(gpu, stream, np.arange(6, dtype=np.float32))
    assert gpu.holds(data)
    assert gpu.adopt(data) is data
    assert misplaced(data, "cuda:0") == ""
    assert not gpu.holds(np.zeros(3))
    assert "host's memory" in misplaced(np.zeros(3), "cuda:0")


PADDED = np.array([[1, 2, 9], [3, 9, 9]], np.int32)
LENGTHS = np.array([2, 1])
OPERATIONS = {
    "padded": (lambda x: ops.padded(x, LENGTHS, 3, 0), np.array([1, 2, 3], np.int32), [[1, 2, 0], [3, 0, 0]]),
    "packed": (lambda x: ops.packed(x, LENGTHS), PADDED, [1, 2, 3]),
    "filled_behind": (lambda x: ops.filled_behind(x, LENGTHS, 7), PADDED, [[1, 2, 7], [3, 7, 7]]),
    "placed": (lambda x: ops.placed(x, [2, 0], 3, -1), np.array([5, 6], np.int32), [6, -1, 5]),
    "in_corners": (
        lambda x: ops.in_corners([x, x[:1]], (2,), 0, np.int32),
        np.array([5, 6], np.int32),
        [[5, 6], [5, 0]],
    ),
    "stack": (lambda x: ops.stack([x, x]), np.array([5, 6], np.int32), [[5, 6], [5, 6]]),
    "many parts": (lambda x: concatenate([x] * 12), np.array([5, 6], np.int32), [5, 6] * 12),
    "columns": (lambda x: ops.copied(x[:, 1:]), PADDED, [[2, 9], [9, 9]]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_operations_of_the_executor(gpu: CudaDriver, name: str):
    operation, values, expected = OPERATIONS[name]
    device = Accelerator(gpu)
    with device.in_lane(0, 0).use():
        landing = device.download(operation(device.upload(values)))
    landing.event.synchronize()
    assert landing.array.tolist() == expected
    device.synchronize()


def test_an_accelerator_over_it(gpu: CudaDriver):
    device = Accelerator(gpu)
    values = np.arange(12, dtype=np.float32).reshape(6, 2)
    stream = device.in_lane(0, 0)
    with stream.use():
        there = device.upload(values)
        both = concatenate([there, there[2:4]])
        rows = take(both, [7, 0])
    landing = device.download(rows)
    landing.event.synchronize()
    assert landing.array.tolist() == [[6, 7], [0, 1]]
    del there, both, rows, landing
    device.synchronize()
    assert not device.sweep()
    assert device.live_bytes == 0
