"""Backend `onnx`: ONNX Runtime, here on the host (on a GPU: `ort_cuda`).

A session per instance, with the instance's threads. Numeric arrays enter without a copy, and results are new
memory of the runtime that the arrays keep alive: each run gets fresh outputs, none is ever bound twice (a
kept I/O binding would overwrite the answers of the run before). I/O binding is used for bf16 only, which
numpy knows no name for; elsewhere `run` costs less. The file's tensors are compared with the signature at
load, see `ort_tensors`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.plan import StagePlan

from .artifact import artifact_path, keys_of, missing_library
from .base import BackendError, Batch, BatchResult, Instance, InstanceConfig
from .chunks import in_chunks
from .device import Accelerator
from .ort_cuda import CudaInstance, Session, check_provider, open_session, provider_options
from .ort_probe import agrees
from .ort_tensors import Slot, match, tensor_of
from .placement import host_or_cuda
from .states import CONTROLS

Run = Callable[[tuple[Any, ...]], list[Any]]

_BF16 = 16
"""ONNX number of bfloat16."""


class OrtBackend:
    """Loads ONNX files."""

    name = "onnx"

    def load(self, stage: StagePlan, config: InstanceConfig) -> Instance:
        """A session. BackendError if the file is missing, is no model, is too new, or disagrees with the
        signature."""
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise missing_library(stage, "onnxruntime", "onnx", error) from error
        device = host_or_cuda(stage, config.device)
        _refuse_keys(stage)
        path = artifact_path(stage)
        if device is not None:
            return _on_cuda(ort, path, stage, config, device)
        session = _session(ort, path, stage, config)
        inputs, outputs = _slots(session, path, stage)
        return OrtInstance(_runner(ort, session, inputs, outputs, config), stage, config)


def _on_cuda(ort: Any, path: Path, stage: StagePlan, config: InstanceConfig, device: Accelerator) -> CudaInstance:
    check_provider(ort, stage, device.name)
    for port in (*stage.inputs, *stage.outputs):
        if not port.type.dtype.numeric:
            message = (
                f"stage `{stage.name}`: port `{port.name}` is {port.type}, onnx on {device.name} takes numbers only"
            )
            raise BackendError(message, "tokenise or decode in a python stage before it, or set `device = cpu`")
    stream = config.stream or device.stream()
    provider = provider_options(device, stream, stage)
    try:
        session, all_on_gpu = open_session(ort, path, stage, lambda: _options(ort, config), provider)
    except BackendError:
        raise
    except Exception as error:
        raise _can_not_load(error, path, stage, ort) from error
    inputs, outputs = _slots(session, path, stage)
    with stream.use():
        runs = Session(ort, session, inputs, outputs, stream, config)
        instance = CudaInstance(runs, stage, config, lambda made: all_on_gpu and agrees(made, stage))
    stream.synchronize()
    return instance


def _slots(session: Any, path: Path, stage: StagePlan) -> tuple[list[Slot], list[Slot]]:
    """The ports' tensors in the file. BackendError if it is not what the signature says."""
    found_in, found_out = (list(map(tensor_of, side)) for side in (session.get_inputs(), session.get_outputs()))
    slots = match(stage, str(path), found_in, found_out)
    _refuse_ragged(stage)
    return slots


class OrtInstance:
    """One session."""

    thread_affine = False
    wants_context = False
    __slots__ = ("_run",)

    def __init__(self, run: Run, stage: StagePlan, config: InstanceConfig) -> None:
        self._run: Callable[[tuple[Any, ...], int], list[Any]] = (
            in_chunks(run, stage, config) if stage.contract.rows else lambda inputs, rows: run(inputs)
        )

    def execute(self, batch: Batch) -> BatchResult:
        """One run of the session (one for each chunk of a fixed row axis)."""
        return BatchResult(tuple(self._run(batch.inputs, batch.rows)))

    def warmup(self) -> None:
        """The first run warms up; the executor makes it where the plan says so."""

    def close(self) -> None:
        """Drop the session; results given out stay valid."""
        del self._run


def _options(ort: Any, config: InstanceConfig) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = max(config.threads, 1)
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads of one stage must not spin on the cores that another stage needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _session(ort: Any, path: Path, stage: StagePlan, config: InstanceConfig) -> Any:
    try:
        return ort.InferenceSession(str(path), _options(ort, config), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _can_not_load(error, path, stage, ort) from error


def _can_not_load(error: Exception, path: Path, stage: StagePlan, ort: Any) -> BackendError:
    text = " ".join(str(error).split())
    place = f"stage `{stage.name}`: {path}"
    if "InvalidProtobuf" in type(error).__name__ or "No graph was found" in text or "not have a graph" in text:
        return BackendError(f"{place} is not an ONNX model", "is it complete? A Git LFS pointer looks like this too")
    if "opset" in text.lower() or "Unsupported model IR version" in text:
        return BackendError(
            f"{place} needs a newer ONNX Runtime than {ort.__version__}: {_reason(text)}",
            "upgrade onnxruntime, or export the model with an older opset",
        )
    if "External data path" in text or "external data" in text.lower():
        return BackendError(
            f"{place}: its external data is missing or outside its folder: {_reason(text)}",
            "keep the data files beside the model",
        )
    return BackendError(f"{place} can not be loaded: {_reason(text)}")


def _reason(text: str) -> str:
    """The runtime's message without its numbers, build paths and C++ signatures."""
    text = text.rpartition("failed:")[2].strip() or text
    return re.sub(r"^/\S+:\d+ .*?\) (?=[A-Z])", "", text)


def _refuse_keys(stage: StagePlan) -> None:
    unknown = sorted(keys_of(stage, "version", "versions"))
    if unknown:
        raise BackendError(f"stage `{stage.name}`: backend `onnx` has no argument `{unknown[0]}`")


def _refuse_ragged(stage: StagePlan) -> None:
    for port in (*stage.inputs, *stage.outputs):
        if port.form == "ragged":
            raise BackendError(
                f"stage `{stage.name}`: port `{port.name}` is ragged, and the stage has no rule for it",
                "add ragged { L = pad(0) } for its size",
            )


# ---- running


def _runner(ort: Any, session: Any, inputs: list[Slot], outputs: list[Slot], config: InstanceConfig) -> Run:
    enter = [_entering(slot, config) for slot in inputs]
    leave = [_leaving(slot, config) for slot in outputs]
    names = [slot.tensor.name for slot in inputs]
    wanted = [slot.tensor.name for slot in outputs]
    if any(slot.tensor.dtype == "bf16" for slot in (*inputs, *outputs)):
        run = _bound(ort, session, names, wanted)
    else:
        run = _plain(session, names, wanted)
    if not any(enter) and not any(leave):
        return run

    def converted(values: tuple[Any, ...]) -> list[Any]:
        found = run(tuple([f(v) if f else v for f, v in zip(enter, values)]))
        return [f(v) if f else v for f, v in zip(leave, found)]

    return converted


def _plain(session: Any, names: list[str], wanted: list[str]) -> Run:
    execute = session.run

    def run(values: tuple[Any, ...]) -> list[Any]:
        found: list[Any] = execute(wanted, dict(zip(names, values)))
        return found

    return run


def _bound(ort: Any, session: Any, names: list[str], wanted: list[str]) -> Run:
    def run(values: tuple[Any, ...]) -> list[Any]:
        binding = session.io_binding()
        held = [_ort_value(ort, value) for value in values]
        for name, value in zip(names, held):
            binding.bind_ortvalue_input(name, value)
        for name in wanted:
            binding.bind_output(name)
        session.run_with_iobinding(binding)
        return [_array(value) for value in binding.get_outputs()]

    return run


def _ort_value(ort: Any, array: Any) -> Any:
    if array.dtype.name == "bfloat16":
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), _BF16)
    return ort.OrtValue.ortvalue_from_numpy(array)


def _array(value: Any) -> Any:
    if value.element_type() != _BF16:
        return value.numpy()
    import ml_dtypes

    return np.asarray(_Bits(value)).view(ml_dtypes.bfloat16)


class _Bits:
    """The memory of a bf16 tensor as 16-bit integers; the array made from it keeps the tensor alive."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.__array_interface__ = {
            "data": (value.data_ptr(), False),
            "shape": tuple(value.shape()),
            "typestr": "<u2",
            "version": 3,
        }


def _entering(slot: Slot, config: InstanceConfig) -> Callable[[Any], Any] | None:
    dtype = slot.port.type.dtype
    if slot.port.filled in CONTROLS:
        return _controls(slot)
    if slot.port.form == "scalar":
        return lambda value: np.array(value, dtype.numpy)
    if not slot.permute:
        return None
    order = slot.permute

    def permuted(array: Any) -> Any:
        out = np.ascontiguousarray(array.transpose(order))
        _report(out, config)
        return out

    return permuted


def _controls(slot: Slot) -> Callable[[Any], Any]:
    """Control values in the dtype and rank of the file's tensor."""
    dtype = DTYPES[slot.tensor.dtype].numpy
    rows = slot.port.type.has_rows
    shape = [-1 if rows and axis == 0 else 1 for axis in range(len(slot.tensor.shape))]
    return lambda value: np.asarray(value).astype(dtype).reshape(shape)


def _leaving(slot: Slot, config: InstanceConfig) -> Callable[[Any], Any] | None:
    if slot.port.form == "scalar":
        return lambda array: array.item()
    if not slot.permute:
        return None
    order = tuple(int(axis) for axis in np.argsort(slot.permute))

    def permuted(array: Any) -> Any:
        out = np.ascontiguousarray(array.transpose(order))
        _report(out, config)
        return out

    return permuted


def _report(array: Any, config: InstanceConfig) -> None:
    if config.on_copy is not None:
        config.on_copy(array.nbytes, "permute")
