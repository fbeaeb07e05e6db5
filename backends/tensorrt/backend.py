"""`TensorrtBackend`: from a stage to an instance. A plan is loaded; an ONNX file is built, or found built."""

from __future__ import annotations

import hashlib
import logging
import time
from pathlib import Path
from typing import Any

from backends.artifact import artifact_path, keys_of
from backends.base import BackendError, Instance, InstanceConfig
from backends.ort_tensors import match
from pipeline_dsl.plan import StagePlan

from . import cache, memory
from .build import Network, Options, build, parse
from .engine import Engine, Engines, deserialize
from .errors import EngineError
from .instance import TensorrtInstance
from .library import PLAIN, Library, library
from .ports import refuse_unsupported, slots_of
from .profiles import Profile, profiles_of

MODELS = (".onnx",)
PLANS = (".plan", ".engine", ".trt")
KEYS = ("version", "versions", "library", "cache", "workspace", "level")
BUILD_KEYS = ("cache", "workspace", "level")


class TensorrtBackend:
    """Loads ONNX files and plans."""

    name = "tensorrt"

    def __init__(self, module: str = PLAIN) -> None:
        """`module` is what stages use that name no `library` of their own."""
        self._module = module
        self._engines = Engines()
        self._log = logging.getLogger("pipectl.tensorrt")

    def load(self, stage: StagePlan, config: InstanceConfig) -> Instance:
        """An instance on the CUDA device of `config`. BackendError if the library or the device is missing, the file
        can not be read or run, or disagrees with the signature. Building an engine may take minutes."""
        _refuse_keys(stage)
        memory.refuse_others(config.device, stage)
        refuse_unsupported(stage)
        found = library(str(stage.arguments.get("library", self._module)), stage)
        path = artifact_path(stage)
        _refuse_kind(path, stage)
        stream = config.stream or memory.open_stream(config.device, stage)
        with stream.use():
            engine = self._engine(found, path, stage, config.device)
            slots = slots_of(stage, path, engine)
            try:
                return TensorrtInstance(engine, slots, stage, config, stream)
            except EngineError as error:
                raise BackendError(str(error)) from error

    def _engine(self, found: Library, path: Path, stage: StagePlan, device: str) -> Engine:
        content = path.read_bytes()
        if path.suffix in PLANS:
            key: tuple[Any, ...] = (found.name, device, hashlib.sha256(content).hexdigest())
            return self._engines.get(key, lambda: _loaded(found, content, path, stage))
        model = cache.fingerprint(content, path)
        asked = (stage.inputs, stage.outputs, stage.bounds, stage.batching, stage.contract.tensors_in, _options(stage))
        key = (found.name, device, model, repr(asked))
        return self._engines.get(key, lambda: self._built(found, content, model, path, stage, device))

    def _built(self, found: Library, content: bytes, model: str, path: Path, stage: StagePlan, device: str) -> Engine:
        """The engine on disk if it is the right one and can be loaded, else a new one."""
        network = parse(found, content, path, stage)
        inputs, _ = match(stage, str(path), network.inputs, network.outputs)
        profiles, options = profiles_of(stage, inputs), _options(stage)
        key = cache.key_of(model, found.name, found.version, _capability(device, stage), profiles, options)
        file = cache.file_of(cache.folder_of(stage), path, key)
        plan = cache.read(file, key)
        if plan is not None:
            engine = deserialize(found, plan)
            if isinstance(engine, Engine):
                return engine
            self._log.warning("stage %s: %s is built again: %s", stage.name, file, engine)
        return self._new(found, network, profiles, options, stage, file, key)

    def _new(
        self,
        found: Library,
        network: Network,
        profiles: tuple[Profile, ...],
        options: Options,
        stage: StagePlan,
        file: Path,
        key: str,
    ) -> Engine:
        start = time.monotonic()
        plan = build(found, network, profiles, options, stage)
        self._log.info("stage %s: built %s in %.1f s", stage.name, network.path, time.monotonic() - start)
        engine = deserialize(found, plan)
        if not isinstance(engine, Engine):
            raise BackendError(
                f"stage `{stage.name}`: the engine built from {network.path} can not be loaded: {engine}"
            )
        cache.write(file, key, plan)
        return engine


def _loaded(found: Library, content: bytes, path: Path, stage: StagePlan) -> Engine:
    engine = deserialize(found, content)
    if isinstance(engine, Engine):
        return engine
    message = f"stage `{stage.name}`: {path} is no plan for {found.name} {found.version} on this device: {engine}"
    raise BackendError(message, "a plan runs on the version and the kind of device that built it; build it again here")


def _capability(device: str, stage: StagePlan) -> str:
    try:
        return memory.capability(device)
    except RuntimeError as error:
        raise BackendError(f"stage `{stage.name}`: {error}", "is the GPU's driver installed?") from error


def _options(stage: StagePlan) -> Options:
    return Options(stage.arguments.get("workspace"), stage.arguments.get("level"))


def _refuse_keys(stage: StagePlan) -> None:
    unknown = sorted(keys_of(stage, *KEYS))
    if unknown:
        raise BackendError(f"stage `{stage.name}`: backend `{stage.backend}` has no argument `{unknown[0]}`")


def _refuse_kind(path: Path, stage: StagePlan) -> None:
    if path.suffix in PLANS:
        given = next((key for key in BUILD_KEYS if key in stage.arguments), None)
        if given is not None:
            message = f"stage `{stage.name}`: `{given}` is about building, and {path} is built already"
            raise BackendError(message, f"leave out `{given}`, or name the .onnx file")
    elif path.suffix not in MODELS:
        known = ", ".join((*MODELS, *PLANS))
        raise BackendError(f"stage `{stage.name}`: {path} is no model by its name", f"known: {known}")
