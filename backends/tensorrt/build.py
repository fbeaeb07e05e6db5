"""From an ONNX file to a serialised engine.

Networks are strongly typed: each tensor has the dtype that the file gives it, and no precision is ever chosen here
(TensorRT 11 knows nothing else; 10 is told so). For half precision or int8, give a file that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.base import BackendError
from backends.ort_tensors import Tensor
from pipeline_dsl.plan import StagePlan

from .library import DTYPES, Library
from .profiles import Profile, shown

_SHOWN = 3
"""Errors of the parser that are quoted."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a stage says of the build. None: what the library does by itself."""

    workspace: int | None = None
    """Bytes that a layer may use for itself."""
    level: int | None = None
    """0 builds fast, 5 searches long."""


@dataclass(frozen=True, slots=True)
class Network:
    """A parsed file. Holds the builder, which must outlive it."""

    builder: Any
    definition: Any
    parser: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    path: Path


def parse(library: Library, model: bytes, path: Path, stage: StagePlan) -> Network:
    """The network in an ONNX file. BackendError if it can not be read, or holds what the library can not run."""
    trt = library.trt
    library.log.forget()
    try:
        builder = trt.Builder(library.logger)
    except (TypeError, RuntimeError) as error:  # what its bindings make of a null pointer
        reasons = library.log.reasons() or str(error)
        hint = "is the GPU's driver new enough for this version of the library?"
        raise BackendError(f"stage `{stage.name}`: {library.name} has no builder here: {reasons}", hint) from error
    definition = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(definition, library.logger)
    if not parser.parse(model, str(path)):
        raise _unparsed(library, parser, path, stage)
    inputs = tuple(_tensor(definition.get_input(i)) for i in range(definition.num_inputs))
    outputs = tuple(_tensor(definition.get_output(i)) for i in range(definition.num_outputs))
    if not outputs:  # the parser takes anything that holds no node
        raise _no_model(path, stage)
    for index in range(definition.num_inputs):
        tensor = definition.get_input(index)
        if tensor.is_shape_tensor:
            message = (
                f"stage `{stage.name}`: {path}: the values of input `{tensor.name}` are sizes, which no port bounds"
            )
            raise BackendError(message, "build a plan with ranges for them, and load that")
    return Network(builder, definition, parser, inputs, outputs, path)


def build(library: Library, network: Network, profiles: Sequence[Profile], options: Options, stage: StagePlan) -> bytes:
    """The serialised engine. BackendError with the library's reasons if there is none. Takes minutes for large models;
    the GIL is released."""
    library.log.forget()
    config = network.builder.create_builder_config()
    if options.workspace is not None:
        config.set_memory_pool_limit(library.trt.MemoryPoolType.WORKSPACE, options.workspace)
    if options.level is not None:
        config.builder_optimization_level = options.level
    for index, profile in enumerate(profiles):
        if config.add_optimization_profile(_profile(library, network, profile, stage)) != index:
            raise _refused(library, network, profile, next(iter(profile)), stage)
    plan = network.builder.build_serialized_network(network.definition, config)
    if plan is None:
        reasons = library.log.reasons() or "the library gives no reason"
        raise BackendError(f"stage `{stage.name}`: no engine can be built from {network.path}: {reasons}")
    return bytes(plan)


def _profile(library: Library, network: Network, profile: Profile, stage: StagePlan) -> Any:
    """Setting a shape answers nothing, so it is read back."""
    made = network.builder.create_optimization_profile()
    for name, ranges in profile.items():
        wanted = [tuple(r.least for r in ranges), tuple(r.best for r in ranges), tuple(r.most for r in ranges)]
        try:
            made.set_shape(name, *wanted)
        except ValueError as error:
            raise _refused(library, network, profile, name, stage) from error
        if [tuple(dims) for dims in made.get_shape(name)] != wanted:
            raise _refused(library, network, profile, name, stage)
    return made


def _refused(library: Library, network: Network, profile: Profile, tensor: str, stage: StagePlan) -> BackendError:
    reasons = library.log.reasons() or "the library gives no reason"
    place = f"stage `{stage.name}`: {network.path}: tensor `{tensor}`"
    return BackendError(f"{place} can not have the shapes {shown(profile, tensor)}: {reasons}")


def _tensor(tensor: Any) -> Tensor:
    shape = tuple(n if n >= 0 else None for n in tensor.shape)
    return Tensor(tensor.name, DTYPES.get(tensor.dtype.name, tensor.dtype.name.lower()), shape)


def _unparsed(library: Library, parser: Any, path: Path, stage: StagePlan) -> BackendError:
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    if not errors:
        reasons = library.log.reasons()
        return _no_model(path, stage, reasons)
    listed = "; ".join(_parser_error(error) for error in errors[:_SHOWN])
    more = f" and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
    message = f"stage `{stage.name}`: {path} holds what {library.name} {library.version} can not run: {listed}{more}"
    return BackendError(message, "export the model with other operators, or run it with onnx(..)")


def _parser_error(error: Any) -> str:
    node = error.node_operator()
    place = f"node {error.node()} `{error.node_name()}` ({node}): " if node else ""
    return place + " ".join(error.desc().split())


def _no_model(path: Path, stage: StagePlan, reasons: str = "") -> BackendError:
    more = f": {reasons}" if reasons else ""
    hint = "is it complete? A Git LFS pointer looks like this too"
    return BackendError(f"stage `{stage.name}`: {path} is not an ONNX model{more}", hint)
