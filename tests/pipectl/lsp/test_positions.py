"""Lines and columns in the units of the protocol."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from pipectl.lsp.positions import Lines

UTF8, UTF16, UTF32 = types.PositionEncodingKind.Utf8, types.PositionEncodingKind.Utf16, types.PositionEncodingKind.Utf32
TEXT = "a🦜é\r\nb\rc\n"


@pytest.mark.parametrize(
    ("encoding", "columns"),
    [(UTF16, [0, 1, 3, 4]), (UTF8, [0, 1, 5, 7]), (UTF32, [0, 1, 2, 3])],
)
def test_columns_of_characters(encoding: str, columns: list[int]) -> None:
    lines = Lines(TEXT, encoding)
    assert [lines.position(i) for i in range(4)] == [types.Position(0, c) for c in columns]
    assert [lines.offset(types.Position(0, c)) for c in columns] == [0, 1, 2, 3]


def test_every_kind_of_line_end() -> None:
    lines = Lines(TEXT)
    assert [lines.position(TEXT.index(c)) for c in "bc"] == [types.Position(1, 0), types.Position(2, 0)]
    assert lines.position(len(TEXT)) == types.Position(3, 0)
    assert Lines("a\u2028b\x0cc").position(4) == types.Position(0, 4)


@pytest.mark.parametrize(
    ("position", "offset"),
    [((0, 99), 3), ((9, 0), len(TEXT)), ((3, 5), len(TEXT)), ((0, 2), 1), ((1, 7), 6)],
)
def test_positions_outside_are_moved_in(position: tuple[int, int], offset: int) -> None:
    assert Lines(TEXT).offset(types.Position(*position)) == offset


def test_half_a_pair_is_a_unit() -> None:
    lines = Lines("\ud800x")
    assert lines.position(1) == types.Position(0, 1)
    assert lines.offset(types.Position(0, 1)) == 1


@given(st.text("a🦜é\r\n\ud800"), st.sampled_from([UTF8, UTF16, UTF32]))
def test_there_and_back(text: str, encoding: str) -> None:
    lines = Lines(text, encoding)
    inside = {i + 1 for i in range(len(text) - 1) if text[i : i + 2] == "\r\n"}
    for offset in range(len(text) + 1):
        if offset not in inside:
            assert lines.offset(lines.position(offset)) == offset
