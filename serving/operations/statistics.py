"""Counters of pipelines and their steps, as clients of the statistics extension read them."""

from __future__ import annotations

from dataclasses import dataclass

from executor.stats import NodeSnapshot, PipelineSnapshot
from serving.access import Caller
from serving.deployment import Deployment, Served
from serving.repository import Repository

from .guard import guarded


@dataclass(frozen=True, slots=True)
class Duration:
    """How often, and how long in all."""

    count: int = 0
    ns: int = 0


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """Of a pipeline: `queue` and `compute` are those of its steps, added up. Of a step: its own."""

    name: str
    version: str
    last_ms: int
    inferences: int
    """Rows."""
    executions: int
    success: Duration
    fail: Duration
    """Its time is not counted."""
    queue: Duration
    compute: Duration


class Statistics:
    """Counters since the pipeline was loaded."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    @guarded("statistics")
    def statistics(self, caller: Caller, name: str = "", version: str = "") -> list[ModelStatistics]:
        """Of a pipeline with all versions, of a step, or of everything. NotFound for a name that is unknown."""
        catalog = self._repository.catalog
        if not name:
            return [one for deployment in catalog.deployments for one in _all(deployment)]
        wanted = catalog.find(name, version)
        versions: list[Deployment]
        if version:
            versions = [(wanted if isinstance(wanted, Served) else wanted.served).deployment]
        else:
            held = catalog.pipelines.get(name) or {v: s.served for v, s in catalog.steps[name].items()}
            versions = [served.deployment for served in held.values()]
        return [one for deployment in versions for one in _all(deployment) if one.name == name]


def _all(deployment: Deployment) -> list[ModelStatistics]:
    snapshot = deployment.engine.stats()
    version = str(deployment.source.version)
    by_pipeline: dict[str, list[NodeSnapshot]] = {}
    for node in snapshot.nodes:
        by_pipeline.setdefault(node.pipeline, []).append(node)
    found = []
    for pipeline in snapshot.pipelines:
        last = deployment.last_ms.get(pipeline.pipeline, 0)
        nodes = by_pipeline.get(pipeline.pipeline, [])
        found.append(_pipeline(pipeline, nodes, version, last))
        found += [_step(node, version, last) for node in nodes]
    return found


def _pipeline(p: PipelineSnapshot, nodes: list[NodeSnapshot], version: str, last: int) -> ModelStatistics:
    queue = sum(_ns(n.queue.total) for n in nodes)
    compute = sum(_ns(n.request_compute) for n in nodes)
    return ModelStatistics(
        p.pipeline,
        version,
        last,
        p.rows,
        p.succeeded,
        Duration(p.succeeded, _ns(p.duration.total)),
        Duration(sum(p.failures.values())),
        Duration(p.succeeded, queue),
        Duration(p.succeeded, compute),
    )


def _step(n: NodeSnapshot, version: str, last: int) -> ModelStatistics:
    queue, compute = _ns(n.queue.total), _ns(n.request_compute)
    return ModelStatistics(
        n.node,
        version,
        last if n.executions else 0,
        n.rows,
        n.executions,
        Duration(n.succeeded, queue + compute),
        Duration(sum(n.failures.values())),
        Duration(n.queue.count, queue),
        Duration(n.succeeded, compute),
    )


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
