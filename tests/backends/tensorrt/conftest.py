"""Fixtures: a device that runs late, the strict module in the library's place, a folder for engines."""

import pytest

from backends.tensorrt import TensorrtBackend, memory
from tests.backends.tensorrt import fake_tensorrt as trt
from tests.backends.tensorrt.device import accelerator

FAKE = "tests.backends.tensorrt.fake_tensorrt"


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """The device that `cuda:0` stands for."""
    made = accelerator()
    monkeypatch.setattr("backends.device.device", lambda name: made)
    monkeypatch.setattr(memory, "capability", lambda name: trt.CAPABILITY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    trt.reset()
    yield made
    trt.reset()


@pytest.fixture
def backend(gpu):
    return TensorrtBackend(FAKE)
