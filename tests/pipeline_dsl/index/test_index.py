"""Names: where each is defined, and everything that mentions it."""

from __future__ import annotations

import pytest

from pipeline_dsl.index import Index

from .indexing import SAMPLE, indexed, looked_at, marked


def leads_to(text: str) -> tuple[str, str, str, int]:
    """File, kind, name and line of what the word under `|` means."""
    plain, offset = marked(text)
    (found, *_) = indexed(plain).at(offset)
    span = found.definition.span
    return span.source.path, found.definition.kind, found.definition.name, span.line


@pytest.mark.parametrize(
    ("before", "after", "meant"),
    [
        ("vision.Image,", "vi|sion.Image,", ("sample.pipe", "module", "vision", 3)),
        ("vision.Image,", "vision.Im|age,", ("vision.pipe", "type", "Image", 5)),
        ("decode(data)", "dec|ode(data)", ("vision.pipe", "stage", "decode", 8)),
        ("SIDE + len", "SI|DE + len", ("sample.pipe", "import", "SIDE", 4)),
        ("import decode, SIZE", "import decode, SI|ZE", ("vision.pipe", "const", "SIZE", 4)),
        ("${LIMIT}", "${LI|MIT}", ("sample.pipe", "param", "LIMIT", 8)),
        ("[*, CLASSES]", "[*, CLA|SSES]", ("sample.pipe", "const", "CLASSES", 7)),
        ("where N", "where |N", ("sample.pipe", "size", "N", 16)),
        ("tensors { scores", "tensors { sco|res", ("sample.pipe", "output", "scores", 20)),
        ("ragged { L", "ragged { |L", ("sample.pipe", "size", "L", 20)),
        ("(crop = crops)", "(cr|op = crops)", ("sample.pipe", "input", "crop", 20)),
        ("(crop = crops)", "(crop = cr|ops)", ("sample.pipe", "input", "crops", 27)),
        ("len(found.boxes)", "len(fou|nd.boxes)", ("sample.pipe", "variable", "found", 28)),
        ("len(found.boxes)", "len(found.bo|xes)", ("sample.pipe", "output", "boxes", 16)),
        ("return boxes", "return bo|xes", ("sample.pipe", "output", "boxes", 27)),
        ("boxes, scores, side\n", "boxes, sco|res, side\n", ("sample.pipe", "variable", "scores", 29)),
        ("extends cpu", "extends c|pu", ("sample.pipe", "profile", "cpu", 34)),
        ("  LIMIT = 0.9", "  LI|MIT = 0.9", ("sample.pipe", "param", "LIMIT", 8)),
        ("whole.scores", "wh|ole.scores", ("sample.pipe", "pipeline", "whole", 27)),
        ("whole.scores", "whole.sco|res", ("sample.pipe", "variable", "scores", 29)),
    ],
)
def test_a_name_leads_to_its_definition(before: str, after: str, meant: tuple[str, str, str, int]) -> None:
    assert SAMPLE.count(before) >= 1
    assert leads_to(SAMPLE.replace(before, after, 1)) == meant


def test_an_alias_knows_what_it_stands_for() -> None:
    plain, offset = marked(SAMPLE.replace("SIDE + len", "SI|DE + len"))
    target = indexed(plain).at(offset)[0].definition.target
    assert target is not None
    assert (target.span.source.path, target.name) == ("vision.pipe", "SIZE")


def test_mentions_are_in_order_with_the_definition_first() -> None:
    index = indexed(SAMPLE)
    classify = next(d for d in index.defined() if d.name == "classify")
    assert [(o.span.line, o.defines) for o in index.mentions(classify)] == [(20, True), (29, False), (36, False)]


def test_a_path_leads_to_its_file() -> None:
    index = indexed(SAMPLE)
    file = index.import_at(SAMPLE.index('"vision.pipe"') + 3)
    assert file is not None
    assert (file.kind, file.name) == ("file", "vision.pipe")
    assert index.import_at(0) is None


ARMS = """pipe 1
stage f(x: f32) -> (y: f32, z: f32) using python("m:f")
pipeline p(a: f32, xs: f32[N]) -> (out: f32) {
  v = if a > 1 {
    v = f(a)
    yield v.y
  } else if a > 2 {
    w = f(a).z
    yield w
  } else {
    yield a
  }
  m = map x in xs { t = f(x)
    yield t.y }
  r = try { yield f(v) } fallback err { yield err }
  q = match a { case 1 { k = a
      yield k } else { yield v } }
  s = route by a { to one weight 90% { n = a
      yield n }
    shadow two sample 5% { yield m } }
  return out = v
}
"""


def resolved(index: Index, word: str) -> list[tuple[int, int]]:
    """Line of each mention of a word, with the line of what it means."""
    found = (o for o in index.occurrences if o.span.text == word)
    return [(o.span.line, o.definition.span.line) for o in found]


def test_a_name_of_an_arm_is_one_of_its_own() -> None:
    index = indexed(ARMS)
    assert resolved(index, "v") == [(4, 4), (5, 5), (6, 5), (15, 4), (17, 4), (21, 4)]
    assert resolved(index, "w") == [(8, 8), (9, 8)]
    assert resolved(index, "x") == [(2, 2), (13, 13), (13, 13)]
    assert resolved(index, "err") == [(15, 15), (15, 15)]
    assert resolved(index, "k") == [(16, 16), (17, 16)]
    assert resolved(index, "n") == [(18, 18), (19, 18)]
    assert resolved(index, "y") == [(2, 2), (6, 2), (14, 2)]


def test_a_yield_by_name_means_what_is_left_of_its_construct() -> None:
    text = ARMS.replace("    yield v.y\n", "    yield v = v.y\n")
    assert resolved(indexed(text), "v")[:4] == [(4, 4), (5, 5), (6, 4), (6, 5)]


def test_the_innermost_region_is_found() -> None:
    index = indexed(ARMS)
    inner = index.region_at(ARMS.index("yield v.y"))
    assert inner is not None
    assert [d.name for d in inner.variables()] == ["v", "a", "xs", "v", "m", "r", "q", "s"]
    assert index.region_at(3) is None


def test_what_is_broken_hides_nothing_else() -> None:
    text = SAMPLE.replace("scores = classify(crop", "scores = = classify(crop").replace(
        "stage detect(", "stage detect(("
    )
    index, said = looked_at(text, "sample.pipe", {})
    assert any(d.severity == "error" for d in said)
    assert {d.name for d in index.defined()} >= {"CLASSES", "classify", "whole", "side", "strict"}


@pytest.mark.parametrize(
    "text",
    [
        'pipe 1\nimport "a.pipe" as a\nconst B = a.X\n',
        'pipe 1\nfrom "a.pipe" import x\nstage f like x using python("m:f")\n',
        'pipe 1\nimport "sample.pipe" as me\nstage f like me.f using python("m:f")\n',
        'pipe 1\nstage f like g using python("m:f")\nstage g like f using python("m:f")\n',
        'pipe 1\nstage f(x: f32) -> (x: f32) using python("m:f")\nstage f(x: f32) -> (y: f32) using python("m:f")\n',
        "",
        "\ufeff",
        "pipe 1\r\nconst A = B\r\n",
    ],
)
def test_files_with_mistakes_have_an_index(text: str) -> None:
    index = indexed(text, files={})
    for offset in range(len(text) + 1):
        index.at(offset)
        index.topic_at(offset)
        index.region_at(offset)


def test_forgetting_frees_the_scopes() -> None:
    index = indexed(SAMPLE)
    index.forget()
    assert index.scope.names == {}
    assert index.at(SAMPLE.index("classify")) != []
