"""What runs one stage: backends by name, loaded when first asked for.

`load("onnx")` imports the module that serves the name and keeps one object per process. Others join with
`register(name, factory)`, or from an installed package through the entry point group `pipectl.backends`. A
library that is missing is reported when a stage is loaded, with the extra that brings it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points

from pipeline_dsl.settings import BACKENDS
from pipeline_dsl.spell import did_you_mean

from .base import Backend, BackendError, Batch, BatchResult, Instance, InstanceConfig, StageDied
from .values import InvalidInput, Ragged

__all__ = [
    "Backend",
    "BackendError",
    "Batch",
    "BatchResult",
    "Instance",
    "InstanceConfig",
    "InvalidInput",
    "Ragged",
    "StageDied",
    "load",
    "names",
    "register",
]

GROUP = "pipectl.backends"
BUILT_IN = {
    "null": "backends.null:NullBackend",
    "onnx": "backends.ort:OrtBackend",
    "python": "backends.pyfunc:PythonBackend",
    "tensorrt": "backends.tensorrt:TensorrtBackend",
    "torch": "backends.pytorch:TorchBackend",
}

_factories: dict[str, Callable[[], Backend]] = {}
_loaded: dict[str, Backend] = {}
_lock = threading.Lock()


def names() -> tuple[str, ...]:
    """Names that `load` knows, sorted."""
    return tuple(sorted({*BUILT_IN, *_factories, *(point.name for point in entry_points(group=GROUP))}))


def register(name: str, factory: Callable[[], Backend]) -> None:
    """Serve `name` with what `factory` makes. A later call replaces an earlier one and a built-in backend."""
    with _lock:
        _factories[name] = factory
        _loaded.pop(name, None)


def load(name: str) -> Backend:
    """The backend of that name, one object per process. BackendError if none has it or it fails to import."""
    with _lock:
        if name not in _loaded:
            _loaded[name] = _factory(name)()
        return _loaded[name]


def _factory(name: str) -> Callable[[], Backend]:
    if name in _factories:
        return _factories[name]
    if name in BUILT_IN:
        return _imported(name, BUILT_IN[name])
    for point in entry_points(group=GROUP):
        if point.name == name:
            return _imported(name, point.value)
    if name in BACKENDS:
        raise BackendError(f"backend `{name}` is not part of this version", f"known backends: {', '.join(names())}")
    hint = did_you_mean(name, names()) or f"known backends: {', '.join(names())}"
    raise BackendError(f"there is no backend `{name}`", hint)


def _imported(name: str, target: str) -> Callable[[], Backend]:
    module, _, attribute = target.partition(":")
    try:
        factory: Callable[[], Backend] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise BackendError(f"backend `{name}` can not be imported from {target}: {error}") from error
    return factory
