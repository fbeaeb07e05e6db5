"""Copies to the host that nobody waits for."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from backends.device.sim import Simulation
from executor.cohort import Cohort
from executor.columns import Copies, Stack
from executor.devices import Landings, Reaper


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
