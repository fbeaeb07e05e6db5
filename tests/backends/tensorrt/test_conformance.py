"""The public suite, on an instance whose arrays are carried to the device and back."""

from dataclasses import replace

import pytest

from backends.base import BatchResult
from backends.conformance import Conformance
from tests.backends.stages import stage
from tests.backends.tensorrt.models import X, Y, doubling, planned, read


class Carrying:
    """Host arrays in and out, as the executor carries them."""

    def __init__(self, gpu, instance):
        self.gpu, self.inner, self.stream = gpu, instance, gpu.stream()
        self.thread_affine = instance.thread_affine
        self.warmup, self.close = instance.warmup, instance.close

    def execute(self, batch):
        values = tuple(self.gpu.upload(value, self.stream) for value in batch.inputs)
        batch = type(batch)(values, batch.rows, stream=self.stream)
        return BatchResult(tuple(read(self.gpu, value) for value in self.inner.execute(batch).outputs))


class CarryingBackend:
    name = "tensorrt"

    def __init__(self, gpu, backend):
        self.gpu, self.inner = gpu, backend

    def load(self, stage, config):
        device = "cuda:0" if config.device == "cpu" else config.device
        return Carrying(self.gpu, self.inner.load(stage, replace(config, device=device)))


class TestTensorrt(Conformance):
    @pytest.fixture(autouse=True)
    def _place(self, gpu, backend, tmp_path):
        self.made, self.folder = CarryingBackend(gpu, backend), tmp_path

    def backend(self):
        return self.made

    def stage(self):
        return planned(doubling(self.folder / "m.onnx"), most=32)

    def broken(self):
        model = doubling(self.folder / "m.onnx")
        (self.folder / "cut.onnx").write_bytes(model.read_bytes()[:-20])
        (self.folder / "text.plan").write_text("no plan")
        return [
            planned(self.folder / "missing.onnx"),
            planned(self.folder / "cut.onnx"),
            planned(self.folder / "text.plan"),
            planned(model, "x: f16[*, 4]", Y),
            planned(model, "x: f32[*, 5]", Y),
            planned(model, "other: f32[*, 4], x: f32[*, 4]", Y),
            planned(model, X, "y: f32[*, 4], z: f32[*, 4]"),
            planned(model, colour=1),
            stage("tensorrt", X, Y),
        ]
