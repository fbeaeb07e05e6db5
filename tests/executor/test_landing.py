"""Copies to the host that nobody waits for."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from backends.device.sim import SimDriver, Simulation, use
from executor import Engine
from executor.cohort import Cohort
from executor.columns import Copies, Stack
from executor.devices import Landings, Reaper
from pipeline_dsl.planning import build
from tests.pipeline_dsl.graphs import HOST, chain
from tests.simulated import moved


@pytest.mark.parametrize("order", ["random", "late", "eager"])
def test_nothing_is_held_once_values_have_arrived(order):
    for seed in range(10):
        simulation = Simulation(seed, order=order)
        device = simulation.accelerator()
        reaper = Reaper()
        arrays = [np.full((2, 3), i) for i in range(4)]
        columns = tuple([Stack(device.upload(a), None) for a in arrays])
        arrived, found = threading.Event(), []

        def told(cohort: Any, error: Any, arrived: Any = arrived, found: Any = found) -> None:
            found.append((cohort, error))
            arrived.set()

        layout: Any = None
        copies = Copies()
        assert Landings(reaper).begin(Cohort(layout, columns), range(4), copies, told)
        del columns
        assert arrived.wait(10)
        assert reaper.stop(10)
        ((cohort, error),) = found
        assert error is None
        assert all(np.array_equal(c.array, a) for c, a in zip(cohort.columns, arrays, strict=True))
        assert copies.bytes == {"to_host": sum(a.nbytes for a in arrays)}
        del cohort, found, told
        assert simulation.leaks() == []


@pytest.mark.host  # it moves one stage to a device itself
def test_an_engine_rests_only_when_nothing_is_on_its_way_to_the_host(monkeypatch: pytest.MonkeyPatch):
    """A request that was given up leaves its copies behind; what follows them must not come after the engine's end."""
    asked, arrives = threading.Event(), threading.Event()
    synchronize, ready = SimDriver.synchronize, SimDriver.ready

    def held(event: Any) -> bool:
        return event.op is not None and event.op.label == "download" and not arrives.is_set()

    def waiting(driver: SimDriver, event: Any) -> None:
        if held(event):
            asked.set()
            arrives.wait(20)
        synchronize(driver, event)

    monkeypatch.setattr(SimDriver, "synchronize", waiting)
    monkeypatch.setattr(SimDriver, "ready", lambda driver, event: not held(event) and ready(driver, event))
    places = {"s0": "sim:0", "s1": "cpu"}
    with use(Simulation(0)) as simulation:
        engine = Engine(moved(build(chain(2).program(), HOST), lambda stage: places[stage.name]))
        engine.start()
        try:
            job = engine.submit("p", {"x": np.ones((1, 4), np.float32)})
            assert asked.wait(20)
            assert job.cancel()
            assert not engine.drain(0)
            assert "cohorts wait for values on their way to the host" in engine.check_idle()
            arrives.set()
            assert engine.drain(20)
            assert engine.check_idle() == []
        finally:
            arrives.set()
            engine.stop()
        simulation.check()
