"""Batches on a device that runs as late as it may: right values, memory that lives on, order across streams."""

import gc
from dataclasses import replace

import numpy as np
import pytest

from backends import InvalidInput
from backends.base import Batch, InstanceConfig
from backends.device import DeviceArray
from backends.tensorrt import instance as instances
from backends.tensorrt.errors import EngineError
from pipeline_dsl.plan import BatchPolicy
from tests.backends.stages import Copies, port
from tests.backends.tensorrt import fake_tensorrt as trt
from tests.backends.tensorrt.models import (
    CUDA,
    Y,
    doubling,
    given,
    nonzero,
    padded_sum,
    plan_file,
    planned,
    random,
    read,
    reshaping,
)

ROWS = {"x": ((1, 4), (4, 4), (8, 4))}


def length_stage(path, buckets=(4, 16), where=("L <= 32",), **options):
    inputs = (port("x: f32[*, ~L]", form="padded", buckets=buckets),)
    return planned(path, inputs, "y: f32[*]", where=where, **options)


@pytest.mark.parametrize("kind", ["onnx", "plan"])
def test_values_are_right_and_outputs_are_device_arrays(gpu, backend, tmp_path, kind):
    model = doubling(tmp_path / "m.onnx")
    path = model if kind == "onnx" else plan_file(model, model, ROWS)
    instance, stream = backend.load(planned(path), CUDA), gpu.stream()
    for rows in (1, 8, 3, 3):
        x = random(rows, 4, seed=rows)
        (y,) = instance.execute(given(gpu, stream, x)).outputs
        assert type(y) is DeviceArray
        np.testing.assert_array_equal(read(gpu, y), x * 2)
    instance.close()


@pytest.mark.parametrize("kind", ["f16", "bf16", "i32", "i64", "bool"])
def test_dtypes(gpu, backend, tmp_path, kind):
    from pipeline_dsl.dtypes import DTYPES
    from tests.backends.models import node, onnx_model, value

    graph = [node("Identity", "x", "y")], [value("x", kind, ["N", 4])], [value("y", kind, ["N", 4])]
    path = onnx_model(tmp_path / "m.onnx", *graph)
    instance = backend.load(planned(path, f"x: {kind}[*, 4]", f"y: {kind}[*, 4]"), CUDA)
    x = (random(2, 4) * 9).astype(DTYPES[kind].numpy)
    (y,) = instance.execute(given(gpu, gpu.stream(), x)).outputs
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(read(gpu, y), x)


def test_what_it_does_by_itself_is_on_the_stream_that_it_is_given(gpu, backend, tmp_path):
    stream = gpu.partition_stream(16)
    instance = backend.load(planned(doubling(tmp_path / "m.onnx")), replace(CUDA, stream=stream))
    assert instance._stream is stream


def test_nothing_runs_before_somebody_waits(gpu, backend, tmp_path):
    instance, stream = backend.load(planned(doubling(tmp_path / "m.onnx")), CUDA), gpu.stream()
    ran = stream.handle.ran
    instance.execute(given(gpu, stream, random(2, 4)))
    assert stream.handle.ran == ran


def test_inputs_may_be_dropped_as_soon_as_execute_returned(gpu, backend, tmp_path):
    instance, stream, side = backend.load(planned(doubling(tmp_path / "m.onnx")), CUDA), gpu.stream(), gpu.stream()
    x = random(2, 4)
    batch = Batch((gpu.upload(x, side),), 2, stream=stream)
    result = instance.execute(batch)
    del batch
    gc.collect()
    side.handle.drain()  # where the input's memory goes back to
    gpu.empty((2, 4), np.float32, side)
    np.testing.assert_array_equal(read(gpu, result.outputs[0]), x * 2)


def test_a_run_waits_for_inputs_of_another_stream(gpu, backend, tmp_path):
    instance, stream, side = backend.load(planned(doubling(tmp_path / "m.onnx")), CUDA), gpu.stream(), gpu.stream()
    x = random(2, 4)
    (y,) = instance.execute(Batch((gpu.upload(x, side),), 2, stream=stream)).outputs
    stream.handle.drain()
    np.testing.assert_array_equal(read(gpu, y), x * 2)


def test_who_writes_an_input_later_waits_for_the_run(gpu, backend, tmp_path):
    instance, stream, side = backend.load(planned(doubling(tmp_path / "m.onnx")), CUDA), gpu.stream(), gpu.stream()
    x = random(2, 4)
    batch = Batch((gpu.upload(x, gpu.stream()),), 2, stream=stream)
    (y,) = instance.execute(batch).outputs
    side.launch(lambda out: out.fill(7), writes=batch.inputs)
    side.handle.drain()
    np.testing.assert_array_equal(read(gpu, y), x * 2)


def test_runs_on_several_streams_do_not_share_scratch_memory_at_a_time(gpu, backend, tmp_path):
    instance, first, second = backend.load(planned(doubling(tmp_path / "m.onnx")), CUDA), gpu.stream(), gpu.stream()
    a, b = random(2, 4, seed=1), random(2, 4, seed=2)
    (one,) = instance.execute(given(gpu, first, a)).outputs
    (two,) = instance.execute(given(gpu, second, b)).outputs
    second.handle.drain()  # the later run first, as far as nothing orders it
    np.testing.assert_array_equal(read(gpu, two), b * 2)
    np.testing.assert_array_equal(read(gpu, one), a * 2)


def test_an_earlier_result_is_not_written_again(gpu, backend, tmp_path):
    instance, stream = backend.load(planned(doubling(tmp_path / "m.onnx")), CUDA), gpu.stream()
    xs = [random(3, 4, seed=seed) for seed in range(5)]
    outputs = [instance.execute(given(gpu, stream, x)).outputs[0] for x in xs]
    for x, y in zip(xs, outputs):
        np.testing.assert_array_equal(read(gpu, y), x * 2)


def test_a_view_in_the_middle_of_a_block_is_copied_to_an_aligned_place_and_counted(gpu, backend, tmp_path):
    copies = Copies()
    config = InstanceConfig(device="cuda:0", on_copy=copies)
    instance, stream = backend.load(planned(doubling(tmp_path / "m.onnx")), config), gpu.stream()
    whole = random(8, 4)
    view = gpu.upload(whole, stream)[3:5]
    (y,) = instance.execute(Batch((view,), 2, stream=stream)).outputs
    np.testing.assert_array_equal(read(gpu, y), whole[3:5] * 2)
    assert copies == [(32, "alignment")]


def test_a_batch_without_rows_runs_nothing(gpu, backend, tmp_path):
    instance = backend.load(planned(doubling(tmp_path / "m.onnx")), CUDA)
    trt.CALLS.clear()
    (y,) = instance.execute(given(gpu, gpu.stream(), random(0, 4))).outputs
    assert y.shape == (0, 4)
    assert trt.CALLS == []


def test_without_a_stream_the_result_has_landed(gpu, backend, tmp_path):
    instance = backend.load(planned(doubling(tmp_path / "m.onnx")), CUDA)
    x = random(2, 4)
    (y,) = instance.execute(Batch((gpu.upload(x, gpu.stream()),), 2)).outputs
    np.testing.assert_array_equal(y.data, x * 2)


# ---- profiles


def test_the_narrowest_profile_is_entered_and_left(gpu, backend, tmp_path):
    instance, stream = backend.load(length_stage(padded_sum(tmp_path / "m.onnx")), CUDA), gpu.stream()
    entered = []
    for length in (4, 16, 30, 4, 4):
        x = random(2, length, seed=length)
        (y,) = instance.execute(given(gpu, stream, x)).outputs
        entered.append(instance._context._raw.active_optimization_profile)
        np.testing.assert_allclose(read(gpu, y), x.sum(1), rtol=1e-6)
    assert entered == [0, 1, 2, 0, 0]
    assert trt.CALLS.count("set_optimization_profile_async") == 3


def test_a_change_of_profile_sets_also_the_shapes_that_stay(gpu, backend, tmp_path):
    from tests.backends.models import node, onnx_model, value

    path = onnx_model(
        tmp_path / "m.onnx",
        [node("Add", "x x", "y"), node("Add", "k k", "z")],
        [value("x", "f32", ["N", "L"]), value("k", "f32", ["N", 4])],
        [value("y", "f32", ["N", "L"]), value("z", "f32", ["N", 4])],
    )
    inputs = (port("x: f32[*, ~L]", form="padded", buckets=(4, 16)), port("k: f32[*, 4]"))
    outputs = (port("y: f32[*, ~L]", form="padded"), port("z: f32[*, 4]"))
    instance, stream = backend.load(planned(path, inputs, outputs), CUDA), gpu.stream()
    for length in (4, 16, 4):
        x, k = random(2, length, seed=length), random(2, 4)
        y, z = instance.execute(given(gpu, stream, x, k)).outputs
        np.testing.assert_array_equal(read(gpu, y), x * 2)
        np.testing.assert_array_equal(read(gpu, z), k * 2)


def test_arrays_without_items_have_an_address_all_the_same(gpu, backend, tmp_path):
    model = doubling(tmp_path / "m.onnx", width="W")
    path = plan_file(model, model, {"x": ((1, 0), (4, 4), (8, 4))})
    instance = backend.load(planned(path, "x: f32[*, W]", "y: f32[*, W]"), CUDA)
    (y,) = instance.execute(given(gpu, gpu.stream(), random(2, 0))).outputs
    assert y.shape == (2, 0)
    gpu.synchronize()


def test_shapes_that_stay_are_not_set_again(gpu, backend, tmp_path):
    instance, stream = backend.load(planned(doubling(tmp_path / "m.onnx")), CUDA), gpu.stream()
    trt.CALLS.clear()
    for rows in (2, 2, 3, 2):
        instance.execute(given(gpu, stream, random(rows, 4)))
    assert trt.CALLS.count("set_input_shape") == 3


def test_shapes_outside_of_all_profiles_are_the_clients_fault(gpu, backend, tmp_path):
    instance = backend.load(planned(doubling(tmp_path / "m.onnx"), most=2), CUDA)
    with pytest.raises(InvalidInput) as error:
        instance.execute(given(gpu, gpu.stream(), random(3, 4)))
    assert str(error.value) == "stage `s`: `x` [3, 4] is outside of what the engine was built for: `x` [1..2, 4]"
    (y,) = instance.execute(given(gpu, gpu.stream(), random(2, 4))).outputs
    assert y.shape == (2, 4)


# ---- outputs whose size depends on data


def test_sizes_that_depend_on_data(gpu, backend, tmp_path):
    plan = planned(nonzero(tmp_path / "m.onnx"), outputs="y: i64[2, M]")
    instance, stream = backend.load(plan, CUDA), gpu.stream()
    kept = []
    for seed in range(4):
        x = (random(3, 4, seed=seed) > 0.2 * seed).astype(np.float32)  # fewer each time
        (y,) = instance.execute(given(gpu, stream, x)).outputs
        gc.collect()
        kept.append((x, y))
    for x, y in kept:
        np.testing.assert_array_equal(read(gpu, y), np.array(np.nonzero(x)))
    assert not instance.asynchronous
    assert not instance.capturable


def test_nothing_found_is_an_empty_array(gpu, backend, tmp_path):
    instance = backend.load(planned(nonzero(tmp_path / "m.onnx"), outputs="y: i64[2, M]"), CUDA)
    (y,) = instance.execute(given(gpu, gpu.stream(), np.zeros((2, 4), np.float32))).outputs
    assert y.shape == (2, 0)


# ---- values on the host


@pytest.mark.parametrize("where", ["host", "device"])
def test_sizes_are_read_on_the_host(gpu, backend, tmp_path, where):
    model = reshaping(tmp_path / "m.onnx")
    path = plan_file(model, model, {"x": ((1, 4), (4, 4), (8, 4)), "size": ((2,), (2,), (2,))})
    copies = Copies()
    plan = planned(path, "x: f32[*, 4], size: i64[2]", "y: f32[A, B]")
    instance, stream = backend.load(plan, InstanceConfig(device="cuda:0", on_copy=copies)), gpu.stream()
    x, size = random(2, 4), np.array([4, 2])
    batch = given(gpu, stream, x, size)
    if where == "host":
        batch = replace(batch, inputs=(batch.inputs[0], size))
    (y,) = instance.execute(batch).outputs
    np.testing.assert_array_equal(read(gpu, y), x.reshape(4, 2))
    assert copies == ([] if where == "host" else [(16, "shape tensor")])
    assert not instance.capturable
    size[:] = [1, 8]
    other = replace(given(gpu, stream, x, size), inputs=(gpu.upload(x, stream), size))
    assert instance.execute(other).outputs[0].shape == (1, 8)


def test_an_output_on_the_host_goes_to_the_device(gpu, backend, tmp_path):
    model = doubling(tmp_path / "m.onnx")
    path = plan_file(model, model, ROWS, host=["y"])
    instance = backend.load(planned(path), CUDA)
    x = random(2, 4)
    (y,) = instance.execute(given(gpu, gpu.stream(), x)).outputs
    np.testing.assert_array_equal(read(gpu, y), x * 2)


def test_single_values_go_in_and_out(gpu, backend, tmp_path):
    from tests.backends.models import node, onnx_model, value

    path = onnx_model(
        tmp_path / "m.onnx",
        [node("Mul", "x k", "z"), node("ReduceSum", "z", "total", keepdims=0)],
        [value("x", "f32", [3]), value("k", "f32", [])],
        [value("total", "f32", [])],
    )
    instance = backend.load(planned(path, "x: f32[3], k: f32", "total: f32"), CUDA)
    assert instance.execute(given(gpu, gpu.stream(), np.ones(3, np.float32), 2.0, rows=1)).outputs == (6.0,)
    assert not instance.asynchronous


def test_control_values_take_the_dtype_and_rank_of_the_engine(gpu, backend, tmp_path):
    from tests.backends.models import node, onnx_model, value

    path = onnx_model(
        tmp_path / "m.onnx",
        [node("Mul", "x START", "y")],
        [value("x", "f32", ["N", 4]), value("START", "f32", ["N", 1])],
        [value("y", "f32", ["N", 4])],
    )
    inputs = (port("x: f32[*, 4]"), port("START: bool[*]", filled="start"))
    instance, stream = backend.load(planned(path, inputs, Y), CUDA), gpu.stream()
    x, start = random(2, 4), np.array([True, False])
    for batch in (given(gpu, stream, x, start), Batch((gpu.upload(x, stream), start), 2, stream=stream)):
        (y,) = instance.execute(batch).outputs
        np.testing.assert_array_equal(read(gpu, y), x * start[:, None])


# ---- capture, closing


def test_capture_needs_a_run_with_the_same_shapes(gpu, backend, tmp_path):
    instance, stream = backend.load(planned(doubling(tmp_path / "m.onnx")), CUDA), gpu.stream()
    assert instance.asynchronous
    assert instance.capturable
    assert not instance.settled
    instance.execute(given(gpu, stream, random(2, 4)))
    assert instance.settled
    trt.refuse("execute_async_v3")
    with pytest.raises(EngineError):
        instance.execute(given(gpu, stream, random(2, 4)))
    assert not instance.settled


def test_the_library_is_asked_where_it_can_be(gpu, backend, tmp_path, monkeypatch):
    instance, stream = backend.load(planned(doubling(tmp_path / "m.onnx")), CUDA), gpu.stream()
    instance.execute(given(gpu, stream, random(2, 4)))
    asked = []
    monkeypatch.setattr(trt.Context, "is_stream_capturable", lambda self, s: asked.append(s), raising=False)
    assert not instance.capturable
    assert asked == [stream.address]


def test_closing_waits_for_what_was_launched(gpu, backend, tmp_path):
    instance, stream = backend.load(planned(doubling(tmp_path / "m.onnx")), CUDA), gpu.stream()
    instance.execute(given(gpu, stream, random(2, 4)))
    context = instance._context._raw
    assert (context.launched, context.ran) == (1, 0)
    instance.close()
    assert context.ran == 1


def test_instances_share_an_engine_and_not_a_context(gpu, backend, tmp_path):
    plan = planned(doubling(tmp_path / "m.onnx"))
    one, two = backend.load(plan, CUDA), backend.load(plan, InstanceConfig(1, "cuda:0"))
    assert one._engine is two._engine
    assert one._context._raw is not two._context._raw
    assert trt.CALLS.count("build_serialized_network") == trt.CALLS.count("parse") == 1
    other = backend.load(replace(plan, batching=BatchPolicy(max_rows=9)), CUDA)
    assert other._engine is not one._engine


def test_an_engine_goes_with_its_last_instance(gpu, backend, tmp_path):
    plan = planned(doubling(tmp_path / "m.onnx"))
    backend.load(plan, CUDA).close()
    gc.collect()
    assert len(backend._engines._made) == 0
    assert isinstance(backend.load(plan, CUDA), instances.TensorrtInstance)
