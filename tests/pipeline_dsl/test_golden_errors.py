"""Every mistake as people see it: `tests/golden/errors/<code>_<what>.pipe` (or `.py`) and the `.err` it gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline_dsl import render
from pipeline_dsl.errors import codes
from tests.goldens import GOLDEN, compare, diagnose, diagnose_built

PROGRAMS = sorted(p for p in (GOLDEN / "errors").iterdir() if p.suffix in (".pipe", ".py"))


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_mistake(path: Path) -> None:
    diagnostics = diagnose(path) if path.suffix == ".pipe" else diagnose_built(path)
    code = path.stem.partition("_")[0]
    assert code in {d.code for d in diagnostics}
    compare(path.with_suffix(".err"), render.text(diagnostics))


ELSEWHERE = {"builder", "load", "exporting", "contract"}
"""Families whose texts stand beside the tests of what makes them."""


@pytest.mark.parametrize("code", [c for c, e in codes().items() if e.where not in ELSEWHERE and c != "W0310"])
def test_every_code_has_a_golden_pair(code: str) -> None:
    """W0310 is told by the command, which opens files."""
    assert [p for p in PROGRAMS if p.stem.startswith(f"{code}_")]


def test_no_golden_file_is_left_over() -> None:
    names = {p.stem for p in PROGRAMS}
    left = [p.name for p in (GOLDEN / "errors").glob("*.err") if p.stem not in names]
    assert not left
