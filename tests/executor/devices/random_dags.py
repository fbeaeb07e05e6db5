"""Random programs whose stages lie at random on the host and on two simulated devices, from a seed."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from backends.device import Accelerator, device
from backends.device.sim import Simulation, use
from executor import Engine
from pipeline_dsl.plan import Plan, StagePlan
from tests.executor.random_programs import RandomProgram
from tests.executor.random_runs import run
from tests.simulated import moved

REQUESTS = 6
PLACES = ("cpu", "sim:0", "sim:1")


def run_on_devices(
    seed: int,
    then: Callable[[Engine, RandomProgram], None] = lambda engine, made: None,
    after: Callable[[list[Accelerator]], None] = lambda devices: None,
    *,
    sizes: Sequence[int] = (0,),
) -> None:
    """One program and its requests: every answer equals the interpreter's, nothing is unordered, nothing is left.

    `then` is called with the engine still running, `after` with the devices once all is over. `sizes`: multiprocessors
    that stages on a device are kept to, each to one of them at random; 0: all."""
    rng = random.Random(seed)
    simulation = Simulation(seed, order=rng.choice(["random", "late"]), peer=rng.random() < 0.5, host_orders="none")
    places: dict[str, str] = {}

    def place(stage: StagePlan) -> str:
        return places.setdefault(stage.name, rng.choice(PLACES))

    draws = random.Random(f"sizes {seed}")

    def placed(plan: Plan) -> Plan:
        found = moved(plan, place)
        stages = (stage if stage.on_host else replace(stage, sms=draws.choice(sizes)) for stage in found.stages)
        return replace(found, stages=tuple(stages))

    with use(simulation):
        run(seed, REQUESTS, placed, then)
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
