"""Every backend of ours passes the public suite."""

import pytest

from backends import load
from backends.conformance import Conformance
from tests.backends.models import doubling
from tests.backends.stages import stage

X, Y = "x: f32[*, 4]", "y: f32[*, 4]"


@pytest.fixture(autouse=True)
def _folder(request, tmp_path_factory):
    request.instance.folder = tmp_path_factory.mktemp("stage")


class TestNull(Conformance):
    factor = 1.0
    sees_shapes = False

    def backend(self):
        return load("null")

    def stage(self):
        return stage("null", X, Y)

    def broken(self):
        return [
            stage("null", X, Y, fail="load"),
            stage("null", X, Y, fail="often"),
            stage("null", X, Y, value="random"),
        ]


class TestPython(Conformance):
    sees_shapes = False

    def backend(self):
        return load("python")

    def stage(self):
        (self.folder / "doubling.py").write_text("def double(*, x):\n    return x * 2\n\ndef other(*, z): ...\n")
        return stage("python", X, Y, folder=self.folder, artifact="doubling:double")

    def broken(self):
        self.stage()
        wrong = ("missing:double", "doubling:tripple", "doubling", "doubling:other")
        return [stage("python", X, Y, folder=self.folder, artifact=target) for target in wrong]


class TestOnnx(Conformance):
    def backend(self):
        return load("onnx")

    def stage(self):
        doubling(self.folder / "double.onnx")
        return stage("onnx", X, Y, folder=self.folder, artifact="double.onnx")

    def broken(self):
        self.stage()
        (self.folder / "text.onnx").write_text("no model")
        return [
            stage("onnx", X, Y, folder=self.folder, artifact="none.onnx"),
            stage("onnx", X, Y, folder=self.folder, artifact="text.onnx"),
            stage("onnx", "x: i64[*, 4]", Y, folder=self.folder, artifact="double.onnx"),
        ]


class TestOnnxOfFixedRows(TestOnnx):
    def stage(self):
        from pipeline_dsl.ir import Contract

        doubling(self.folder / "double.onnx", rows=2)
        return stage("onnx", X, Y, folder=self.folder, artifact="double.onnx", contract=Contract(rows=2))


@pytest.mark.torch
class TestTorch(Conformance):
    def backend(self):
        return load("torch")

    def stage(self):
        torch = pytest.importorskip("torch")
        path = self.folder / "double.pt2"
        if not path.exists():
            save_doubling(torch, path)
        return stage("torch", X, Y, folder=self.folder, artifact="double.pt2")

    def broken(self):
        self.stage()
        (self.folder / "text.pt2").write_text("no model")
        return [
            stage("torch", X, Y, folder=self.folder, artifact="none.pt2"),
            stage("torch", X, Y, folder=self.folder, artifact="text.pt2"),
            stage("torch", "x: f32[*, 5]", Y, folder=self.folder, artifact="double.pt2"),
        ]


def save_doubling(torch, path):
    class Double(torch.nn.Module):
        def forward(self, x):
            return x * 2

    rows = torch.export.Dim("rows", min=1, max=4096)
    program = torch.export.export(Double(), (torch.ones(3, 4),), dynamic_shapes={"x": {0: rows}})
    torch.export.save(program, path)
