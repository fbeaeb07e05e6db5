"""Bad text: nothing raises, mistakes do not hide each other, and what can be read is read."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import CompileError, Diagnostic, Sink
from pipeline_dsl.parse import MAX_ERRORS, parse
from pipeline_dsl.read import read
from pipeline_dsl.reader.lexer import lexemes
from pipeline_dsl.source import Source

CORPUS = sorted((Path(__file__).parents[1] / "corpus").glob("*.pipe"))


def attempt(text: str) -> tuple[syntax.Module, list[Diagnostic]]:
    sink = Sink()
    module = parse(Source("<text>", text), sink)
    return module, sink.sorted()


def names(module: syntax.Module) -> list[str]:
    return [str(getattr(d, "name", "")) for d in module.decls]


# ---- nothing raises


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_any_text(text: str) -> None:
    _, found = attempt(text)
    for d in found:
        assert 0 <= d.span.start <= d.span.end <= len(text)


PIECES = [
    "pipe 1",
    "\n",
    "stage",
    "pipeline",
    "profile",
    "private",
    "const",
    "param",
    "type",
    "import",
    "from",
    "using",
    "where",
    "like",
    "a",
    "b",
    "f32",
    "if",
    "else",
    "match",
    "case",
    "map",
    "in",
    "route",
    "by",
    "to",
    "weight",
    "shadow",
    "sample",
    "try",
    "fallback",
    "return",
    "yield",
    "state",
    "as",
    "with",
    "not",
    "and",
    "or",
    "true",
    "null",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "=",
    "->",
    ".",
    "@",
    "*",
    "?",
    "??",
    "~",
    "...",
    "+",
    "-",
    "/",
    "%",
    "==",
    "<",
    "1",
    "2.5",
    "5ms",
    "10%",
    '"s"',
    '"""t"""',
    "#c\n",
    "$",
    ";",
    '"',
    "'",
    "é",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_tokens(pieces: list[str]) -> None:
    module, found = attempt(" ".join(pieces))
    if not module.decls and module.edition is None and any(p.strip() and p[0] != "#" for p in pieces):
        assert found


@pytest.mark.parametrize("path", CORPUS, ids=lambda p: p.stem)
def test_any_token_missing_or_doubled(path: Path) -> None:
    text = path.read_text()
    chance = random.Random(7)
    tokens = [x for x in lexemes(text) if x.kind not in ("NEWLINE", "COMMENT")]
    for token in chance.sample(tokens, 60):
        for changed in ("", token.text + " " + token.text):
            module, found = attempt(text[: token.start] + changed + text[token.end :])
            errors = [d for d in found if d.code.startswith("E")]
            assert len(errors) <= 4, (token, changed, errors)
            missing = {str(getattr(d, "name", "")) for d in parse(Source("a", text), Sink()).decls} - set(names(module))
            assert len(missing) <= 2


# ---- each mistake once, in its place


def test_three_mistakes_in_three_declarations() -> None:
    text = (
        "pipe 1\nconst A = \nconst B = 1\nstage f(x f32) -> (y: f32) using g()\n"
        "pipeline p() -> () {\n  x = f(,)\n  return y\n}\nconst C = ]\nconst D = 2\n"
    )
    module, found = attempt(text)
    assert [(d.code, d.span.line) for d in found] == [("E0002", 2), ("E0002", 4), ("E0002", 6), ("E0003", 9)]
    assert names(module) == ["B", "p", "D"]


def test_mistakes_in_one_body_leave_the_rest_of_it() -> None:
    text = (
        "pipe 1\npipeline p() -> () {\n  a = f(1,, 2)\n  b = g(3)\n  c = if b {\n    d = * 2\n    yield b\n  }\n"
        "  e = try { yield 1 }\n  return b\n}\n"
    )
    module, found = attempt(text)
    assert [d.span.line for d in found] == [3, 6, 9]
    (decl,) = module.decls
    assert isinstance(decl, syntax.Pipeline)
    kept = [s.targets[0].name.text for s in decl.body.statements if isinstance(s, syntax.Assign)]
    assert kept == ["b", "c"]


def test_a_mistake_in_settings_leaves_the_other_settings() -> None:
    module, found = attempt("pipe 1\nprofile p {\n  a { x = }\n  b { max = 8\n delay = ?\n order = 1 }\n}\n")
    assert [d.span.line for d in found] == [3, 5]
    (profile,) = module.decls
    assert isinstance(profile, syntax.Profile)
    assert len(profile.items) == 2


def test_an_open_bracket_does_not_swallow_the_next_declaration() -> None:
    for opened in ("stage f(a: f32[3 -> (b: f32) using g()", "pipeline p() -> () {\n x = f(1", "const A = [1, 2"):
        module, found = attempt(f"pipe 1\n{opened}\n\nprofile q {{ f {{ max = 1 }} }}\nconst B = 2\n")
        assert {d.code for d in found} == {"E0003"}
        assert names(module)[-2:] == ["q", "B"]


def test_a_declaration_word_inside_brackets_is_a_name() -> None:
    text = (
        "pipe 1\nconst A = f(\n  type,\n  stage = 1,\n  param and x,\n)\n"
        "pipeline p() -> () {\n  type = f(a)\n  stage { a = 1 }\n}\n"
    )
    module, found = attempt(text)
    assert found == []
    assert names(module) == ["A", "p"]


def test_at_most_twenty_mistakes() -> None:
    _, found = attempt("pipe 1\n" + "const A = *\n" * 100)
    assert len(found) == MAX_ERRORS
    _, found = attempt("pipe 1\npipeline p() -> () {\n" + "  a = *\n" * 100 + "}\n")
    assert 0 < len(found) <= MAX_ERRORS


def test_another_edition_says_nothing_else() -> None:
    module, found = attempt("pipe 7\n$ ( const\n")
    assert [d.code for d in found] == ["E0006"]
    assert module.edition == 7
    assert module.decls == ()


def test_a_repaired_line_break_changes_nothing_else() -> None:
    broken = (
        "pipe 1\npipeline p() -> () {\n  x = if a {\n    yield 1\n  }\n  else if b\n  {\n"
        "    yield 2\n  }\n  return x\n}\n"
    )
    mended = broken.replace("}\n  else", "} else").replace("b\n  {", "b {")
    module, found = attempt(broken)
    assert [d.code for d in found] == ["E0004", "E0004"]
    assert module == attempt(mended)[0]


# ---- limits


@pytest.mark.parametrize(
    "text",
    [
        "(" * 1_000_000,
        "[" * 500_000 + "]" * 500_000,
        "const A = " + "{" * 1_000_000,
        "const A = " + "f(" * 400_000,
        "const A = " + "-" * 1_000_000,
        "const A = " + "not " * 250_000,
        "const A = 1" + "+1" * 400_000,
        "const A = a" + ".b" * 400_000,
        "const A = f" + "()" * 400_000,
        "const A = a" + "[0]" * 300_000,
        "const A = a ?? " + "b ?? " * 150_000,
        "type A = f32[" + "N*" * 400_000,
        "pipeline p() -> () { x = if a { } " + "else if b { } " * 60_000 + "}",
    ],
    ids=lambda t: t[:20],
)
def test_endless_nesting_is_one_clear_answer(text: str) -> None:
    _, found = attempt("pipe 1\n" + text)
    assert [d.code for d in found] == ["E0008"]


@pytest.mark.parametrize(
    "text",
    ["const A = " + "(" * 64 + "1" + ")" * 64, "const A = 1" + " + 1" * 128, "const A = [" + "1 + 1, " * 5000 + "]"],
    ids=("brackets", "operators", "a long list"),
)
def test_up_to_the_limits(text: str) -> None:
    module, found = attempt(f"pipe 1\n{text}\n")
    assert found == []
    assert len(module.decls) == 1
    assert hash(module.decls) == hash(module.decls)


def test_operators_of_different_statements_do_not_add_up() -> None:
    stages = "".join(f"stage f{i}(a: f32) -> (b: f32) where N <= 1 using g.h(1)\n" for i in range(200))
    settings_ = "profile p {\n" + "".join(f"  a.b{i} {{ c.d = 1 }}\n" for i in range(200)) + "}\n"
    bodies = "pipeline p() -> () {\n" + "  return a.b + c.d\n" * 200 + "}\n"
    assert attempt("pipe 1\n" + stages + settings_ + bodies)[1] == []


def test_a_text_that_is_too_long() -> None:
    module, found = attempt("# comment\n" * 110_000)
    assert [d.code for d in found] == ["E0008"]
    assert module.decls == ()


@pytest.mark.timeout(60)  # a quarter of a second; what is not linear takes longer
def test_a_long_file_is_read() -> None:
    text = "".join(p.read_text().replace("pipe 1", "") for p in CORPUS)
    text = "pipe 1\n" + text * (3700 // text.count("\n"))
    module, found = attempt(text)
    assert not found
    assert len(module.decls) > 500


@pytest.mark.timeout(120)  # seconds; what is not linear takes hours
def test_garbage_of_a_megabyte_is_answered() -> None:
    for text in ("$" * 1_000_000, "$ " * 500_000, '"' * 1_000_001, ") " * 500_000, "a b " * 100_000):
        _, found = attempt(text)
        assert 1 <= len(found) <= MAX_ERRORS + 1


# ---- files


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \r\n", "empty"),
        (b"pipe 1\n\0", "NUL"),
        (b"pipe 1\n\xff\xfe", "byte 7 (line 2)"),
        (b"#" * (4 << 20) + b"#", "1 MiB"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "x.pipe"
    path.write_bytes(data)
    with pytest.raises(CompileError) as caught:
        read(path, shown="x.pipe")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E0009"
    assert words in diagnostic.message
    assert diagnostic.span.source.path == "x.pipe"


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "no.pipe", "no such file"), (tmp_path, "is a directory")):
        with pytest.raises(CompileError, match=words):
            read(path)


def test_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pipe"
    path.write_bytes('pipe 1\r\nconst A = "é"\n'.encode())
    assert read(path) == Source(str(path), 'pipe 1\r\nconst A = "é"\n')
