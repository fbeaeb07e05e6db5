"""Uses of simulated memory that nothing orders, and events."""

from __future__ import annotations

import threading

import pytest

from backends.device.sim import RaceError
from tests.backends.device.raw import Bench


@pytest.fixture
def bench():
    return Bench()


# ---- unordered uses


def test_two_streams_that_nothing_orders(bench):
    x, y = bench.array(), bench.array(bench.two)
    bench.fill(bench.one, x, 1)
    with pytest.raises(RaceError, match=r"stream 2 of sim:0\) reads bytes .* of memory 1 .*stream 1 of sim:0\) wrote"):
        bench.copy(bench.two, y, x)
    with pytest.raises(RaceError):
        bench.simulation.check()


def test_an_event_orders_them(bench):
    x, y = bench.array(), bench.array(bench.two)
    bench.fill(bench.one, x, 1)
    bench.cross(bench.one, bench.two)
    bench.copy(bench.two, y, x)
    bench.simulation.check()
    assert y.actual.tolist() == [1] * 4


def test_events_order_through_a_third_stream(bench):
    x, y = bench.array(), bench.array(bench.two)
    third = bench.driver.open_stream()
    bench.fill(bench.one, x, 1)
    bench.cross(bench.one, third)
    bench.cross(third, bench.two)
    bench.copy(bench.two, y, x)
    bench.simulation.check()


def test_an_event_that_is_too_early(bench):
    x, y = bench.array(), bench.array(bench.two)
    bench.cross(bench.one, bench.two)
    bench.fill(bench.one, x, 1)
    with pytest.raises(RaceError):
        bench.copy(bench.two, y, x)


def test_the_host_orders_them(bench):
    x, y = bench.array(), bench.array(bench.two)
    bench.fill(bench.one, x, 1)
    bench.host(bench.one)
    bench.copy(bench.two, y, x)
    bench.simulation.check()


def test_the_host_orders_nothing_where_that_does_not_count():
    bench = Bench(host_orders="none")
    x, y = bench.array(), bench.array(bench.two)
    bench.fill(bench.one, x, 1)
    bench.host(bench.one)
    with pytest.raises(RaceError):
        bench.copy(bench.two, y, x)


def test_a_poll_that_says_no_orders_nothing():
    bench = Bench(order="late")
    x, y = bench.array(), bench.array(bench.two)
    for i in range(3):
        bench.fill(bench.one, x, i)
    assert not bench.driver.ready(bench.driver.record(bench.one))
    with pytest.raises(RaceError):
        bench.copy(bench.two, y, x)


@pytest.mark.parametrize("counts", ["all", "waits", "none"])
def test_a_poll_that_says_yes_orders_where_that_counts(counts):
    bench = Bench(order="eager", host_orders=counts)
    x, y = bench.array(), bench.array(bench.two)
    bench.fill(bench.one, x, 1)
    assert bench.driver.ready(bench.driver.record(bench.one))
    if counts == "all":
        bench.copy(bench.two, y, x)
        bench.simulation.check()
    else:
        with pytest.raises(RaceError):
            bench.copy(bench.two, y, x)


def test_a_write_behind_a_read(bench):
    x, y = bench.array(), bench.array(bench.two)
    bench.fill(bench.one, x, 1)
    bench.cross(bench.one, bench.two)
    bench.copy(bench.two, y, x)
    with pytest.raises(RaceError, match="reads: no stream"):
        bench.fill(bench.one, x, 2)


def test_two_reads_need_no_order(bench):
    x, y, z = bench.array(), bench.array(), bench.array(bench.two)
    bench.fill(bench.one, x, 1)
    bench.cross(bench.one, bench.two)
    bench.copy(bench.one, y, x)
    bench.copy(bench.two, z, x)
    bench.simulation.check()


def test_two_streams_may_write_parts_of_one_block(bench):
    x = bench.array(items=8)
    bench.fill(bench.one, x[:4], 1)
    bench.fill(bench.two, x[4:], 2)
    with pytest.raises(RaceError):
        bench.fill(bench.two, x[3:5], 3)
    bench.cross(bench.two, bench.one)
    y = bench.array(items=8)
    bench.copy(bench.one, y, x)
    bench.simulation.run_all()
    assert y.actual.tolist() == [1] * 4 + [2] * 4


def test_a_part_that_nobody_wrote(bench):
    x, y = bench.array(items=8), bench.array(items=8)
    bench.fill(bench.one, x[:4], 1)
    bench.copy(bench.one, y[:4], x[:4])
    with pytest.raises(RaceError, match=r"bytes 16 to .* nobody wrote"):
        bench.copy(bench.one, y, x)


def test_work_on_the_default_stream(bench):
    x = bench.array()
    for stream in (0, None, bench.driver.current_stream()):
        with pytest.raises(RaceError, match="default stream"):
            bench.fill(stream, x, 1)
    with bench.driver.current(bench.one):
        bench.fill(bench.driver.current_stream(), x, 1)
    assert bench.driver.address_of(bench.one) != 0


def test_the_current_stream_is_that_of_the_thread(bench):
    seen = []
    with bench.driver.current(bench.one):
        thread = threading.Thread(target=lambda: seen.append(bench.driver.current_stream()))
        thread.start()
        thread.join()
        assert bench.driver.current_stream() is bench.one
    assert seen == [0]


def test_a_stream_of_another_device(bench):
    other = bench.simulation.driver(1)
    with pytest.raises(RaceError, match="another device"):
        other.launch(bench.one, lambda out: None, [], [])


# ---- events


def test_events_are_recycled_last_one_first(bench):
    first, second = bench.driver.record(bench.one), bench.driver.record(bench.one)
    bench.driver.recycle(first)
    bench.driver.recycle(second)
    assert bench.driver.record(bench.one).slot is second.slot


@pytest.mark.parametrize("again", [False, True])
def test_a_recycled_event(bench, again):
    event = bench.driver.record(bench.one)
    bench.driver.recycle(event)
    if again:
        bench.driver.record(bench.two)
    for use_of_it in (
        lambda: bench.driver.wait(bench.two, event),
        lambda: bench.driver.ready(event),
        lambda: bench.driver.synchronize(event),
    ):
        with pytest.raises(RaceError, match="recycled"):
            use_of_it()


def test_an_event_that_is_recycled_twice(bench):
    event = bench.driver.record(bench.one)
    bench.driver.recycle(event)
    bench.driver.recycle(event)
    with pytest.raises(RaceError, match="twice"):
        bench.simulation.check()


def test_an_event_may_be_recycled_once_its_waits_are_issued(bench):
    x, y = bench.array(), bench.array(bench.two)
    bench.fill(bench.one, x, 1)
    bench.driver.recycle(bench.cross(bench.one, bench.two))
    bench.driver.record(bench.two)
    bench.copy(bench.two, y, x)
    bench.simulation.check()
    assert y.actual.tolist() == [1] * 4
