"""All counters of the server as Prometheus text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from executor.metrics import render
from executor.stats import Snapshot
from serving.access import Caller
from serving.deployment import Deployment
from serving.repository import Repository

from .guard import guarded


class Metrics:
    """What scrapers read."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.further: list[Callable[[], str]] = []
        """Text of metrics that are not about pipelines."""

    @guarded("metrics")
    def text(self, caller: Caller) -> str:
        """In the text format, version 0.0.4."""
        return render(merged(self._repository.catalog.deployments)) + "".join([text() for text in self.further])


def merged(deployments: Iterable[Deployment]) -> Snapshot:
    """One snapshot of several engines. Label values stay unique: pipelines of a version that is not the latest are
    called `name@version`, a stage that several files declare `file:stage`."""
    held = list(deployments)
    latest: dict[str, int] = {}
    for deployment in held:
        for name in deployment.served:
            latest[name] = max(latest.get(name, 0), deployment.source.version)
    stages = Counter(stage.name for d in held for stage in d.plan.stages)
    parts = [_renamed(d, d.engine.stats(), latest, stages) for d in held]
    return Snapshot(
        tuple(p for part in parts for p in part.pipelines),
        tuple(n for part in parts for n in part.nodes),
        tuple(s for part in parts for s in part.stages),
        {place: reasons for part in parts for place, reasons in part.copied_bytes.items()},
    )


def _renamed(deployment: Deployment, found: Snapshot, latest: dict[str, int], stages: Counter[str]) -> Snapshot:
    version = deployment.source.version
    old = {name: f"{name}@{version}" for name in deployment.served if latest[name] != version}
    stem = deployment.source.path.stem
    file = f"{stem}@{version}" if old else stem

    def place(node: str) -> str:
        pipeline, dot, rest = node.partition(".")
        return old.get(pipeline, pipeline) + dot + rest

    def stage(name: str) -> str:
        return f"{file}:{name}" if stages[name] > 1 else name

    return Snapshot(
        tuple(replace(p, pipeline=place(p.pipeline)) for p in found.pipelines),
        tuple(replace(n, pipeline=place(n.pipeline), node=place(n.node), stage=stage(n.stage)) for n in found.nodes),
        tuple(replace(s, stage=stage(s.stage)) for s in found.stages),
        {place(name): reasons for name, reasons in found.copied_bytes.items()},
    )
