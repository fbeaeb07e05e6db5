"""Whether the server lives, and whether it can answer."""

from __future__ import annotations

from executor.errors import NotFound, Unavailable
from serving.access import Caller
from serving.deployment import Served
from serving.options import ServerOptions
from serving.repository import Repository

from .guard import guarded


class Health:
    """The truth about the moment of asking; nothing here is remembered."""

    def __init__(self, repository: Repository, options: ServerOptions) -> None:
        self._repository = repository
        self._options = options

    @guarded("health")
    def live(self, caller: Caller) -> bool:
        """The event loop that answers this runs."""
        return True

    @guarded("health")
    def ready(self, caller: Caller) -> bool:
        """Requests are taken; with strict readiness for every pipeline of every source."""
        if self._repository.leaving:
            return False
        return not self._options.strict_readiness or self._repository.ready()

    @guarded("health")
    def model_ready(self, caller: Caller, name: str, version: str = "") -> bool:
        """A pipeline, or a step inside one, can be asked. NotFound for a name that is not known at all."""
        if self._repository.leaving:
            return False
        try:
            found = self._repository.catalog.find(name, version)
        except Unavailable:
            return False
        except NotFound:
            if name in self._repository.catalog.pipelines:
                return False  # a version that is not there
            raise
        served = found if isinstance(found, Served) else found.served
        return served.deployment.engine.state == "ready"
