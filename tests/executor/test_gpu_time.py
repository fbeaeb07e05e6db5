"""GPU time of stages, from marks whose times a test sets."""

from __future__ import annotations

import pytest

from executor.gpu_time import GpuTime


class Driver:
    """Marks are numbers that count; a unit between two is a millisecond."""

    def __init__(self) -> None:
        self.marks = 0

    def mark(self, stream: object) -> int:
        self.marks += 1
        return self.marks

    def elapsed(self, start: int, end: int) -> float:
        return (end - start) / 1000


def test_one_in_so_many_is_measured_and_stands_for_the_others():
    times, driver = GpuTime(every=4), Driver()
    measured = []
    for call in range(10):
        span = times.begin("encode", driver, "stream")
        if span is not None:
            measured.append(call)
            span.end()
            span.passed()
    assert measured == [0, 4, 8]
    assert driver.marks == 6
    assert times.seconds("encode") == pytest.approx(0.009), "1 + 4 + 4 executions of a millisecond"


def test_stages_are_counted_apart():
    times, driver = GpuTime(every=2), Driver()
    first = times.begin("encode", driver, "stream")
    second = times.begin("rank", driver, "stream")
    assert first is not None
    assert second is not None
    first.end()
    second.end()
    second.passed()
    assert times.seconds("encode") is None
    assert times.seconds("rank") == pytest.approx(0.002)
    times.add("encode", 1.5)
    assert times.seconds("encode") == 1.5
