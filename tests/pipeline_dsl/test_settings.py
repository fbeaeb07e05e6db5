"""The closed tables of settings, and a stage's own block and backend read against them."""

from __future__ import annotations

import pytest

from pipeline_dsl import ir
from pipeline_dsl.check.scope import StageBinding
from pipeline_dsl.settings import BACKENDS, CONTRACT, PIPELINE, STAGE, KeySpec, tree

from .checking import codes_of, scope_of
from .graphs import type_of

PORTS = "(x: f32[*, ~L], m: i64[*, ~L], y: f32[*]) -> (y: f32[*], prob: f32[*, 10]) where L <= 512"


def stage(using: str, block: str = "") -> ir.Stage:
    scope, sink = scope_of(f"stage s{PORTS} using {using} {{\n{block}\n}}")
    found = scope.lookup("s")
    assert not sink.errors, [d.message for d in sink.errors]
    assert isinstance(found, StageBinding)
    return found.stage


def codes(using: str, block: str = "") -> list[str]:
    return codes_of(f"stage s{PORTS} using {using} {{\n{block}\n}}")


def test_keys_are_named_once_and_described() -> None:
    for table in (STAGE, PIPELINE, CONTRACT, *(b.arguments for b in BACKENDS.values())):
        assert len({s.name for s in table}) == len(table)
        assert all(s.doc for s in table)


def test_defaults_are_values_of_their_kind() -> None:
    python = {"bool": bool, "int": int, "duration": int, "size": int, "ints": tuple, "names": tuple}
    for spec in (*PIPELINE, *STAGE):
        assert spec.default is None or isinstance(spec.default, python.get(spec.kind, str)), spec.name


def test_the_tree_of_keys() -> None:
    found = tree("stage")
    assert isinstance(found.find(("batching", "max")), KeySpec)
    assert isinstance(found.find(("queue", "level", "3", "max")), KeySpec)
    assert found.find(("batching", "most")) == 1
    assert found.allowed(("batching",)) == ("max", "delay", "preferred", "order")
    assert "kv" in tree("stage", "llm").allowed(())
    assert "kv" not in tree("stage", "onnx").allowed(())


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_the_example_of_a_backend_is_right(name: str) -> None:
    assert codes(BACKENDS[name].example.replace("key = value", "key = 3")) == []


def test_arguments_of_a_backend() -> None:
    found = stage('python("pkg.mod:Class.make", size = 1KiB, wait = 5ms, share = 10%, names = ["a"], each = true)')
    assert found.backend == "python"
    assert found.arguments == {
        "artifact": "pkg.mod:Class.make",
        "size": 1024,
        "wait": 0.005,
        "share": 0.1,
        "names": ["a"],
        "each": True,
    }


def test_versions_belong_to_the_contract() -> None:
    assert stage('onnx("m/{version}.onnx", versions = [4, 3])').contract.versions == (3, 4)
    assert stage('onnx("m.onnx", version = 3)').contract.versions == (3,)
    assert stage('onnx("m/{version}.onnx")', "versions = [2]").contract.versions == (2,)


def test_effects_follow_the_backend() -> None:
    assert stage('onnx("m.onnx")').contract.effects == "none"
    assert stage('python("m:s")').contract.effects == "repeatable"
    assert stage('python("m:s")', "effects = once").contract.effects == "once"


def test_a_contract() -> None:
    found = stage(
        'onnx("m.onnx")',
        """
  tensors { in.y = "y_in", out.y = "y_out", prob = tensor("p:0", permute = [1, 0]) }
  ragged { L = pad(-1, buckets = [64, 32], mask = m) }
  labels { prob = "labels.txt" }
  rows = 8
  sequence { idle = 30s, slots { strategy = direct, max = 4 } }
  state h: f32[2] = zeros() as "h0" -> "hn"
""",
    ).contract
    assert found.tensors_in == {"y": ir.TensorName("y_in")}
    assert found.tensors_out == {"y": ir.TensorName("y_out"), "prob": ir.TensorName("p:0", (1, 0))}
    assert found.ragged == (ir.RaggedRule("L", "pad", -1, (32, 64), "m"),)
    assert found.labels == {"prob": "labels.txt"}
    assert found.rows == 8
    assert found.sequence == ir.SequenceRule(idle_ns=30 * 10**9, strategy="direct", slots=4)
    assert found.states == (ir.StateRule("h", type_of("f32[2]"), "zeros", "h0", "hn"),)
    assert found.extra == {}


def test_states_alone_make_a_sequence_stage() -> None:
    found = stage('onnx("m.onnx")', "state h: f32[2] = 0.5\n  state n: i64 = 3\n  state hyp: json = null").contract
    assert found.sequence == ir.SequenceRule()
    assert [(s.name, s.init) for s in found.states] == [("h", 0.5), ("n", 3), ("hyp", None)]


def test_packed_rows_have_no_direct_slots() -> None:
    rule = 'ragged { L = pack(offsets = m) }\n  sequence { end = "END" }'
    assert stage('onnx("m.onnx")', rule).contract.sequence == ir.SequenceRule(end="END", strategy="oldest")


def test_pack_and_reject() -> None:
    assert stage('onnx("m.onnx")', "ragged { L = pack(offsets = m) }").contract.ragged[0].offsets == "m"
    assert stage('onnx("m.onnx")', "ragged { L = reject }").contract.ragged[0].how == "reject"


@pytest.mark.parametrize(
    ("using", "code"),
    [
        ('onyx("m.onnx")', "E0407"),
        ("onnx()", "E0407"),
        ("onnx(3)", "E0407"),
        ('onnx("a", "b")', "E0407"),
        ('onnx("m.onnx", provider = 1)', "E0407"),
        ('onnx("m.onnx", artifact = "n")', "E0407"),
        ('onnx("m.onnx", version = "3")', "E0604"),
        ('onnx("m/{version}.onnx")', "E0407"),
        ('onnx("m.onnx", versions = [1, 2])', "E0407"),
        ('python("m")', "E0407"),
        ('python("m:s", x = 1)', "E0407"),
        ('python("m:s", k = 1, k = 2)', "E0407"),
        ('python("m:s", arrays = jax)', "E0604"),
        ('python("{version}:s")', "E0407"),
        ('torch("w.safetensors", size = 3)', "E0407"),
        ("null(latency = 5)", "E0604"),
        ('python("m:s", k = nope)', "E0103"),
    ],
)
def test_backends_refuse(using: str, code: str) -> None:
    assert codes(using) == [code]


def test_a_factory_takes_any_key() -> None:
    assert codes('torch("w.safetensors", factory = "m:build", size = 3)') == []


@pytest.mark.parametrize(
    ("block", "code"),
    [
        ("effect = none", "E0603"),
        ("effects = pure", "E0604"),
        ('tensors { y = "a" }', "E0604"),
        ('tensors { z = "a" }', "E0603"),
        ("tensors { x = 3 }", "E0604"),
        ('tensors { x = tensor("a", permute = [0, 0]) }', "E0604"),
        ('tensors { x = tensor("a", permuted = [0, 1]) }', "E0603"),
        ("ragged { M = pad(0) }", "E0603"),
        ("ragged { L = padded }", "E0604"),
        ("ragged { L = pad(0, mask = q) }", "E0603"),
        ("ragged { L = pad(0, buckets = [0]) }", "E0604"),
        ("ragged { L = pad(0, buckets = [1024]) }", "E0606"),
        ('labels { x = "l.txt" }', "E0603"),
        ("rows = 0", "E0604"),
        ("batching { max = 8 }", "E0603"),
        ("generation { seed = null }", "E0603"),
    ],
)
def test_contracts_refuse(block: str, code: str) -> None:
    assert codes('onnx("m.onnx")', block) == [code]


def test_rows_need_a_row_axis() -> None:
    assert codes_of('stage s(x: f32) -> (y: f32) using onnx("m.onnx") { rows = 1 }') == ["E0605"]


def test_the_context_of_a_python_stage_is_no_port() -> None:
    assert codes_of('stage s(ctx: f32) -> (y: f32) using python("m:s")') == ["E0407"]
    assert codes_of('stage s(ctx: f32) -> (y: f32) using onnx("m.onnx")') == []
