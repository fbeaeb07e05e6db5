"""The device layer on the simulator: random work gives exactly what numpy gives, whatever order it runs in."""

from __future__ import annotations

import pytest

from backends.device.sim import Simulation
from tests.backends.device.programs import ORDERS, Program, diamond, settle


@pytest.mark.parametrize("order", ORDERS)
def test_random_work_gives_what_numpy_gives(order):
    for seed in range(60):
        simulation = Simulation(seed, order=order, peer=seed % 2 == 0, host_orders="none")
        program = Program(simulation, devices=2, streams=3)
        program.run(40)
        settle(simulation, *program.devices)


def test_memory_is_used_again_and_peaks_are_counted():
    reused = 0
    for seed in range(20):
        simulation = Simulation(seed)
        program = Program(simulation, devices=1, streams=3)
        program.run(60)
        settle(simulation, *program.devices)
        (device,) = program.devices
        reused += simulation.driver(0).pool.reused
        assert 0 < device.peak_bytes < program.made
        assert device.peak_bytes <= simulation.driver(0).pool.peak
    assert reused > 100


def test_a_device_that_is_nearly_too_small_gives_the_same():
    for seed in range(20):
        simulation = Simulation(seed, memory=12 * 1024, peer=False)
        program = Program(simulation, devices=2, streams=3)
        program.run(40)
        settle(simulation, *program.devices)


def test_a_chain_on_one_stream_needs_no_events():
    simulation = Simulation()
    device = simulation.accelerator()
    stream = device.in_lane(0, 0)
    made = device.empty((4,), "f4", stream)
    stream.launch(lambda out: out.fill(1), writes=[made])
    for _ in range(8):
        made = device.compute((4,), "f4", lambda out, x: out.__setitem__(..., x + 1), [made], stream)
    assert (device.events, device.waits) == (0, 0)
    landing = device.download(made)
    landing.event.synchronize()
    assert landing.array.tolist() == [9] * 4
    assert (device.events, device.waits) == (2, 1)


@pytest.mark.parametrize("order", ORDERS)
def test_a_diamond_joins_what_it_forked(order):
    for seed in range(100):
        simulation = Simulation(seed, order=order)
        device = simulation.accelerator()
        diamond(device)
        settle(simulation, device)


def test_the_order_of_a_seed_is_always_the_same():
    def run():
        simulation = Simulation(7)
        program = Program(simulation, devices=2, streams=2)
        program.run(40)
        settle(simulation, *program.devices)
        return simulation.ran, simulation.makespan, [d.events for d in program.devices]

    assert run() == run()
