"""The generate extension: an object of inputs by name in, an object of outputs by name out.

    {"text": "hi", "k": 3} -> InferCall        InferAnswer -> {"model_name": .., "answer": "there"}

A value may be single or a nested list; a single one is [1]. Other keys, and those of an object `parameters`, are
parameters of the request.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from pipeline_dsl.plan import InputPlan
from serving.deployment import Served
from serving.errors import InvalidArgument
from serving.tensors import InferAnswer, InferCall, Parameter, TensorIn, TensorOut

from .decode import check_depth
from .encode import items
from .request import Head


def generate_call(served: Served, version: str, body: bytes, head: Head) -> InferCall:
    """The call that an object makes. InvalidArgument for anything else, or a parameter that is none."""
    given = _object(body)
    ports = {port.name: port for port in served.plan.inputs}
    id = given.pop("id", "") if "id" not in ports else ""
    nested = given.pop("parameters", {}) if "parameters" not in ports else {}
    if not isinstance(id, str) or not isinstance(nested, dict):
        raise InvalidArgument("`id` takes a string, `parameters` an object")
    tensors: list[TensorIn] = []
    parameters: dict[str, Parameter] = {}
    for name, value in {**nested, **given}.items():
        if name in ports:
            tensors.append(_tensor(ports[name], value))
        elif isinstance(value, bool | int | float | str):
            parameters[name] = value
        else:
            raise InvalidArgument(f"`{name[:80]}` is no input of `{served.name}`; a parameter is a single value")
    return InferCall(
        served.name, version, id or head.id, tensors, (), parameters, head.timeout, head.forwarded, peer=head.peer
    )


def generated(answer: InferAnswer) -> dict[str, Any]:
    """Outputs by name, a single item as itself."""
    found: dict[str, Any] = {"model_name": answer.model, "model_version": answer.version}
    if answer.id:
        found["id"] = answer.id
    for tensor in answer.outputs:
        if tensor.data is not None:
            found[tensor.name] = _value(tensor)
    return found


def _object(body: bytes) -> dict[str, Any]:
    check_depth(body)
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"the request is no JSON object: {error}") from None


def _tensor(port: InputPlan, value: Any) -> TensorIn:
    dtype = port.type.dtype
    if dtype.name == "json":
        values = value if port.type.dims and isinstance(value, list) else [value]
        texts = [msgspec.json.encode(one) for one in values]
        return TensorIn(port.name, dtype.kserve, [len(texts)], texts)
    if not isinstance(value, list):
        return TensorIn(port.name, dtype.kserve, [1], [value])
    return TensorIn(port.name, dtype.kserve, _shape(value), value)


def _shape(value: Any) -> list[int]:
    """Sizes of nested lists, as far as the first ones go; that the others agree is checked with the values."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _value(tensor: TensorOut) -> Any:
    flat = items(tensor)
    if len(flat) == 1:
        return flat[0]
    return _nested(flat, tensor.shape)


def _nested(flat: list[Any], shape: tuple[int, ...]) -> Any:
    if len(shape) < 2:
        return flat
    box = np.empty(len(flat), object)
    box[:] = flat
    return box.reshape(shape).tolist()
