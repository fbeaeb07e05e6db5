"""The programs in the written pages are right, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline_dsl.check import Options
from pipeline_dsl.compile import check_text

DOCS = Path(__file__).parents[2] / "docs"
PROGRAMS = [
    pytest.param(text, id=f"{path.stem}_{number}")
    for path in sorted(DOCS.glob("*.md"))
    if path.stem != "language"  # its programs belong together, and have a test of their own
    for number, text in enumerate(re.findall(r"```pipe\n(pipe 1\n.*?)```", path.read_text(encoding="utf-8"), re.DOTALL))
]


def test_there_are_programs() -> None:
    assert len(PROGRAMS) >= 4


@pytest.mark.parametrize("text", PROGRAMS)
def test_a_program_is_right(text: str) -> None:
    assert [d.message for d in check_text(text, Options(environ={}))[1].sorted()] == []


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda p: p.stem)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (path.parent / link).exists(), link
