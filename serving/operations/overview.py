"""What a person sees of the server: pipelines as graphs, and figures of every stage, as JSON data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from executor.stats import Histogram, NodeSnapshot, PipelineSnapshot, Snapshot
from pipeline_dsl.plan import (
    BranchPlan,
    CollectPlan,
    ContextPlan,
    InputPlan,
    MapPlan,
    OutputPlan,
    Plan,
    RoutePlan,
    Slot,
    Step,
    StreamOfPlan,
    TryPlan,
    regions,
)
from serving.access import Caller
from serving.deployment import Served
from serving.repository import Repository
from serving.wire_types import wire_shape

from .guard import guarded

KINDS = {
    BranchPlan: "if",
    RoutePlan: "route",
    MapPlan: "map",
    TryPlan: "try",
    CollectPlan: "collect",
    StreamOfPlan: "stream_of",
    ContextPlan: "request",
}


@dataclass(frozen=True, slots=True)
class PortView:
    """An input or output."""

    name: str
    type: str
    """As the language spells it."""
    datatype: str
    shape: Sequence[int]
    required: bool = True
    default: Any = None
    doc: str = ""
    stream: bool = False
    step: int | None = None
    """Of an output: the step that makes it."""


@dataclass(frozen=True, slots=True)
class RegionView:
    """An arm or body of a construct."""

    name: str
    steps: Sequence[StepView]


@dataclass(frozen=True, slots=True)
class StepView:
    """A node: a call, an expression, or a construct with regions. Producers are steps of its region; -1: its inputs."""

    index: int
    node: str
    label: str
    kind: str
    """`call`, `value`, `if`, `route`, `map`, `try`, .."""
    stage: str
    device: str
    level: int
    producers: Sequence[int]
    regions: Sequence[RegionView] = ()


@dataclass(frozen=True, slots=True)
class PipelineView:
    """One version of one pipeline."""

    name: str
    version: str
    doc: str
    inputs: Sequence[PortView]
    outputs: Sequence[PortView]
    steps: Sequence[StepView]
    streams: bool


class Overview:
    """Reads the catalog; changes nothing."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    @guarded("metadata")
    def pipelines(self, caller: Caller) -> list[PipelineView]:
        """Everything that is served, by name and version."""
        return [_pipeline(s) for s in sorted(self._repository.catalog, key=lambda s: (s.name, s.version))]

    @guarded("statistics")
    def figures(self, caller: Caller) -> dict[str, Any]:
        """Counters since each pipeline was loaded: by `name/version`, then by node. Times in seconds."""
        found: dict[str, Any] = {}
        for deployment in self._repository.catalog.deployments:
            snapshot = deployment.engine.stats()
            for pipeline in snapshot.pipelines:
                nodes = {n.node: _node(n, snapshot) for n in snapshot.nodes if n.pipeline == pipeline.pipeline}
                found[f"{pipeline.pipeline}/{deployment.source.version}"] = _door(pipeline) | {"nodes": nodes}
        return found


def _pipeline(served: Served) -> PipelineView:
    plan = served.plan
    makers = {slot: step.index for step in plan.steps for slot in step.outputs}
    return PipelineView(
        plan.name,
        str(served.version),
        plan.doc,
        [_input(port) for port in plan.inputs],
        [_output(port, makers) for port in plan.outputs],
        [_step(step, served.deployment.plan) for step in plan.steps],
        served.codec.streams,
    )


def _input(port: InputPlan) -> PortView:
    required = not port.has_default and not port.type.optional
    shape = wire_shape(port.type)
    return PortView(port.name, str(port.type), port.type.dtype.kserve, shape, required, port.default, port.doc)


def _output(port: OutputPlan, makers: Mapping[int, int]) -> PortView:
    step = makers.get(port.source.index, -1) if isinstance(port.source, Slot) else None
    shape, stream = wire_shape(port.type), port.type.stream
    return PortView(port.name, str(port.type), port.type.dtype.kserve, shape, doc=port.doc, stream=stream, step=step)


def _step(step: Step, plan: Plan) -> StepView:
    stage = plan.stages[step.stage] if step.stage >= 0 else None
    kind = "call" if stage else KINDS.get(type(step.control), "value")
    return StepView(
        step.index,
        step.node,
        step.node.rpartition(".")[2],
        kind,
        stage.name if stage else "",
        stage.device if stage else "",
        step.level,
        step.producers,
        [RegionView(r.name, [_step(s, plan) for s in r.steps]) for r in regions(step.control)],
    )


def _door(p: PipelineSnapshot) -> dict[str, Any]:
    return {
        "succeeded": p.succeeded,
        "failed": sum(p.failures.values()),
        "rows": p.rows,
        "inflight": p.inflight,
        "waiting": p.waiting,
        "duration": _histogram(p.duration),
    }


def _node(n: NodeSnapshot, snapshot: Snapshot) -> dict[str, Any]:
    waiting = next((s.waiting_rows for s in snapshot.stages if s.stage == n.stage), 0)
    return {
        "succeeded": n.succeeded,
        "failed": sum(n.failures.values()),
        "rows": n.rows,
        "executions": n.executions,
        "waiting_rows": waiting,
        "queue": _histogram(n.queue),
        "compute": _histogram(n.compute),
    }


def _histogram(h: Histogram) -> dict[str, Any]:
    return {"count": h.count, "total": h.total, "bounds": h.bounds, "counts": h.counts}
