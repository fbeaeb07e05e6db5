"""Joins: whatever the grouping and the order of arrival, each request passes once with its own values."""

from __future__ import annotations

import random
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from executor.cohort import Deaths, Layout
from executor.columns import Copies, Stack
from executor.join import Join
from tests.pipeline_dsl.graphs import function_calls


class Owner:
    """As much of a request as a join needs."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.id = str(number)
        self.layouts: list[Layout] = []
        self.deadline_ns = None
        self.done = False


def layouts(owners: list[Owner], rng: random.Random) -> list[Layout]:
    """The owners in groups, each side in an order of its own."""
    mixed = owners[:]
    rng.shuffle(mixed)
    groups = []
    while mixed:
        n = rng.randint(1, len(mixed))
        groups.append(Layout(tuple(mixed[:n])))  # type: ignore[arg-type]  # stand-ins for requests
        mixed = mixed[n:]
    return groups


def columns(layout: Layout, side: int) -> tuple[Stack]:
    values = [o.number * 10 + side for o in layout.owners]  # type: ignore[attr-defined]  # stand-ins
    return (Stack(np.asarray(values), None),)


def check(join: Join, arrivals: list[tuple[int, Layout]], sides: int) -> list[Any]:
    passed = []
    for side, layout in arrivals:
        match = join.match(side, layout, columns(layout, side))
        if match is None:
            continue
        parts = match.assemble(Copies())
        assert len(parts) == sides
        for s, (column,) in enumerate(parts):
            assert column is not None
            found = [column.element(i) for i in range(len(column))]
            assert found == [o.number * 10 + s for o in match.layout.owners]  # type: ignore[attr-defined]  # stand-ins
        passed += match.layout.owners
    return passed


MANY = st.booleans().map(lambda many: patch("executor.join.FEW", 0) if many else nullcontext())
"""With much pending, or little: the two ways to find what overlaps."""


@given(st.integers(0, 2**32), MANY)
def test_every_owner_passes_once(seed: int, ways: Any) -> None:
    with ways:
        every_owner_passes_once(seed)


def every_owner_passes_once(seed: int) -> None:
    rng = random.Random(seed)
    owners = [Owner(i) for i in range(rng.randint(1, 8))]
    sides = rng.randint(2, 4)
    arrivals = [(s, layout) for s in range(sides) for layout in layouts(owners, rng)]
    rng.shuffle(arrivals)
    join = Join(sides)
    passed = check(join, arrivals, sides)
    assert sorted(o.number for o in passed) == [o.number for o in owners]
    assert len(join) == 0


@given(st.integers(0, 2**32), MANY)
def test_ended_requests_leave_nothing_behind(seed: int, ways: Any) -> None:
    with ways:
        ended_requests_leave_nothing_behind(seed)


def ended_requests_leave_nothing_behind(seed: int) -> None:
    rng = random.Random(seed)
    owners = [Owner(i) for i in range(rng.randint(1, 8))]
    arrivals = [(s, layout) for s in range(2) for layout in layouts(owners, rng)]
    rng.shuffle(arrivals)
    join = Join(2)
    cut = rng.randint(0, len(arrivals))
    passed = check(join, arrivals[:cut], 2)
    for owner in owners:
        if owner not in passed and rng.random() < 0.5:
            owner.done = True
            Deaths.count = next(Deaths.tokens)
            join.purge(owner)  # type: ignore[arg-type]  # a stand-in
            owner.layouts = []
    passed += check(join, arrivals[cut:], 2)
    assert {o.number for o in owners if not o.done} <= {o.number for o in passed}
    assert len(passed) == len(set(passed))
    assert len(join) == 0


def test_an_arrival_costs_by_its_own_size_however_much_is_pending() -> None:
    def cost(waiting: int) -> int:
        join = Join(2)
        owners = [Owner(i) for i in range(waiting)]
        for owner in owners:
            layout = Layout((owner,))  # type: ignore[arg-type]  # a stand-in
            join.match(0, layout, columns(layout, 0))
        late = Layout((owners[0],))  # type: ignore[arg-type]  # a stand-in
        return function_calls(lambda: join.match(1, late, columns(late, 1)))

    assert cost(500) <= cost(20)


def test_the_same_layout_passes_as_it_is() -> None:
    join = Join(2)
    layout = Layout((Owner(1), Owner(2)))  # type: ignore[arg-type]  # stand-ins
    left, right = columns(layout, 0), columns(layout, 1)
    assert join.match(0, layout, left) is None
    match = join.match(1, layout, right)
    assert match is not None
    assert match.layout is layout
    assert match.sides == [left, right]


def test_a_permutation_is_one_cohort_with_one_copy_a_side() -> None:
    owners = tuple(Owner(i) for i in range(4))
    join = Join(2)
    there, back = Layout(owners), Layout(owners[::-1])  # type: ignore[arg-type]  # stand-ins
    join.match(0, there, columns(there, 0))
    match = join.match(1, back, columns(back, 1))
    assert match is not None
    assert match.layout is back
    copies = Copies()
    match.assemble(copies)
    assert list(copies.bytes) == ["join"]
    assert copies.bytes["join"] == 4 * 8
