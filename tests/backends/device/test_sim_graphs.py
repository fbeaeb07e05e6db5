"""Captured graphs on the simulator: what is written down, and launched again on what memory holds then."""

from __future__ import annotations

import numpy as np
import pytest

from backends.device.sim import RaceError, Simulation

F8 = np.dtype(np.float64)


class Bench:
    def __init__(self, **settings):
        self.simulation = Simulation(**settings)
        self.driver = self.simulation.driver(0)
        self.one, self.two, self.three = (self.driver.open_stream() for _ in range(3))
        self.x, self.y, self.z = (self.driver.view(self.driver.allocate(32, self.one), (4,), F8) for _ in range(3))

    def fill(self, stream, data, value):
        self.driver.launch(stream, lambda out: out.fill(value), [data], [])

    def add(self, stream, target, *sources):
        self.driver.launch(stream, lambda out, *parts: out.__setitem__(..., sum(parts) + 1), [target], sources)

    def chain(self):
        """y = x + 1, on the first stream."""
        self.driver.begin_capture(self.one)
        self.add(self.one, self.y, self.x)
        return self.driver.end_capture(self.one)

    def value(self, data):
        self.simulation.run_all()
        return data.actual.tolist()


@pytest.fixture
def bench():
    return Bench()


def test_nothing_runs_while_it_is_written_down(bench):
    bench.fill(bench.one, bench.x, 1)
    bench.fill(bench.one, bench.y, 9)
    bench.chain()
    assert bench.value(bench.y) == [9] * 4
    assert bench.y.ideal.tolist() == [9] * 4


def test_it_reads_what_memory_holds_then(bench):
    graph = bench.chain()
    for value in (1, 5):
        bench.fill(bench.one, bench.x, value)
        bench.driver.replay(graph, bench.one)
        assert bench.y.ideal.tolist() == [value + 1] * 4
        assert bench.value(bench.y) == [value + 1] * 4
    bench.simulation.check()


def test_it_forks_and_joins():
    for seed in range(30):
        bench = Bench(seed=seed)
        driver = bench.driver
        driver.begin_capture(bench.one)
        bench.add(bench.one, bench.y, bench.x)
        driver.wait(bench.two, driver.record(bench.one))
        bench.add(bench.two, bench.z, bench.y)
        bench.add(bench.one, bench.x, bench.y)
        driver.wait(bench.one, driver.record(bench.two))
        bench.add(bench.one, bench.y, bench.x, bench.z)
        graph = driver.end_capture(bench.one)
        for i in range(3):
            bench.fill(bench.three, bench.x, i)
            driver.replay(graph, bench.three)
            assert bench.value(bench.y) == [2 * (i + 2) + 1] * 4
        bench.simulation.check()
        assert bench.two.tick == 0, "its branches have streams of their own when it is launched"


def test_a_branch_that_does_not_join(bench):
    driver = bench.driver
    driver.begin_capture(bench.one)
    driver.wait(bench.two, driver.record(bench.one))
    bench.add(bench.two, bench.z, bench.x)
    with pytest.raises(RuntimeError, match="not behind"):
        driver.end_capture(bench.one)
    bench.fill(bench.two, bench.z, 1)
    assert bench.value(bench.z) == [1] * 4


def test_branches_that_nothing_orders(bench):
    driver = bench.driver
    driver.begin_capture(bench.one)
    driver.wait(bench.two, driver.record(bench.one))
    bench.add(bench.one, bench.y, bench.x)
    bench.add(bench.two, bench.z, bench.y)
    driver.wait(bench.one, driver.record(bench.two))
    graph = driver.end_capture(bench.one)
    bench.fill(bench.one, bench.x, 1)
    with pytest.raises(RaceError):
        driver.replay(graph, bench.one)


def test_events_of_the_outside_have_no_place_in_it(bench):
    outside = bench.driver.record(bench.two)
    bench.driver.begin_capture(bench.one)
    inside = bench.driver.record(bench.one)
    with pytest.raises(RuntimeError, match="not part of the capture"):
        bench.driver.wait(bench.one, outside)
    for look in (bench.driver.ready, bench.driver.synchronize):
        with pytest.raises(RuntimeError, match="was captured"):
            look(inside)
    with pytest.raises(RuntimeError, match="captured already"):
        bench.driver.begin_capture(bench.one)
    with pytest.raises(RuntimeError, match="no capture began"):
        bench.driver.end_capture(bench.two)


def test_launches_on_two_streams_come_one_after_the_other(bench):
    graph = bench.chain()
    bench.fill(bench.one, bench.x, 1)
    bench.driver.replay(graph, bench.one)
    bench.driver.wait(bench.two, bench.driver.record(bench.one))
    bench.driver.replay(graph, bench.two)
    bench.driver.replay(graph, bench.one)
    assert bench.value(bench.y) == [2] * 4
    bench.simulation.check()


def test_its_output_is_still_read(bench):
    graph = bench.chain()
    bench.fill(bench.one, bench.x, 1)
    bench.driver.replay(graph, bench.one)
    bench.driver.wait(bench.two, bench.driver.record(bench.one))
    copy = bench.driver.view(bench.driver.allocate(32, bench.two), (4,), F8)
    bench.add(bench.two, copy, bench.y)
    with pytest.raises(RaceError, match=r"writes .* reads: no stream"):
        bench.driver.replay(graph, bench.one)
    bench.driver.wait(bench.one, bench.driver.record(bench.two))
    bench.driver.replay(graph, bench.one)


def test_memory_of_its_own_that_was_freed(bench):
    graph = bench.chain()
    bench.fill(bench.one, bench.x, 1)
    bench.driver.free(bench.y.life, bench.one)
    bench.driver.allocate(32, bench.one)
    with pytest.raises(RaceError, match="after it was freed"):
        bench.driver.replay(graph, bench.one)
