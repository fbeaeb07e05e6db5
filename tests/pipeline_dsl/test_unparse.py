"""Trees to text and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.format import format_text
from pipeline_dsl.parse import parse
from pipeline_dsl.source import Source
from pipeline_dsl.unparse import expression, to_text
from tests.strategies import AT, modules

CORPUS = sorted((Path(__file__).parents[1] / "corpus").glob("*.pipe"))


def read(text: str) -> syntax.Module:
    sink = Sink()
    module = parse(Source("<text>", text), sink)
    assert not sink.errors, (text, sink.errors)
    return module


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(modules())
def test_any_tree_survives_its_text(module: syntax.Module) -> None:
    text = to_text(module)
    again = read(text)
    assert again == module, text
    assert to_text(again) == text


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(modules())
def test_documentation_survives(module: syntax.Module) -> None:
    again = read(to_text(module))
    assert [getattr(d, "doc", "") for d in again.decls] == [getattr(d, "doc", "") for d in module.decls]


@pytest.mark.parametrize("path", CORPUS, ids=lambda p: p.stem)
def test_corpus_survives(path: Path) -> None:
    module = read(path.read_text())
    text = to_text(module)
    assert read(text) == module
    assert format_text(Source("<text>", text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "a ?? b ?? c",
        "(a ?? b) ?? c",
        "a - (b - c)",
        "a - b - c",
        "-(-a)",
        "-a.b",
        "(-a).b",
        "(a + b) * c",
        "not a == b",
        "(not a) == b",
        "(a < b) == c",
        "a or b and c",
        "(a or b) and c",
        "f(x)(y)[1].z",
        "(a + b)(c)",
        "100% - CANARY",
        "7 % 2",
        "x[1:2, :, -1]",
    ],
)
def test_brackets_only_where_needed(text: str) -> None:
    module = read(f"pipe 1\nconst A = {text}\n")
    decl = module.decls[0]
    assert isinstance(decl, syntax.Const)
    printed = to_text(module).removeprefix("pipe 1\n\nconst A = ").removesuffix("\n")
    assert printed == text.replace("-(-a)", "--a")


def test_a_string_of_many_lines_is_a_block() -> None:
    block = syntax.Literal("string", 'one\n  "two"\n', span=AT)
    assert expression(block) == '"""\none\n  "two"\n"""'


def test_a_long_signature_is_one_port_a_line() -> None:
    ports = ", ".join(f"port_number_{i}: f32[*, 224]" for i in range(6))
    text = to_text(read(f"pipe 1\nstage f({ports}) -> (y: f32) using g()\n"))
    assert text.splitlines()[2:4] == ["stage f(", "  port_number_0: f32[*, 224],"]
