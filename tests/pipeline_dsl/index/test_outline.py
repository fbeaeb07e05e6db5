"""Symbols, folds and hints."""

from __future__ import annotations

from pipeline_dsl.index import Fold, folds, hints, symbols
from pipeline_dsl.source import Source

from .indexing import SAMPLE, indexed


def test_symbols_with_those_below_them() -> None:
    found = {s.name: s for s in symbols(indexed(SAMPLE).module)}
    assert list(found) == [
        *("vision", "decode", "SIDE", "CLASSES", "LIMIT", "Scores"),
        *("detect", "classify", "whole", "cpu", "strict"),
    ]
    below = [(b.kind, b.name) for b in found["whole"].below]
    assert below[:2] == [("input", "data"), ("input", "crops")]
    assert below[-3:] == [("variable", "found"), ("variable", "scores"), ("variable", "side")]
    assert all(s.whole.start <= s.span.start <= s.span.end <= s.whole.end for s in found.values())


def test_folds() -> None:
    text = "# one\n# two\n\nconst A = [\n  1,\n  2,\n]\npipeline p() -> () {\n  x = f({\n  })\n}\n# alone\n"
    assert folds(Source("x", text)) == [Fold(1, 2, comment=True), Fold(4, 6), Fold(8, 10)]


def test_folds_of_what_is_not_closed() -> None:
    assert folds(Source("x", "a {\n b (\n\n")) == []
    assert folds(Source("x", "]\n}\n)\n")) == []
    assert folds(Source("x", '# a\n"""\n{\n}')) == []


def test_hints_are_the_types_of_names_without_one() -> None:
    text = SAMPLE.replace("  side =", "  side: i64 =")
    found = [(h.offset, h.text) for h in hints(indexed(text), 0, len(text))]
    places = [text.index(word) + len(word) for word in ("\n  found", "\n  scores = classify"[:8])]
    places[1] = text.index("\n  scores = ") + len("\n  scores")
    assert found == [(places[0], ": (boxes: f32[N, 4], count: i64)"), (places[1], ": f32[*, 10]")]


def test_hints_of_a_range_only() -> None:
    index = indexed(SAMPLE)
    middle = SAMPLE.index("  scores = ")
    assert [h.text for h in hints(index, middle, middle + 5)] == [": f32[*, 10]"]
    assert list(hints(index, 0, 10)) == []


def test_a_long_type_is_cut() -> None:
    ports = ", ".join(f"output{i}: f32[*, 1000, 1000]" for i in range(5))
    text = f'pipe 1\nstage f(x: f32[*]) -> ({ports}) using python("m:f")\n'
    text += "pipeline p(x: f32[*]) -> (y: f32[*, 1000, 1000]) {\n  r = f(x)\n  return y = r.output0\n}\n"
    (hint,) = hints(indexed(text), 0, len(text))
    assert len(hint.text) <= 62
    assert hint.text.endswith("..")
