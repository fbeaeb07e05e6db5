"""Renaming: a right program stays right, whatever is renamed; and what must not be is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline_dsl.index import Change, Definition, Index, Refused, changes, refusal, renamed_at

from .indexing import SAMPLE, indexed, marked, on_disk

ROOT = Path(__file__).parents[3]
PROGRAMS = sorted(
    path
    for folder in (
        "examples",
        "tests/pipeline_dsl/programs",
        "tests/golden/plans",
        "tests/corpus",
        "tests/golden/index",
    )
    for path in (ROOT / folder).rglob("*.pipe")
)
FRESH = "fresh_name"


def written(text: str, made: list[Change]) -> str:
    for change in sorted(made, key=lambda c: -c.span.start):
        text = text[: change.span.start] + change.text + text[change.span.end :]
    return text


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_a_right_program_stays_right_whatever_is_renamed(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    index, said = on_disk(path, text)
    before = sorted(_warned(d.code) for d in said)
    for definition in dict.fromkeys(o.definition for o in index.occurrences):
        own = definition.span.source.path == str(path) and definition.kind != "file"
        if not own or definition.name.startswith("_"):  # the underscore says that a name is not used
            continue
        assert refusal(definition, FRESH, [index]) is None
        changed = written(text, changes(definition, FRESH, [index]))
        after = sorted(_warned(d.code) for d in on_disk(path, changed)[1])
        assert after == before, f"{definition.kind} {definition.name}, line {definition.span.line}"


def _warned(code: str) -> str:
    """W0210 warns that the id of an anonymous node changes, and then nothing is called that any more."""
    return "W0210" if code == "E0601" else code


def found(index: Index, name: str, kind: str = "") -> Definition:
    return next(d for d in index.defined() if d.name == name and (not kind or d.kind == kind))


def test_the_shorthand_of_return_is_written_out() -> None:
    index = indexed(SAMPLE)
    variable = written(SAMPLE, changes(found(index, "side", "variable"), "edge", [index]))
    assert "return boxes = found.boxes, scores, side = edge\n" in variable
    output = written(SAMPLE, changes(found(index, "side", "output"), "edge", [index]))
    assert "return boxes = found.boxes, scores, edge = side\n" in output


def test_a_name_in_a_string_is_renamed() -> None:
    index = indexed(SAMPLE)
    assert 'onnx("${TOP}.onnx")' in written(SAMPLE, changes(found(index, "LIMIT"), "TOP", [index]))


def test_places_of_several_indexes_are_changed_once() -> None:
    first, second = indexed(SAMPLE), indexed(SAMPLE)
    made = changes(found(first, "classify"), "sort", [first, second])
    assert len(made) == len(first.mentions(found(first, "classify"))) == 3


@pytest.mark.parametrize(
    ("name", "kind", "new", "reason"),
    [
        ("classify", "stage", "detect", "`detect` is taken: stage in sample.pipe, line 12"),
        ("classify", "stage", "return", "`return` is a reserved word"),
        ("classify", "stage", "a-b", "`a-b` is no name"),
        ("classify", "stage", "ünï", "`ünï` is no name"),
        ("classify", "stage", "x" * 256, "is no name"),
        ("classify", "stage", "_", "`_` stands for a variable"),
        ("classify", "stage", "found", "`found` is taken: variable in sample.pipe, line 28"),
        ("Scores", "type", "f32", "`f32` is a dtype"),
        ("crop", "input", "crop", ""),
        ("image", "input", "limit", "`limit` is taken: input in sample.pipe, line 15"),
        ("boxes", "output", "count", "`count` is taken: output in sample.pipe, line 16"),
        ("found", "variable", "scores", "`scores` is taken: variable in sample.pipe, line 29"),
        ("found", "variable", "data", "`data` is taken: input in sample.pipe, line 27"),
        ("found", "variable", "classify", "`classify` is taken: stage in sample.pipe, line 20"),
        ("found", "variable", "whole", ""),
        ("cpu", "profile", "strict", "`strict` is taken: profile in sample.pipe, line 40"),
        ("cpu", "profile", "detect", ""),
        ("N", "size", "CLASSES", "`CLASSES` is taken: const in sample.pipe, line 7"),
        ("SIDE", "import", "decode", "`decode` is taken: stage in vision.pipe, line 8"),
    ],
)
def test_taken_and_reserved_names_are_refused(name: str, kind: str, new: str, reason: str) -> None:
    index = indexed(SAMPLE)
    against = refusal(found(index, name, kind), new, [index])
    assert (against is None) == (reason == "")
    assert against is None or re.search(re.escape(reason), against.reason)


ARM = """pipe 1
stage f(x: f32) -> (y: f32) using python("m:f")
pipeline p(a: f32) -> (out: f32) {
  v = if a > 1 {
    inner = f(a)
    yield inner
  } else {
    yield a
  }
  return out = v
}
"""


def test_a_name_that_an_arm_would_hide_is_refused() -> None:
    index = indexed(ARM)
    against = refusal(found(index, "v"), "inner", [index])
    assert against == Refused("`inner` is taken: variable in sample.pipe, line 5")
    assert refusal(found(index, "inner"), "v", [index]) == Refused("`v` is taken: variable in sample.pipe, line 4")


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("data: bytes", "data: by|tes", "`bytes` is a word of the language"),
        ("batching {", "batch|ing {", "`batching` is a word of the language"),
        ("pipe 1", "pi|pe 1", "there is no name here"),
    ],
)
def test_what_is_no_name_is_not_renamed(before: str, after: str, reason: str) -> None:
    plain, offset = marked(SAMPLE.replace(before, after, 1))
    assert renamed_at(indexed(plain), offset) == Refused(reason)
