from __future__ import annotations

from pathlib import Path

import pytest

from .programs import PIPE


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """The file of all null programs."""
    path = tmp_path / "null.pipe"
    path.write_text(PIPE)
    return path
