"""The simulator by itself: what runs when, a device that fails, and how it fits the rest."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from backends.device import Accelerator, DeviceLost, device
from backends.device.sim import RaceError, Simulation, use
from tests.backends.device.raw import F4, Bench


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
