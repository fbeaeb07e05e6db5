"""Stages of the host on simulated devices: the same results and failures, enqueued."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from backends import BackendError, Batch, BatchResult, InstanceConfig, Ragged
from backends.device import DeviceArray
from backends.device.sim import RaceError, Simulation, WrongValue
from backends.device.sim.instance import SimInstance, load
from backends.null import NullBackend
from tests.backends.stages import stage

X = np.arange(8, dtype=np.float32).reshape(2, 4)


class Function:
    """An instance of a function from inputs to outputs."""

    thread_affine = False
    wants_context = False

    def __init__(self, function):
        self.function = function
        self.calls = 0
        self.closed = False

    def execute(self, batch):
        self.calls += 1
        found = self.function(*batch.inputs)
        return found if isinstance(found, BatchResult) else BatchResult(found)

    def warmup(self):
        self.calls += 1

    def close(self):
        self.closed = True


class Bench:
    """Calls as the executor makes them: inputs ordered on the stream before, uses booked behind."""

    def __init__(self, function, **settings):
        self.simulation = Simulation(**settings)
        self.device = self.simulation.accelerator()
        self.inner = Function(function)
        self.copies = []
        config = InstanceConfig(device="sim:0", on_copy=lambda n, reason: self.copies.append((n, reason)))
        self.instance = SimInstance(self.inner, "s", config)
        self.stream = self.device.in_lane(0, 0)

    def call(self, *inputs, ordered=True):
        read = [a for value in inputs for a in parts(value)]
        with self.stream.use():
            if ordered:
                self.stream.order(reads=read)
            result = self.instance.execute(Batch(inputs, 2, stream=self.stream))
            made = [a for value in result.outputs for a in parts(value)]
            self.stream.launched(reads=read, writes=made)
        return result

    def up(self, array, stream=None):
        return self.device.upload(array, stream or self.device.inward)

    def down(self, array):
        landing = self.device.download(array)
        landing.event.synchronize()
        return landing.array


def parts(value):
    if isinstance(value, Ragged):
        value = value.packed()[0] if value.is_packed else value.padded_form if value.is_padded else list(value)
    return [a for a in (value if isinstance(value, list) else [value]) if isinstance(a, DeviceArray)]


@pytest.mark.parametrize("rerun", [False, True])
@pytest.mark.parametrize("order", ["random", "late", "eager"])
def test_its_outputs_are_on_the_device(rerun, order):
    for seed in range(10):
        bench = Bench(lambda x, y: (x + y, x.sum(axis=1)), seed=seed, order=order, rerun=rerun)
        result = bench.call(bench.up(X), bench.up(X))
        assert [type(v) for v in result.outputs] == [DeviceArray, DeviceArray]
        assert np.array_equal(bench.down(result.outputs[0]), X + X)
        assert np.array_equal(bench.down(result.outputs[1]), X.sum(axis=1))
        assert bench.inner.calls == 1 + rerun
        bench.simulation.check()


def test_it_is_called_at_once_and_enqueued():
    bench = Bench(lambda x: (x + 1,), order="late")
    x = bench.up(X)
    result = bench.call(x)
    assert bench.inner.calls == 1
    assert np.isnan(result.outputs[0].data.actual).all()
    assert np.array_equal(result.outputs[0].data.ideal, X + 1)


def test_it_gets_arrays_that_it_may_not_write():
    def write(x):
        x[0] = 1

    bench = Bench(write)
    x = bench.up(X)
    with pytest.raises(ValueError, match="read-only"):
        bench.call(x)


def test_what_is_no_array_of_numbers_stays_on_the_host():
    bench = Bench(lambda *values: values)
    names = np.array(["a", "b"], object)
    result = bench.call("text", names, 3, None)
    assert result.outputs == ("text", names, 3, None)
    assert bench.simulation.driver(0).launched == 0


def test_outputs_that_are_inputs_stay_in_their_block():
    bench = Bench(lambda x: (x, x[1:], x.reshape(8), x[:, :2], x.view(np.int32)))
    x = bench.up(X)
    same, tail, flat, cut, bits = bench.call(x).outputs
    assert [a.block is x.block for a in (same, tail, flat, cut, bits)] == [True, True, True, False, True]
    assert tail.address == x.address + 16
    for array, expected in ((same, X), (tail, X[1:]), (flat, X.reshape(8)), (cut, X[:, :2]), (bits, X.view(np.int32))):
        assert np.array_equal(bench.down(array), expected)
    assert bench.copies == [(16, "contiguous")]


def test_rows_of_unequal_size_in_each_form():
    rows = [np.arange(3.0), np.arange(1.0)]
    padded = np.array([[0.0, 1, 2], [0, 7, 7]])
    lengths = np.array([3, 1])

    def double(x):
        if x.is_padded:
            return (Ragged(padded=x.padded_form * 2, lengths=x.lengths(), fill=x.fill),)
        if x.is_packed:
            values, offsets = x.packed()
            return (Ragged(values=values * 2, offsets=offsets),)
        return (Ragged([row * 2 for row in x]),)

    bench = Bench(double)
    for value in (
        Ragged(values=bench.up(np.concatenate(rows)), offsets=np.array([0, 3, 4])),
        Ragged(padded=bench.up(padded), lengths=lengths, fill=14),
        Ragged([bench.up(row) for row in rows]),
    ):
        (made,) = bench.call(value).outputs
        assert (made.is_padded, made.is_packed, made.fill) == (value.is_padded, value.is_packed, value.fill)
        assert [bench.down(row).tolist() for row in made] == [[0, 2, 4], [0]]
    bench.simulation.check()


def test_types_that_only_the_language_knows():
    bench = Bench(lambda x: (x + x,))
    (made,) = bench.call(bench.up(X.astype(ml_dtypes.bfloat16))).outputs
    assert made.dtype == ml_dtypes.bfloat16
    assert made.data.dtype == np.uint16
    assert np.array_equal(bench.down(made).astype(np.float32), X + X)


def test_arrays_without_items():
    bench = Bench(lambda x: (x[:0] + 1,))
    (made,) = bench.call(bench.up(X)).outputs
    assert made.shape == (0, 4)
    assert bench.down(made).shape == (0, 4)


def test_what_it_raises_and_rows_that_fail():
    bench = Bench(lambda x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bench.call(bench.up(X))
    error = ValueError("this row")
    bench = Bench(lambda x: BatchResult((x + 1,), {1: error}))
    result = bench.call(bench.up(X))
    assert result.failed == {1: error}
    assert np.array_equal(bench.down(result.outputs[0]), X + 1)


def test_inputs_that_are_not_ordered_on_its_stream():
    bench = Bench(lambda x: (x + 1,))
    x = bench.up(X)
    with pytest.raises(RaceError, match="`s`"):
        bench.call(x, ordered=False)
    assert bench.inner.calls == 0


@pytest.mark.parametrize("rerun", [False, True])
def test_inputs_that_hold_other_bytes_when_its_time_comes(rerun):
    bench = Bench(lambda x: (x + 1,), rerun=rerun, order="late")
    x = bench.up(X, bench.stream)
    bench.stream.synchronize()
    (made,) = bench.call(x).outputs
    x.data.actual[0, 0] = 7  # by somebody who says so to nobody
    bench.stream.synchronize()
    if rerun:
        assert made.data.actual[0, 0] == 8
        assert made.data.actual[1, 3] == X[1, 3] + 1
    else:
        assert np.isnan(made.data.actual).all()
    with pytest.raises(WrongValue, match="stage `s` reads"):
        bench.simulation.check()


def test_inputs_may_be_dropped_and_their_memory_used_again():
    for seed in range(20):
        bench = Bench(lambda x: (x + 1,), seed=seed, host_orders="none")
        made = []
        for i in range(6):
            x = bench.up(X + i, bench.stream)
            made.append(bench.call(x).outputs[0])
            del x
        found = [bench.down(array) for array in made]
        assert all(np.array_equal(a, X + i + 1) for i, a in enumerate(found))
        del made, found
        bench.device.synchronize()
        bench.simulation.check()
        assert bench.simulation.idle(), bench.simulation.leaks()
    assert bench.simulation.driver(0).pool.reused > 0


def test_elements_of_a_stream_are_enqueued_when_they_are_asked_for():
    closed = []

    def elements(x):
        try:
            for i in range(3):
                yield (x + i,)
            return (x * 2,)
        finally:
            closed.append(True)

    bench = Bench(lambda x: BatchResult((), elements=elements(x)))
    result = bench.call(bench.up(X))
    launched = bench.simulation.driver(0).launched
    (first,) = next(result.elements)
    assert bench.simulation.driver(0).launched == launched + 1
    found = [bench.down(first)]
    for (element,) in iter(lambda: next(result.elements, None), None):
        found.append(bench.down(element))
    assert all(np.array_equal(a, X + i) for i, a in enumerate(found))
    assert len(found) == 3
    assert closed == [True]
    bench.simulation.check()


def test_elements_that_nobody_reads_to_the_end():
    closed = []

    def elements(x):
        try:
            yield (x,)
        finally:
            closed.append(True)

    bench = Bench(lambda x: BatchResult((), elements=elements(x)))
    begun, never = (bench.call(bench.up(X)).elements for _ in range(2))
    next(begun)
    begun.close()
    never.close()
    assert closed == [True], "what was never begun has nothing to clean up"


def test_it_can_be_captured():
    bench = Bench(lambda x: (x + 1,))
    driver, handle = bench.device.driver, bench.stream.handle
    x = bench.up(X, bench.stream)
    driver.begin_capture(handle)
    (made,) = bench.instance.execute(Batch((x,), 2, stream=bench.stream)).outputs
    graph = driver.end_capture(handle)
    for value in (1, 2):
        bench.stream.launch(lambda out, value=value: out.fill(value), writes=[x])
        bench.stream.order([made], [x])
        driver.replay(graph, handle)
        bench.stream.launched([made], [x])
        assert (bench.down(made) == value + 1).all()
    bench.simulation.check()


def test_the_wrapped_instance_is_warmed_and_closed():
    bench = Bench(lambda x: (x,))
    bench.instance.warmup()
    bench.instance.close()
    assert (bench.inner.calls, bench.inner.closed) == (1, True)
    assert bench.instance.wants_context is False


def test_a_stage_is_loaded_for_the_host():
    backend = NullBackend()
    instance = load(stage("null", "x: f32[*, 4]", "y: f32[*, 4]"), InstanceConfig(device="sim:0"), backend)
    assert isinstance(instance, SimInstance)
    with pytest.raises(BackendError):
        load(stage("null", "x: f32[*, 4]", "y: f32[*, 4]", fail="load"), InstanceConfig(device="sim:0"), backend)
