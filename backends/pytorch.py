"""Backend `torch`: torch.export programs, TorchScript, and weights with a factory, on the host.

    torch("model.pt2")
    torch("model.ts")
    torch("weights.safetensors", factory = "pkg.mod:build", key = value)

Inputs go by position in port order, as tensors over the same memory; a module that writes one of them fails,
since other branches share it. Outputs come by position, or by port name if the module returns a dict. All
runs are in inference mode. Threads: torch counts them per calling thread, so each call sets the instance's
number for the thread it runs on; libraries below torch (MKL) keep one number per process, that of the call
that set it last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_dsl.plan import StagePlan

from .artifact import artifact_path, disagreement, host_only, keys_of, missing_library
from .base import BackendError, Batch, BatchResult, Instance, InstanceConfig
from .checks import OutputError
from .chunks import in_chunks
from .importer import acquire, release
from .interop import to_numpy, to_torch
from .signature import place_of
from .torch_files import EXPORTED, SCRIPTED, WEIGHTS, exported_program, load_weights, script_module


class TorchBackend:
    """Loads torch artifacts."""

    name = "torch"

    def load(self, stage: StagePlan, config: InstanceConfig) -> Instance:
        """An instance with its own module. BackendError if the file is no model or disagrees with the
        signature."""
        try:
            import torch
        except ImportError as error:
            raise missing_library(stage, "torch", "torch", error) from error
        host_only(stage, config.device)
        _refuse_unsupported(stage)
        path = artifact_path(stage)
        return TorchInstance(torch, _module(torch, path, stage), stage, config)


class TorchInstance:
    """One module."""

    thread_affine = False
    wants_context = False
    __slots__ = ("_folder", "_module", "_names", "_on_copy", "_own", "_run", "_stage", "_threads", "_torch")

    def __init__(self, torch: Any, module: Any, stage: StagePlan, config: InstanceConfig) -> None:
        self._torch = torch
        self._module = module
        self._stage = stage
        self._on_copy = config.on_copy
        self._threads = max(config.threads, 1)
        self._names = tuple(port.name for port in stage.outputs)
        self._own = _storages(torch, module)
        self._run: Callable[[tuple[Any, ...], int], list[Any]] = (
            in_chunks(self._call, stage, config) if stage.contract.rows else lambda inputs, rows: self._call(inputs)
        )

    def execute(self, batch: Batch) -> BatchResult:
        """One call of the module (one for each chunk of a fixed row axis)."""
        return BatchResult(tuple(self._run(batch.inputs, batch.rows)))

    def warmup(self) -> None:
        """The first run warms up; the executor makes it where the plan says so."""

    def close(self) -> None:
        """Drop the module; results given out stay valid."""
        self._module = None
        if "factory" in self._stage.arguments:
            release(self._stage.folder)

    def _call(self, inputs: tuple[Any, ...]) -> list[Any]:
        torch = self._torch
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        tensors = [to_torch(v) if isinstance(v, np.ndarray) else v for v in inputs]
        with torch.inference_mode():
            returned = self._module(*tensors)
        self._check_untouched(tensors)
        return [self._value(v, port.form) for v, port in zip(self._split(returned), self._stage.outputs)]

    def _check_untouched(self, tensors: list[Any]) -> None:
        for port, tensor in zip(self._stage.inputs, tensors):
            if isinstance(tensor, self._torch.Tensor) and tensor._version:
                message = f"the module writes its input `{port.name}`, which other stages read; clone it first"
                raise OutputError(self._stage.name, "", message)

    def _split(self, returned: Any) -> list[Any]:
        names = self._names
        if isinstance(returned, dict):
            missing = [name for name in names if name not in returned]
            if missing:
                found = ", ".join(map(str, returned))
                raise OutputError(self._stage.name, missing[0], f"the module's dict has no such key: {found}")
            return [returned[name] for name in names]
        values = list(returned) if isinstance(returned, tuple | list) else [returned]
        if len(values) != len(names):
            message = f"{len(names)} outputs are expected ({', '.join(names)}), the module returns {len(values)}"
            raise OutputError(self._stage.name, "", message)
        return values

    def _value(self, value: Any, form: str) -> Any:
        if not isinstance(value, self._torch.Tensor):
            return value
        if form == "scalar":
            return value.item()
        if value.untyped_storage().data_ptr() in self._own:
            value = value.clone()
            if self._on_copy is not None:
                self._on_copy(value.nbytes, "shared buffer")
        return to_numpy(value)


def _module(torch: Any, path: Path, stage: StagePlan) -> Any:
    if "factory" in stage.arguments:
        return _built(torch, path, stage)
    if path.suffix in EXPORTED:
        program = exported_program(torch, path, stage)
        _check_program(torch, program, path, stage)
        return program.module()
    if path.suffix in SCRIPTED:
        module = script_module(torch, path, stage)
        given = module.forward.schema.arguments[1:]
        _check_count(len(given), path, stage, optional=sum(a.has_default_value() for a in given))
        return module
    if path.suffix in WEIGHTS:
        message = f"stage `{stage.name}`: {path} holds weights only"
        raise BackendError(message, 'give factory = "pkg.mod:build", which builds the module')
    known = ", ".join((*EXPORTED, *SCRIPTED, ".safetensors"))
    raise BackendError(f"stage `{stage.name}`: {path} is no torch file by its name", f"known: {known}")


def _built(torch: Any, path: Path, stage: StagePlan) -> Any:
    if path.suffix not in WEIGHTS:
        raise BackendError(f"stage `{stage.name}`: factory needs a file of weights ({', '.join(WEIGHTS)}), not {path}")
    factory = acquire(str(stage.arguments["factory"]), stage.folder, stage.name)
    try:
        try:
            module = factory(**keys_of(stage, "factory", "version", "versions"))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            raise BackendError(f"stage `{stage.name}`: {place_of(factory)} failed: {text}") from error
        if not isinstance(module, torch.nn.Module):
            found = type(module).__name__
            raise BackendError(f"stage `{stage.name}`: {place_of(factory)} must return a torch.nn.Module, not {found}")
        load_weights(torch, module, path, stage)
        return module.eval().requires_grad_(False)
    except BaseException:
        release(stage.folder)
        raise


def _storages(torch: Any, module: Any) -> frozenset[int]:
    """Memory the module keeps: an output in it would be handed out twice.

    Tensors that are plain attributes count where Python sees them, which it does not in TorchScript."""
    attributes = (value for part in module.modules() for value in vars(part).values())
    kept = [*module.parameters(), *module.buffers(), *(v for v in attributes if isinstance(v, torch.Tensor))]
    return frozenset(t.untyped_storage().data_ptr() for t in kept) - {0}


def _check_program(torch: Any, program: Any, path: Path, stage: StagePlan) -> None:
    """The sizes a program was exported with against the signature."""
    names = program.graph_signature.user_inputs
    _check_count(len(names), path, stage)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    for port, name in zip(stage.inputs, names):
        value = values.get(name)
        if isinstance(value, torch.Tensor):
            _check_sizes(port, value, path, stage)


def _check_sizes(port: Any, value: Any, path: Path, stage: StagePlan) -> None:
    sizes = [n if isinstance(n, int) else None for n in value.shape]
    dtype = str(value.dtype).removeprefix("torch.")
    shown = f"{dtype}[{', '.join('?' if n is None else str(n) for n in sizes)}]"
    text = f"port `{port.name}` is {port.type}, {path} was exported for {shown}"
    if dtype != str(port.type.dtype.numpy):
        raise disagreement(stage, text, "change the signature, or export the model again")
    if port.type.has_rest or port.form == "packed":
        return
    if len(sizes) != len(port.type.dims):
        raise disagreement(stage, text, "change the signature, or export the model again")
    if port.type.has_rows and sizes[0] not in (None, stage.contract.rows):
        raise disagreement(stage, text, f"add `rows = {sizes[0]}`, or export it with a dynamic first size")
    for dim, size in zip(port.type.dims, sizes):
        declared = getattr(getattr(dim, "size", None), "value", None)
        if size is not None and declared is not None and declared != size:
            raise disagreement(stage, text, "change the signature, or export the model again")


def _check_count(found: int, path: Path, stage: StagePlan, optional: int = 0) -> None:
    if not found - optional <= len(stage.inputs) <= found:
        ports = ", ".join(port.name for port in stage.inputs)
        text = f"{path} takes {found} inputs, the signature has {len(stage.inputs)} ({ports})"
        raise disagreement(stage, text, "inputs are passed by position, in port order")


def _refuse_unsupported(stage: StagePlan) -> None:
    for port in (*stage.inputs, *stage.outputs):
        if not port.type.dtype.numeric:
            raise BackendError(
                f"stage `{stage.name}`: port `{port.name}` is {port.type}, torch takes numbers only",
                "tokenise or decode in a python stage before it",
            )
        if port.form == "ragged":
            raise BackendError(
                f"stage `{stage.name}`: port `{port.name}` is ragged, and the stage has no rule for it",
                "add ragged { L = pad(0) } for its size",
            )
    unknown = sorted(keys_of(stage, "factory", "version", "versions"))
    if unknown and "factory" not in stage.arguments:
        raise BackendError(f"stage `{stage.name}`: argument `{unknown[0]}` has no use without a factory")
