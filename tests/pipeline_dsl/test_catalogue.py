"""The catalogue of mistakes: codes, titles, pages."""

from __future__ import annotations

import re

import pytest

from pipeline_dsl.diagnostics import Severity, Sink
from pipeline_dsl.errors import codes, page
from pipeline_dsl.parse import parse
from pipeline_dsl.source import Source


def test_codes_are_sorted_and_well_formed() -> None:
    assert list(codes()) == sorted(codes())
    assert all(re.fullmatch(r"[EW]\d{4}", code) for code in codes())
    assert all(entry.title and not entry.title.endswith(".") for entry in codes().values())


def test_the_letter_is_the_severity() -> None:
    assert {e.severity for c, e in codes().items() if c[0] == "W"} == {Severity.WARNING}
    assert {e.severity for c, e in codes().items() if c[0] == "E"} == {Severity.ERROR}


def test_an_entry_names_its_family() -> None:
    assert codes()["E0003"].where == "syntax"


@pytest.mark.parametrize("code", codes())
def test_every_code_has_a_page_with_a_wrong_and_a_right_example(code: str) -> None:
    text = page(code)
    assert text.startswith(f"# {code}: {codes()[code].title}\n")
    assert text.index("Wrong:") < text.index("Right:")


@pytest.mark.parametrize("code", codes())
def test_the_right_example_of_a_page_parses(code: str) -> None:
    right = page(code).partition("Right:")[2]
    for example in re.findall(r"```pipe\n(.*?)```", right, re.DOTALL):
        sink = Sink()
        parse(Source(code, example), sink)
        assert not sink.errors


@pytest.mark.parametrize("code", [c for c in codes() if codes()[c].where == "syntax" and c != "E0009"])
def test_the_wrong_example_of_a_syntax_page_makes_the_mistake(code: str) -> None:
    wrong = page(code).partition("Wrong:")[2].partition("Right:")[0]
    example = re.findall(r"```pipe\n(.*?)```", wrong, re.DOTALL)[0]
    sink = Sink()
    parse(Source(code, example), sink)
    assert code in {d.code for d in sink.sorted()}


def test_an_unknown_code_has_no_page() -> None:
    with pytest.raises(KeyError):
        page("E9999")
