"""Output checks of stages on accelerators: where arrays must be, and what is said of those that are elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backends.base import BatchResult
from backends.checks import OutputCheck, OutputError
from backends.device import Accelerator
from backends.values import Ragged
from tests.backends.fake_cuda import FakeDriver
from tests.backends.stages import batch, stage


def ones(*shape):
    return np.ones(shape, np.float32)


def packed(lengths):
    return Ragged(values=ones(sum(lengths)), offsets=np.array([0, *np.cumsum(lengths)], np.int64))


def on_gpu(plan):
    return replace(plan, device="cuda:0")


@pytest.fixture(scope="module")
def gpu():
    return Accelerator(FakeDriver())


@pytest.mark.parametrize("outputs", ["y: f32[*, 4]", "y: f32[*, S]", "y: f32[*, ?]", "y: f32[2, 4]"])
def test_device_arrays_pass_as_they_are(gpu, outputs):
    plan = on_gpu(stage("null", "x: f32[*, S]", outputs))
    given_, found = gpu.upload(ones(2, 4)), gpu.upload(ones(2, 4))
    result = BatchResult((found,))
    assert OutputCheck(plan)(batch(given_, rows=2), result) is result


@pytest.mark.parametrize(
    ("outputs", "make", "message"),
    [
        ("y: f32[*, 4]", lambda gpu: ones(2, 4), "f32[*, 4] on cuda:0 is expected, found float32 [2, 4] on the host"),
        ("y: f32[*, 5]", lambda gpu: gpu.upload(ones(2, 4)), "dim 1 must be 5, found 4"),
        ("y: f32[*, S]", lambda gpu: gpu.upload(ones(2, 5)), "dim 1 must be 4 (`S`), found 5"),
        ("y: f32[*, 4]", lambda gpu: gpu.upload(ones(3, 4)), "dim 0 must be 2, the number of rows, found 3"),
        ("y: i32[*, 4]", lambda gpu: gpu.upload(ones(2, 4)), "i32[*, 4] is expected, found float32 [2, 4]"),
        ("y: f32[*, 4]", lambda gpu: other_gpu(ones(2, 4)), "on cuda:0 is expected, found float32 [2, 4] on cuda:1"),
        ("y: f32[*, ~L]", lambda gpu: packed([1, 3]), "on cuda:0 is expected, found float32 [4] on the host"),
        ("y: string[*]", lambda gpu: gpu.upload(ones(2)), "string[*] is expected, found float32 [2]"),
        ("y: f32", lambda gpu: gpu.upload(ones(1)), "f32 is expected as a Python value, found float32 [1]"),
    ],
)
def test_what_is_not_in_its_place_or_form_is_refused(gpu, outputs, make, message):
    plan = on_gpu(stage("null", "x: f32[*, S]", outputs))
    with pytest.raises(OutputError) as error:
        OutputCheck(plan)(batch(gpu.upload(ones(2, 4)), rows=2), BatchResult((make(gpu),)))
    assert message in str(error.value)
    assert "stage `s`, output `y`" in str(error.value)


def other_gpu(array):
    return Accelerator(FakeDriver(1)).upload(array)


def test_a_device_array_is_refused_where_the_host_was_promised(gpu):
    plan = stage("null", "x: f32[*, 4]", "y: f32[*, 4]")
    with pytest.raises(OutputError, match=r"f32\[\*, 4\] on the host is expected, found float32 \[2, 4\] on cuda:0"):
        OutputCheck(plan)(batch(ones(2, 4)), BatchResult((gpu.upload(ones(2, 4)),)))


def test_a_stage_of_several_devices_takes_results_of_each():
    plan = replace(stage("null", "x: f32[*, 4]", "y: f32[*, 4]"), device="cuda:0,1")
    for index in (0, 1):
        result = BatchResult((Accelerator(FakeDriver(index)).upload(ones(2, 4)),))
        assert OutputCheck(plan)(batch(ones(2, 4)), result) is result
    with pytest.raises(OutputError, match=r"on cuda:0 or cuda:1 is expected, found float32 .* on cuda:2"):
        OutputCheck(plan)(batch(ones(2, 4)), BatchResult((Accelerator(FakeDriver(2)).upload(ones(2, 4)),)))


def test_ragged_results_of_a_device(gpu):
    plan = on_gpu(stage("null", "x: f32[*, ~L]", "y: f32[*, ~L]"))
    value = Ragged(values=gpu.upload(ones(4)), offsets=np.array([0, 1, 4], np.int64))
    result = BatchResult((value,))
    assert OutputCheck(plan)(batch(value), result) is result
    wrong = Ragged(values=gpu.upload(ones(4)), offsets=np.array([0, 2, 4], np.int64))
    with pytest.raises(OutputError, match="dim 0 of row 0 must be 1"):
        OutputCheck(plan)(batch(value), BatchResult((wrong,)))
