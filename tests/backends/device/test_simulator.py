"""The simulator by itself: what runs when, what memory holds, and what it calls a mistake."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from backends.device import Accelerator, DeviceLost, device
from backends.device.sim import RaceError, Simulation, WrongValue, use

F4 = np.dtype(np.float32)


class Bench:
    """One device with two raw streams, and arrays of four floats."""

    def __init__(self, **settings):
        self.simulation = Simulation(**settings)
        self.driver = self.simulation.driver(0)
        self.one, self.two = self.driver.open_stream(), self.driver.open_stream()

    def array(self, stream=None, items=4):
        return self.driver.view(self.driver.allocate(4 * items, stream or self.one), (items,), F4)

    def fill(self, stream, data, value):
        self.driver.launch(stream, lambda out: out.fill(value), [data], [])

    def copy(self, stream, target, source):
        self.driver.launch(stream, lambda out, x: out.__setitem__(..., x), [target], [source])

    def cross(self, before, behind):
        event = self.driver.record(before)
        self.driver.wait(behind, event)
        return event

    def host(self, stream):
        self.driver.synchronize(self.driver.record(stream))


@pytest.fixture
def bench():
    return Bench()


# ---- when work runs


def test_nothing_runs_before_somebody_needs_it(bench):
    x = bench.array()
    bench.fill(bench.one, x, 3)
    assert np.isnan(x.actual).all()
    assert x.ideal.tolist() == [3] * 4
    bench.host(bench.one)
    assert x.actual.tolist() == [3] * 4


def test_late_runs_only_what_is_needed():
    bench = Bench(order="late")
    x, y = bench.array(), bench.array(bench.two)
    bench.fill(bench.one, x, 3)
    bench.fill(bench.two, y, 4)
    bench.host(bench.two)
    assert y.actual.tolist() == [4] * 4
    assert np.isnan(x.actual).all()


@pytest.mark.parametrize("order", ["random", "late", "eager"])
def test_who_polls_gets_there(order):
    for seed in range(20):
        bench = Bench(seed=seed, order=order)
        x = bench.array()
        for i in range(30):
            bench.fill(bench.one, x, i)
        event = bench.driver.record(bench.one)
        polls = 1
        while not bench.driver.ready(event):
            polls += 1
            assert polls < 1000
        assert x.actual.tolist() == [29] * 4


def test_seeds_differ_in_the_order_and_not_in_the_outcome():
    def trace(seed):
        bench, seen = Bench(seed=seed), []
        bench.fill(bench.one, bench.array(), 0)
        for i in range(10):
            for stream, name in ((bench.one, "a"), (bench.two, "b")):
                data = bench.array(stream)
                mark = f"{name}{i}"

                def work(out, data=data, mark=mark):
                    if out is data.actual:
                        seen.append(mark)

                bench.driver.launch(stream, work, [data], [])
        bench.simulation.run_all()
        return seen

    traces = {tuple(trace(seed)) for seed in range(10)}
    assert len(traces) > 5
    for seen in traces:
        assert [m for m in seen if m[0] == "a"] == [f"a{i}" for i in range(10)]
        assert [m for m in seen if m[0] == "b"] == [f"b{i}" for i in range(10)]


def test_time_is_that_of_bytes_and_of_the_device():
    simulation = Simulation(speeds=(1e6, 0.5e6), launch_cost=1e-3)
    took = []
    for index in (0, 1):
        driver = simulation.driver(index)
        stream = driver.open_stream()
        start = driver.mark(stream)
        data = driver.view(driver.allocate(4000, stream), (1000,), F4)
        driver.launch(stream, lambda out: out.fill(0), [data], [])
        end = driver.mark(stream)
        with pytest.raises(RuntimeError, match="not passed"):
            driver.elapsed(start, end)
        driver.synchronize(driver.record(stream))
        took.append(driver.elapsed(start, end))
    assert took == pytest.approx([1e-3 + 4e-3, 1e-3 + 8e-3])


def test_streams_overlap_in_simulated_time():
    bench = Bench(speeds=(1e6,), launch_cost=0.0)
    for stream in (bench.one, bench.two):
        bench.fill(stream, bench.array(stream, 1000), 0)
    bench.simulation.run_all()
    assert bench.simulation.makespan == pytest.approx(4e-3)
    bench.cross(bench.one, bench.two)
    bench.fill(bench.two, bench.array(bench.two, 1000), 0)
    bench.simulation.run_all()
    assert bench.simulation.makespan == pytest.approx(8e-3)


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


# ---- copies and pinned memory


def pinned(bench, items=4):
    return np.frombuffer(bench.driver.pinned(4 * items), F4, items)


def test_a_copy_to_the_host_arrives_when_its_event_has_passed(bench):
    x, target = bench.array(), pinned(bench)
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


@pytest.mark.parametrize("make", [pinned, lambda bench: np.zeros(4, F4)])
def test_a_host_array_that_changes_before_its_copy_runs(bench, make):
    x, source = bench.array(), make(bench)
    source[:] = 1
    bench.driver.upload(bench.one, x, source)
    source[0] = 2
    with pytest.raises(RaceError, match="changed before its copy"):
        bench.simulation.check()


def test_a_slab_that_is_returned_before_its_copy_ran(bench):
    x, source = bench.array(), pinned(bench)
    source[:] = 1
    bench.driver.upload(bench.one, x, source)
    del source
    gc.collect()
    with pytest.raises(RaceError, match="returned to its pool"):
        bench.simulation.check()


def test_a_slab_that_is_returned_when_the_host_does_not_know_that_its_copy_ran(bench):
    x, source = bench.array(), pinned(bench)
    source[:] = 1
    bench.driver.upload(bench.one, x, source)
    bench.simulation.run_all()
    del source
    with pytest.raises(RaceError, match="returned to its pool"):
        bench.simulation.check()


def test_slabs_are_given_out_again_with_undefined_content(bench):
    slab = pinned(bench)
    slab[:] = 1
    address, view = slab.ctypes.data, slab[1:]
    del slab
    other = pinned(bench)
    assert other.ctypes.data != address, "a view of the first one is alive"
    del view
    again = pinned(bench)
    assert again.ctypes.data == address
    assert np.isnan(again).all()
    assert bench.simulation.slabs.made == 2


def test_a_slab_between_two_copies_carries_the_value(bench):
    x, y, slab = bench.array(), bench.array(bench.two), pinned(bench)
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
    x, target = bench.array(), pinned(bench)
    bench.fill(bench.one, x, 1)
    bench.host(bench.one)
    bench.driver.download(bench.one, target, x)
    x.actual[...] = 7  # somebody writes, and says so to nobody
    with pytest.raises(WrongValue, match="other bytes"):
        bench.simulation.check()


# ---- a device that fails


def test_an_illegal_address_is_for_good(bench):
    x = bench.array()
    bench.driver.fail_op = 2
    bench.fill(bench.one, x, 1)
    bench.fill(bench.one, x, 2)
    event = bench.driver.record(bench.one)
    with pytest.raises(DeviceLost, match=r"sim:0: .* illegal address"):
        bench.driver.synchronize(event)
    for call in (
        lambda: bench.fill(bench.one, x, 3),
        lambda: bench.driver.ready(event),
        lambda: bench.driver.record(bench.one),
        lambda: bench.driver.allocate(1, bench.one),
        lambda: bench.driver.pinned(1),
        bench.driver.open_stream,
        bench.driver.trim,
    ):
        with pytest.raises(DeviceLost):
            call()
    other = bench.simulation.driver(1)
    stream = other.open_stream()
    other.synchronize(other.record(stream))


def test_work_that_fails_only_out_of_order(bench):
    x, y = bench.array(), bench.array()
    bench.fill(bench.one, x, 1)

    def work(out, source):
        if np.isnan(source).any():
            raise IndexError("out of range")
        out[...] = source

    bench.driver.launch(bench.one, work, [y], [x])
    bench.simulation.run_all()
    bench.driver.launch(bench.one, work, [y], [x])
    x.actual.fill(np.nan)
    with pytest.raises(RaceError, match="failed when its time came"):
        bench.simulation.check()
    with pytest.raises(DeviceLost):
        bench.driver.record(bench.one)


def test_work_that_raises_when_it_is_launched(bench):
    with pytest.raises(ZeroDivisionError):
        bench.driver.launch(bench.one, lambda out: 1 / 0, [bench.array()], [])
    bench.simulation.check()


# ---- several threads, and the rest of the package


def test_threads_share_a_device():
    simulation = Simulation(3)
    accelerator = simulation.accelerator()
    wrong = []

    def serve(number):
        stream = accelerator.stream(lane=number)
        try:
            for i in range(60):
                with stream.use():
                    x = accelerator.upload(np.full(5, number * 1000 + i))
                    y = accelerator.compute(x.shape, x.dtype, lambda out, v: np.add(v, 1, out=out), [x])
                landing = accelerator.download(y)
                while not landing.event.ready():
                    accelerator.sweep()
                if not (landing.array == number * 1000 + i + 1).all():
                    wrong.append((number, i))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=serve, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    accelerator.synchronize()
    accelerator.sweep()
    simulation.check()
    assert simulation.idle(), simulation.leaks()


def test_everything_is_returned_with_its_device():
    simulation = Simulation()
    accelerator = simulation.accelerator()
    landing = accelerator.download(accelerator.upload(np.arange(4)))
    assert not simulation.idle()
    landing.event.synchronize()
    del landing
    accelerator.sweep()
    assert simulation.idle()
    assert not simulation.idle(events=True)
    del accelerator
    gc.collect()
    assert simulation.idle(events=True), simulation.leaks(events=True)


def test_the_device_by_name_is_that_of_the_simulation_in_use():
    with use(Simulation(memory=4096)) as simulation:
        found = device("sim:1")
        assert isinstance(found, Accelerator)
        assert found.driver is simulation.driver(1)
        assert found is device("sim:1")
        assert found.memory() == (0, 4096)
    with use(Simulation()):
        assert device("sim:1") is not found


def test_an_array_of_another_library():
    simulation = Simulation()
    accelerator = simulation.accelerator()
    stream, other = accelerator.in_lane(0, 0), accelerator.in_lane(0, 1)
    theirs = accelerator.driver.library_array(np.arange(4.0), stream.handle)
    with pytest.raises(TypeError, match="not in the memory of sim:0"):
        accelerator.adopt(np.arange(4.0))
    array = accelerator.adopt(theirs, stream)
    del theirs
    made = accelerator.compute((4,), np.float64, lambda out, x: np.add(x, 1, out=out), [array], other)
    del array
    landing = accelerator.download(made)
    landing.event.synchronize()
    assert landing.array.tolist() == [1, 2, 3, 4]
    del landing, made
    accelerator.sweep()
    simulation.check()
    assert simulation.idle(), simulation.leaks()
