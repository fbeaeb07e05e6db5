"""Stages that are plain functions of their inputs, on an engine with a manual clock.

`running(build, functions)` yields a `Plain`: stage `name` calls `functions[name](*inputs)`, which gives a tuple of
outputs, a `BatchResult`, or raises. Every stage waits `DELAY` for company unless its settings say otherwise, so that
what shares a batch is exact: submit, then `tick`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import backends
from backends.base import Batch, BatchResult, InstanceConfig
from executor import Engine, Job, Response
from executor.clock import ManualClock
from pipeline_dsl.plan import Hardware, StagePlan
from pipeline_dsl.planning import build
from tests.pipeline_dsl.graphs import HOST, Build

from .gates import PATIENCE

DELAY = 1_000_000
"""ns."""

Function = Callable[..., Any]


@dataclass
class PlainBackend:
    functions: Mapping[str, Function]
    name: str = "plain"
    batches: list[tuple[str, Batch]] = field(default_factory=list)
    """(stage, batch) of every call, in the order they began."""
    live: int = 0

    def load(self, stage: StagePlan, config: InstanceConfig) -> PlainInstance:
        self.live += 1
        return PlainInstance(self, stage.name)


class PlainInstance:
    thread_affine = False

    def __init__(self, backend: PlainBackend, stage: str) -> None:
        self.backend = backend
        self.stage = stage

    def execute(self, batch: Batch) -> BatchResult:
        self.backend.batches.append((self.stage, batch))
        result = self.backend.functions[self.stage](*batch.inputs)
        return result if isinstance(result, BatchResult) else BatchResult(result)

    def warmup(self) -> None:
        pass

    def close(self) -> None:
        self.backend.live -= 1


@dataclass
class Plain:
    engine: Engine
    backend: PlainBackend
    clock: ManualClock

    def send(self, pipeline: str = "p", /, *, options: Mapping[str, Any] | None = None, **inputs: Any) -> Job:
        return self.engine.submit(pipeline, inputs, **(options or {}))

    def tick(self, times: int = 1) -> None:
        """Let every delay pass; `times` for as many stages one after the other."""
        for _ in range(times):
            self.clock.advance(DELAY)

    def ask(self, pipeline: str = "p", /, **inputs: Any) -> Response:
        """One request alone, through all delays."""
        job = self.send(pipeline, **inputs)
        return self.answers(job)[0]

    def finish(self, *jobs: Job) -> None:
        """Let delays pass until they have ended."""
        for job in jobs:
            while not job.done():
                self.tick()

    def answers(self, *jobs: Job) -> list[Response]:
        """What they are answered, once all delays have passed."""
        self.finish(*jobs)
        return [job.result(0) for job in jobs]

    def rows(self, stage: str) -> list[int]:
        """Rows of each batch of a stage."""
        return [b.rows for s, b in self.backend.batches if s == stage]


@contextmanager
def running(
    made: Build,
    functions: Mapping[str, Function],
    *others: Build,
    hardware: Hardware = HOST,
    delay: int = DELAY,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    pipelines: Mapping[str, dict[str, Any]] | None = None,
) -> Iterator[Plain]:
    """A running engine; `settings` are those of stages, by name. Idle and with nothing left over at the end."""
    backend = PlainBackend(functions)
    backends.register("plain", lambda: backend)
    stages: dict[str, dict[str, Any]] = {name: {"batching.delay": delay} for name in functions}
    for name, keys in (settings or {}).items():
        stages[name] = {**stages.get(name, {}), **keys}
    program = made.program(*others, stages=stages, pipelines=dict(pipelines or {}))
    clock = ManualClock()
    engine = Engine(build(program, hardware), clock)
    engine.start()
    try:
        yield Plain(engine, backend, clock)
        assert engine.drain(PATIENCE)
        assert engine.check_idle() == []
    finally:
        engine.stop()
    assert backend.live == 0
