"""What a stage on a device may return, and what is said of the rest."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from backends.base import Batch
from backends.checks import OutputCheck, OutputError
from tests.backends.device_stages import X, Y, full, on_gpu, python_instance
from tests.backends.fake_cuda import host, installed
from tests.backends.stages import batch, stage


@pytest.fixture
def gpu(monkeypatch):
    with installed(monkeypatch) as accelerator:
        yield accelerator


def returned(folder, code, inputs=X, outputs=Y, **arguments):
    instance = python_instance(folder, code, "f", inputs=inputs, outputs=outputs, **arguments)
    given = on_gpu.on_device(full(2, 1))
    made = Batch((given,), 2, sizes=(2,))
    plan = stage("python", inputs, outputs)
    result = on_gpu.call(instance, made)
    return OutputCheck(on_gpu.placed(plan))(made, result), given


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import numpy\ndef f(*, x):\n    return numpy.ones((2, 4), 'f')", "found an array on cpu"),
        ("import torch\ndef f(*, x):\n    return torch.ones(2, 4, device='meta')", "found a tensor on meta"),
        ("def f(*, x):\n    return 'text'", "found str"),
        ("def f(*, x):\n    return None", "found None"),
        ("def f(*, x):\n    return [x[0], x[0][:2]]", "found rows that differ"),
    ],
)
@pytest.mark.torch
def test_results_that_are_elsewhere_name_stage_port_and_devices(gpu, tmp_path, code, message):
    if "torch" in code:
        pytest.importorskip("torch")
    with pytest.raises(OutputError) as error:
        returned(tmp_path, code)
    assert "stage `s`, output `y`: f32[*, 4]" in str(error.value)
    assert message in str(error.value)
    if " on " in message:
        assert "f32[*, 4] on cuda:0 is expected" in str(error.value)
        assert "the stage" in str(error.value)


def test_a_single_number_on_the_device_says_what_to_do(gpu, tmp_path):
    with pytest.raises(OutputError, match=r"found an array on cuda:0; give it a dim .`y: f32\[1\]`., or return .item"):
        returned(tmp_path, "def f(*, x):\n    return x[:1, :1].reshape(1)[0:1]", outputs="y: f32")


@pytest.mark.torch
def test_a_gpu_tensor_from_a_stage_of_the_host_is_refused(tmp_path):
    pytest.importorskip("torch")
    code = "import torch\ndef f(*, x):\n    return torch.ones(2, 4, device='meta')\n"
    instance = python_instance(tmp_path, code, "f", "cpu")
    with pytest.raises(OutputError, match=r"a tensor on meta is expected on cpu, where the stage runs"):
        instance.execute(batch(full(2, 1)))


@pytest.mark.parametrize("code", ["def f(*, x):\n    return x", "def f(*, x):\n    return x[:, :]"])
def test_an_input_returned_stays_in_its_block(gpu, tmp_path, code):
    result, given = returned(tmp_path, code)
    assert result.outputs[0].block is given.block
    assert result.outputs[0].address == given.address
    block = weakref.ref(given.block)
    del given
    gc.collect()
    gpu.synchronize()
    gpu.sweep()
    assert np.all(host(result.outputs[0]) == 1)
    assert block() is not None
    held = gpu.held_bytes
    del result
    gc.collect()
    gpu.sweep()
    assert gpu.held_bytes == held - 32


def test_a_part_of_an_input_stays_in_its_block_too(gpu, tmp_path):
    result, given = returned(tmp_path, "def f(*, x):\n    return x[:, 1:3]", outputs="y: f32[*, 2]")
    (found,) = result.outputs
    assert found.contiguous
    assert found.block is not given.block, "the check made it contiguous"
    plain, given = returned(tmp_path, "def f(*, x):\n    return x[0]", outputs="y: f32[4]")
    assert plain.outputs[0].block is given.block


def test_rows_one_by_one_and_rows_that_failed(gpu, tmp_path):
    code = "def f(*, x):\n    return [x[0] * 2, ValueError('no')]"
    result, _ = returned(tmp_path, code)
    assert list(result.failed) == [1]
    assert host(result.outputs[0]).tolist() == [[2, 2, 2, 2], [0, 0, 0, 0]]
    result, _ = returned(tmp_path, "def f(*, x):\n    return [[1, 2, 3, 4], [5, 6, 7, 8]]")
    assert host(result.outputs[0]).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_text_and_single_values_stay_on_the_host(gpu, tmp_path):
    code = "def f(*, x):\n    return ['a', 'b'], 7"
    result, _ = returned(tmp_path, code, outputs="t: string[*], n: i64")
    assert result.outputs[0].tolist() == ["a", "b"]
    assert result.outputs[1] == 7


@pytest.mark.parametrize(("arrays", "seen"), [("numpy", "uint16"), ("torch", "torch.bfloat16")])
@pytest.mark.torch
def test_bf16_is_bits_in_cupy_and_bfloat16_in_torch(gpu, tmp_path, arrays, seen):
    import ml_dtypes

    pytest.importorskip("torch")
    code = f"""
    def f(*, x):
        assert str(x.dtype) == {seen!r}
        return x.clone() if hasattr(x, "clone") else x.copy()
    """
    ports = {"inputs": "x: bf16[*, 4]", "outputs": "y: bf16[*, 4]"}
    instance = python_instance(tmp_path, code, "f", arrays=arrays, **ports)
    found = on_gpu(instance, full(2, 3).astype(ml_dtypes.bfloat16))
    assert found.dtype == ml_dtypes.bfloat16
    assert host(found).astype(np.float32).tolist() == full(2, 3).tolist()


@pytest.mark.parametrize(
    ("device", "keys", "capturable"),
    [
        ("cuda:0", {"capture": True}, True),
        ("cuda:0", {"capture": False}, False),
        ("cuda:0", {}, False),
        ("cpu", {"capture": True}, False),
    ],
)
def test_calls_are_captured_where_the_stage_says_so(device, keys, capturable, tmp_path, gpu):
    """The key is the backend's, and no argument of the function."""
    instance = python_instance(tmp_path, "def f(*, x):\n    return x * 2\n", "f", device, **keys)
    assert instance.capturable is capturable
