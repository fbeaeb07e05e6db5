"""All counters of the server as Prometheus text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from executor.gpus import GPUS, Gpus
from executor.metrics import render
from executor.stats import Snapshot
from serving.access import Caller
from serving.deployment import Deployment
from serving.repository import Repository

from .guard import guarded


class Metrics:
    """What scrapers read."""

    def __init__(self, repository: Repository, gpus: Gpus = GPUS) -> None:
        self._repository = repository
        self._gpus = gpus
        self.further: list[Callable[[], str]] = []
        """Text of metrics that are not about pipelines."""

    @guarded("metrics")
    def text(self, caller: Caller) -> str:
        """In the text format, version 0.0.4."""
        snapshot = replace(merged(self._repository.catalog.deployments), gpus=self._gpus.read())
        return render(snapshot) + "".join([text() for text in self.further])


def merged(deployments: Iterable[Deployment]) -> Snapshot:
    """One snapshot of several engines. Label values stay unique: pipelines of a version that is not the latest are
    called `name@version`, a stage or resource that several files declare `file:stage`."""
    held = list(deployments)
    latest: dict[str, int] = {}
    for deployment in held:
        for name in deployment.served:
            latest[name] = max(latest.get(name, 0), deployment.source.version)
    found = [deployment.engine.stats() for deployment in held]
    stages = Counter(stage.name for d in held for stage in d.plan.stages)
    resources = Counter(resource.resource for one in found for resource in one.resources)
    parts = [_renamed(d, one, latest, stages, resources) for d, one in zip(held, found)]
    return Snapshot(
        pipelines=tuple(p for part in parts for p in part.pipelines),
        nodes=tuple(n for part in parts for n in part.nodes),
        stages=tuple(s for part in parts for s in part.stages),
        caches=tuple(c for part in parts for c in part.caches),
        sequences=tuple(q for part in parts for q in part.sequences),
        resources=tuple(r for part in parts for r in part.resources),
        copied_bytes={place: reasons for part in parts for place, reasons in part.copied_bytes.items()},
        constructs={key: count for part in parts for key, count in part.constructs.items()},
        streams={name: counts for part in parts for name, counts in part.streams.items()},
    )


def _renamed(
    deployment: Deployment, found: Snapshot, latest: dict[str, int], stages: Counter[str], resources: Counter[str]
) -> Snapshot:
    version = deployment.source.version
    old = {name: f"{name}@{version}" for name in deployment.served if latest[name] != version}
    stem = deployment.source.path.stem
    file = f"{stem}@{version}" if old else stem

    def place(node: str) -> str:
        pipeline, dot, rest = node.partition(".")
        return old.get(pipeline, pipeline) + dot + rest

    def stage(name: str) -> str:
        return f"{file}:{name}" if stages[name] > 1 else name

    def resource(name: str) -> str:
        return f"{file}:{name}" if resources[name] > 1 else name

    return Snapshot(
        pipelines=tuple(replace(p, pipeline=place(p.pipeline)) for p in found.pipelines),
        nodes=tuple(
            replace(n, pipeline=place(n.pipeline), node=place(n.node), stage=stage(n.stage)) for n in found.nodes
        ),
        stages=tuple(replace(s, stage=stage(s.stage)) for s in found.stages),
        caches=tuple(replace(c, stage=stage(c.stage)) for c in found.caches),
        sequences=tuple(replace(q, pipeline=place(q.pipeline)) for q in found.sequences),
        resources=tuple(replace(r, resource=resource(r.resource)) for r in found.resources),
        copied_bytes={place(name): reasons for name, reasons in found.copied_bytes.items()},
        constructs={(kind, place(node), what): count for (kind, node, what), count in found.constructs.items()},
        streams={place(name): counts for name, counts in found.streams.items()},
    )
