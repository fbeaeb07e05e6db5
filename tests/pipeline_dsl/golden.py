"""Golden files: text that is kept beside the tests and rewritten with PIPECTL_BLESS=1."""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(__file__).parent.parent / "golden"


def assert_golden(path: Path, text: str) -> None:
    """The text equals the file; PIPECTL_BLESS=1 writes it instead."""
    if os.environ.get("PIPECTL_BLESS") == "1":
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"{path.name} is missing: PIPECTL_BLESS=1 writes it"
    assert text == path.read_text(encoding="utf-8")
