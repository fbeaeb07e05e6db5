"""Each call of the library that can fail, failing: an error that names the place, and an instance that goes on."""

import numpy as np
import pytest

from backends import BackendError
from backends.tensorrt.errors import EngineError
from tests.backends.stages import port
from tests.backends.tensorrt import fake_tensorrt as trt
from tests.backends.tensorrt.device import BLOCKS
from tests.backends.tensorrt.models import CUDA, doubling, given, nonzero, padded_sum, planned, random, read


@pytest.fixture
def instance(backend, tmp_path):
    """Two profiles, 4 and 16 wide."""
    inputs = (port("x: f32[*, ~L]", form="padded", buckets=(4, 16)),)
    return backend.load(planned(padded_sum(tmp_path / "m.onnx"), inputs, "y: f32[*]"), CUDA)


@pytest.fixture
def finding(backend, tmp_path):
    """An output whose size depends on data."""
    return backend.load(planned(nonzero(tmp_path / "n.onnx"), outputs="y: i64[2, M]"), CUDA)


RUN = [
    ("set_optimization_profile_async", False, "stage `s`: the engine does not enter its profile 1"),
    ("set_input_shape", False, "stage `s`, tensor `x`: the engine does not take shape [2, 16], it wants [1..8, 16]"),
    ("set_tensor_address", False, "stage `s`, tensor `x`: the engine does not take the address 0x"),
    ("infer_shapes", ["x"], "stage `s`, tensor `x`: not all is set for x; shapes are `x` [2, 16]"),
    ("infer_shapes", RuntimeError("no"), "stage `s`: shapes can not be inferred from `x` [2, 16]: no"),
    ("get_tensor_shape", (-2,), "stage `s`, tensor `y`: its shape is not known: [-2]"),
    ("execute_async_v3", False, "stage `s`: the run was not started, with shapes `x` [2, 16]"),
]


@pytest.mark.parametrize(("name", "answer", "text"), RUN, ids=[f"{name}-{i}" for i, (name, *_) in enumerate(RUN)])
def test_a_call_that_fails(gpu, instance, name, answer, text):
    stream = gpu.stream()
    x = random(2, 16)
    trt.refuse(name, answer)
    with pytest.raises(EngineError) as error:
        instance.execute(given(gpu, stream, x))
    assert str(error.value).startswith(text)
    assert str(error.value).endswith(f": {name} was told to fail")
    assert not instance.settled
    trt.reset()
    (y,) = instance.execute(given(gpu, stream, x)).outputs
    np.testing.assert_allclose(read(gpu, y), x.sum(1), rtol=1e-6)


def test_an_allocator_that_is_not_taken(gpu, finding):
    trt.refuse("set_output_allocator")
    with pytest.raises(EngineError, match="tensor `y`: the engine does not take an allocator"):
        finding.execute(given(gpu, gpu.stream(), random(2, 4)))


def test_no_memory_for_an_output_of_unknown_size(gpu, finding):
    stream = gpu.stream()
    batch = given(gpu, stream, random(2, 4))
    BLOCKS.short = True
    try:
        with pytest.raises(MemoryError, match="stage `s`, tensor `y`: cuda:0 has no 128 bytes left"):
            finding.execute(batch)
    finally:
        BLOCKS.short = False
    (y,) = finding.execute(batch).outputs
    assert y.shape == (2, 8)


def test_no_memory_for_an_output(gpu, instance):
    batch = given(gpu, gpu.stream(), random(2, 4))
    BLOCKS.short = True
    try:
        with pytest.raises(MemoryError):
            instance.execute(batch)
    finally:
        BLOCKS.short = False
    assert instance.execute(batch).outputs[0].shape == (2,)


def test_a_shape_that_is_never_told(gpu, finding, monkeypatch):
    monkeypatch.setattr(finding._allocator, "notify_shape", lambda *_: None)
    with pytest.raises(EngineError, match="tensor `y`: the engine did not say what it made: shape None"):
        finding.execute(given(gpu, gpu.stream(), random(2, 4)))


def test_reasons_of_an_earlier_failure_are_not_told_again(gpu, instance):
    trt.refuse("set_input_shape")
    with pytest.raises(EngineError, match="set_input_shape was told to fail"):
        instance.execute(given(gpu, gpu.stream(), random(2, 4)))
    trt.reset()
    trt.refuse("execute_async_v3")
    with pytest.raises(EngineError) as error:
        instance.execute(given(gpu, gpu.stream(), random(2, 4)))
    assert "set_input_shape" not in str(error.value)


def test_reasons_that_nobody_asked_for_are_not_told_later(gpu, instance):
    instance._engine.library.log.add(1, "of something that worked all the same")
    trt.refuse("execute_async_v3")
    with pytest.raises(EngineError) as error:
        instance.execute(given(gpu, gpu.stream(), random(2, 4)))
    assert str(error.value).endswith("with shapes `x` [2, 4]: execute_async_v3 was told to fail")


def test_a_shape_that_was_refused_does_not_stand_for_the_one_before(gpu, instance):
    stream, x = gpu.stream(), random(2, 4)
    instance.execute(given(gpu, stream, x))
    trt.REFUSED_SHAPES["x"] = (3, 4)
    with pytest.raises(EngineError, match="does not take shape"):
        instance.execute(given(gpu, stream, random(3, 4)))
    (y,) = instance.execute(given(gpu, stream, x)).outputs
    np.testing.assert_allclose(read(gpu, y), x.sum(1), rtol=1e-6)


def test_after_a_run_that_did_not_start_all_shapes_are_set_again(gpu, instance):
    stream, x = gpu.stream(), random(2, 4)
    trt.refuse("execute_async_v3")
    with pytest.raises(EngineError):
        instance.execute(given(gpu, stream, x))
    trt.reset()
    instance.execute(given(gpu, stream, x))
    assert "set_input_shape" in trt.CALLS


# ---- loading

LOAD = [
    ("Builder", False, "fake_tensorrt has no builder here: pybind11::init(): factory function returned nullptr"),
    ("parse", False, "m.onnx is not an ONNX model: parse was told to fail"),
    ("set_shape", False, "tensor `x` can not have the shapes [1..8, 4]"),
    ("add_optimization_profile", False, "tensor `x` can not have the shapes [1..8, 4]"),
    ("build_serialized_network", None, "build_serialized_network was told to fail"),
    ("deserialize_cuda_engine", None, "can not be loaded: deserialize_cuda_engine was told to fail"),
    ("infer_shapes", ["x"], "tensor `x`: not all is set for x"),
    ("create_execution_context", None, "no execution context can be made: create_execution_context was told to fail"),
]


@pytest.mark.parametrize(("name", "answer", "text"), LOAD, ids=[name for name, *_ in LOAD])
def test_a_stage_that_can_not_be_loaded(backend, tmp_path, name, answer, text):
    plan = planned(doubling(tmp_path / "m.onnx"))
    trt.refuse(name, answer)
    with pytest.raises(BackendError) as error:
        backend.load(plan, CUDA)
    assert str(error.value).startswith("stage `s`")
    assert text in str(error.value)
    trt.reset()
    backend.load(plan, CUDA).close()
