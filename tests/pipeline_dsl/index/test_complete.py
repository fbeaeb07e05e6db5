"""What may be written next, where texts do not parse: the cursor is `|`, the names are those of the whole sample."""

from __future__ import annotations

import pytest

from pipeline_dsl.index import Item, complete
from pipeline_dsl.index.completion import fits

from .indexing import SAMPLE, indexed, marked

HEAD = SAMPLE[: SAMPLE.index("  found =")]
INDEX = indexed(SAMPLE)
BACKENDS = ["python", "onnx", "torch", "tensorrt", "llm", "triton", "remote", "null"]


def items(text: str) -> list[Item]:
    plain, offset = marked(text)
    start = max(plain.rfind(f"\n{word} ", 0, offset) + 1 for word in ("stage", "pipeline", "profile"))
    whole = complete(INDEX, plain, offset, 0, listed)
    assert complete(INDEX, plain, offset, start, listed) == whole, "the start of the declaration is enough"
    return list(whole.items)


def listed(folder: str) -> list[str]:
    return {"": ["models/", "other.pipe", "sample.pipe", "x.py"], "models": ["deep.pipe"]}.get(folder, [])


def labels(text: str) -> list[str]:
    return [item.label for item in items(text)]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        # calls
        ("  x = detect(|", ["image", "limit", "data", "crops"]),
        ("  x = detect(1, |", ["image", "limit"]),
        ("  x = detect(image = 1, |", ["limit", "data"]),
        ("  x = detect(image = |", ["data", "crops"]),
        ("  x = detect(\n    image = 1,\n    l|", ["limit"]),
        ("  x = vision.decode(|", ["data"]),
        ("  x = classify(crops) with (|", ["timeout", "priority"]),
        ("  x = classify(crops) with (timeout = 5ms, |", ["priority"]),
        # members
        ("  x = vision.|", ["SIZE", "decode"]),
        ("  x = detect(1).|", ["boxes", "count"]),
        ("  r = detect(1)\n  y = r.|", ["boxes", "count"]),
        ("  r, s = detect(1)\n  y = r.|", []),
        # statements
        ("  |", ["return"]),
        ("  x = |", ["data", "crops", "vision", "decode", "SIDE"]),
        ("  x = detect(1)\n  y = classify(1)\n  z = |", ["y", "x", "data", "crops"]),
        ("  return |", ["boxes", "scores", "side"]),
        ("  return boxes = 1, |", ["boxes", "scores", "side"]),
        ("  x: |", ["Scores", "bool"]),
        ("  x: f32[*, |", ["N", "L", "SIDE", "CLASSES", "LIMIT"]),
        # arms
        ("  x = if a {\n    |", ["return", "yield"]),
        ("  x = map (|", ["max", "order", "on_error", "in_flight"]),
        ("  x = map one in crops {\n    t = one\n    yield |", ["t", "one", "data"]),
        ("  x = try { yield 1 } fallback err {\n    yield |", ["err", "data"]),
        ("  x = match data {\n    |", ["case", "else"]),
        ("  x = route by data {\n    |", ["to", "shadow"]),
        ("  x = route by data {\n    to one |", ["weight"]),
        ("  x = detect(1) detect|", []),
    ],
)
def test_in_a_body(text: str, first: list[str]) -> None:
    found = labels(HEAD + text)
    assert found[: len(first)] == first
    assert first or not found


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("\n|", ["const", "from", "import"]),
        ("\nstage x(a: f32) -> (b: f32)\n  |", ["where", "using", "const"]),
        ("\nstage x |", ["where", "using", "like"]),
        ("\nstage x like |", ["vision", "decode", "detect", "classify"]),
        ("\nstage x like detect using |", BACKENDS),
        ("\nstage x like detect using python(|", ["each", "arrays", "capture", "vision", "SIDE", "CLASSES"]),
        ('\nstage x like detect using onnx("${|', ["vision", "SIDE", "CLASSES", "LIMIT"]),
        ('\nstage x like detect using onnx("x") { |', ["effects", "tensors"]),
        ('\nstage x like detect using onnx("x") { effects = |', ["none", "repeatable", "once"]),
        ('\nstage classify like detect using onnx("x") { tensors { |', ["crop", "scores"]),
        ("\nstage x(a: |", ["Scores", "bool"]),
        ("\nstage x(a: vision.|", ["Image"]),
        ("\nstage x(|", []),
        ("\nprofile x |", ["extends"]),
        ("\nprofile x extends |", ["cpu", "strict"]),
        ("\nprofile cpu extends strict, |", ["strict"]),
        ("\nprofile x {\n  |", ["*", "vision", "decode", "LIMIT", "detect", "classify", "whole"]),
        ("\nprofile x {\n  whole.|", ["found", "scores", "side"]),
        ("\nprofile x {\n  vision.|", ["decode"]),
        ("\nprofile x {\n  whole {\n    |", ["timeout", "max_inflight"]),
        ("\nprofile x {\n  classify { batching { |", ["max", "delay", "preferred", "order"]),
        ("\nprofile x {\n  classify { batching { max = 1, |", ["delay", "preferred", "order"]),
        ("\nprofile x {\n  classify { batching.|", ["max", "delay"]),
        ("\nprofile x {\n  classify { batching { delay = |", ["auto"]),
        ("\nprofile x {\n  classify { affine = |", ["true", "false"]),
        ("\nprofile x {\n  * { device = |", ["cpu", "any", "sim", "cuda(0)", "sim(0)"]),
        ("\nprofile x {\n  classify@4 { queue { level@1 { |", ["max", "timeout"]),
        ('\nfrom "vision.pipe" import |', ["SIZE", "Image", "decode"]),
        ('\nfrom "vision.pipe" import SIZE, |', ["SIZE", "Image", "decode"]),
        ('\nfrom "none.pipe" import |', []),
        ('\nimport "|', ["models/", "other.pipe"]),
        ('\nimport "models/|', ["deep.pipe"]),
        ('\nimport "x" |', ["as"]),
        ("\nconst X = |", ["vision", "SIDE", "CLASSES", "LIMIT"]),
        ("\n# |", []),
        ('\nconst X = "a |', []),
    ],
)
def test_in_declarations(text: str, first: list[str]) -> None:
    found = labels(SAMPLE + text)
    assert found[: len(first)] == first
    assert first or not found


def test_a_const_can_not_call_a_stage() -> None:
    assert not {"detect", "classify", "len"} & set(labels(SAMPLE + "\nconst X = |"))


def test_a_port_is_written_with_its_equals_sign() -> None:
    found = items(HEAD + "  x = detect(|")[0]
    assert (found.label, found.insert, found.detail, found.doc) == (
        "image",
        "image = ",
        "vision.Image",
        "One picture.",
    )


def test_a_variable_has_the_type_that_was_found() -> None:
    text = SAMPLE.replace("  return boxes", "  x = |\n  return boxes")
    assert {i.label: i.detail for i in items(text)}["found"] == "(boxes: f32[N, 4], count: i64)"


def test_a_setting_says_what_it_is() -> None:
    found = items(SAMPLE + "\nprofile x {\n  classify { batching { |")[1]
    assert (found.label, found.insert, found.detail) == ("delay", "delay = ", "auto or duration")
    assert "longest wait for company" in found.doc


def test_where_there_are_many_those_that_fit_are_given() -> None:
    plain, offset = marked(HEAD + "  x = cl|")
    some = complete(INDEX, plain, offset, 0, most=5)
    assert not some.whole
    assert [i.label for i in some.items] == ["CLASSES", "classify"]
    assert complete(INDEX, plain, offset, 0).whole


def test_letters_in_order() -> None:
    assert fits("", "x")
    assert fits("dtc", "detect")
    assert fits("DET", "detect")
    assert not fits("dd", "detect")


def test_names_of_a_file_that_is_not_imported_yet() -> None:
    text = 'pipe 1\nfrom "vision.pipe" import |'
    plain, offset = marked(text)
    found = complete(indexed(plain), plain, offset, 0).items
    assert [(i.label, i.detail) for i in found] == [
        ("SIZE", "const = 224"),
        ("Image", "u8[H, W, 3]"),
        ("decode", "(data: bytes) -> (image: Image)"),
    ]


LOCKED = """pipe 1
stage encode using onnx("encode.onnx")
pipeline p(ids: i64[B, L], mask: i64[B, L]) -> (hidden: f32[B, ?, 384]) {
  return hidden = encode(ids, mask)
}
"""
LOCK = """{ "lock": 1, "stages": { "encode": { "artifacts": { "encode.onnx": "sha256:00" },
  "inputs": [{ "name": "ids", "dtype": "i64", "shape": ["batch", "length"] },
             { "name": "mask", "dtype": "i64", "shape": ["batch", "length"] }],
  "outputs": [{ "name": "hidden", "dtype": "f32", "shape": ["batch", "length", 384] }] } } }"""


def test_ports_that_only_the_lock_file_knows() -> None:
    index = indexed(LOCKED, "locked.pipe", {"locked.pipe.lock": LOCK})
    assert index.program is not None
    plain, offset = marked(LOCKED.replace("  return", "  x = encode(|\n  return"))
    found = complete(index, plain, offset, 0).items
    assert [(i.label, i.insert, i.detail) for i in found[:2]] == [
        ("ids", "ids = ", "i64[*, length]"),
        ("mask", "mask = ", "i64[*, length]"),
    ]
    plain, offset = marked(LOCKED.replace("  return", "  x = encode(1).|\n  return"))
    assert [i.label for i in complete(index, plain, offset, 0).items] == ["hidden"]
