"""An accelerator that is simulated: the device layer proved on a machine without a GPU.

    Simulation   several devices, one seed; finds work that nothing orders
    SimDriver    one device

`driver(index)` is a device of the process's own simulation, or of the one in `use`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import backends.device

from .driver import SimDriver
from .errors import RaceError, WrongValue
from .library import LibraryArray
from .simulation import Settings, Simulation

__all__ = ["LibraryArray", "RaceError", "Settings", "SimDriver", "Simulation", "WrongValue", "driver", "use"]

_current: list[Simulation] = []


def simulation() -> Simulation:
    """The one in use; made when first asked for."""
    if not _current:
        _current.append(Simulation())
    return _current[-1]


def driver(index: int = 0) -> SimDriver:
    """A device of the simulation in use."""
    return simulation().driver(index)


@contextmanager
def use(chosen: Simulation) -> Iterator[Simulation]:
    """Let `backends.device.device("sim:0")` give devices of a simulation; for tests, one at a time in a process."""
    _current.append(chosen)
    backends.device.forget()
    try:
        yield chosen
    finally:
        _current.remove(chosen)
        backends.device.forget()
