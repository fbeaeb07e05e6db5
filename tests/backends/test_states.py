"""Stages with state behind each backend: the public suite, an ONNX file with controls, a process of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import backends
from backends import BackendError, InstanceConfig
from backends.base import Batch
from backends.conformance_states import StatefulConformance
from backends.states import initial, with_states
from pipeline_dsl.ir import Contract, SequenceRule, StateRule
from pipeline_dsl.plan import StagePlan
from tests.backends.models import node, onnx_model, value
from tests.backends.stages import stage, tensor

X, Y = "x: f32[*, 4]", "y: f32[*, 4]"
TOTAL = StateRule("total", tensor("f32[4]"), "zeros")
SUMS = "def add(*, x, total):\n    return x + total, x + total\n"
BY_NAME = "def add(*, x, total):\n    return {'total': x + total, 'y': x + total}\n"


@pytest.fixture(autouse=True)
def _folder(request: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    if request.instance is not None:
        request.instance.folder = tmp_path_factory.mktemp("stage")


def contract(*states: StateRule, **rule: Any) -> Contract:
    return Contract(sequence=SequenceRule(**rule), states=states)


def python(folder: Any, code: str, **more: Any) -> StagePlan:
    (folder / "sums.py").write_text(code)
    return stage("python", X, Y, folder=folder, artifact="sums:add", contract=contract(TOTAL), **more)


def summing_model(path: Any) -> Any:
    """y = h1 = h0 + x"""
    return onnx_model(
        path,
        [node("Add", "x h0", "y"), node("Identity", "y", "h1")],
        [value("x", "f32", ["N", 4]), value("h0", "f32", ["N", 4])],
        [value("y", "f32", ["N", 4]), value("h1", "f32", ["N", 4])],
    )


class TestNull(StatefulConformance):
    def backend(self) -> Any:
        return backends.load("null")

    def stage(self) -> StagePlan:
        return stage("null", X, Y, contract=contract(TOTAL))

    def expected(self, x: Any, total: Any) -> Any:
        return x, total


class TestPython(StatefulConformance):
    folder: Any
    code = SUMS

    def backend(self) -> Any:
        return backends.load("python")

    def stage(self) -> StagePlan:
        return python(self.folder, self.code)


class TestPythonByName(TestPython):
    code = BY_NAME


class TestOnnx(StatefulConformance):
    folder: Any

    def backend(self) -> Any:
        return backends.load("onnx")

    def stage(self) -> StagePlan:
        path = summing_model(self.folder / "sums.onnx")
        kept = contract(replace(TOTAL, source="h0", target="h1"))
        return stage("onnx", X, Y, folder=self.folder, artifact=str(path), contract=kept)


class TestTorch(StatefulConformance):
    folder: Any

    def backend(self) -> Any:
        return backends.load("torch")

    def stage(self) -> StagePlan:
        torch = pytest.importorskip("torch")
        path = self.folder / "sums.pt2"
        if not path.exists():
            save_sums(torch, path)
        return stage("torch", X, Y, folder=self.folder, artifact="sums.pt2", contract=contract(TOTAL))


def save_sums(torch: Any, path: Any) -> None:
    """y, total = x + total, x + total"""

    class Sums(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch comes with the test
        def forward(self, x: Any, total: Any) -> Any:
            return x + total, x + total

    rows = torch.export.Dim("rows", min=1, max=4096)
    example = (torch.ones(3, 4), torch.ones(3, 4))
    program = torch.export.export(Sums(), example, dynamic_shapes={"x": {0: rows}, "total": {0: rows}})
    torch.export.save(program, path)


class InProcess:
    name = "process"

    def load(self, plan: StagePlan, config: InstanceConfig) -> Any:
        from backends.process import load_isolated

        return load_isolated(plan, config)


class TestProcess(TestPython):
    def backend(self) -> Any:
        return InProcess()


# ---- the ports of a stage with state


def test_controls_and_states_stand_behind_the_inputs_and_states_behind_the_outputs() -> None:
    kept = contract(TOTAL, start="x", end="last", id="who")
    made = with_states(stage("null", X, Y, contract=kept))
    assert [str(p.type) for p in made.inputs] == ["f32[*, 4]", "bool[*]", "string[*]", "f32[*, 4]"]
    assert [(p.name, p.filled) for p in made.inputs[1:]] == [("last", "end"), ("who", "id"), ("total", "")]
    assert [p.name for p in made.outputs] == ["y", "total"]


def test_a_stage_without_rows_is_told_single_values() -> None:
    kept = contract(StateRule("hyp", tensor("json"), None), start="first", id="who")
    made = with_states(stage("null", "x: f32[4]", "y: f32[4]", contract=kept))
    assert [(p.name, str(p.type), p.form) for p in made.inputs[1:]] == [
        ("first", "bool", "scalar"),
        ("who", "string", "scalar"),
        ("hyp", "json", "scalar"),
    ]


def test_a_size_that_grows_may_differ_before_and_after() -> None:
    made = with_states(stage("null", X, Y, contract=contract(StateRule("seen", tensor("f32[C, 4]"), "zeros"))))
    assert str(made.inputs[-1].type) == "f32[*, C, 4]"
    assert str(made.outputs[-1].type) == "f32[*, C', 4]"
    assert initial(StateRule("seen", tensor("f32[C, 4]"), "zeros")).shape == (0, 4)


def test_a_stage_without_sequences_stays_what_it_is() -> None:
    plain = stage("null", X, Y)
    assert with_states(plain) is plain


# ---- control tensors of ONNX files


def told_model(path: Any, kind: str, shape: list[Any], id_kind: str = "i64") -> Any:
    """y = x + START, who = ID"""
    return onnx_model(
        path,
        [node("Cast", "START", "s", to=1), node("Add", "x s", "y"), node("Identity", "ID", "who")],
        [value("x", "f32", ["N", 1]), value("START", kind, shape), value("ID", id_kind, ["N", 1])],
        [value("y", "f32", ["N", 1]), value("who", id_kind, ["N", 1])],
    )


@pytest.mark.parametrize("kind", ["bool", "i32", "f32"])
def test_controls_come_in_the_dtype_and_rank_of_the_file(kind: str, tmp_path: Any) -> None:
    path = told_model(tmp_path / "told.onnx", kind, ["N", 1])
    kept = contract(start="START", id="ID")
    plan = with_states(stage("onnx", "x: f32[*, 1]", "y: f32[*, 1], who: i64[*, 1]", artifact=str(path), contract=kept))
    instance = backends.load("onnx").load(plan, InstanceConfig())
    ids = np.array(["7", "8"], object)
    made = instance.execute(Batch((np.zeros((2, 1), np.float32), np.array([True, False]), ids), 2)).outputs
    assert made[0].tolist() == [[1], [0]]
    assert made[1].tolist() == [[7], [8]]
    instance.close()


@pytest.mark.parametrize(
    ("kind", "shape", "why"), [("string", ["N", 1], "is string"), ("f32", ["N", 2], "one value a row")]
)
def test_a_file_that_wants_other_controls_does_not_load(kind: str, shape: Any, why: str, tmp_path: Any) -> None:
    path = onnx_model(
        tmp_path / "told.onnx",
        [node("Identity", "x", "y"), node("Identity", "START", "unused")],
        [value("x", "f32", ["N", 1]), value("START", kind, shape)],
        [value("y", "f32", ["N", 1])],
    )
    plan = with_states(
        stage("onnx", "x: f32[*, 1]", "y: f32[*, 1]", artifact=str(path), contract=contract(start="START"))
    )
    with pytest.raises(BackendError, match=why):
        backends.load("onnx").load(plan, InstanceConfig())


def test_a_function_that_takes_no_state_is_named_at_load(tmp_path: Any) -> None:
    plan = with_states(python(tmp_path, "def add(*, x):\n    return x\n"))
    with pytest.raises(BackendError, match="has no parameter for the port `total`"):
        backends.load("python").load(plan, InstanceConfig())
