"""What is said of a word: golden, for every definition and every word of a table in one file."""

from __future__ import annotations

import pytest

from pipeline_dsl.index import hover
from tests.goldens import compare

from .indexing import FOLDER, SAMPLE, indexed


def test_everything_in_the_sample() -> None:
    index = indexed(SAMPLE)
    assert index.program is not None
    told: dict[str, str] = {}
    for at in sorted((*index.occurrences, *index.topics), key=lambda x: (x.span.start, x.span.end)):
        found = hover(index, at.span.start)
        assert found is not None
        text, span = found
        told.setdefault(text, f"### {span.line}:{span.column} {span.text}")
    compare(FOLDER / "hovers.md", "\n\n".join(f"{head}\n\n{text}" for text, head in told.items()) + "\n")


def test_the_path_of_an_import_shows_what_is_there() -> None:
    found = hover(indexed(SAMPLE), SAMPLE.index('"vision.pipe"') + 2)
    assert found is not None
    assert "- stage `decode`" in found[0]
    assert found[1].text == '"vision.pipe"'


@pytest.mark.parametrize("word", ["pipe 1", "# ", "=", "return"])
def test_nothing_is_said_of_the_rest(word: str) -> None:
    text = SAMPLE + "\n# a comment\n"
    assert hover(indexed(text), text.index(word)) is None


def test_two_sizes_of_one_name_keep_their_origins() -> None:
    text = SAMPLE.replace("  side =", "  again = detect(decode(data)).boxes\n  two = stack(found.count, 1)\n  side =")
    found = hover(indexed(text), text.index("again"))
    assert found is not None
    assert "again: f32[N, 4]" in found[0]
    assert "`N` comes from detect, line 30" in found[0]


def test_a_declaration_that_can_not_be_laid_out_is_shown_as_it_stands() -> None:
    text = "pipe 1\nconst   BIG = 99999999999999999999GiB\n"
    found = hover(indexed(text), text.index("BIG"))
    assert found is not None
    assert "const   BIG = 99999999999999999999GiB" in found[0]


def test_a_value_is_told_where_its_declaration_does_not_show_it() -> None:
    text = "pipe 1\nconst SIDE = 8 * 28\nconst LIST = [1]\n"
    index = indexed(text)
    assert "`224`" in (hover(index, text.index("SIDE")) or ("",))[0]
    assert "`[1]`" not in (hover(index, text.index("LIST")) or ("",))[0]


def test_options_of_constructs_are_explained_and_their_words_are_no_names() -> None:
    text = SAMPLE.replace("  side =", "  y = map (order = keep, max = 3) c in crops { yield c }\n  side =")
    index = indexed(text)
    found = hover(index, text.index("order ="))
    assert found is not None
    assert "`order`: `keep` or `any`" in found[0]
    assert hover(index, text.index("keep,")) is None
    assert not any(o.span.text == "keep" for o in index.occurrences)
