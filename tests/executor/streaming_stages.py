"""Python stages of the tests of streams. What they do while they run is kept in `SEEN`, by request."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from backends import InvalidInput
from executor.clock import ManualClock

PATIENCE = 10.0

SEEN: Counter[tuple[str, str]] = Counter()
"""What happened how often: (what, request)."""
LOG: list[str] = []
"""Who made elements, in order."""
CLOCKS: list[ManualClock] = []
GATES: dict[str, threading.Semaphore] = {}
"""Elements that `gated` may make, by the name of a gate."""


def numbers(*, n: int, ctx: Any) -> Iterator[int]:
    """0, 1, 2, .. to n; without end if n is negative. Fails behind 3 elements for n = 666, behind 100 for 667."""
    request = ctx.request_ids[0]
    SEEN["begun", request] += 1
    try:
        i = 0
        while i != n:
            if (n, i) in ((666, 3), (667, 100)):
                raise ValueError(f"it is {n}")
            yield i
            SEEN["made", request] += 1
            i += 1
    finally:
        SEEN["closed", request] += 1


def told(*, n: int) -> Iterator[int]:
    """The same, and then how many there were."""
    yield from range(n)
    return n


def pairs(*, n: int) -> Iterator[tuple[int, str]]:
    """Two streams at a time."""
    for i in range(n):
        yield i, str(i)


def gated(*, name: str, ctx: Any) -> Iterator[int]:
    """An element each time its gate opens."""
    i = 0
    try:
        while True:
            assert GATES[name].acquire(timeout=PATIENCE), "the gate stayed shut"
            yield i
            SEEN["made", name] += 1
            i += 1
    finally:
        SEEN["closed", name] += 1


def ticking(*, name: str) -> Iterator[int]:
    """20 elements, each of which takes 2 ms of the test's clock."""
    for i in range(20):
        assert GATES[name].acquire(timeout=PATIENCE), "the gate stayed shut"
        CLOCKS[0].advance(2_000_000)
        LOG.append(name)
        yield i


def rays(*, n: int) -> Iterator[Any]:
    """`n` arrays, then one more beside them."""
    for i in range(n):
        yield np.full(4, i, np.float32)
    return np.full(4, -n, np.float32)


def doubled(*, s: Iterable[int]) -> Iterator[int]:
    """Each element of a stream, twice as large."""
    for i in s:
        yield 2 * i


def first(*, s: Iterator[int], n: int) -> int:
    """The sum of the first n elements; the others are not read."""
    return sum(next(s) for _ in range(n))


def total(*, s: Iterable[int]) -> int:
    """All elements, added up."""
    return sum(s)


def double(*, x: Any) -> Any:
    """Rows."""
    return x * 2


def picky(*, x: int) -> int:
    """Refuses multiples of 5."""
    if x % 5 == 0:
        raise InvalidInput(f"{x} is a multiple of 5")
    return x
