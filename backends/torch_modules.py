"""What a stage's torch file gives: a module, a program, a compiled package, on the device where the stage runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from pipeline_dsl.plan import PortPlan, StagePlan

from .artifact import disagreement, keys_of
from .base import BackendError
from .importer import acquire, release
from .signature import place_of
from .torch_compiled import compiled_package, read_package
from .torch_files import EXPORTED, SCRIPTED, WEIGHTS, exported_program, load_weights, script_module

ARGUMENTS = ("factory", "compiled", "version", "versions")
"""Of the backend; others are the factory's."""


class Loaded(NamedTuple):
    """What a file gave."""

    module: Callable[..., Any]
    capturable: bool
    """A call may be written into a CUDA graph: it launches on the current stream, and reads nothing back."""


def load_module(torch: Any, path: Path, stage: StagePlan, device: str) -> Loaded:
    """What a stage's file holds, on a device (`cpu`, `cuda:1`), ready to be called. BackendError if it is no model, or
    disagrees with the signature."""
    if stage.arguments.get("compiled"):
        package = read_package(path, stage)
        for position, (dtype, sizes) in package.inputs.items():
            if position < len(stage.inputs):
                _check_sizes(stage.inputs[position], dtype, sizes, path, stage)
        return Loaded(compiled_package(package, path, stage, device), True)
    if "factory" in stage.arguments:
        return Loaded(_built(torch, path, stage, device), True)
    if path.suffix in EXPORTED:
        program = exported_program(torch, path, stage)
        _check_program(torch, program, path, stage)
        return Loaded(_on(torch, program, device).module(), not _reads_back(program))
    return Loaded(_scripted(torch, path, stage, device), False)


def storages(torch: Any, module: Any) -> frozenset[int]:
    """Memory a module keeps: an output in it would be handed out twice.

    Tensors that are plain attributes count where Python sees them, which it does not in TorchScript; a compiled package
    never hands out its own."""
    if not isinstance(module, torch.nn.Module):
        return frozenset()
    attributes = (value for part in module.modules() for value in vars(part).values())
    kept = [*module.parameters(), *module.buffers(), *(v for v in attributes if isinstance(v, torch.Tensor))]
    return frozenset(t.untyped_storage().data_ptr() for t in kept) - {0}


def _on(torch: Any, program: Any, device: str) -> Any:
    """A program whose weights, constants and made tensors are on a device; it was exported for the host, or another."""
    if device == "cpu":
        return program
    from torch.export.passes import move_to_device_pass

    return move_to_device_pass(program, device)


_READS_BACK = ("_local_scalar_dense", "item", "nonzero", "masked_select", "unique")


def _reads_back(program: Any) -> bool:
    """Whether an operation of the program gives the host a number, or a size that depends on data."""
    names = (str(node.target) for node in program.graph.nodes if node.op == "call_function")
    return any(part in _READS_BACK for name in names for part in name.split("."))


def _scripted(torch: Any, path: Path, stage: StagePlan, device: str) -> Any:
    if path.suffix in SCRIPTED:
        module = script_module(torch, path, stage, device)
        given = module.forward.schema.arguments[1:]
        _check_count(len(given), path, stage, optional=sum(a.has_default_value() for a in given))
        return module
    if path.suffix in WEIGHTS:
        message = f"stage `{stage.name}`: {path} holds weights only"
        raise BackendError(message, 'give factory = "pkg.mod:build", which builds the module')
    known = ", ".join((*EXPORTED, *SCRIPTED, ".safetensors"))
    raise BackendError(f"stage `{stage.name}`: {path} is no torch file by its name", f"known: {known}")


def _built(torch: Any, path: Path, stage: StagePlan, device: str) -> Any:
    if path.suffix not in WEIGHTS:
        raise BackendError(f"stage `{stage.name}`: factory needs a file of weights ({', '.join(WEIGHTS)}), not {path}")
    factory = acquire(str(stage.arguments["factory"]), stage.folder, stage.name)
    try:
        try:
            with nullcontext() if device == "cpu" else torch.device(device):
                module = factory(**keys_of(stage, *ARGUMENTS))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            raise BackendError(f"stage `{stage.name}`: {place_of(factory)} failed: {text}") from error
        if not isinstance(module, torch.nn.Module):
            found = type(module).__name__
            raise BackendError(f"stage `{stage.name}`: {place_of(factory)} must return a torch.nn.Module, not {found}")
        module.to(device)
        load_weights(torch, module, path, stage, device)
        return module.eval().requires_grad_(False)
    except BaseException:
        release(stage.folder)
        raise


def _check_program(torch: Any, program: Any, path: Path, stage: StagePlan) -> None:
    """The sizes a program was exported with against the signature."""
    names = program.graph_signature.user_inputs
    _check_count(len(names), path, stage)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    for port, name in zip(stage.inputs, names):
        value = values.get(name)
        if isinstance(value, torch.Tensor):
            sizes = [n if isinstance(n, int) else None for n in value.shape]
            _check_sizes(port, str(value.dtype).removeprefix("torch."), sizes, path, stage)


def _check_sizes(port: PortPlan, dtype: str, sizes: Sequence[int | None], path: Path, stage: StagePlan) -> None:
    """`dtype`: empty where it is not known."""
    shown = f"{dtype}[{', '.join('?' if n is None else str(n) for n in sizes)}]"
    text = f"port `{port.name}` is {port.type}, {path} was exported for {shown}"
    if dtype and dtype != str(port.type.dtype.numpy):
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
