"""docs/streams.md: its program runs, and says what the page says it does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipectl
from backends.importer import forget

PAGE = (Path(__file__).parents[2] / "docs" / "streams.md").read_text(encoding="utf-8")


def block(kind: str) -> str:
    found = re.search(rf"```{kind}\n(.*?)```", PAGE, re.S)
    assert found is not None
    return found[1]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[pipectl.App]:
    (tmp_path / "writer.py").write_text(block("python"))
    (tmp_path / "story.pipe").write_text(block("pipe"))
    with pipectl.load(tmp_path / "story.pipe") as running:
        yield running
    forget(str(tmp_path))


def test_the_program_of_the_page(app: pipectl.App) -> None:
    pieces = list(app["story"].stream(topic="sea"))
    assert [p["text"] for p in pieces if "text" in p] == ["SEA0", "SEA1", "SEA2"]
    assert [p["points"] for p in pieces if "points" in p] == [4, 4, 4]
    assert pieces[-1] == {"whole": "sea0 sea1 sea2", "words": 3}
    answer = app["story"](topic="sea")
    assert list(answer["text"]) == ["SEA0", "SEA1", "SEA2"]
    assert answer.wait()["words"] == 3  # type: ignore[attr-defined]  # a pipeline with streams gives a StreamResponse


def test_the_bounds_it_names() -> None:
    from backends.streams import BYTES, ELEMENTS
    from executor.streaming.call import TURN, TURN_NS
    from executor.streaming.nodes import MOST_BYTES
    from pipeline_dsl.plan import AheadPolicy

    assert (AheadPolicy().elements, AheadPolicy().nbytes) == (ELEMENTS, BYTES) == (64, 1 << 20)
    assert (TURN, TURN_NS, MOST_BYTES) == (64, 1_000_000, 1 << 30)
