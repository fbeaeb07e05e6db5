"""Engines whose stages run on simulated devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from zlib import crc32

import pytest

from backends.device.sim import Simulation, use
from executor import Engine
from pipeline_dsl.plan import Plan, StagePlan
from pipeline_dsl.planning.streams import with_streams

Place = Callable[[StagePlan], str]


def everywhere(stage: StagePlan) -> str:
    """All on one device."""
    return "sim:0"


def moved(plan: Plan, place: Place) -> Plan:
    """The plan with its stages on other devices; what runs in a process of its own stays there."""
    stages = tuple(s if s.isolate else replace(s, device=place(s)) for s in plan.stages)
    pipelines = {name: with_streams(p, stages) for name, p in plan.pipelines.items()}
    return replace(plan, stages=stages, pipelines=pipelines)


@contextmanager
def on_simulator(
    name: str, monkeypatch: pytest.MonkeyPatch, place: Place = everywhere, *, serial: bool = False, **settings: Any
) -> Iterator[Simulation]:
    """Engines made here run on a simulation whose seed is the name's; it must have found nothing at the end.

    `settings`: those of the simulation."""
    original = Engine.__init__

    def init(self: Engine, plan: Plan, *args: Any, **kwargs: Any) -> None:
        original(self, replace(moved(plan, place), serial=serial or plan.serial), *args, **kwargs)

    made = Simulation(crc32(name.encode()), **{"host_orders": "none", **settings})
    with monkeypatch.context() as patch, use(made) as simulation:
        patch.setattr(Engine, "__init__", init)
        yield simulation
        simulation.check()
