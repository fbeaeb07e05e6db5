"""Blocks of device memory, from the last array over them to the next one."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from backends.device import DeviceLost
from backends.device.sim import Simulation
from tests.backends.device.programs import diamond, settle


@pytest.fixture
def device():
    return Simulation().accelerator()


def test_a_finalizer_takes_no_lock(device):
    held = [device.empty((4,), np.int8)]
    with device.lock:
        thread = threading.Thread(target=held.clear)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
    assert device.live_bytes == 0


def test_memory_is_given_out_again_once_the_last_view_is_dropped(device):
    whole = device.empty((4, 4), np.int8)
    part, address = whole[1:], whole.address
    del whole
    other = device.empty((4, 4), np.int8)
    assert other.address != address
    assert device.live_bytes == 32
    del part
    assert device.empty((4, 4), np.int8).address == address


def test_bytes_are_counted(device):
    x = device.empty((10,), np.float32)
    y = device.empty((5,), np.float32)
    assert (device.live_bytes, device.peak_bytes) == (60, 60)
    del x
    assert (device.live_bytes, device.peak_bytes) == (20, 60)
    device.empty((20,), np.float32)
    assert (device.live_bytes, device.peak_bytes) == (20, 100)
    del y
    assert device.live_bytes == 0


@pytest.mark.parametrize("first", range(12))
@pytest.mark.parametrize("order", ["random", "late"])
def test_memory_that_runs_out_in_the_middle(first, order):
    """Both of the tries that there are; what was launched before ends, and nothing stays."""
    simulation = Simulation(first, order=order, host_orders="none")
    device = simulation.accelerator()
    simulation.driver(0).pool.fail = range(first, first + 2)
    with pytest.raises(MemoryError, match=r"sim:0 has no \d+ bytes left"):
        diamond(device)
    settle(simulation, device)
    diamond(device)
    settle(simulation, device)


def test_memory_that_is_short_for_a_moment():
    simulation = Simulation()
    device = simulation.accelerator()
    simulation.driver(0).pool.fail = range(3, 4)
    diamond(device)
    settle(simulation, device)


def test_memory_of_other_streams_is_given_back_before_an_allocation_fails():
    simulation = Simulation(memory=1024)
    device = simulation.accelerator()
    for i in range(8):
        stream = device.in_lane(0, i % 4)
        with stream.use():
            landing = device.download(device.upload(np.full(200, i, np.float32)))
        landing.event.synchronize()
        assert (landing.array == i).all()
    assert simulation.driver(0).pool.nbytes <= 1024


def test_a_lost_device_says_so_to_everyone(device):
    device.driver.fail_op = 1
    x = device.upload(np.arange(4))
    event = device.current().record()
    with pytest.raises(DeviceLost, match="illegal address"):
        event.synchronize()
    with pytest.raises(DeviceLost):
        device.upload(np.arange(4))
    with pytest.raises(DeviceLost):
        device.download(x)
    del x
    assert device.live_bytes == 0
    assert not device.sweep()


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("asked", [False, True])
def test_a_lost_device_holds_nothing_of_another(recorded, asked):
    """What it was reading when it was lost goes back to its own device, and the other one works on."""
    simulation = Simulation(host_orders="none")
    lost, well = simulation.accelerator(0), simulation.accelerator(1)
    lane = lost.in_lane(0)
    source = well.upload(np.arange(4, dtype=np.int32))
    simulation.driver(0).fail_op = simulation.driver(0).launched + 1
    moved = lost.transfer(source, lane)
    event = lane.record() if recorded else None
    simulation.run_all()
    if asked:
        with pytest.raises(DeviceLost):
            lane.synchronize()
    del source, moved, event
    lost.sweep()
    well.sweep()
    assert simulation.leaks() == []
    landing = well.download(well.upload(np.full(4, 7, np.int32)))
    landing.event.synchronize()
    assert landing.array.tolist() == [7] * 4
    simulation.check()


def test_host_memory_that_a_lost_device_would_have_copied_serves_others():
    simulation = Simulation(order="late", host_orders="none")
    lost, well = simulation.accelerator(0), simulation.accelerator(1)
    lane = lost.in_lane(0)
    simulation.driver(0).fail_op = simulation.driver(0).launched + 1
    held = [lost.upload(np.arange(4, dtype=np.int32), lane) for _ in range(2)]
    event = lane.record()
    with pytest.raises(DeviceLost):
        event.synchronize()
    del held
    lost.sweep()
    landings = [well.download(well.upload(np.full(4, i, np.int32))) for i in range(3)]
    for i, landing in enumerate(landings):
        landing.event.synchronize()
        assert landing.array.tolist() == [i] * 4
    simulation.check()
