"""What libraries do behind one's back, each bug planted once: it is seen, and the real code does not have it.

Numbers are those of the hazards that the device layer is designed against: 3 and 4 a binding that is kept, 8 the
default stream, 9 what dies too early. Of 7, a stage that writes its input, are `test_writes`, of 11, layouts and dtypes
that convert by a silent copy, `test_layouts`."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from backends import BackendError
from backends.ort_cuda import provider_options
from tests.backends.device_stages import OPEN, X, Y, full, on_gpu, onnx_instance, python_instance, runtime
from tests.backends.fake_cuda import host, installed
from tests.backends.models import node, onnx_model, value
from tests.backends.stages import batch, stage


@pytest.fixture
def gpu(monkeypatch):
    with installed(monkeypatch) as accelerator:
        yield accelerator


# ---- 3 and 4: bindings that are kept


def overwritten(folder, outputs):
    """Whether a second run changes the result of the first."""
    instance = onnx_instance(folder, outputs)
    first = on_gpu(instance, full(2, 1))
    on_gpu(instance, full(2, 3))
    return not np.array_equal(host(first), full(2, 2))


@pytest.mark.parametrize("outputs", [Y, OPEN])
def test_3_a_kept_binding_overwrites_the_answer_before(gpu, tmp_path, monkeypatch, outputs):
    runtime(monkeypatch, keeps_binding=True)
    assert overwritten(tmp_path, outputs)
    runtime(monkeypatch)
    assert not overwritten(tmp_path, outputs)


def answers(instance, *batches):
    """Results of batches of these numbers of rows."""
    return [host(on_gpu(instance, full(rows, rows))) for rows in batches]


@pytest.mark.parametrize("outputs", [Y, OPEN])
def test_4_a_kept_binding_does_not_take_another_shape(gpu, tmp_path, monkeypatch, outputs):
    runtime(monkeypatch, keeps_binding=True)
    instance = onnx_instance(tmp_path, outputs)
    with pytest.raises(RuntimeError, match="has shape"):
        answers(instance, 2, 3)
    runtime(monkeypatch)
    found = answers(onnx_instance(tmp_path, outputs), 3, 2, 5, 1)
    assert [a.shape for a in found] == [(3, 4), (2, 4), (5, 4), (1, 4)]
    assert all(np.all(a == 2 * len(a)) for a in found)


class Kept:
    """A binding of the host that keeps the outputs it was given first."""

    def __init__(self, inner):
        self.inner = inner
        self.bound = set()

    def bind_output(self, name, *more):
        if name not in self.bound:
            self.bound.add(name)
            self.inner.bind_output(name, *more)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def test_3_on_the_host_where_bf16_needs_a_binding(tmp_path, monkeypatch):
    import ml_dtypes

    def double(path):
        wide = [node("Cast", "x", "w", to=1), node("Add", "w w", "s"), node("Cast", "s", "y", to=16)]
        return onnx_model(path, wide, [value("x", "bf16", ["N", 4])], [value("y", "bf16", ["N", 4])])

    def kept_results():
        instance = onnx_instance(tmp_path, "y: bf16[*, 4]", "cpu", double, "x: bf16[*, 4]")
        inputs = [np.full((2, 4), n, ml_dtypes.bfloat16) for n in (1, 3)]
        return [float(found[0, 0]) for found in [instance.execute(batch(x)).outputs[0] for x in inputs]]

    assert kept_results() == [2, 6]
    original, made = onnxruntime.InferenceSession.io_binding, {}
    run = onnxruntime.InferenceSession.run_with_iobinding
    with monkeypatch.context() as patch:
        patch.setattr(onnxruntime.InferenceSession, "io_binding", lambda s: made.setdefault(id(s), Kept(original(s))))
        patch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", lambda s, b: run(s, b.inner))
        assert kept_results() == [6, 6]


def test_outputs_of_known_shape_are_bound_to_our_memory(gpu, tmp_path, monkeypatch):
    made = runtime(monkeypatch)
    known, open_ = onnx_instance(tmp_path), onnx_instance(tmp_path, OPEN)
    results = [on_gpu(known, full(3, 1)), on_gpu(open_, full(3, 1))]
    (place, index, kind, shape, pointer), (_, _, _, _, none) = (s.bindings[-1].outputs["y"] for s in made.sessions)
    assert (place, index, kind, shape, pointer) == ("cuda", 0, 1, (3, 4), results[0].address)
    assert none is None
    assert results[0].block.owner is None
    assert results[1].block.owner is not None


def test_an_array_without_items_is_never_bound_to_no_memory(gpu, tmp_path, monkeypatch):
    made = runtime(monkeypatch)
    instance = onnx_instance(tmp_path, OPEN)
    assert on_gpu(instance, full(0, 1)).shape == (0, 4)
    assert made.sessions[-1].bindings[-1].inputs["x"][4] != 0


# ---- runs that do not wait


def test_runs_leave_out_the_waits_where_a_probe_agrees(gpu, tmp_path, monkeypatch):
    made = runtime(monkeypatch)
    instance = onnx_instance(tmp_path)
    assert instance.asynchronous
    (session,) = made.sessions
    assert session.runs == [True, True, False, False]
    on_gpu(instance, full(2, 1))
    assert session.runs[-1] is False


@pytest.mark.parametrize("fault", ["late", "on_cpu"])
def test_runs_wait_where_something_speaks_against_it(gpu, tmp_path, monkeypatch, fault):
    made = runtime(monkeypatch, **{fault: True})
    instance = onnx_instance(tmp_path)
    assert not instance.asynchronous
    assert np.all(host(on_gpu(instance, full(2, 4))) == 8)
    assert made.sessions[-1].runs[-1] is True


def test_a_single_number_is_waited_for(gpu, tmp_path, monkeypatch):
    runtime(monkeypatch)

    def total(path):
        nodes = [node("ReduceSum", "x", "y", keepdims=0)]
        return onnx_model(path, nodes, [value("x", "f32", ["N", 4])], [value("y", "f32", [])])

    instance = onnx_instance(tmp_path, "y: f32", model=total, inputs="x: f32[3, 4]")
    assert not instance.asynchronous
    assert on_gpu(instance, full(3, 2), rows=1) == 24.0


def test_an_onnxruntime_without_cuda_says_what_to_install(gpu, tmp_path):
    with pytest.raises(BackendError, match=r"stage `s`: the onnxruntime .* runs on cpu, not on cuda:0") as error:
        onnx_instance(tmp_path)
    assert "onnxruntime-gpu" in error.value.hint


def test_a_provider_that_does_not_start_is_no_silent_fallback(gpu, tmp_path, monkeypatch):
    runtime(monkeypatch, starts=False, on_cpu=True)
    with pytest.raises(BackendError, match="could not start its CUDA provider"):
        onnx_instance(tmp_path)


def test_text_is_refused_with_what_to_do(gpu, tmp_path, monkeypatch):
    runtime(monkeypatch)
    with pytest.raises(BackendError, match=r"port `x` is string\[\*\], onnx on cuda:0 takes numbers only"):
        onnx_instance(tmp_path, inputs="x: string[*]")


# ---- 8: the default stream


def test_8_a_session_is_given_a_stream_of_its_own(gpu, tmp_path, monkeypatch):
    made = runtime(monkeypatch)
    one, two = onnx_instance(tmp_path), onnx_instance(tmp_path)
    given = [session.provider_options["user_compute_stream"] for session in made.sessions]
    assert given == [str(one.stream.address), str(two.stream.address)]
    assert len({*given, "0"}) == 3


def test_8_a_session_is_given_the_stream_that_its_batches_will_run_on(gpu, tmp_path, monkeypatch):
    made, stream = runtime(monkeypatch), gpu.partition_stream(16)
    opened = gpu.driver.opened
    instance = onnx_instance(tmp_path, stream=stream)
    assert instance.stream is stream
    assert made.sessions[-1].provider_options["user_compute_stream"] == str(stream.address)
    assert gpu.driver.opened == opened


def test_8_the_default_stream_is_refused(tmp_path, monkeypatch):
    runtime(monkeypatch)
    with (
        installed(monkeypatch, addresses=(1, 2, 3, 0)),
        pytest.raises(BackendError, match=r"gave its default stream \(0\)"),
    ):
        onnx_instance(tmp_path)


def test_8_code_of_a_stage_runs_under_a_stream(gpu, tmp_path):
    code = """
    from backends.device import device

    def here():
        return device("cuda:0").driver.current_stream

    class Notes:
        def __init__(self):
            self.seen = [here()]

        def warmup(self):
            self.seen.append(here())

        def __call__(self, *, x):
            self.seen.append(here())
            return x
    """
    instance = python_instance(tmp_path, code, "Notes")
    instance.warmup()
    on_gpu(instance, full(1, 1))
    assert None not in instance._object.seen
    assert len(instance._object.seen) == 3


@pytest.mark.parametrize(("memory", "limit"), [(2**31, "2147483648"), (0.25, "1000"), (None, None)])
def test_the_runtime_takes_no_more_memory_than_the_stage_may(gpu, monkeypatch, memory, limit):
    monkeypatch.setattr(gpu.driver, "memory", lambda: (0, 4000))
    plan = replace(stage("onnx", X, Y), extra={} if memory is None else {"memory": memory})
    options = provider_options(gpu, gpu.stream(), plan)
    assert options.get("gpu_mem_limit") == limit
    assert options["arena_extend_strategy"] == "kSameAsRequested"
    assert all(isinstance(value, str) for value in options.values())


# ---- 9: what dies too early


def test_9_a_binding_lives_until_its_run_has_ended(gpu, tmp_path, monkeypatch):
    made = runtime(monkeypatch)
    instance = onnx_instance(tmp_path)
    stream = instance.stream
    result = on_gpu(instance, full(2, 1))
    bindings = made.sessions[-1].bindings
    last = weakref.ref(bindings.pop())
    gc.collect()
    assert last() is not None
    stream.synchronize()
    gc.collect()
    assert last() is None
    assert np.all(host(result) == 2)


def test_9_results_of_a_library_keep_their_memory(gpu, tmp_path, monkeypatch):
    runtime(monkeypatch)
    instance = onnx_instance(tmp_path, OPEN)
    results = [on_gpu(instance, full(64, n)) for n in range(20)]
    instance.close()
    del instance
    gc.collect()
    assert all(np.all(host(found) == 2 * n) for n, found in enumerate(results))
