"""docs/reliability.md names tests and measures that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


def test_every_promise_of_the_page_has_a_row() -> None:
    rows = re.findall(r"(?m)^\| (R\d+) ", PAGE.partition("## Clients")[0])
    assert len(rows) == len(set(rows)) >= 20
    assert len(TESTS) > 20


@pytest.mark.parametrize(("path", "name"), TESTS)
def test_a_named_test_is_there(path: str, name: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not name or re.search(rf"(?m)^def {name}\(", text)


def test_named_measures_are_there() -> None:
    text = (ROOT / "benchmarks" / "reliability" / "__main__.py").read_text(encoding="utf-8")
    for name in set(re.findall(r"--only (\w+)`", PAGE)):
        assert f'"{name}"' in text
