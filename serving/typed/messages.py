"""Messages of one pipeline: a request to the tensors that the protocol v2 would carry, and its answer back.

The same codec checks both, so a typed call fails with the same words as one of the protocol v2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from executor.errors import InvalidArgument
from pipeline_dsl.plan import PipelinePlan
from serving.convert.datatypes import raw_bytes
from serving.convert.inputs import LENGTHS
from serving.tensors import TensorIn, TensorOut

from .schema import Port, ports


class Messages:
    """Both directions of one pipeline."""

    def __init__(self, plan: PipelinePlan, request: Any, response: Any) -> None:
        """`request` and `response`: the classes of its messages."""
        self.request = request
        self._response = response
        self._inputs, outputs = ports(plan)
        self._outputs = {p.name: p for p in outputs}

    def tensors(self, request: Any) -> list[TensorIn]:
        """What a request holds."""
        found: list[TensorIn] = []
        for port in self._inputs:
            if port.presence and not request.HasField(port.name):
                continue
            found += _tensors(port, getattr(request, port.name), request)
        return found

    def response(self, outputs: Sequence[TensorOut]) -> Any:
        """The message with these outputs."""
        made = self._response()
        for tensor in outputs:
            name = tensor.name.removesuffix(LENGTHS) if tensor.name not in self._outputs else tensor.name
            if name != tensor.name:
                getattr(made, name).lengths.extend(tensor.data.ravel().tolist())
            else:
                _fill(made, self._outputs[name], tensor)
        return made


def _tensors(port: Port, value: Any, request: Any) -> Iterable[TensorIn]:
    datatype = port.type.dtype.kserve
    if port.form == "single":
        yield TensorIn(port.name, datatype, (1,), (value,))
    elif port.form == "repeated":
        yield TensorIn(port.name, datatype, (len(value),), list(value))
    else:
        if not request.HasField(port.name):
            raise InvalidArgument(f"input `{port.name}`: {port.type} is missing")
        data = value.data if port.type.dtype.numeric else list(value.items)
        yield TensorIn(port.name, datatype, tuple(value.shape), data)
        if port.type.is_ragged:
            yield TensorIn(port.name + LENGTHS, "INT64", (len(value.lengths),), list(value.lengths))


def _fill(made: Any, port: Port, tensor: TensorOut) -> None:
    if port.form == "tensor":
        target = getattr(made, port.name)
        target.shape.extend(tensor.shape)
        if port.type.dtype.numeric:
            target.data = bytes(raw_bytes(tensor.data))
        else:
            target.items.extend(_plain(port, tensor.data))
        return
    items = _plain(port, tensor.data)
    if port.form == "single":
        setattr(made, port.name, items[0])
    else:
        getattr(made, port.name).extend(items)


def _plain(port: Port, data: Any) -> list[Any]:
    """Items as protobuf takes them."""
    if not isinstance(data, np.ndarray):
        return list(data) if port.type.dtype.name == "bytes" else [item.decode() for item in data]
    if port.type.dtype.name in ("f16", "bf16"):
        data = data.astype(np.float32)
    found: list[Any] = data.ravel().tolist()
    return found
