"""The reference grammar: that Lark takes it as it is, and that the parser reads what the grammar says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from lark import Lark, Token, Tree
from lark.lexer import PatternRE

import grammar
from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.parse import parse
from pipeline_dsl.reader import tables
from pipeline_dsl.reader.lexer import lexemes
from pipeline_dsl.reader.transform import RULES
from pipeline_dsl.source import Source
from pipeline_dsl.unparse import to_text
from tests.strategies import modules

CORPUS = sorted((Path(__file__).parents[1] / "corpus").glob("*.pipe"))
REFERENCE = (Path(grammar.__file__).parent / "reference.md").read_text(encoding="utf-8")


class Newlines:
    """The newline rule of the grammar's head, written the short way."""

    always_accept = ("_NL",)
    drop_after = frozenset(
        ["{", ",", "=", "+", "-", "*", "/", "%", "??", "->", "==", "!=", "<=", ">=", "<", ">", "and", "or"]
    )

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        brackets: list[str] = []
        previous = "_NL"
        for token in stream:
            if token.type == "_NL" and (
                brackets[-1:] in (["("], ["["]) or previous == "_NL" or previous in self.drop_after
            ):
                continue
            if token in ("(", "[", "{"):
                brackets.append(str(token))
            elif token in (")", "]", "}"):
                brackets.pop()
            previous = "_NL" if token.type == "_NL" else str(token)
            yield token


@pytest.fixture(scope="module")
def reference() -> Lark:
    """The grammar as Lark itself reads it: strict, with its own contextual lexer."""
    postlex = Newlines()
    return Lark(grammar.text(), parser="lalr", lexer="contextual", strict=True, postlex=postlex)


def leaves(tree: Tree[Token]) -> list[str]:
    return [str(t) for t in tree.scan_values(lambda t: isinstance(t, Token))]


def test_the_grammar_has_no_conflict(reference: Lark) -> None:
    assert reference.parse("pipe 1\n").data == "start"


def accepts(reference: Lark, text: str) -> bool:
    try:
        reference.parse(text)
    except Exception:
        return False
    return True


def reads(text: str) -> bool:
    sink = Sink()
    parse(Source("<text>", text), sink)
    return not sink.errors


@pytest.mark.parametrize("path", CORPUS, ids=lambda p: p.stem)
def test_the_reference_reads_the_corpus(reference: Lark, path: Path) -> None:
    assert accepts(reference, path.read_text())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(modules())
def test_the_reference_reads_any_program(module: syntax.Module) -> None:
    text = to_text(module)
    tree = _with_all_tokens().parse(text)
    ours = [x.text for x in lexemes(text) if x.kind not in ("NEWLINE", "COMMENT")]
    assert [t for t in leaves(tree) if t.strip()] == ours


@cache
def _with_all_tokens() -> Lark:
    return Lark(grammar.text(), parser="lalr", lexer="contextual", postlex=Newlines(), keep_all_tokens=True)


@pytest.mark.parametrize(
    "text",
    [
        "pipe 1\nconst A = 1 const B = 2",
        "pipe 1\nconst A = 10%3",
        "pipe 1\nconst A = 1 < 2 < 3",
        "pipe 1\nconst A = 5 ms",
        "pipe 1\nconst A = a.1",
        "pipe 1\nconst A = f(a, , b)",
        "pipe 1\nconst A = (a, b)",
        "pipe 1\nconst A = [,]",
        "pipe 1\nconst A = {a: 1}",
        "pipe 1\ntype A = f32[2H]",
        "pipe 1\ntype A = f32[~]",
        "pipe 1\ntype A = f32?[2]",
        "pipe 1\nparam A = 1",
        "pipe 1\nstage f(a) -> () using g()",
        "pipe 1\nstage f() -> () using g",
        "pipe 1\npipeline p() -> () { a }",
        "pipe 1\npipeline p() -> () { a = map { } }",
        "pipe 1\npipeline p() -> () { a = match b { } }",
        "pipe 1\npipeline p() -> () { if a { } }",
        "pipe 1\npipeline p() -> () { a = try { } }",
        "pipe 1\npipeline p() -> () { a = 1 + if b { } }",
        "pipe 1\nprofile p { state x: f32 }",
        "pipe 1 const A = 1",
        "const A = 1\npipe 1",
    ],
)
def test_both_refuse(reference: Lark, text: str) -> None:
    assert not accepts(reference, text)
    assert not reads(text)


def test_every_rule_makes_a_node() -> None:
    lark = tables.build(None)
    names = {rule.alias or rule.origin.name for rule in lark.rules}
    made = {str(name) for name in names if not str(name).startswith("_")}
    inlined = {"expr", "rhs", "decl", "dim", "dim_sum", "dim_mul", "subscript", "arm", "out"}
    inlined |= {"sum", "product", "unary", "postfix"}
    assert made - set(vars(RULES)) <= inlined
    assert set(vars(RULES)) <= made


def test_the_lexer_has_the_terminals_of_the_grammar() -> None:
    patterns = {t.name: t.pattern for t in tables.build(None).terminals}
    seen = set()
    for lexeme in lexemes('a 1 2.5 1e5 1.5ms 1KB 1% "s" """t"""'):
        pattern = patterns[lexeme.kind]
        assert isinstance(pattern, PatternRE)
        assert re.fullmatch(pattern.to_regexp(), lexeme.text)
        seen.add(lexeme.kind)
    assert seen == {"NAME", "INT", "FLOAT", "DURATION", "BYTES", "PERCENT", "STRING", "TEXT"}


EXAMPLES = re.findall(r"```pipe\n(.*?)```", REFERENCE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.split("\n", 1)[0][:40])
def test_the_examples_of_the_reference_parse(example: str) -> None:
    sink = Sink()
    parse(Source("reference", example), sink)
    assert not sink.errors


def test_the_reference_shows_every_keyword() -> None:
    shown = set(re.findall(r"[a-z]+", "\n".join(EXAMPLES)))
    assert set(tables.words()) <= shown
