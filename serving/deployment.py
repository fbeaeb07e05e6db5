"""One `.pipe` file that runs: its plan, its engine, and a codec for each of its pipelines.

    Source --compile--> Plan --Engine.start--> Deployment (ready) --retire--> drained, stopped

What is served of it by name is a `Served` pipeline, or one of the `Step`s inside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from executor.engine import Engine
from pipeline_dsl.plan import PipelinePlan, Plan, StagePlan, Step

from .convert import PipelineCodec
from .gather import Gather


class Origin(NamedTuple):
    """What a local file is a copy of."""

    store: str
    """URL, as messages may show it."""
    name: str
    """Below it."""
    folder: Path
    """The copy of the whole store."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a plan comes from, and how it is compiled."""

    path: Path
    version: int = 1
    profile: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    origin: Origin | None = None
    """Of a file that was copied from a store."""

    @property
    def place(self) -> str:
        """Where it is, for those who put it there: the same for every copy."""
        return str(self.path) if self.origin is None else f"{self.origin.store}/{self.origin.name}"

    def told(self, text: str) -> str:
        """A message about it, without the folder of a copy."""
        return text if self.origin is None else text.replace(str(self.origin.folder), self.origin.store)

    def __str__(self) -> str:
        return f"{self.place} (version {self.version})" if self.version != 1 else self.place


@dataclass(frozen=True, slots=True)
class ServedStep:
    """A call site of a pipeline, which clients see as a model of its own: `digits.trees`."""

    name: str
    step: Step
    stage: StagePlan
    served: Served

    @property
    def version(self) -> int:
        """That of its pipeline: it can not be asked for alone."""
        return self.served.version


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """One version of one pipeline."""

    name: str
    version: int
    plan: PipelinePlan
    codec: PipelineCodec
    deployment: Deployment
    repeatable: bool
    """Whether a call may run twice: no stage of it is `effects = once` or keeps state."""
    steps: Mapping[str, ServedStep] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Served({self.name}, version {self.version})"


def repeatable(plan: Plan, pipeline: PipelinePlan) -> bool:
    """Whether calls of a pipeline may run twice."""
    contracts = [plan.stages[s.stage].contract for s in pipeline.every_step if s.stage >= 0]
    return all(c.effects != "once" and c.sequence is None for c in contracts)


class Deployment:
    """A plan and the engine that runs it. Counts of use are the event loop's alone."""

    def __init__(self, source: Source, plan: Plan, engine: Engine) -> None:
        self.source = source
        self.plan = plan
        self.engine = engine
        self.gather = Gather()
        engine.schedule = self.gather.schedule
        self.active = 0
        """Requests that hold it; it is drained only when nobody does."""
        self._free: asyncio.Event | None = None
        self.last_ms: dict[str, int] = {}
        """When each pipeline was last asked, ms since 1970."""
        self.served = {name: self._serve(name, pipeline) for name, pipeline in plan.pipelines.items()}

    def _serve(self, name: str, pipeline: PipelinePlan) -> Served:
        steps: dict[str, ServedStep] = {}
        served = Served(
            name, self.source.version, pipeline, PipelineCodec(pipeline), self, repeatable(self.plan, pipeline), steps
        )
        for step in pipeline.every_step:
            if step.stage >= 0:
                steps[step.node] = ServedStep(step.node, step, self.plan.stages[step.stage], served)
        return served

    def release(self) -> None:
        """One request less holds it."""
        self.active -= 1
        if self._free is not None and not self.active:
            self._free.set()

    async def unused(self) -> None:
        """Return when no request holds it; to be called once it gets no new ones."""
        self._free = asyncio.Event()
        if self.active:
            await self._free.wait()

    def __repr__(self) -> str:
        return f"Deployment({self.source}, {', '.join(self.served)})"
