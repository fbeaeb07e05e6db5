"""The formatter: what it changes, and what it must not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import CompileError, Sink
from pipeline_dsl.format import format_text
from pipeline_dsl.parse import parse
from pipeline_dsl.reader.lexer import lexemes
from pipeline_dsl.source import Source
from pipeline_dsl.unparse import to_text
from tests.strategies import modules

CORPUS = sorted((Path(__file__).parents[1] / "corpus").glob("*.pipe"))


def tree(text: str) -> syntax.Module:
    sink = Sink()
    module = parse(Source("<text>", text), sink)
    assert not sink.errors, (text, sink.errors)
    return module


def fmt(text: str) -> str:
    return format_text(Source("<text>", text))


def comments(text: str) -> list[str]:
    return [x.text.rstrip() for x in lexemes(text) if x.kind == "COMMENT"]


def mangle(text: str, chance: random.Random) -> str:
    """The same program with other blanks, more comments, and line breaks wherever they mean nothing."""
    pieces: list[str] = []
    brackets: list[str] = []
    before, end, number = "", 0, 0
    for kind, token, start, stop in lexemes(text):
        gap = " " if start > end else ""
        end = stop
        if kind == "NEWLINE":
            number += 1
            note = f"# note {number}" if chance.random() < 0.2 else ""
            pieces.append(chance.choice(["", "  "]) + note + chance.choice(["\n", "\n\n\n", "\r\n"]))
            continue
        free = bool(brackets) and brackets[-1] != "{"
        if (free or before in ("=", "{", "+", "==", "->")) and chance.random() < 0.1:
            gap = "\n" if chance.random() < 0.7 else "  # here\n"
        pieces.append(gap + " " * chance.choice([0, 0, 1, 3]) + token)
        if token in ("(", "[", "{"):
            brackets.append(token)
        elif token in (")", "]", "}"):
            brackets.pop()
        before = token
    return "".join(pieces)


def check(text: str) -> None:
    once = fmt(text)
    assert tree(once) == tree(text), text
    assert fmt(once) == once, text
    assert comments(once) == comments(text), text
    assert not any(line != line.rstrip() for line in once.splitlines() if '"""' not in once)
    assert "\n\n\n" not in once or '"""' in once


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("path", CORPUS, ids=lambda p: p.stem)
def test_only_the_layout_changes(path: Path, seed: int) -> None:
    text = path.read_text()
    check(text if seed == 0 else mangle(text, random.Random(seed)))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(modules(), st.integers(0, 1000))
def test_any_program_any_layout(module: syntax.Module, seed: int) -> None:
    check(mangle(to_text(module), random.Random(seed)))


@pytest.mark.parametrize("path", CORPUS, ids=lambda p: p.stem)
def test_blanks_of_the_author_do_not_count(path: Path) -> None:
    text = path.read_text()
    spread = " ".join(x.text for x in lexemes(text))
    assert fmt(spread) == fmt(text)


BODY = "pipe 1\npipeline p(a: f32) -> (b: f32) {{\n{}\n}}\n"


@pytest.mark.parametrize(
    ("given_text", "wanted"),
    [
        ("x=f(a,b = -1)", "  x = f(a, b = -1)"),
        ("x = a-b*( c+d )%2", "  x = a - b * (c + d) % 2"),
        ("x : f32 [ * , ~ L , 2*H+1 , ( W+1 )/2 , ?]? = y", "  x: f32[*, ~L, 2*H+1, (W+1)/2, ?]? = y"),
        ("x = y [ 1 : 2 , : , - 1 ]", "  x = y[1:2, :, -1]"),
        ("x = ranker @ 4 ( a ) . score", "  x = ranker@4(a).score"),
        ("x = f(a)with(timeout=5ms)", "  x = f(a) with (timeout = 5ms)"),
        ("x = map(max=1)b in[a]{\nyield b\n}", "  x = map (max = 1) b in [a] {\n    yield b\n  }"),
        ("x = a??not b", "  x = a ?? not b"),
        ('x = {"a":1,"b":[ ]}', '  x = { "a": 1, "b": [] }'),
        ("x = f(a,\nb,\n)", "  x = f(\n    a,\n    b,\n  )"),
        ("x = f(a, b,)", "  x = f(\n    a,\n    b,\n  )"),
        ("x = f(a, # one\nb,# two\n)", "  x = f(\n    a,  # one\n    b,  # two\n  )"),
        ("batching{max=8,delay=1ms,}", "  batching {\n    max = 8,\n    delay = 1ms,\n  }"),
        ("x = if a {\nyield b\n}\nelse {\nyield c\n}", "  x = if a {\n    yield b\n  } else {\n    yield c\n  }"),
        (
            "x = if a {\nyield b\n} # one\n# two\nelse { # three\nyield c\n}",
            "  x = if a {\n    yield b\n  } else {  # one\n    # two\n    # three\n    yield c\n  }",
        ),
        ("x = if a\n{\nyield b\n}", "  x = if a {\n    yield b\n  }"),
        (
            'x = match a {\ncase "b" { yield c } else { yield d }\n}',
            '  x = match a {\n    case "b" { yield c }\n    else { yield d }\n  }',
        ),
        ("\n\n\nx = a\n\n\n\ny = b\n\n\n", "  x = a\n\n  y = b"),
        ("# top\nx = a\n# end", "  # top\n  x = a\n  # end"),
        ("sequence {\n}", "  sequence {\n  }"),
    ],
)
def test_layout(given_text: str, wanted: str) -> None:
    assert fmt(BODY.format(given_text)) == BODY.format(wanted)


def test_continued_lines_hang() -> None:
    text = 'pipe 1\nstage f(a: f32)\n-> (b: f32)\nwhere N <= 4\nusing onnx("a") {\nversions = [3]\n}\n'
    wanted = 'pipe 1\nstage f(a: f32)\n    -> (b: f32)\n  where N <= 4\n  using onnx("a") {\n  versions = [3]\n}\n'
    assert fmt(text) == wanted


def test_text_blocks_are_not_touched() -> None:
    text = 'pipe 1\nconst   A =   """\n   a\n     b   \n   """\n'
    assert fmt(text) == text.replace("const   A =   ", "const A = ")


def test_byte_order_mark_and_carriage_returns_go() -> None:
    assert fmt("\ufeffpipe 1\r\nconst A = 1\r\n") == "pipe 1\nconst A = 1\n"


def test_a_broken_text_is_refused() -> None:
    with pytest.raises(CompileError) as caught:
        fmt("pipe 1\nconst A = ]\n")
    assert [d.code for d in caught.value.diagnostics] == ["E0003"]


def test_an_empty_text_stays_empty() -> None:
    assert fmt("") == ""
    assert fmt("\n\n# only a comment") == "# only a comment\n"
