"""What an editor can ask of a file, right or wrong: `examine` and its facts."""

from __future__ import annotations

from pipeline_dsl.check import Findings, Options, examine
from pipeline_dsl.check.regions import Results, Value
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.parse import parse
from pipeline_dsl.source import Source

HEAD = """pipe 1
stage encode(text: string[*]) -> (ids: i64[*, ~L], mask: i64[*, ~L]) using python("m:encode")
stage detect(image: u8[H, W, 3]) -> (boxes: f32[N, 4]) using python("m:detect")
"""


def found(body: str) -> tuple[Findings, dict[str, str]]:
    """The findings, and `name -> type` of everything a body defines; a handle has the types of all its ports."""
    source = Source("x.pipe", HEAD + body)
    findings = examine(parse(source, Sink()), Options(environ={}), Sink())
    shown = {}
    for (path, start), outcome in findings.facts.outcomes.items():
        assert path == "x.pipe"
        name = source.text[start:].split("=")[0].split(",")[0].split(":")[0].strip()
        if isinstance(outcome, Value):
            shown[name] = str(outcome.type)
        elif isinstance(outcome, Results):
            shown[name] = ", ".join(f"{port}: {value.type}" for port, value in outcome.values)
        else:
            shown[name] = "?"
    return findings, shown


def test_every_name_of_a_body_has_its_type() -> None:
    findings, shown = found("""pipeline p(t: string[*], im: u8[H, W, 3]) -> (b: f32[N, 4], i: i64[*, ~L]) {
  both = encode(t)
  i, m: i64[*, ~K] = encode(t)
  b = detect(im)
  n = 1 + 2
  return b, i
}""")
    assert findings.program is not None
    assert shown == {
        "both": "ids: i64[*, ~L of encode, line 5], mask: i64[*, ~L of encode, line 5]",
        "i": "i64[*, ~L of encode, line 6]",
        "m": "i64[*, ~L of encode, line 6]",
        "b": "boxes: f32[N of detect, line 7, 4]",
        "n": "i64",
    }


def test_a_file_with_mistakes_tells_what_is_right() -> None:
    findings, shown = found("""pipeline p(t: string[*]) -> (i: i64[*, ~L]) {
  i, m = encode(t)
  x = nobody(i)
  y = encode(m)
  return i
}""")
    assert findings.program is None
    assert shown["m"] == "i64[*, ~L of encode, line 5]"
    assert shown["x"] == "?"
    assert set(findings.scope.names) == {"encode", "detect", "p"}


def test_names_of_arms_have_types_too() -> None:
    _, shown = found("""stage f(x: f32) -> (y: f32, z: i64) using python("m:f")
pipeline p(a: f32, xs: f32[N]) -> (o: f32[N], q: f32) {
  o = map item in xs {
    inner = f(item)
    yield inner.y
  }
  q = try {
    yield a
  } fallback err {
    code = json_get(err, "code")
    yield a
  }
  return o, q
}""")
    assert shown["item in xs {\n    inner"] == "f32"
    assert shown["inner"] == "y: f32, z: i64"
    assert shown["o"] == "f32[N]"
    assert shown["err {\n    code"] == "json"
    assert shown["code"] == "json?"
