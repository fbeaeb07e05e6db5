"""The generated reference pages are those of the tables."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "reference.py"


def pages() -> dict[Path, str]:
    spec = importlib.util.spec_from_file_location("reference", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: dict[Path, str] = module.pages()
    return made


@pytest.mark.parametrize("name", ["settings.md", "metrics.md", "diagnostics.md", "stock.md"])
def test_pages_are_those_of_the_tables(name: str) -> None:
    path, text = next((p, t) for p, t in pages().items() if p.name == name)
    if os.environ.get("PIPECTL_BLESS") == "1":
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run `python scripts/reference.py`"
