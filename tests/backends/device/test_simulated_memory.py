"""What simulated memory holds, on the device and pinned on the host."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from backends.device.sim import RaceError, Simulation, WrongValue
from tests.backends.device.raw import F4, Bench


@pytest.fixture
def bench():
    return Bench()


# ---- memory


def test_what_is_freed_is_given_out_again_at_once(bench):
    first = bench.driver.allocate(100, bench.one)
    second = bench.driver.allocate(100, bench.one)
    chunk = second.chunk
    bench.driver.free(first, bench.one)
    bench.driver.free(second, bench.one)
    assert bench.driver.allocate(100, bench.one).chunk is chunk
    assert bench.driver.allocate(100, bench.two).chunk is not first.chunk


def test_use_after_free(bench):
    x, y = bench.array(), bench.array()
    bench.fill(bench.one, x, 1)
    bench.driver.free(x.life, bench.one)
    with pytest.raises(RaceError, match=r"reads .* after it was freed"):
        bench.copy(bench.one, y, x)
    with pytest.raises(RaceError, match=r"writes .* after it was freed"):
        bench.fill(bench.one, x, 1)


def test_freed_twice(bench):
    x = bench.array()
    bench.driver.free(x.life, bench.one)
    with pytest.raises(RaceError, match="twice"):
        bench.driver.free(x.life, bench.one)


def test_freed_while_another_stream_reads(bench):
    x, y = bench.array(), bench.array(bench.two)
    bench.fill(bench.one, x, 1)
    bench.cross(bench.one, bench.two)
    bench.copy(bench.two, y, x)
    with pytest.raises(RaceError, match=r"freed on stream 1 .* not behind .*stream 2"):
        bench.driver.free(x.life, bench.one)
    bench.simulation.run_all()
    assert y.actual.tolist() == [1] * 4


def test_memory_used_again_by_a_stream_that_is_not_behind_its_earlier_life(bench):
    x = bench.array()
    bench.fill(bench.one, x, 1)
    bench.driver.free(x.life, bench.one)
    again = bench.array()
    assert again.life.chunk is x.life.chunk
    with pytest.raises(RaceError, match="used before it was freed"):
        bench.fill(bench.two, again, 2)
    bench.cross(bench.one, bench.two)
    bench.fill(bench.two, again, 2)


def test_freed_memory_loses_its_content(bench):
    x = bench.array()
    bench.fill(bench.one, x, 1)
    bench.host(bench.one)
    bench.driver.free(x.life, bench.one)
    assert np.isnan(x.actual).all()
    assert np.isnan(x.ideal).all()


def test_more_than_there_is():
    bench = Bench(memory=1024)
    held = [bench.driver.allocate(256, bench.one) for _ in range(4)]
    assert bench.driver.memory() == (1024, 1024)
    with pytest.raises(MemoryError, match="1024 of 1024"):
        bench.driver.allocate(1, bench.one)
    bench.driver.free(held.pop(), bench.one)
    with pytest.raises(MemoryError):
        bench.driver.allocate(256, bench.two)
    bench.driver.trim()
    assert bench.driver.memory() == (768, 1024)
    bench.driver.allocate(256, bench.two)


def test_an_allocation_that_is_set_to_fail(bench):
    bench.driver.pool.fail = range(1, 2)
    bench.driver.allocate(1, bench.one)
    with pytest.raises(MemoryError, match="set to fail"):
        bench.driver.allocate(1, bench.one)
    bench.driver.allocate(1, bench.one)


def test_memory_is_not_read_by_accident(bench):
    with pytest.raises(TypeError, match="by accident"):
        np.asarray(bench.array())


def test_views_show_both_planes(bench):
    x = bench.array(items=6)
    bench.fill(bench.one, x, 1)
    view = x.reshape(2, 3)[1:, ::2]
    assert (view.shape, view.ndim, view.size, view.nbytes, len(view)) == ((1, 2), 2, 2, 8, 1)
    assert not view.flags.c_contiguous
    assert view.bounds == (12, 24)
    bench.fill(bench.one, view, 2)
    assert x.ideal.tolist() == [1, 1, 1, 2, 1, 2]
    bench.simulation.run_all()
    assert x.actual.tolist() == [1, 1, 1, 2, 1, 2]


# ---- copies and pinned memory


def test_a_copy_to_the_host_arrives_when_its_event_has_passed(bench):
    x, target = bench.array(), bench.pinned()
    bench.fill(bench.one, x, 1)
    bench.driver.download(bench.one, target, x)
    assert np.isnan(target).all()
    bench.host(bench.one)
    assert target.tolist() == [1] * 4


def test_any_host_array_can_be_copied(bench):
    x, target = bench.array(), np.zeros(4, F4)
    bench.driver.upload(bench.one, x, np.arange(4, dtype=F4))
    bench.driver.download(bench.one, target, x)
    assert target.tolist() == [0] * 4
    bench.host(bench.one)
    assert target.tolist() == [0, 1, 2, 3]
    bench.simulation.check()


@pytest.mark.parametrize("make", [Bench.pinned, lambda bench: np.zeros(4, F4)])
def test_a_host_array_that_changes_before_its_copy_runs(bench, make):
    x, source = bench.array(), make(bench)
    source[:] = 1
    bench.driver.upload(bench.one, x, source)
    source[0] = 2
    with pytest.raises(RaceError, match="changed before its copy"):
        bench.simulation.check()


def test_a_slab_that_is_returned_before_its_copy_ran(bench):
    x, source = bench.array(), bench.pinned()
    source[:] = 1
    bench.driver.upload(bench.one, x, source)
    del source
    gc.collect()
    with pytest.raises(RaceError, match="returned to its pool"):
        bench.simulation.check()


def test_a_slab_that_is_returned_when_the_host_does_not_know_that_its_copy_ran(bench):
    x, source = bench.array(), bench.pinned()
    source[:] = 1
    bench.driver.upload(bench.one, x, source)
    bench.simulation.run_all()
    del source
    with pytest.raises(RaceError, match="returned to its pool"):
        bench.simulation.check()


def test_slabs_are_given_out_again_with_undefined_content(bench):
    slab = bench.pinned()
    slab[:] = 1
    address, view = slab.ctypes.data, slab[1:]
    del slab
    other = bench.pinned()
    assert other.ctypes.data != address, "a view of the first one is alive"
    del view
    again = bench.pinned()
    assert again.ctypes.data == address
    assert np.isnan(again).all()
    assert bench.simulation.slabs.made == 2


def test_a_slab_between_two_copies_carries_the_value(bench):
    x, y, slab = bench.array(), bench.array(bench.two), bench.pinned()
    bench.fill(bench.one, x, 1)
    bench.driver.download(bench.one, slab, x)
    with pytest.raises(RaceError, match="pinned"):
        bench.driver.upload(bench.two, y, slab)
    bench.cross(bench.one, bench.two)
    bench.driver.upload(bench.two, y, slab)
    assert y.ideal.tolist() == [1] * 4
    bench.simulation.run_all()
    assert y.actual.tolist() == [1] * 4


def test_devices_copy_from_each_other(bench):
    other = bench.simulation.driver(1)
    stream = other.open_stream()
    x, y = bench.array(), other.view(other.allocate(16, stream), (4,), F4)
    bench.fill(bench.one, x, 1)
    with pytest.raises(RaceError):
        other.transfer(stream, y, x, bench.driver)
    other.wait(stream, bench.driver.record(bench.one))
    assert other.transfer(stream, y, x, bench.driver)
    bench.simulation.run_all()
    assert y.actual.tolist() == [1] * 4
    stranger = Simulation().driver(0)
    assert not other.transfer(stream, y, x, stranger)


# ---- values, where clocks say nothing


def test_wrong_values_are_seen_on_the_host(bench):
    x, target = bench.array(), bench.pinned()
    bench.fill(bench.one, x, 1)
    bench.host(bench.one)
    bench.driver.download(bench.one, target, x)
    x.actual[...] = 7  # somebody writes, and says so to nobody
    with pytest.raises(WrongValue, match="other bytes"):
        bench.simulation.check()
