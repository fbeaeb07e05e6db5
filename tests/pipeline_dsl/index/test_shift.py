"""Places before and after an edit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_dsl.index import Shift


@pytest.mark.parametrize(
    ("old", "new", "offset", "there"),
    [
        ("abc", "abc", 2, 2),
        ("abc", "aXbc", 1, 1),
        ("abc", "aXbc", 2, 1),
        ("abc", "aXYbc", 4, 2),
        ("abc", "aXYbc", 2, None),
        ("abc", "ac", 2, 3),
        ("", "abc", 0, 0),
        ("", "abc", 2, None),
        ("aaa", "aaaa", 4, 3),
    ],
)
def test_to_old(old: str, new: str, offset: int, there: int | None) -> None:
    assert Shift(old, new).to_old(offset) == there


def test_near_old_is_the_end_of_what_is_the_same_before() -> None:
    assert Shift("abc", "aXYbc").near_old(2) == 1
    assert Shift("abc", "aXYbc").near_old(4) == 2


@given(st.text("ab\n"), st.text("ab\n"), st.text("ab\n"), st.text("ab\n"))
def test_what_stayed_is_found_again(before: str, removed: str, added: str, after: str) -> None:
    old, new = before + removed + after, before + added + after
    shift = Shift(old, new)
    for offset in range(len(new) + 1):
        there = shift.to_old(offset)
        if there is not None:
            same_before = old[:there] == new[:offset]
            same_behind = old[there:] == new[offset:]
            assert same_before or same_behind
    assert sum(shift.kept) <= min(len(old), len(new))
