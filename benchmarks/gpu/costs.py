"""What a request costs, on the engine or by hand, and how the two are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

INFLIGHT = 8
"""Requests under way where throughput is measured."""


@dataclass(frozen=True)
class Cost:
    """Seconds of the host's clock."""

    latency: float
    """Of one request alone: median."""
    per_second: float
    """Requests, with `INFLIGHT` under way."""
    host: float
    """CPU seconds of the process for each request, one after the other."""


def cost(one: Callable[[], object], many: Callable[[int], float], count: int) -> Cost:
    """Of `count` requests alone, and of twice as many together. `one` asks and waits; `many(n)` gives requests a
    second. What is measured is warm."""
    times = []
    cpu = time.process_time()
    for _ in range(count):
        start = time.perf_counter()
        one()
        times.append(time.perf_counter() - start)
    cpu = time.process_time() - cpu
    return Cost(statistics.median(times), many(2 * count), cpu / count)


def in_turn(measures: dict[str, Callable[[], Cost]], times: int = 3) -> dict[str, Cost]:
    """Medians of several measurements of each, taken in turn."""
    found: dict[str, list[Cost]] = {name: [] for name in measures}
    for _ in range(times):
        for name, measure in measures.items():
            found[name].append(measure())
    return {
        name: Cost(
            statistics.median(c.latency for c in costs),
            statistics.median(c.per_second for c in costs),
            statistics.median(c.host for c in costs),
        )
        for name, costs in found.items()
    }
