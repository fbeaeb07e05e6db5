"""Ports of a stage against the tensors of an engine, before the first batch.

Names, dtypes and shapes are those of `ort_tensors.match`; here is what an engine can not do beyond that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backends.artifact import disagreement
from backends.base import BackendError
from backends.ort_tensors import Slot, match
from pipeline_dsl.plan import PortPlan, StagePlan
from pipeline_dsl.types import Rows

from .engine import Engine
from .profiles import shown


def refuse_unsupported(stage: StagePlan) -> None:
    """BackendError for ports and settings that no engine can serve."""
    for port in (*stage.inputs, *stage.outputs):
        place = f"stage `{stage.name}`: port `{port.name}` is"
        if not port.type.dtype.numeric:
            raise BackendError(f"{place} {port.type}, an engine takes numbers only", "decode it in a python stage")
        if port.form == "ragged":
            hint = "add ragged { L = pad(0) } for its size"
            raise BackendError(f"{place} ragged, and the stage has no rule for it", hint)
        if port.type.optional or port.type.stream:
            raise BackendError(f"{place} {port.type}, an engine has a value for each tensor in each run")
    for name, given in (*stage.contract.tensors_in.items(), *stage.contract.tensors_out.items()):
        if given.permute:
            message = f"stage `{stage.name}`: `{name}` is permuted, which backend `{stage.backend}` does not do"
            raise BackendError(message, "export the model with the port's order of axes, or use onnx(..)")
    if stage.contract.rows is not None:
        message = f"stage `{stage.name}`: backend `{stage.backend}` takes no `rows = {stage.contract.rows}`"
        raise BackendError(message, "export the model with a dynamic first axis")


def slots_of(stage: StagePlan, path: Path, engine: Engine) -> tuple[list[Slot], list[Slot]]:
    """Slots of inputs and outputs in port order. BackendError if the engine is not what the signature says."""
    inputs, outputs = match(stage, str(path), engine.inputs, engine.outputs)
    for slot in (*inputs, *outputs):
        _check_layout(slot, engine, path, stage)
    if stage.has_rows:
        _check_rows(inputs, engine, path, stage)
    return inputs, outputs


def _check_layout(slot: Slot, engine: Engine, path: Path, stage: StagePlan) -> None:
    name, raw = slot.tensor.name, engine.raw
    if raw.get_tensor_format(name) != engine.library.trt.TensorFormat.LINEAR:
        message = f"stage `{stage.name}`: {path}: tensor `{name}` is not stored row by row"
        raise BackendError(message, "build the plan with linear formats for its inputs and outputs")
    alias = raw.get_aliased_input_tensor(name) if hasattr(raw, "get_aliased_input_tensor") else None
    if alias:
        message = (
            f"stage `{stage.name}`: {path}: output `{name}` is written into input `{alias}`, which others may read"
        )
        raise BackendError(message, "build the plan without outputs that share memory with inputs")


def _check_rows(inputs: Sequence[Slot], engine: Engine, path: Path, stage: StagePlan) -> None:
    """A plan that was built elsewhere must take all batches that the settings allow."""
    most = stage.batching.max_rows
    for slot in inputs:
        axis = _row_axis(slot.port)
        if axis is None or not engine.profiles:
            continue
        ranges = [profile[slot.tensor.name][axis] for profile in engine.profiles]
        largest, smallest = max(r.most for r in ranges), min(r.least for r in ranges)
        listed = ", ".join(shown(profile, slot.tensor.name) for profile in engine.profiles)
        text = f"{path} was built for `{slot.tensor.name}` of shapes {listed}"
        if smallest > 1:
            hint = "build the plan for 1 row as well"
            raise disagreement(stage, f"{text}, batches may have 1 row", hint)
        if not most or largest < most:
            given = f"batches may have {most or 'any number of'} rows"
            raise disagreement(stage, f"{text}, {given}", f"set `batching {{ max = {largest} }}`")


def _row_axis(port: PortPlan) -> Any:
    dims = port.type.dims
    return 0 if dims and isinstance(dims[0], Rows) and port.form != "packed" else None
