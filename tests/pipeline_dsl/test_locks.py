"""Lock files: their text, the signatures they give, and what disagrees with them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline_dsl.check import Options, TextLoader
from pipeline_dsl.compile import check_text
from pipeline_dsl.ir import Program
from pipeline_dsl.locks import BadLock, Lock, LockedStage, LockedTensor, read_lock, text_of

FILES = {"m.onnx": "sha256:00"}


def tensors(**shapes: tuple[str, list[Any] | None]) -> list[dict[str, Any]]:
    return [{"name": name.replace("__", ":"), "dtype": d, "shape": shape} for name, (d, shape) in shapes.items()]


def locked(inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> str:
    stage = {"artifacts": FILES, "inputs": inputs, "outputs": outputs}
    return json.dumps({"lock": 1, "stages": {"m": stage}})


def checked(text: str, lock: str) -> tuple[Program | None, list[str]]:
    options = Options(environ={}, loader=TextLoader({"p.pipe.lock": lock}))
    program, sink = check_text(f"pipe 1\n{text}", options, "p.pipe")
    return program, [f"{d.code}: {d.message}" for d in sink.sorted()]


def signature(inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> str:
    program, told = checked('stage m using onnx("m.onnx")\n', locked(inputs, outputs))
    assert program is not None, told
    sides = program.stages["m"].signature
    listed = [", ".join(f"{p.name}: {p.type}" for p in side) for side in (sides.inputs, sides.outputs)]
    return " -> ".join(listed)


def test_a_lock_reads_as_it_was_written() -> None:
    tensor = LockedTensor("x", "f32", ("batch", None, 3))
    lock = Lock({"m": LockedStage(FILES, (tensor,), ()), "code": LockedStage({"c.py": "sha256:01"})})
    assert read_lock(text_of(lock)) == lock


def test_stages_and_files_are_sorted() -> None:
    lock = Lock({"b": LockedStage({"2": "x", "1": "y"}), "a": LockedStage({})})
    data = json.loads(text_of(lock))
    assert list(data["stages"]) == ["a", "b"]
    assert list(data["stages"]["b"]["artifacts"]) == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<<<<<<<", "it is no JSON"),
        ("[]", "the file needs an object"),
        ("{}", "its version is None"),
        ('{"lock": 2}', "its version is 2, and this pipectl knows 1"),
        ('{"lock": 1, "stages": []}', "`stages` needs an object"),
        ('{"lock": 1, "stages": {"m": 1}}', "stage `m` needs an object"),
        ('{"lock": 1, "stages": {"m": {"artifacts": {"f": 1}}}}', "`f` of stage `m` needs a text"),
        ('{"lock": 1, "stages": {"m": {"inputs": {}}}}', "`inputs` of stage `m` needs a list"),
        ('{"lock": 1, "stages": {"m": {"inputs": [{"name": "x"}]}}}', "`dtype` of a tensor in `inputs`"),
        ('{"lock": 1, "stages": {"m": {"inputs": [{"name": "x", "dtype": "f32", "shape": [1.5]}]}}}', "has 1.5"),
        ("[" * 100_000, "it is no JSON"),
    ],
)
def test_what_is_no_lock(text: str, message: str) -> None:
    with pytest.raises(BadLock) as caught:
        read_lock(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [
        (
            tensors(x=("f32", ["batch", 3])),
            tensors(y=("i64", ["batch"])),
            "x: f32[*, 3] -> y: i64[*]",
        ),
        (
            tensors(ids=("i64", ["b", "len"]), mask=("i64", ["b", "len"])),
            tensors(h=("f32", ["b", "len", 8]), n=("f32", ["b", "other"])),
            "ids: i64[*, len], mask: i64[*, len] -> h: f32[*, len, 8], n: f32[*, ?]",
        ),
        (
            tensors(x=("f32", [None, None, 3])),
            tensors(y=("f32", [None, 2])),
            "x: f32[*, D1, 3] -> y: f32[*, 2]",
        ),
        (
            tensors(x=("f32", ["n", 4])),
            tensors(boxes=("f32", ["found", 4]), scores=("f32", ["found"])),
            "x: f32[n, 4] -> boxes: f32[found, 4], scores: f32[found]",
        ),
        (tensors(x=("f32", [1, 3])), tensors(y=("f32", [])), "x: f32[1, 3] -> y: f32"),
        (tensors(in__0=("f32", ["b"])), tensors(y=("f32", ["b"])), "in_0: f32[*] -> y: f32[*]"),
        (tensors(x=("f32", ["2*s", "a-b"])), tensors(y=("f32", ["2*s"])), "x: f32[*, a_b] -> y: f32[*]"),
    ],
)
def test_a_signature_from_a_lock(inputs: Any, outputs: Any, expected: str) -> None:
    assert signature(inputs, outputs) == expected


def test_a_port_that_can_not_have_its_tensors_name() -> None:
    lock = locked(tensors(in__0=("f32", ["b"])), tensors(out__0=("f32", ["b"])))
    program, _ = checked('stage m using onnx("m.onnx")\n', lock)
    assert program is not None
    contract = program.stages["m"].contract
    assert {port: name.name for port, name in contract.tensors_in.items()} == {"in_0": "in:0"}
    assert {port: name.name for port, name in contract.tensors_out.items()} == {"out_0": "out:0"}


@pytest.mark.parametrize(
    "lock",
    [
        '{"lock": 1, "stages": {}}',
        json.dumps({"lock": 1, "stages": {"m": {"artifacts": FILES}}}),
        locked(tensors(x=("f32", None)), tensors(y=("f32", [1]))),
        locked(tensors(x=("seq(map(int64,tensor(float)))", [1])), tensors(y=("f32", [1]))),
    ],
)
def test_a_lock_that_does_not_say_enough(lock: str) -> None:
    _, told = checked('stage m using onnx("m.onnx")\n', lock)
    assert [t[:5] for t in told] == ["E0315"]


LOCK = locked(
    tensors(ids=("i64", ["b", 16]), text=("string", ["b"])), tensors(h=("f32", ["b", "l", 8]), last=("f32", ["b"]))
)


@pytest.mark.parametrize(
    ("ports", "problem"),
    [
        ("ids: i64[*, 16], text: string[*]) -> (h: f32[*, ~L, 8]", None),
        ("ids: i64[*, 16], text: json[*]) -> (last: f32[*]", None),
        ("ids: i64[*, N], text: bytes[*]) -> (h: f32[...]", None),
        ("ids: i32[*, 16], text: string[*]) -> (h: f32[*, ~L, 8]", "`ids` is i32, the file's `ids` is i64"),
        ("ids: i64[*, 17], text: string[*]) -> (h: f32[*, ~L, 8]", "dim 1 of `ids` is 17, in the file 16"),
        ("ids: i64[*, 16, 1], text: string[*]) -> (h: f32[*, ~L, 8]", "`ids` has 3 dims, the file's `ids` has 2"),
        ("ids: i64[*, 16]) -> (h: f32[*, ~L, 8]", "no port for the file's input `text`"),
        ("ids: i64[*, 16], t: f32[*]) -> (h: f32[*, ~L, 8]", "the file has no input `t`"),
        ("ids: i64[*, 16], text: string[*]) -> (hh: f32[*, ~L, 8]", "the file has no output `hh`"),
    ],
)
def test_a_signature_against_a_lock(ports: str, problem: str | None) -> None:
    _, told = checked(f'stage m({ports}) using onnx("m.onnx")\n', LOCK)
    if problem is None:
        assert told == []
    else:
        assert any(t.startswith("E0310") and problem in t for t in told), told


def test_a_fixed_row_axis_needs_to_be_said() -> None:
    lock = locked(tensors(x=("f32", [4, 2])), tensors(y=("f32", [4])))
    stage = 'stage m(x: f32[*, 2]) -> (y: f32[*]) using onnx("m.onnx")'
    assert any("row axis is fixed at 4" in t for t in checked(f"{stage}\n", lock)[1])
    assert checked(stage + " { rows = 4 }\n", lock)[1] == []


def test_torch_tensors_go_by_position() -> None:
    lock = locked(tensors(a=("f32", ["s0", 2])), tensors(output=("f32", ["s0"])))
    assert checked('stage m(x: f32[*, 2]) -> (y: f32[*]) using torch("m.pt2")\n', lock)[1] == []
    told = checked('stage m(x: f32[*, 3]) -> (y: f32[*]) using torch("m.pt2")\n', lock)[1]
    assert any("dim 1 of `x` is 3, in the file 2" in t for t in told)


def test_an_import_has_a_lock_of_its_own() -> None:
    lock = locked(tensors(x=("f32", ["b"])), tensors(y=("f32", ["b"])))
    files = {"d/lib.pipe": 'pipe 1\nstage m using onnx("m.onnx")\n', "d/lib.pipe.lock": lock}
    options = Options(environ={}, loader=TextLoader(files))
    text = 'pipe 1\nfrom "d/lib.pipe" import m\npipeline p(x: f32[*]) -> (y: f32[*]) {\n  return y = m(x)\n}\n'
    program, sink = check_text(text, options, "p.pipe")
    assert program is not None, [d.message for d in sink.sorted()]
