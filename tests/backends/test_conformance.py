"""Every backend of ours passes the public suite, and so does one that is written with nothing but the contract."""

import numpy as np
import pytest

from backends import Backend, BackendError, Batch, BatchResult, Instance, InstanceConfig, load
from backends.conformance import Conformance
from backends.conformance_streams import StreamingConformance
from pipeline_dsl.plan import StagePlan
from tests.backends.models import doubling
from tests.backends.stages import stage

X, Y = "x: f32[*, 4]", "y: f32[*, 4]"


@pytest.fixture(autouse=True)
def _folder(request, tmp_path_factory):
    if request.instance is not None:
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


class TestNullStreams(StreamingConformance):
    factor = 1.0

    def backend(self):
        return load("null")

    def streaming(self, count):
        return stage("null", "x: f32[4]", "y: stream f32[4]", elements=count)


class TestPythonStreams(StreamingConformance):
    def backend(self):
        return load("python")

    def streaming(self, count):
        text = "def repeat(*, x, count):\n    for _ in range(count):\n        yield x * 2\n"
        (self.folder / "repeating.py").write_text(text)
        x, y = "x: f32[4]", "y: stream f32[4]"
        return stage("python", x, y, folder=self.folder, artifact="repeating:repeat", count=count)


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


class Foreign:
    """What someone else might write: the members of `Backend` and no more."""

    name = "foreign"

    def load(self, stage: StagePlan, config: InstanceConfig) -> Instance:
        if config.device != "cpu":
            raise BackendError(f"stage `{stage.name}`: there is no device {config.device}")
        if "artifact" not in stage.arguments:
            raise BackendError(f"stage `{stage.name}` names no file")
        return ForeignInstance()


class ForeignInstance:
    thread_affine = False

    def execute(self, batch: Batch) -> BatchResult:
        return BatchResult((batch.inputs[0] * 2,))

    def warmup(self) -> None:
        pass

    def close(self) -> None:
        pass


class TestForeign(Conformance):
    sees_shapes = False

    def backend(self) -> Backend:
        return Foreign()

    def stage(self) -> StagePlan:
        return stage("foreign", X, Y, artifact="twice")

    def broken(self) -> list[StagePlan]:
        return [stage("foreign", X, Y)]


class KeepsOneBuffer(ForeignInstance):
    """Breaks the contract: it writes its last answer again."""

    def __init__(self) -> None:
        self.kept = np.zeros((4096, 4), np.float32)

    def execute(self, batch: Batch) -> BatchResult:
        return BatchResult((np.multiply(batch.inputs[0], 2, out=self.kept[: batch.rows]),))


class WritesItsInput(ForeignInstance):
    """Breaks the contract: it works in place."""

    def execute(self, batch: Batch) -> BatchResult:
        values = batch.inputs[0]
        values.flags.writeable = True
        return BatchResult((np.multiply(values, 2, out=values).copy(),))


@pytest.mark.parametrize(
    ("instance", "test"),
    [
        (KeepsOneBuffer, "test_results_outlive_later_calls"),
        (KeepsOneBuffer, "test_two_calls_never_share_memory"),
        (WritesItsInput, "test_inputs_are_left_as_they_were"),
    ],
)
def test_the_suite_sees_what_breaks_the_contract(instance, test):
    class Broken(Foreign):
        def load(self, stage, config):
            return instance()

    class Suite(TestForeign):
        def backend(self):
            return Broken()

    with pytest.raises(AssertionError):
        getattr(Suite(), test)()


class UsesItsElementAgain(ForeignInstance):
    """Breaks the contract: it writes an element that it has given."""

    def execute(self, batch):
        made = np.empty(4, np.float32)

        def elements():
            for _ in range(3):
                made[:] = batch.inputs[0] * 2
                made.setflags(write=True)
                yield (made,)
            return ()

        return BatchResult((), elements=elements())


def test_the_streaming_suite_sees_a_buffer_that_is_used_again():
    class Broken(Foreign):
        def load(self, stage, config):
            return UsesItsElementAgain()

    class Suite(StreamingConformance):
        def backend(self):
            return Broken()

        def streaming(self, count):
            return stage("foreign", "x: f32[4]", "y: stream f32[4]")

    with pytest.raises((AssertionError, ValueError)):
        Suite().test_elements_are_never_written_again()


def save_doubling(torch, path):
    class Double(torch.nn.Module):
        def forward(self, x):
            return x * 2

    rows = torch.export.Dim("rows", min=1, max=4096)
    program = torch.export.export(Double(), (torch.ones(3, 4),), dynamic_shapes={"x": {0: rows}})
    torch.export.save(program, path)
