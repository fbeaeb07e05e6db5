"""What an ensemble can not do is told with its place; what it can is written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipectl.__main__ import run
from pipectl.errors import ConversionError
from pipectl.interop.triton.exporting import exported
from pipeline_dsl.check import Options
from pipeline_dsl.compile import check_text
from pipeline_dsl.ir import Program
from tests.goldens import GOLDEN, compare

CLEAN = """pipe 1

stage f(x: f32[*, 3]) -> (y: f32[*, 3]) using python("code:f")
stage one(x: f32[*]) -> (y: f32[*]) using python("code:f")
stage plus(x: f32[*], by: f32[*]) -> (y: f32[*]) using python("code:f")
stage some(x: f32[*, 3], b: f32[*, 3]?) -> (y: f32[*, 3]) using python("code:f")
"""
STAGES = f"""{CLEAN}
stage both(x: f32[*], k: i32) -> (y: f32[*]) using python("code:f")
stage lone(x: f32) -> (y: f32) using onnx("lone.onnx")
stage any_rank(x: f32[...]) -> (y: f32[...]) using python("code:f")
stage turned(x: f32[*, 3, 4]) -> (y: f32[*]) using onnx("turned.onnx") {{
  tensors {{ x = tensor("x", permute = [0, 2, 1]) }}
}}
"""


def program(text: str, profile: str | None = None, stages: str = STAGES) -> Program:
    made, sink = check_text(stages + text, Options(profile=profile, environ={}), "p.pipe")
    assert made is not None, [d.message for d in sink.sorted()]
    return made


def reasons(text: str) -> list[str]:
    return [r.text for r in exported(program(text), ["p"]).reasons]


@pytest.mark.parametrize(
    ("pipeline", "reason"),
    [
        ("(x: f32[*]) -> (y: f32[*]) { return y = plus(x, 2.0) }", "the constant given to `by` of `plus`"),
        ("(x: f32) -> (y: f32) { return y = one(x) + 1.0 }", "an expression: an ensemble has calls only"),
        ("(x: f32[*]) -> (y: f32[*], z: f32[*]) { y = one(x) return y, z = y }", "`z`: one value under two names"),
        ("(x: f32[*]) -> (y: f32[*], z: f32[*]) { y = one(x) return y, z = x }", "`z`: an input that is an output"),
        ("(x: f32[*]) -> (x: f32[*]) { y = one(x) return x = y }", "output `x`: an input has this name"),
        ("(x: f32[*]) -> (y: f32[*]) { return y = one(x) with (timeout = 1s) }", "options of the call of `one`"),
        ("(x: f32[N]) -> (y: f32[N]) { return y = one(x) }", "rows of single values (`x` of `one`) from a size"),
        ("(x: f32, k: i32) -> (y: f32) { return y = both(x, k) }", "`k`, which has no `*` beside ports that do"),
        ("(x: f32 = 2.0) -> (y: f32) { return y = one(x) }", "the default of `x`"),
        ("(x: f32) -> (y: f32) { return y = lone(x) }", "the single value `x` without rows"),
        ("(x: f32[2]) -> (y: f32[...]) { return y = any_rank(x) }", "`...` in `x`"),
        ("(x: f32[*, 3, 4]) -> (y: f32[*]) { return y = turned(x) }", "`permute` of tensor `x`"),
        ("(x: f32[*], k: f32[2]) -> (y: f32[*]) { return y = one(x) }", "`k`, which has no `*` beside ports"),
        ("(x: f32) -> (y: f32) { return y = x }", "pipeline `p`: it calls no stage"),
    ],
)
def test_a_reason(pipeline: str, reason: str) -> None:
    body = pipeline.replace("{ ", "{\n  ").replace(" return", "\n  return").replace(" }", "\n}")
    assert any(text.startswith(reason) for text in reasons(f"pipeline p{body}\n")), reasons(f"pipeline p{body}\n")


def test_an_optional_input_that_a_step_may_miss_is_left_out() -> None:
    text = "pipeline p(x: f32[*, 3]) -> (y: f32[*, 3]) {\n  return y = some(x)\n}\n"
    repository = exported(program(text), ["p"])
    (step,) = next(e.config for e in repository.entries if e.folder == "p").ensemble_scheduling.step
    assert dict(step.input_map) == {"x": "x"}
    assert next(e.config for e in repository.entries if e.folder == "some").input[1].optional


def test_only_the_stages_of_the_pipeline() -> None:
    text = "pipeline p(x: f32[*, 3]) -> (y: f32[*, 3]) {\n  return y = f(x)\n}\n"
    assert {e.folder for e in exported(program(text), ["p"]).entries} == {"p", "f"}


def test_settings_without_an_equal_are_told() -> None:
    text = """pipeline p(x: f32[*, 3]) -> (y: f32[*, 3]) {
  h = f(x)
  return y = f(h)
}
profile triton {
  f { threads = 2, isolate = process }
  p.h { priority = 1 }
  p { timeout = 1s, max_inflight = 8 }
}
"""
    repository = exported(program(text, "triton"), ["p"])
    assert {str(r) for r in repository.remarks} >= {
        "model `f`: `threads` has no equal in Triton and is left out",
        "model `f`: `isolate` has no equal in Triton and is left out",
        "model `p`: `timeout` has no equal in Triton and is left out",
        "node `p.h`: settings of one call site have no equal in Triton and are left out",
    }
    assert next(e.config for e in repository.entries if e.folder == "p").ensemble_scheduling.max_inflight_requests == 8


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ("max_batchsize = 8", 'has no field named "max_batchsize"'),
        ('optimization = { "graph": { "level": "much" } }', "level"),
        ('name = "../f"', "can not be the name of a model's folder"),
        ('name = "."', "can not be the name"),
        ('name = "a/b"', "can not be the name"),
        ('name = "one"', "two models are called `one`"),
    ],
)
def test_what_is_kept_must_be_tritons(kept: str, message: str) -> None:
    made = program(f"profile triton {{\n  f {{ triton {{ {kept} }} }}\n}}\n", "triton", CLEAN)
    with pytest.raises(ConversionError, match=message):
        exported(made)


# ---- the command

GOOD = """pipe 1

stage f(x: f32[*, 3]) -> (y: f32[*, 3]) using onnx("models/f.onnx") {
  labels { y = "names.txt" }
}

stage g(x: f32[*, 3]) -> (y: f32[*, 3]) using python("code:g", file = "data/words.txt")

pipeline p(x: f32[*, 3]) -> (y: f32[*, 3]) {
  return y = g(f(x))
}
"""
CONTROL = """pipe 1

stage f(x: f32) -> (y: f32) using python("code:f")

pipeline p(x: f32, xs: f32[N]) -> (y: f32, ys: f32[N]) {
  y = if x > 0.0 {
    t = try {
      yield f(x)
    } fallback {
      yield x
    }
    yield t
  } else {
    yield x
  }
  ys = map one in xs {
    yield f(one)
  }
  return y, ys
}

pipeline q(x: f32) -> (y: f32) {
  return y = f(x)
}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {"p.pipe": GOOD, "models/f.onnx": "model", "models/f.onnx.data": "weights", "names.txt": "a\nb\nc\n"}
    files |= {"code.py": "def g(*, x, file): return x\n", "data/words.txt": "words\n", "control.pipe": CONTROL}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def files_in(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


def test_a_repository_has_all_that_its_models_need(project: Path) -> None:
    assert run(["export", "triton", str(project / "p.pipe"), str(project / "out")]) == 0
    assert files_in(project / "out") == {
        "p/config.pbtxt",
        *("f/config.pbtxt", "f/names.txt", "f/1/f.onnx", "f/1/f.onnx.data"),
        *("g/config.pbtxt", "g/1/model.py", "g/1/stage.pipe", "g/1/code.py", "g/1/data/words.txt"),
    }
    assert (project / "out" / "p" / "1").is_dir()
    assert 'label_filename: "names.txt"' in (project / "out/f/config.pbtxt").read_text()


def test_links(project: Path) -> None:
    assert run(["export", "triton", str(project / "p.pipe"), str(project / "out"), "--artifacts", "link"]) == 0
    assert os.path.realpath(project / "out/f/1/f.onnx") == str((project / "models/f.onnx").resolve())


def test_configurations_only(project: Path) -> None:
    (project / "models/f.onnx").unlink()
    assert run(["export", "triton", str(project / "p.pipe"), str(project / "out"), "--artifacts", "none"]) == 0
    assert files_in(project / "out") == {"p/config.pbtxt", "f/config.pbtxt", "g/config.pbtxt"}


def test_a_missing_artifact_leaves_nothing_behind(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "models/f.onnx").unlink()
    before = files_in(project)
    assert run(["export", "triton", str(project / "p.pipe"), str(project / "out")]) == 3
    assert "model `f`: there is no file" in capsys.readouterr().err
    assert files_in(project) == before
    assert not (project / "out").exists()


def test_what_is_there_is_not_written_over(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "out").mkdir()
    (project / "out" / "mine").write_text("")
    assert run(["export", "triton", str(project / "p.pipe"), str(project / "out")]) == 3
    assert "there is something already" in capsys.readouterr().err
    assert files_in(project / "out") == {"mine"}


def test_control_flow_is_refused_construct_by_construct(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "triton", str(project / "control.pipe"), str(project / "out")]) == 2
    compare(GOLDEN / "exporting" / "E1001_control.txt", capsys.readouterr().err.replace(f"{project}/", ""))
    assert not (project / "out").exists()


def test_a_pipeline_that_the_file_does_not_have(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "triton", str(project / "p.pipe"), str(project / "out"), "-p", "pp"]) == 2
    assert "has no pipeline `pp`" in capsys.readouterr().err


def test_a_file_with_mistakes(project: Path) -> None:
    (project / "p.pipe").write_text(GOOD.replace("g(f(x))", "g(h(x))"))
    assert run(["export", "triton", str(project / "p.pipe"), str(project / "out")]) == 3
