"""A `StagePlan` as bytes and back, so that a process of its own can load the stage. No pickle.

    StagePlan -> plain lists -> msgpack -> plain lists -> StagePlan

Takes the frozen classes of `CLASSES`, dtypes, and plain data: None, bool, int, float, str, bytes, list, tuple and
mappings. Lists and tuples stay apart; every mapping comes back as a dict. Anything else is a `BackendError` that names
the setting. Promises `decode_plan(encode_plan(plan)) == plan`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec

from backends.base import BackendError
from pipeline_dsl import ir, plan, sizes, types
from pipeline_dsl.dtypes import DTYPES, DType
from pipeline_dsl.plan import PipelinePlan, Slot, StagePlan

CLASSES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        sizes.Size,
        sizes.Symbol,
        sizes.Quotient,
        types.Rows,
        types.Sized,
        types.Ragged,
        types.Unknown,
        types.Rest,
        types.TensorType,
        ir.Bound,
        ir.RaggedRule,
        ir.TensorName,
        ir.SequenceRule,
        ir.StateRule,
        ir.Contract,
        plan.PortPlan,
        plan.BatchPolicy,
        plan.LevelPolicy,
        plan.QueuePolicy,
        plan.Warmup,
        plan.CachePolicy,
        plan.ResourceClaim,
        plan.AheadPolicy,
        plan.StagePlan,
        plan.Slot,
        plan.InputPlan,
        plan.OutputPlan,
    )
}
"""What may cross, by name: a closed table, so bytes can never name another class."""

_INT64 = range(-(2**63), 2**64)


def encode_plan(stage: StagePlan) -> bytes:
    """The plan as msgpack. BackendError if a setting holds something that can not cross."""
    try:
        return msgspec.msgpack.encode(_lower(stage, ""))
    except _CanNotCross as error:
        raise BackendError(
            f"stage `{stage.name}`: {error}, which can not be sent to another process",
            "Use numbers, text, lists and maps in the settings of a stage with isolate = process.",
        ) from None


def decode_plan(data: bytes) -> StagePlan:
    """The plan that `encode_plan` made bytes of."""
    stage = _raise(msgspec.msgpack.decode(data))
    if not isinstance(stage, StagePlan):
        raise ValueError(f"expected a StagePlan, found {type(stage).__name__}")
    return stage


def encode_signature(pipeline: PipelinePlan) -> bytes:
    """What a pipeline takes and gives, without its steps. BackendError as for a stage."""
    outputs = tuple(dataclasses.replace(port, source=Slot(0)) for port in pipeline.outputs)
    try:
        return msgspec.msgpack.encode(_lower((pipeline.name, pipeline.doc, pipeline.inputs, outputs), ""))
    except _CanNotCross as error:
        raise BackendError(
            f"pipeline `{pipeline.name}`: {error}, which can not be sent to another process",
            "Use numbers, text, lists and maps as defaults of its inputs.",
        ) from None


def decode_signature(data: bytes) -> PipelinePlan:
    """A plan without steps, from what `encode_signature` gave."""
    name, doc, inputs, outputs = _raise(msgspec.msgpack.decode(data))
    return PipelinePlan(name, inputs, outputs, (), len(inputs), doc=doc)


class _CanNotCross(Exception):
    pass


def _lower(value: Any, place: str) -> Any:
    """`value` as scalars and tagged lists."""
    if value is None or isinstance(value, bool | float | str | bytes):
        return value
    if isinstance(value, int):
        return value if value in _INT64 else ["int", str(value)]
    if isinstance(value, DType):
        return ["dtype", value.name]
    if isinstance(value, list | tuple):
        items = [_lower(item, f"{place}[{i}]") for i, item in enumerate(value)]
        return ["list" if isinstance(value, list) else "tuple", *items]
    if isinstance(value, Mapping):
        return ["map", *([_lower(k, place), _lower(v, f"{place}.{k}")] for k, v in value.items())]
    kind = type(value)
    if CLASSES.get(kind.__name__) is kind:
        names = [field.name for field in dataclasses.fields(kind)]
        return ["object", kind.__name__, *(_lower(getattr(value, name), f"{place}.{name}") for name in names)]
    raise _CanNotCross(f"{place.lstrip('.')} holds a {kind.__name__}")


def _raise(value: Any) -> Any:
    """The opposite of `_lower`."""
    if not isinstance(value, list):
        return value
    tag, *items = value
    match tag:
        case "int":
            return int(items[0])
        case "dtype":
            return DTYPES[items[0]]
        case "list":
            return [_raise(item) for item in items]
        case "tuple":
            return tuple(_raise(item) for item in items)
        case "map":
            return {_raise(key): _raise(item) for key, item in items}
        case "object":
            return CLASSES[items[0]](*(_raise(item) for item in items[1:]))
        case _:
            raise ValueError(f"unknown tag {tag!r}")
