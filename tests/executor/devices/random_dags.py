"""Random programs whose stages lie at random on the host and on two simulated devices, from a seed."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from backends.device import Accelerator, device
from backends.device.sim import Simulation, use
from executor import Engine
from pipeline_dsl.plan import StagePlan
from tests.executor.random_programs import RandomProgram
from tests.executor.random_runs import run
from tests.simulated import moved

REQUESTS = 6
PLACES = ("cpu", "sim:0", "sim:1")


def run_on_devices(
    seed: int,
    then: Callable[[Engine, RandomProgram], None] = lambda engine, made: None,
    after: Callable[[list[Accelerator]], None] = lambda devices: None,
) -> None:
    """One program and its requests: every answer equals the interpreter's, nothing is unordered, nothing is left.

    `then` is called with the engine still running, `after` with the devices once all is over."""
    rng = random.Random(seed)
    simulation = Simulation(seed, order=rng.choice(["random", "late"]), peer=rng.random() < 0.5, host_orders="none")
    places: dict[str, str] = {}

    def place(stage: StagePlan) -> str:
        return places.setdefault(stage.name, rng.choice(PLACES))

    with use(simulation):
        run(seed, REQUESTS, lambda plan: moved(plan, place), then)
        devices = [device(name) for name in PLACES[1:]]
        found = [one for one in devices if isinstance(one, Accelerator)]
        after(found)
        simulation.check()
        for _ in range(2):  # memory of one device that is given back may be the last to refer to some of the other
            for one in found:
                one.synchronize()
            gc.collect()
            for one in found:
                one.sweep()
        held = simulation.leaks()
        assert not held, held


@contextmanager
def quick_collections() -> Iterator[None]:
    """Let collections look at what is made from here on only: each run makes several."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
