"""A stage that runs when a test lets it, so that what waits and what runs is exact without a sleep."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import backends
from backends.base import Batch, BatchResult, InstanceConfig
from executor import Engine
from executor.clock import ManualClock
from pipeline_dsl.plan import StagePlan
from pipeline_dsl.planning import build
from tests.pipeline_dsl.graphs import HOST, Build, stage

PATIENCE = 10.0
"""Seconds after which a test gives up on something that should happen at once."""


@dataclass
class Gate:
    """Backend `gate`: each batch waits for `open`. `seen` holds the batches in the order they began."""

    name: str = "gate"
    seen: list[Batch] = field(default_factory=list)
    react: Callable[[Batch], BatchResult] = lambda batch: BatchResult(batch.inputs[:1])
    """What a batch gives, once it is let through; may raise."""
    loaded: list[int] = field(default_factory=list)
    """Indices of the instances it loaded."""
    closed: int = 0

    def __post_init__(self) -> None:
        self._began = threading.Semaphore(0)
        self._open = threading.Semaphore(0)
        self.always_open = False

    def load(self, stage: StagePlan, config: InstanceConfig) -> GateInstance:
        self.loaded.append(config.index)
        return GateInstance(self)

    def began(self) -> Batch:
        """The next batch that began, once it has."""
        assert self._began.acquire(timeout=PATIENCE), "no batch began"
        return self.seen[-1]

    def open(self, times: int = 1) -> None:
        for _ in range(times):
            self._open.release()

    def rows(self) -> list[list[float]]:
        """First items of the rows of each batch."""
        return [np.asarray(b.inputs[0]).reshape(b.rows, -1)[:, 0].tolist() for b in self.seen]


class GateInstance:
    thread_affine = False

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def execute(self, batch: Batch) -> BatchResult:
        self.gate.seen.append(batch)
        self.gate._began.release()
        if not self.gate.always_open:
            assert self.gate._open.acquire(timeout=PATIENCE), "the gate stayed shut"
        return self.gate.react(batch)

    def warmup(self) -> None:
        pass

    def close(self) -> None:
        self.gate.closed += 1


@dataclass
class Scene:
    engine: Engine
    gate: Gate
    clock: ManualClock

    def send(self, value: float, rows: int = 1, **options: Any) -> Any:
        """A request of `rows` rows that begin with `value`."""
        return self.engine.submit("p", {"x": row(value, rows)}, **options)


def row(value: float, rows: int = 1) -> Any:
    return np.full((rows, 4), value, np.float32)


def answer(job: Any) -> Any:
    return job.result(PATIENCE)


def one_stage(**contract: Any) -> Build:
    """x -> s (gate) -> out"""
    made = Build()
    made.output("out", made.call("s", stage("s", backend="gate", **contract), made.input("x")))
    return made


@contextmanager
def scene(
    made: Build | None = None, *others: Build, pipeline: dict[str, Any] | None = None, **settings: Any
) -> Iterator[Scene]:
    """A running engine whose stage `s` waits at the gate; `settings` are those of `s` (`batching_max = 4`)."""
    gate = Gate()
    backends.register("gate", lambda: gate)
    keys = {name.replace("_", ".", 1): value for name, value in settings.items()}
    program = (made or one_stage()).program(*others, stages={"s": keys}, pipelines={"p": pipeline or {}})
    clock = ManualClock()
    engine = Engine(build(program, HOST), clock)
    engine.start()
    try:
        yield Scene(engine, gate, clock)
        gate.always_open = True
        gate.open(1000)
        assert engine.drain(PATIENCE)
        assert engine.check_idle() == []
    finally:
        gate.always_open = True
        gate.open(1000)
        engine.stop()
