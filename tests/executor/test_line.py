"""The line before a door: turns of callers, who makes room, and a flood in front of a running engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import Overloaded
from executor.line import Line

from .gates import Scene, answer, scene


@dataclass(eq=False)
class Asked:
    """A request, as far as the line looks at it."""

    caller: str
    number: int = 0

    def __repr__(self) -> str:
        return f"{self.caller}{self.number}"


def line_of(callers: str) -> tuple[Any, list[Any]]:
    line: Any = Line()
    asked = [Asked(caller, callers[:i].count(caller)) for i, caller in enumerate(callers)]
    for one in asked:
        line.add(one)
    return line, asked


def order(line: Any) -> str:
    return " ".join(repr(line.pop()) for _ in range(len(line)))


@pytest.mark.parametrize(
    ("came", "enter"),
    [
        ("aaa", "a0 a1 a2"),
        ("aaab", "a0 b0 a1 a2"),
        ("aabbc", "a0 b0 c0 a1 b1"),
        ("abcabc", "a0 b0 c0 a1 b1 c1"),
    ],
)
def test_callers_take_turns(came: str, enter: str) -> None:
    assert order(line_of(came)[0]) == enter


def test_a_caller_that_comes_back_is_last() -> None:
    line, _ = line_of("aab")
    assert repr(line.pop()) == "a0"
    assert repr(line.pop()) == "b0"
    line.add(Asked("b", 1))
    assert order(line) == "a1 b1"


@pytest.mark.parametrize(
    ("there", "newcomer", "out"),
    [
        ("aaaa", "a", None),
        ("a", "b", None),
        ("ab", "c", None),
        ("aa", "b", "a1"),
        ("aab", "b", None),
        ("aaab", "b", "a2"),
        ("aaabbbb", "c", "b3"),
        ("", "a", None),
    ],
)
def test_who_makes_room(there: str, newcomer: str, out: str | None) -> None:
    found = line_of(there)[0].yielding(newcomer)
    assert (None if found is None else repr(found)) == out


@given(st.lists(st.tuples(st.sampled_from(["add", "pop", "discard"]), st.sampled_from("abc"), st.integers(0, 9))))
def test_the_line_counts_what_it_holds(steps: list[tuple[str, str, int]]) -> None:
    line: Any = Line()
    there: list[Asked] = []
    for what, caller, place in steps:
        if what == "add":
            there.append(Asked(caller))
            line.add(there[-1])
        elif what == "pop" and there:
            assert line.first() in there
            there.remove(line.pop())
        elif what == "discard" and there:
            gone = there.pop(place % len(there))
            line.discard(gone)
            line.discard(gone)
            assert gone not in line
        assert len(line) == len(there)
        assert set(line) == set(there)
        assert all(one in line for one in there)


# ---- an engine


def ask(s: Scene, caller: str, value: float) -> Any:
    return s.send(value, caller=caller)


def test_a_flood_waits_for_itself() -> None:
    with scene(pipeline={"max_inflight": 1, "queue.max": 2000}) as s:
        flood = [ask(s, "flood", -1) for _ in range(1000)]
        s.gate.began()
        singles = [ask(s, f"caller{i}", i) for i in range(10)]
        s.gate.always_open = True
        s.gate.open(2000)
        for job in (*flood, *singles):
            answer(job)
        served = [rows[0] for rows in s.gate.rows()]
        assert len(served) == 1010
        assert served[:12] == [-1, -1, *range(10)]


def test_a_full_line_makes_room_for_others() -> None:
    with scene(pipeline={"max_inflight": 1, "queue.max": 4}) as s:
        flood = [ask(s, "flood", -i) for i in range(5)]
        s.gate.began()
        with pytest.raises(Overloaded, match="4 wait") as own:
            ask(s, "flood", -5)
        assert not own.value.started
        singles = [ask(s, "a", 1), ask(s, "b", 2), ask(s, "c", 3)]
        for job in flood[2:]:
            with pytest.raises(Overloaded, match="4 wait") as dropped:
                answer(job)
            assert not dropped.value.started
        with pytest.raises(Overloaded):
            ask(s, "d", 4)  # there is no caller left with two more
        s.gate.always_open = True
        s.gate.open(100)
        for job in (*flood[:2], *singles):
            answer(job)
        assert [rows[0] for rows in s.gate.rows()] == [0, -1, 1, 2, 3]
