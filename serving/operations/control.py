"""The repository under a client's control: what is in it, load, unload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from executor.errors import InvalidArgument, Unavailable
from serving.access import Caller
from serving.errors import Unsupported
from serving.options import ServerOptions
from serving.repository import IndexEntry, Repository

from .guard import guarded

OVERRIDES = ("parameters",)
"""Keys of a configuration that a load may change."""
STEPS = "steps"
"""The repository whose index lists the steps of pipelines."""
PROFILE = "profile"
"""The parameter of a configuration that names the profile; all others are params of the file."""


class Control:
    """Changes are off unless the server allows them; the index is always there."""

    def __init__(self, repository: Repository, options: ServerOptions) -> None:
        self._repository = repository
        self._options = options

    @guarded("model-repository")
    def index(self, caller: Caller, repository: str = "", ready: bool = False) -> list[IndexEntry]:
        """Pipelines; with `ready` only those that are served. The repository `steps` has what is inside of them."""
        if repository == STEPS:
            steps = self._repository.catalog.steps
            return [IndexEntry(name, str(v), "READY") for name in sorted(steps) for v in sorted(steps[name])]
        self._known(repository)
        return [e for e in self._repository.index() if not ready or e.state == "READY"]

    @guarded("model-repository")
    async def load(self, caller: Caller, name: str, parameters: Mapping[str, Any], repository: str = "") -> None:
        """Load a pipeline, again if it runs. Unavailable with the reason if it does not load; then nothing changed."""
        self._allowed(repository)
        params, profile = _overrides(parameters)
        await self._repository.load(name, params, profile)

    @guarded("model-repository")
    async def unload(self, caller: Caller, name: str, parameters: Mapping[str, Any], repository: str = "") -> None:
        """Serve a pipeline no more; what is under way is answered."""
        self._allowed(repository)
        dependents = parameters.get("unload_dependents", False)
        if type(dependents) is not bool:
            raise InvalidArgument(f"parameter `unload_dependents` takes true or false, found {dependents!r}")
        await self._repository.unload(name)

    def _allowed(self, repository: str) -> None:
        self._known(repository)
        if not self._options.model_control:
            raise Unavailable("loading and unloading is off; start the server with --model-control explicit")

    def _known(self, repository: str) -> None:
        if repository:
            raise Unsupported("there is no repository of that name; leave it empty")


def _overrides(parameters: Mapping[str, Any]) -> tuple[dict[str, str], str | None]:
    """Params and profile from the `config` parameter of a load, the JSON of a ModelConfig."""
    for name in parameters:
        if name.startswith("file:"):
            raise Unsupported(f"parameter `{name[:80]}`: files are not taken from clients")
        if name != "config":
            raise InvalidArgument(f"there is no parameter `{name[:80]}`; parameters: config")
    text = parameters.get("config", "")
    if not text:
        return {}, None
    if not isinstance(text, str):
        raise InvalidArgument("parameter `config` takes the JSON of a ModelConfig as a string")
    try:
        config = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidArgument(f"parameter `config` is no JSON object: {error}") from None
    for key in config:
        if key not in (*OVERRIDES, "name"):
            listed = ", ".join(OVERRIDES)
            raise InvalidArgument(f"parameter `config` changes `{key[:80]}`; a load may change {listed}")
    params = _strings(config.get("parameters", {}))
    profile = params.pop(PROFILE, None)
    return params, profile


def _strings(given: Any) -> dict[str, str]:
    """`{"NAME": {"string_value": "v"}}`, or plainly `{"NAME": "v"}`."""
    if not isinstance(given, dict):
        raise InvalidArgument("parameter `config`: `parameters` takes an object")
    found = {}
    for name, value in given.items():
        text = value.get("string_value") if isinstance(value, dict) else value
        if not isinstance(text, str):
            raise InvalidArgument(f'parameter `config`: write "{name[:80]}": {{"string_value": ".."}}')
        found[name] = text
    return found
