"""Edits of diagnostics: each mends what it stands beside. Tried on every golden file of mistakes."""

from __future__ import annotations

from collections import Counter

import pytest

from pipeline_dsl import check_text
from pipeline_dsl.check import Options
from pipeline_dsl.diagnostics import Diagnostic, Edit
from tests.goldens import GOLDEN, FolderLoader

FILES = sorted((GOLDEN / "errors").glob("*.pipe"))


def found(text: str, name: str = "x.pipe") -> list[Diagnostic]:
    options = Options(environ={}, search_path=("lib",), loader=FolderLoader(GOLDEN / "errors"))
    return check_text(text, options, name)[1].sorted()


def applied(text: str, edits: tuple[Edit, ...]) -> str:
    for edit in sorted(edits, key=lambda e: -e.span.start):
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
    return text


def with_edits() -> list[tuple[str, str, Diagnostic]]:
    texts = {path.name: path.read_bytes().decode("utf-8", "replace") for path in FILES}
    return [(name, text, d) for name, text in texts.items() for d in found(text, name) if d.edits]


@pytest.mark.parametrize(("name", "text", "diagnostic"), with_edits(), ids=lambda x: getattr(x, "code", None))
def test_the_edit_of_a_mistake_mends_it(name: str, text: str, diagnostic: Diagnostic) -> None:
    before = Counter(d.code for d in found(text, name))
    after = Counter(d.code for d in found(applied(text, diagnostic.edits), name))
    assert after[diagnostic.code] < before[diagnostic.code]
    assert all(edit.span.source.path == name for edit in diagnostic.edits)


def test_the_golden_files_hold_many_of_them() -> None:
    codes = {d.code for _, _, d in with_edits()}
    wanted = {"E0001", "E0003", "E0004", "E0005", "E0103", "E0105", "E0107", "E0205", "E0302", "E0401"}
    assert wanted | {"E0601", "E0602", "E0603", "W0002", "W0201"} <= codes


@pytest.mark.parametrize(
    ("line", "mended"),
    [
        ("const A = 1;", "const A = 1"),
        ("const A = 'x'", 'const A = "x"'),
        ("const A = true && false", "const A = true and false"),
        ("const A = !true", "const A = not true"),
    ],
)
def test_characters_of_other_languages(line: str, mended: str) -> None:
    text = f"pipe 1\n{line}\n"
    mistakes = [d for d in found(text) if d.code == "E0001"]
    for diagnostic in mistakes:
        text = applied(text, diagnostic.edits)
    assert text.replace("  ", " ") == f"pipe 1\n{mended}\n"


def test_the_edition_goes_behind_a_byte_order_mark() -> None:
    text = "\ufeffconst A = 1\n"
    missing = next(d for d in found(text) if d.code == "W0002")
    assert applied(text, missing.edits) == "\ufeffpipe 1\n\nconst A = 1\n"
