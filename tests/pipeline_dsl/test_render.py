"""Diagnostics as text, JSON, workflow commands and SARIF."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest

from pipeline_dsl import render
from pipeline_dsl.diagnostics import LIMIT, Diagnostic, Label, Severity
from pipeline_dsl.render.cells import LONGEST, Line
from pipeline_dsl.source import Source, Span

EMBED = Source(
    "embed.pipe",
    "\n" * 12
    + '  using onnx("${MODELS}/minilm/model.onnx", version = 3) {\n'
    + "\n" * 9
    + "  h: f32[*, ~L, DIM] = encoder(input_ids = ids, attention_mask = mask)\n",
)


def at(source: Source, text: str, nth: int = 0) -> Span:
    start = -1
    for _ in range(nth + 1):
        start = source.text.index(text, start + 1)
    return Span(source, start, start + len(text))


def block(*diagnostics: Diagnostic) -> str:
    """The text without the line that counts."""
    return render.text(diagnostics).rpartition("\n\n")[0] + "\n"


def test_two_places_of_one_file() -> None:
    mistake = Diagnostic(
        "E0301",
        "shapes differ in dimension 1: expected 384, found 768",
        at(EMBED, "DIM"),
        label="DIM = 384 (embed.pipe:5)",
        labels=(Label(at(EMBED, "onnx"), "output `hidden` is f32[*, ~L, 768] (from embed.pipe.lock)"),),
        help="set `const DIM = 768`, or call a projection stage between them",
    )
    assert block(mistake) == (
        "error[E0301]: shapes differ in dimension 1: expected 384, found 768\n"
        "  --> embed.pipe:23:17\n"
        "   |\n"
        '13 |   using onnx("${MODELS}/minilm/model.onnx", version = 3) {\n'
        "   |         ---- output `hidden` is f32[*, ~L, 768] (from embed.pipe.lock)\n"
        "   |\n"
        "23 |   h: f32[*, ~L, DIM] = encoder(input_ids = ids, attention_mask = mask)\n"
        "   |                 ^^^ DIM = 384 (embed.pipe:5)\n"
        "   |\n"
        "help: set `const DIM = 768`, or call a projection stage between them\n"
    )


def test_a_note_stands_before_the_help() -> None:
    mistake = Diagnostic("E0401", "no port", at(EMBED, "ids", 1), help="do this", notes=("ports: a",))
    assert block(mistake).splitlines()[-3:] == ["   |", "   = note: ports: a", "help: do this"]


def test_places_in_two_files() -> None:
    other = Source("other.pipe", "stage f(x: f32)\n")
    mistake = Diagnostic("E0401", "m", at(EMBED, "encoder"), labels=(Label(at(other, "x"), "declared here"),))
    assert block(mistake).splitlines()[4:] == [
        "   |                        ^^^^^^^",
        "  ::: other.pipe:1:9",
        "   |",
        "1  | stage f(x: f32)",
        "   |         - declared here",
    ]


def test_two_places_on_one_line() -> None:
    source = Source("a.pipe", "x = f(a, a)\n")
    mistake = Diagnostic("E0403", "twice", at(source, "a", 1), label="again", labels=(Label(at(source, "a"), "first"),))
    assert block(mistake).splitlines()[3:] == [
        "1  | x = f(a, a)",
        "   |          ^ again",
        "   |       - first",
    ]


def test_one_line_between_is_shown() -> None:
    source = Source("a.pipe", "one\ntwo\nthree\nfour\nfive\n")
    mistake = Diagnostic("E0001", "m", at(source, "three"), labels=(Label(at(source, "one"), "l"),))
    assert [line[:3].strip() for line in block(mistake).splitlines()[3:]] == ["1", "", "2", "3", ""]


def test_wide_numbers_move_the_gutter() -> None:
    source = Source("a.pipe", "\n" * 999 + "x = 1\n")
    assert block(Diagnostic("E0001", "m", at(source, "x"))).splitlines()[1:] == [
        "    --> a.pipe:1000:1",
        "     |",
        "1000 | x = 1",
        "     | ^",
    ]


@pytest.mark.parametrize(
    ("line", "target", "caret"),
    [
        ("\tx = 1", "x", "   |     ^"),
        ("a\tx = 1", "x", "   |     ^"),
        ("你好 x", "x", "   |      ^"),
        ("é x", "x", "   |   ^"),
        ("e\u0301 x", "x", "   |   ^"),
        ("你好", "好", "   |   ^^"),
        ("\x1b[2J x", "x", "   |      ^"),
    ],
)
def test_carets_stand_under_what_is_shown(line: str, target: str, caret: str) -> None:
    source = Source("a.pipe", line + "\n")
    shown = block(Diagnostic("E0001", "m", at(source, target)))
    assert shown.splitlines()[-1] == caret
    assert "\x1b" not in shown
    assert "\t" not in shown


def test_control_characters_of_messages_are_not_printed() -> None:
    mistake = Diagnostic("E0001", "a\x1b[31mb\r\nc", Span(Source("x\x07.pipe", ""), 0, 0), help="\u202e")
    assert all(c.isprintable() or c == "\n" for c in render.text([mistake]))


def test_a_long_line_is_cut_around_the_place() -> None:
    source = Source("a.pipe", "a" * 5000 + "X" + "b" * 5000)
    shown = block(Diagnostic("E0001", "m", at(source, "X"))).splitlines()
    assert len(shown[3]) < LONGEST + 20
    assert shown[3].index("X") == shown[4].index("^")


@pytest.mark.parametrize("focus", [0, 10, 200, 499, 500])
def test_the_window_holds_the_focus(focus: int) -> None:
    text = "".join(chr(97 + i % 26) for i in range(500))
    line = Line(text, focus)
    if focus < 500:
        assert line.shown[line.cell(focus)] == text[focus]
    assert len(line.shown) <= LONGEST + 6


def test_a_place_of_several_lines_marks_the_first() -> None:
    source = Source("a.pipe", "x = f(\n  a\n)\n")
    shown = block(Diagnostic("E0001", "m", Span(source, 4, 12))).splitlines()
    assert shown[3:] == ["1  | x = f(", "   |     ^^"]


def test_the_end_of_a_file() -> None:
    source = Source("a.pipe", "x =")
    assert block(Diagnostic("E0001", "m", Span(source, 3, 3))).splitlines()[3:] == ["1  | x =", "   |    ^"]


def test_a_source_without_text() -> None:
    mistake = Diagnostic("E0009", "m", Span(Source("a.pipe", ""), 0, 0), help="h")
    assert block(mistake) == "error[E0009]: m\n  --> a.pipe\nhelp: h\n"


def test_counts_and_the_limit() -> None:
    source = Source("a.pipe", "x\n" * 100)
    errors = [Diagnostic("E0001", "m", Span(source, i * 2, i * 2 + 1)) for i in range(LIMIT + 3)]
    warning = Diagnostic("W0002", "w", Span(source, 0, 1), Severity.WARNING)
    last = render.text([warning, *errors]).splitlines()[-1]
    assert last == f"{LIMIT + 3} errors, 1 warning (3 not shown); `pipectl explain E0001` says more"
    assert render.text([warning]).splitlines()[-1] == "1 warning; `pipectl explain W0002` says more"
    assert render.text([]) == ""


def test_colour_adds_nothing_but_colour() -> None:
    mistake = Diagnostic("E0401", "m", at(EMBED, "encoder"), label="l", help="h", notes=("n",))
    coloured = render.text([mistake], colour=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == render.text([mistake])


MISTAKE = Diagnostic(
    "E0003",
    "50%, `(` is never closed\nreally",
    at(EMBED, "encoder"),
    label="here",
    labels=(Label(at(EMBED, "onnx"), "there"),),
    help="close it",
    notes=("n",),
)


def test_json() -> None:
    (found,) = json.loads(render.json([MISTAKE]))
    assert found == {
        "code": "E0003",
        "severity": "error",
        "message": "50%, `(` is never closed\nreally",
        "file": "embed.pipe",
        "line": 23,
        "column": 24,
        "end_line": 23,
        "end_column": 31,
        "label": "here",
        "labels": [{"file": "embed.pipe", "line": 13, "column": 9, "end_line": 13, "end_column": 13, "text": "there"}],
        "help": "close it",
        "notes": ["n"],
    }
    assert render.json([]) == "[]\n"


def test_github() -> None:
    source = Source("a,b:c.pipe", "x = (\n\n")
    many = Diagnostic("W0002", "w", Span(source, 0, 6), Severity.WARNING)
    assert render.github([MISTAKE, many]) == (
        "::error file=embed.pipe,line=23,endLine=23,col=24,endColumn=31,title=E0003::"
        "50%25, `(` is never closed%0Areally%0Ahere%0Anote: n%0Ahelp: close it\n"
        "::warning file=a%2Cb%3Ac.pipe,line=1,endLine=2,title=W0002::w\n"
    )


def sarif(diagnostics: Sequence[Diagnostic]) -> Any:
    log = json.loads(render.sarif(diagnostics, version="1.2"))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    return run


def test_sarif() -> None:
    run = sarif([MISTAKE, Diagnostic("W0002", "w", Span(Source("a b.pipe", "x"), 0, 1), Severity.WARNING), MISTAKE])
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("pipectl", "1.2")
    assert [rule["id"] for rule in driver["rules"]] == ["E0003", "W0002"]
    first, second, third = run["results"]
    assert (first["ruleIndex"], second["ruleIndex"], third["ruleIndex"]) == (0, 1, 0)
    assert (first["level"], second["level"]) == ("error", "warning")
    place = first["locations"][0]["physicalLocation"]
    assert place["region"] == {"startLine": 23, "startColumn": 24, "endLine": 23, "endColumn": 31}
    assert first["relatedLocations"][0]["message"]["text"] == "there"
    assert second["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%20b.pipe"
    assert "help: close it" in first["message"]["text"]
