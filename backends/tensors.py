"""What a model's file says of its tensors, without running it: for `pipectl lock`.

ONNX files are opened by ONNX Runtime without optimising them, `.pt2` files by torch with weights only. Other formats
do not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline_dsl.locks import LockedTensor
from pipeline_dsl.plan import StagePlan

from .artifact import missing_library
from .base import BackendError
from .ort_tensors import tensor_of
from .torch_files import EXPORTED, exported_program

Tensors = tuple[tuple[LockedTensor, ...], tuple[LockedTensor, ...]]
"""Inputs and outputs."""


def tensors_of(stage: StagePlan, path: Path) -> Tensors | None:
    """The tensors of a stage's file; None where its format does not say. BackendError if it can not be read."""
    if stage.backend == "onnx":
        return _onnx(stage, path)
    if stage.backend == "torch" and path.suffix in EXPORTED:
        return _exported(stage, path)
    return None


def _onnx(stage: StagePlan, path: Path) -> Tensors:
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise missing_library(stage, "onnxruntime", "onnx", error) from error
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        text = f"stage `{stage.name}`: {path} can not be read: {' '.join(str(error).split())[:300]}"
        raise BackendError(text, "is it a complete ONNX file?") from error
    sides = (session.get_inputs(), session.get_outputs())
    inputs, outputs = (tuple(_locked(tensor_of(a)) for a in side) for side in sides)
    return inputs, outputs


def _locked(tensor: Any) -> LockedTensor:
    return LockedTensor(tensor.name, tensor.dtype, tensor.shape)


def _exported(stage: StagePlan, path: Path) -> Tensors:
    try:
        import torch
    except ImportError as error:
        raise missing_library(stage, "torch", "torch", error) from error
    program = exported_program(torch, path, stage)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    signature = program.graph_signature
    inputs = tuple(_torch_tensor(name, values[name], torch) for name in signature.user_inputs if name in values)
    outputs = [values[name] for name in signature.user_outputs if name in values]
    names = ["output"] if len(outputs) == 1 else [f"output_{n}" for n in range(len(outputs))]
    return inputs, tuple(_torch_tensor(name, value, torch) for name, value in zip(names, outputs, strict=True))


_TORCH = {"uint8": "u8", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64", "bool": "bool"}
_TORCH |= {"float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64"}


def _torch_tensor(name: str, value: Any, torch: Any) -> LockedTensor:
    """Sizes that were exported as dynamic have the names that torch gave them."""
    if not isinstance(value, torch.Tensor):
        return LockedTensor(name, type(value).__name__, None)
    word = str(value.dtype).removeprefix("torch.")
    shape = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
    return LockedTensor(name, _TORCH.get(word, word), shape)
