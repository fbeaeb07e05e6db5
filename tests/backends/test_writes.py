"""A stage that writes its input, which other stages read (hazard 7): what sees it in each library."""

from __future__ import annotations

import numpy as np
import pytest

from backends import load
from backends.base import Batch
from backends.checks import OutputError
from tests.backends.device_stages import Caller, X, Y, full, on_gpu, python_instance
from tests.backends.fake_cuda import host, installed
from tests.backends.stages import batch, config, stage


@pytest.fixture
def gpu(monkeypatch):
    with installed(monkeypatch) as accelerator:
        yield accelerator


IN_PLACE = {
    "numpy": "def f(*, x):\n    x *= 2\n    return x.copy()\n",
    "torch": "def f(*, x):\n    x.mul_(2)\n    return x.clone()\n",
    "view": "def f(*, x):\n    x[0].add_(1)\n    return x.clone()\n",
    "copies": "def f(*, x):\n    x = x.copy() if hasattr(x, 'copy') else x.clone()\n    x *= 2\n    return x\n",
}


def test_7_numpy_refuses_itself(tmp_path):
    instance = python_instance(tmp_path, IN_PLACE["numpy"], "f", "cpu")
    with pytest.raises(ValueError, match="read-only"):
        instance.execute(batch(full(2, 1)))


@pytest.mark.torch
@pytest.mark.parametrize("code", ["torch", "view"])
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_7_a_tensor_that_was_written_is_seen(gpu, tmp_path, code, device):
    pytest.importorskip("torch")
    instance = python_instance(tmp_path, IN_PLACE[code], "f", device, arrays="torch")
    with pytest.raises(OutputError, match="stage `s`: the function writes its input `x`"):
        Caller(device)(instance, full(2, 1))


@pytest.mark.torch
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_7_a_generator_that_writes_is_seen_at_its_element(gpu, tmp_path, device):
    pytest.importorskip("torch")
    code = "def f(*, x):\n    yield x + 1\n    x.mul_(2)\n    yield x + 1\n"
    ports = {"inputs": "x: f32[4]", "outputs": "y: stream f32[4]"}
    instance = python_instance(tmp_path, code, "f", device, arrays="torch", **ports)
    caller = Caller(device)
    elements = caller.call(instance, Batch((caller.on_device(np.ones(4, np.float32)),), 1)).elements
    next(elements)
    with pytest.raises(OutputError, match="writes its input `x`"):
        next(elements)


def test_7_an_array_of_cupy_that_was_written_is_seen_on_the_first_batch(gpu, tmp_path):
    instance = python_instance(tmp_path, IN_PLACE["numpy"], "f")
    with pytest.raises(OutputError, match="stage `s`: the function writes its input `x`"):
        on_gpu(instance, full(2, 1))


@pytest.mark.torch
@pytest.mark.parametrize("arrays", ["numpy", "torch"])
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_7_a_copy_may_be_written(gpu, tmp_path, arrays, device):
    pytest.importorskip("torch")
    instance = python_instance(tmp_path, IN_PLACE["copies"], "f", device, arrays=arrays)
    caller = Caller(device)
    assert [caller.read(caller(instance, full(2, n))).max() for n in (1, 2)] == [2, 4]


def test_7_inputs_that_are_no_numbers_are_equal_to_themselves(gpu, tmp_path):
    instance = python_instance(tmp_path, "def f(*, x):\n    return x + 1\n", "f")
    assert np.isnan(host(on_gpu(instance, full(2, np.nan)))).all()


@pytest.mark.torch
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_7_a_module_that_writes_is_seen(gpu, tmp_path, device):
    torch = pytest.importorskip("torch")
    from tests.backends.test_pytorch import function, scripted

    scripted(tmp_path / "m.ts", function(lambda m, x: x.add_(1)), torch.ones(3, 4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.jit, "load", lambda path, map_location, load=torch.jit.load: load(path, "cpu"))
        plan = stage("torch", X, Y, folder=tmp_path, artifact="m.ts")
        instance = load("torch").load(plan, config(device=device))
    with pytest.raises(OutputError, match="writes its input `x`"):
        Caller(device)(instance, full(3, 1))
