"""Backend `torch`: torch.export programs, TorchScript, compiled packages, and weights with a factory.

    torch("model.pt2")
    torch("model.pt2", compiled = true)
    torch("model.ts")
    torch("weights.safetensors", factory = "pkg.mod:build", key = value)

Inputs go by position in port order, as tensors over the same memory; a module that writes one of them fails,
since other branches share it. Outputs come by position, or by port name if the module returns a dict. All
runs are in inference mode.

On the host. torch counts threads per calling thread, so each call sets the instance's number for the thread it runs
on; libraries below torch (MKL) keep one number per process, that of the call that set it last.

On `cuda:N` a call launches on the batch's stream and returns; outputs are taken over without a copy. Only a single
number among the outputs (`y: f32`) is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline_dsl.plan import PortPlan, StagePlan

from .adoption import Adoption
from .artifact import artifact_path, keys_of, missing_library
from .base import BackendError, Batch, BatchResult, Instance, InstanceConfig
from .checks import OutputError
from .chunks import in_chunks
from .device import DeviceArray
from .importer import release
from .interop import to_numpy, to_torch, unwritten
from .placement import host_or_cuda, settled
from .shapes import Mismatch
from .torch_modules import ARGUMENTS, Loaded, load_module, storages

if TYPE_CHECKING:
    from .device import Accelerator


class TorchBackend:
    """Loads torch artifacts."""

    name = "torch"

    def load(self, stage: StagePlan, config: InstanceConfig) -> Instance:
        """An instance with its own module. BackendError if the file is no model or disagrees with the
        signature, or the device can not be used."""
        try:
            import torch
        except ImportError as error:
            raise missing_library(stage, "torch", "torch", error) from error
        device = host_or_cuda(stage, config.device)
        _refuse_unsupported(stage)
        path = artifact_path(stage)
        with settled(device):
            loaded = load_module(torch, path, stage, config.device)
            return TorchInstance(torch, loaded, stage, config, device)


class TorchInstance:
    """One module."""

    thread_affine = False
    wants_context = False
    __slots__ = (
        *("_adoption", "_folder", "_module", "_names", "_on_copy", "_own", "_run", "_stage", "_threads", "_torch"),
        *("asynchronous", "capturable"),
    )

    def __init__(
        self, torch: Any, loaded: Loaded, stage: StagePlan, config: InstanceConfig, device: Accelerator | None
    ) -> None:
        self._torch = torch
        self._module: Callable[..., Any] | None = loaded.module
        self._stage = stage
        self._on_copy = config.on_copy
        self._threads = max(config.threads, 1)
        self._names = tuple(port.name for port in stage.outputs)
        self._own = storages(torch, loaded.module)
        self._adoption = None if device is None else Adoption(stage, device)
        self.asynchronous = device is not None and all(port.form != "scalar" for port in stage.outputs)
        self.capturable = self.asynchronous and loaded.capturable
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
        torch, module = self._torch, self._module
        assert module is not None
        if self._adoption is None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        tensors = [to_torch(v) if isinstance(v, np.ndarray | DeviceArray) else v for v in inputs]
        with torch.inference_mode():
            returned = module(*tensors)
        self._check_untouched(tensors)
        return [self._value(v, port, inputs) for v, port in zip(self._split(returned), self._stage.outputs)]

    def _check_untouched(self, tensors: list[Any]) -> None:
        for port, tensor in zip(self._stage.inputs, tensors):
            if isinstance(tensor, self._torch.Tensor) and not unwritten(tensor):
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

    def _value(self, value: Any, port: PortPlan, inputs: tuple[Any, ...]) -> Any:
        if not isinstance(value, self._torch.Tensor):
            return value
        if port.form == "scalar":
            return value.item()
        if value.untyped_storage().data_ptr() in self._own:
            value = value.clone()
            if self._on_copy is not None:
                self._on_copy(value.nbytes, "shared buffer")
        try:
            return to_numpy(value) if self._adoption is None else self._adoption.array(value, port, inputs)
        except Mismatch as error:
            raise OutputError(self._stage.name, port.name, str(error)) from None


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
    if stage.arguments.get("compiled") and "factory" in stage.arguments:
        raise BackendError(f"stage `{stage.name}`: a compiled package holds its weights and takes no factory")
    unknown = sorted(keys_of(stage, *ARGUMENTS))
    if unknown and "factory" not in stage.arguments:
        raise BackendError(f"stage `{stage.name}`: argument `{unknown[0]}` has no use without a factory")
