"""What the server and its pipelines are: metadata for clients, and configurations for tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline_dsl.types import TensorType
from serving.access import Caller
from serving.deployment import Served, ServedStep
from serving.model_config import pipeline_config, step_config
from serving.options import ServerOptions
from serving.repository import Repository
from serving.wire_types import LENGTHS_OF, platform, ragged_dims, wire_shape

from .guard import guarded

EXTENSIONS = (
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "cuda_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
)
"""As clients look for them by name."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Metadata of the server."""

    name: str
    version: str
    extensions: tuple[str, ...] = EXTENSIONS


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Metadata of a tensor; -1 in a shape is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Metadata of a pipeline or a step."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


class Models:
    """Descriptions of what is served."""

    def __init__(self, repository: Repository, options: ServerOptions) -> None:
        self._repository = repository
        self._options = options

    @guarded("metadata")
    def server(self, caller: Caller) -> ServerInfo:
        return ServerInfo(self._options.id, self._options.version)

    @guarded("metadata")
    def metadata(self, caller: Caller, name: str, version: str = "") -> ModelInfo:
        """Of a pipeline or one of its steps. NotFound, or Unavailable while it is not served."""
        catalog = self._repository.catalog
        found = catalog.find(name, version)
        ports = found.plan if isinstance(found, Served) else found.stage
        inputs: list[TensorInfo] = []
        outputs: list[TensorInfo] = []
        for port in ports.inputs:
            inputs += _tensors(port.name, port.type)
        for out in ports.outputs:
            outputs += _tensors(out.name, out.type)
        versions = catalog.pipelines[name] if isinstance(found, Served) else catalog.steps[name]
        listed = tuple(map(str, sorted(versions)))
        return ModelInfo(name, listed, platform(found), tuple(inputs), tuple(outputs))

    @guarded("model-config")
    def config(self, caller: Caller, name: str, version: str = "") -> Any:
        """An `inference.ModelConfig` of a pipeline or a step, made from its plan."""
        found = self._repository.catalog.find(name, version)
        return step_config(found) if isinstance(found, ServedStep) else pipeline_config(found)


def _tensors(name: str, declared: TensorType) -> list[TensorInfo]:
    """A port's tensor; a ragged one has a second, its lengths."""
    found = [TensorInfo(name, declared.dtype.kserve, wire_shape(declared))]
    if declared.is_ragged:
        found.append(TensorInfo(name + LENGTHS_OF, "INT64", (-1, ragged_dims(declared))))
    return found
