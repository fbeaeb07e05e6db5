"""What the parent serves, as a frontend knows it: signatures of pipelines, and whether they can be asked.

Shown --> Repository (catalog, leaving) + Readiness --on_change--> typed services, health watchers, OpenAPI
"""

from __future__ import annotations

from backends.ipc.plan_codec import decode_signature
from executor.errors import NotFound
from pipeline_dsl.plan import PipelinePlan, Plan
from serving.access import Caller
from serving.catalog import Catalog
from serving.convert import PipelineCodec
from serving.deployment import Deployment, Served, Source
from serving.operations.guard import guarded
from serving.repository import Repository

from .messages import Pipelines, Shown


class RemoteDeployment(Deployment):
    """Pipelines that run in the parent: signatures without steps, and no engine."""

    def __init__(self, given: Pipelines) -> None:
        self.source = Source(given.path, given.version)
        plans = [decode_signature(data) for data in given.plans]
        pairs = zip(plans, given.repeatable, strict=True)
        self.served = {plan.name: self._served(plan, repeatable) for plan, repeatable in pairs}

    def _served(self, plan: PipelinePlan, repeatable: bool) -> Served:
        return Served(plan.name, self.source.version, plan, PipelineCodec(plan), self, repeatable)


def _never(source: Source) -> Plan:
    raise AssertionError(f"{source} is compiled by the parent")


class RemoteRepository(Repository):
    """The catalog of the parent; it is changed there."""

    def __init__(self) -> None:
        super().__init__((), _never)
        self.up: frozenset[str] = frozenset()
        self._ready = False
        self._sources: list[Pipelines] = []
        self._deployments: tuple[RemoteDeployment, ...] = ()

    def ready(self) -> bool:
        return self._ready

    def show(self, shown: Shown) -> None:
        """Take over what the parent says. Pipelines that did not change stay the same objects."""
        if shown.sources != self._sources or not self._deployments:
            self._sources = shown.sources
            self._deployments = tuple(RemoteDeployment(given) for given in shown.sources)
        self._ready, self.leaving, self.up = shown.ready, shown.leaving, frozenset(shown.up)
        self.catalog = Catalog(self._deployments, shown.known, growing=shown.growing)
        for call in self.on_change:
            call()


class Readiness:
    """What the parent said last; requests for it go to the parent, this is for those who watch."""

    def __init__(self, repository: RemoteRepository) -> None:
        self._repository = repository

    @guarded("health")
    def ready(self, caller: Caller) -> bool:
        return self._repository.ready()

    @guarded("health")
    def model_ready(self, caller: Caller, name: str, version: str = "") -> bool:
        if name not in self._repository.catalog.pipelines and name not in self._repository.catalog.known:
            raise NotFound(f"there is no pipeline `{name}`")
        return name in self._repository.up
