"""Types and signatures: dims, aliases, bounds, defaults, what a stage may promise."""

from __future__ import annotations

import pytest

from pipeline_dsl import ir
from pipeline_dsl.check.scope import StageBinding

from .checking import codes_of, scope_of


def stage(text: str, before: str = "") -> ir.Stage:
    scope, sink = scope_of(f'{before}\nstage s{text} using python("m:s")')
    found = scope.lookup("s")
    assert isinstance(found, StageBinding), [d.message for d in sink.sorted()]
    return found.stage


def types(text: str, before: str = "") -> list[str]:
    signature = stage(text, before).signature
    return [str(p.type) for p in (*signature.inputs, *signature.outputs)]


def codes(text: str, before: str = "") -> list[str]:
    return codes_of(f'{before}\nstage s{text} using python("m:s")')


@pytest.mark.parametrize(
    "text",
    [
        "f32",
        "i64[*]",
        "f32[*, ~L, 384]",
        "f32[N, 2*N]",
        "string[?]",
        "f32[...]",
        "u8[H, W, 3]?",
        "stream string",
        "f32[N, ~L]",
    ],
)
def test_types_print_as_they_are_written(text: str) -> None:
    assert types(f"(x: {text}) -> ()") == [text]


def test_sizes_are_canonical_and_consts_are_filled_in() -> None:
    assert types("(x: f32[DIM, N*2+N, (W+1)/2]) -> ()", "const DIM = 384") == ["f32[384, 3*N, (W+1)/2]"]
    assert types("(x: f32[W]) -> ()", "param W: i32 = 4") == ["f32[4]"]


def test_only_values_take_the_place_of_sizes() -> None:
    assert types("(x: f32[T]) -> ()", "type T = f32") == ["f32[T]"]
    assert codes("(x: f32[A]) -> ()", "const A = 0.5") == ["E0109"]


def test_each_use_of_an_alias_has_sizes_of_its_own() -> None:
    before = "type Image = u8[H, W, 3]"
    assert types("(a: Image, b: Image[N]?) -> ()", before) == ["u8[a.H, a.W, 3]", "u8[N, b.H, b.W, 3]?"]


def test_bounds() -> None:
    found = stage(
        "(x: f32[*, ~L], y: f32[N]) -> () where L <= MAX, N > 2 and N < 2 * M", "const MAX = 512\nconst M = 8"
    )
    assert [str(b) for b in found.signature.bounds] == ["L <= 512", "N > 2", "N < 16"]


def test_defaults() -> None:
    found = stage("(x: f32[*], k: i32 = 2 + 1, t: f32[*] = T, u: f32? = null) -> (y: f32[*])", "const T = 0.5")
    assert [(p.has_default, p.default) for p in found.signature.inputs] == [
        (False, None),
        (True, 3),
        (True, 0.5),
        (True, None),
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("(x: flot) -> ()", "E0103"),
        ("(x: T) -> ()", "E0404"),
        ("(x: f32, x: f32) -> ()", "E0104"),
        ("(x: f32[3, *]) -> ()", "E0308"),
        ("(x: f32[..., ...]) -> ()", "E0308"),
        ("(x: f32[~L]) -> ()", "E0312"),
        ("(x: percent) -> ()", "E0302"),
        ("(x: f32[3] = 0) -> ()", "E0302"),
        ('(x: f32 = "a") -> ()', "E0302"),
        ("(x: f32) -> (y: f32 = 1)", "E0302"),
        ("(x: f32[N/0]) -> ()", "E0109"),
        ("(x: f32[2-3]) -> ()", "E0109"),
        ("(x: f32[N]) -> () where N", "E0109"),
        ("(x: f32[N]) -> () where M <= 2", "E0103"),
        ("(x: f32[*]) -> (y: f32)", "E0313"),
        ("(x: f32[*]) -> (y: f32[*]?)", "E0313"),
        ("(x: f32) -> (y: f32[*])", "E0313"),
        ("(x: f32[*]) -> (y: f32[*, K])", "E0314"),
        ("(x: f32[*, ~L]) -> (y: f32[*, L])", "E0314"),
    ],
)
def test_refused(text: str, code: str) -> None:
    assert codes(text, "const T = 3") == [code]


@pytest.mark.parametrize(
    "text",
    [
        "(x: f32[*, S]) -> (y: f32[*, 2*S])",
        "(x: f32[*]) -> (y: f32[*, ~K])",
        "(x: f32[N]) -> (y: f32[K])",
        "(x: f32[...]) -> (y: f32[...])",
    ],
)
def test_rows_may_have_these(text: str) -> None:
    assert codes(text) == []


def test_consts_and_params_have_no_rows() -> None:
    assert codes_of("param X: f32[*]") == ["E0308"]


def test_like_takes_the_signature_of_another_stage() -> None:
    text = 'stage a like b using onnx("a.onnx")\nstage b(x: f32[*, N]) -> (y: f32[*]) where N <= 3 using onnx("b.onnx")'
    scope, _ = scope_of(text)
    a, b = scope.lookup("a"), scope.lookup("b")
    assert isinstance(a, StageBinding)
    assert isinstance(b, StageBinding)
    assert a.stage.signature == b.stage.signature
