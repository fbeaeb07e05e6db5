"""Text to tree: what constructs become, where they stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.parse import parse
from pipeline_dsl.source import Source
from pipeline_dsl.unparse import to_text
from tests.strategies import modules
from tests.trees import children, walk

CORPUS = sorted((Path(__file__).parents[1] / "corpus").glob("*.pipe"))


def module_of(text: str) -> syntax.Module:
    sink = Sink()
    module = parse(Source("<text>", text), sink)
    assert not sink.errors, sink.errors
    return module


def const(text: str) -> syntax.Expr:
    decl = module_of(f"pipe 1\nconst A = {text}\n").decls[0]
    assert isinstance(decl, syntax.Const)
    return decl.value


def body(text: str) -> tuple[syntax.Statement, ...]:
    decl = module_of(f"pipe 1\npipeline p() -> () {{\n{text}\n}}").decls[0]
    assert isinstance(decl, syntax.Pipeline)
    return decl.body.statements


@pytest.mark.parametrize(
    ("name", "count"), [("embed", 8), ("detect", 7), ("canary", 5), ("cascade", 5), ("rag", 7), ("audio", 5)]
)
def test_the_worked_examples_parse(name: str, count: int) -> None:
    path = next(p for p in CORPUS if p.stem == name)
    module = module_of(path.read_text())
    assert (module.edition, len(module.decls)) == (1, count)


# ---- places


def assert_places(module: syntax.Module) -> None:
    """Every node covers its children, and none of them is empty or starts or ends with a blank."""
    for node in walk(module):
        for child in children(node):
            assert node.span.start <= child.span.start <= child.span.end <= node.span.end, (node, child)
        if node is not module:
            assert node.span.text == node.span.text.strip() != ""


@pytest.mark.parametrize("path", CORPUS, ids=lambda p: p.stem)
def test_places_nest_in_the_worked_examples(path: Path) -> None:
    assert_places(module_of(path.read_text()))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(modules())
def test_an_expression_is_what_its_place_says(module: syntax.Module) -> None:
    again = module_of(to_text(module))
    assert_places(again)
    for node in walk(again):
        if isinstance(node, syntax.Expr):
            assert const(node.span.text) == node
        if isinstance(node, syntax.Ident | syntax.Name):
            assert node.span.text.strip("() \n") == node.text


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("(a + b) * c", ["(a + b) * c", "(a + b)", "c"]),
        ("f(x)(y = 1).z", ["f(x)(y = 1).z", "f(x)(y = 1)", "z"]),
        ("f(x) with (p = 1)", ["f(x) with (p = 1)", "f", "x", "p = 1"]),
        ("a[1:2, :]", ["a[1:2, :]", "a", "1:2", ":"]),
        ("-(a)", ["-(a)", "(a)"]),
    ],
)
def test_exact_places(text: str, places: list[str]) -> None:
    node = const(text)
    assert [node.span.text, *(c.span.text for c in children(node))] == places


def test_places_of_declarations() -> None:
    text = "pipe 1\n\n## doc\nprivate pipeline p(a: f32[*]?) -> (b: f32)\n  where N <= 1 {\n  return a\n}\n"
    decl = module_of(text).decls[0]
    assert isinstance(decl, syntax.Pipeline)
    assert decl.span.text.startswith("private pipeline")
    assert decl.span.text.endswith("}")
    assert decl.signature.span.text == "(a: f32[*]?) -> (b: f32)"
    assert decl.signature.inputs[0].type.span.text == "f32[*]?"
    assert decl.body.statements[0].span.text == "return a"


# ---- literals


@pytest.mark.parametrize(
    ("text", "kind", "value", "raw"),
    [
        ("007", "int", 7, ""),
        ("2.50", "float", 2.5, "2.50"),
        ("1e3", "float", 1000.0, "1e3"),
        ("5ms", "duration", 5_000_000, "5ms"),
        ("1.5us", "duration", 1500, "1.5us"),
        ("2min", "duration", 120 * 10**9, "2min"),
        ("256MiB", "bytes", 256 * 2**20, "256MiB"),
        ("1KB", "bytes", 1000, "1KB"),
        ("0.5KiB", "bytes", 512, "0.5KiB"),
        ("10%", "percent", 0.1, "10%"),
        ("7%", "percent", 0.07, "7%"),
        ("true", "bool", True, ""),
        ("null", "null", None, ""),
        (r'"a\n\t\"\\\u{1F600}${X}"', "string", 'a\n\t"\\\U0001f600${X}', ""),
    ],
)
def test_literals(text: str, kind: str, value: object, raw: str) -> None:
    node = const(text)
    assert isinstance(node, syntax.Literal)
    assert (node.kind, node.value, node.raw) == (kind, value, raw)


def test_units_are_kept_apart() -> None:
    assert const("5ms") != const("5000us")


def test_a_percentage_is_no_remainder() -> None:
    assert isinstance(const("7 % 2"), syntax.Binary)
    assert isinstance(const("7%"), syntax.Literal)
    node = const("100% - CANARY")
    assert isinstance(node, syntax.Binary)
    assert node.op == "-"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"""one"""', "one"),
        ('"""\n  one\n    two\n\n  """', "one\n  two\n\n"),
        ('"""\n    one\n  two"""', "  one\ntwo"),
        ('"""one\n  two\n  """', "one\ntwo\n"),
        ('"""\r\n  one\r\n  two\r\n  """', "one\ntwo\n"),
        ('"""\n  a\n """', " a\n"),
        ('"""\n\ta\n\t\tb\n\t"""', "a\n\tb\n"),
        ('"""say \\"\\"\\" \\u{41}"""', 'say """ A'),
        ('""""""', ""),
    ],
)
def test_text_blocks_lose_their_common_indentation(text: str, value: str) -> None:
    node = const(text)
    assert isinstance(node, syntax.Literal)
    assert node.value == value


# ---- lines


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "# only a comment",
        "pipe 1",
        "\ufeffpipe 1\n",
        "\n\npipe 1\nconst A = 1",
        "pipe 1\r\n\r\nconst A = 1\r\nconst B = 2\r\n",
        "pipe 1 # one\n# two\n## three\nconst A = 1 # four\n# five",
        "pipe 1\nstage f(\n  a: f32, # in\n  # more\n  b: f32,\n)\n-> (c: f32)\n\n"
        "where N <= 1\n\nusing g(\n1\n) {\n}\n",
        "pipe 1\nconst A =\n  1 +\n  2\n  # gone\n",
        "pipe 1\nconst A = f(\n\n1\n,\n\n2)\n",
        "pipe 1\npipeline p() -> ()\n{\n}\n",
        "pipe 1\npipeline p() -> () { return a }\n",
        "pipe 1\npipeline p() -> () {\n x = if a { yield b } else { yield c }\n}",
        'pipe 1\nfrom "a" import b,\n  type as c,\n  stage\n',
        'pipe 1\nconst A = {\n "a": 1,\n "b": [\n2\n],\n}\n',
    ],
)
def test_lines_that_mean_nothing(text: str) -> None:
    module_of(text)


def test_a_file_with_carriage_returns_is_the_same_program() -> None:
    for path in CORPUS:
        text = path.read_text()
        assert module_of(text.replace("\n", "\r\n")) == module_of(text)


# ---- words


WORDS = [
    "as",
    "by",
    "case",
    "const",
    "everywhere",
    "extends",
    "from",
    "import",
    "in",
    "like",
    "param",
    "pipe",
    "pipeline",
    "private",
    "profile",
    "sample",
    "shadow",
    "stage",
    "state",
    "stream",
    "to",
    "type",
    "using",
    "weight",
    "where",
    "with",
]


@pytest.mark.parametrize("word", WORDS)
def test_a_word_of_the_language_is_a_name_elsewhere(word: str) -> None:
    text = (
        f"pipe 1\nstage {word}({word}: f32[{word}]) -> ({word}: f32) using f()\n"
        f"pipeline q({word}: f32) -> (b: f32) {{\n  a, {word} = g(x, {word} = h.{word}, y)\n"
        f"  {word} = {word}(a)\n  return b = {word}\n}}\nprofile {word} {{ {word} {{ a.{word} = {word} }} }}\n"
    )
    module = module_of(text)
    assert str(module.decls[0].name) == word  # type: ignore[union-attr]  # a stage


def test_keywords_as_settings() -> None:
    (nested,) = body("queue { weight = 1, type = 2, if = 3 }")
    assert isinstance(nested, syntax.Nested)
    assert [str(s.key) for s in nested.block.items if isinstance(s, syntax.Setting)] == ["weight", "type", "if"]


# ---- documentation


def test_documentation_is_attached_to_what_follows() -> None:
    text = (
        "pipe 1\n\n## one\n## two\n##\n##   four\nstage f(\n  ## the image\n  image: f32,\n  box: f32 ## not this\n"
        ") -> (y: f32) using g()\n\n## lost\n\nconst A = 1\n## lost too\n# plain\n"
        "const B = 2\n## kept\nprivate pipeline p() -> () {}\n"
    )
    stage, a, b, p = module_of(text).decls
    assert isinstance(stage, syntax.Stage)
    assert stage.signature is not None
    assert stage.doc == "one\ntwo\n\n  four"
    assert [port.doc for port in stage.signature.inputs] == ["the image", ""]
    assert [getattr(d, "doc", None) for d in (a, b, p)] == ["", "", "kept"]


# ---- constructs


def test_else_if_is_a_chain() -> None:
    (assign,) = body("x = if a { yield 1 } else if b { yield 2 } else { yield 3 }")
    assert isinstance(assign, syntax.Assign)
    assert isinstance(assign.value, syntax.If)
    assert isinstance(assign.value.orelse, syntax.If)
    assert isinstance(assign.value.orelse.orelse, syntax.Body)


def test_a_default_of_a_match_starts_its_line() -> None:
    (assign,) = body('x = match s {\n case "a", "b" { yield 1 }\n else { yield 2 }\n}')
    assert isinstance(assign, syntax.Assign)
    assert isinstance(assign.value, syntax.Match)
    assert len(assign.value.cases) == 1
    assert assign.value.default is not None


def test_optional_parts_of_control() -> None:
    statements = body(
        "x = map a in b { yield a }\n"
        "x = map (max = 1) a in b, c in d { yield a }\n"
        "x = route { to a weight 1 { yield a } }\n"
        "x = route by k { to a weight 1 { yield a }\n shadow s { yield a }\n shadow t sample 5% { yield a } }\n"
        "x = try { yield a } fallback { yield b }\n"
        "x = try (timeout = 1s) { yield a } fallback err { yield b }"
    )
    values = [s.value for s in statements if isinstance(s, syntax.Assign)]
    maps, routes, tries = values[:2], values[2:4], values[4:]
    assert [len(m.options) for m in maps if isinstance(m, syntax.Map)] == [0, 1]
    assert [r.key is None for r in routes if isinstance(r, syntax.Route)] == [True, False]
    assert [str(t.error) for t in tries if isinstance(t, syntax.Try)] == ["None", "err"]
    arms = routes[1].arms  # type: ignore[union-attr]  # a route
    assert [type(a).__name__ for a in arms] == ["RouteArm", "ShadowArm", "ShadowArm"]


def test_stage_heads() -> None:
    text = (
        "pipe 1\nstage a using f()\nstage b like m.a using f()\nstage c(x: f32) -> () where N < 1, M < 2 using f() {}\n"
    )
    a, b, c = module_of(text).decls
    assert isinstance(a, syntax.Stage)
    assert isinstance(b, syntax.Stage)
    assert isinstance(c, syntax.Stage)
    assert (a.signature, a.like, a.block) == (None, None, None)
    assert str(b.like) == "m.a"
    assert c.signature is not None
    assert len(c.where) == 2
    assert c.block is not None


def test_keys() -> None:
    (nested,) = body('a.b@3 { "x.y" = 1, c.d = 2 }')
    assert isinstance(nested, syntax.Nested)
    assert (nested.key.parts, nested.version) == (("a", "b"), 3)
    assert [i.key.parts for i in nested.block.items if isinstance(i, syntax.Setting)] == [("x.y",), ("c", "d")]


def test_states() -> None:
    text = 'pipe 1\nstage f() -> () using g() {\n state h: f32[2] = zeros() as "a" -> "b"\n state k: json\n}\n'
    stage = module_of(text).decls[0]
    assert isinstance(stage, syntax.Stage)
    assert stage.block is not None
    h, k = stage.block.items
    assert isinstance(h, syntax.State)
    assert isinstance(k, syntax.State)
    assert (h.tensor_in, h.tensor_out, h.init is None) == ("a", "b", False)
    assert (k.tensor_in, k.tensor_out, k.init) == (None, None, None)


@pytest.mark.parametrize(("text", "version"), [("m@3", 3), ("m@latest", "latest"), ('m@"1.2"', "1.2")])
def test_versions(text: str, version: int | str) -> None:
    node = const(text)
    assert isinstance(node, syntax.Versioned)
    assert (node.name, node.version) == ("m", version)


def test_dims() -> None:
    decl = module_of("pipe 1\ntype A = stream m.T[*, ~L, ?, ..., 2*(H+1)/2-1]?\n").decls[0]
    assert isinstance(decl, syntax.TypeAlias)
    assert [type(d).__name__ for d in decl.type.dims] == ["RowsDim", "RaggedDim", "AnyDim", "RestDims", "SizedDim"]
    assert decl.type.stream
    assert decl.type.optional
    assert str(decl.type.name) == "m.T"


def test_equality_ignores_places() -> None:
    assert module_of("pipe 1\nconst  A=1") == module_of("pipe 1\n\n\nconst A = 1\n")
    assert module_of("pipe 1\nconst A = 1") != module_of("pipe 1\nconst A = 2")
