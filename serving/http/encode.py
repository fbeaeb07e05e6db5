"""`InferAnswer` -> the body of a response: JSON, or JSON and the raw bytes of those outputs that were asked for so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from serving.convert.datatypes import raw_bytes
from serving.convert.items import pack
from serving.errors import InvalidArgument
from serving.tensors import InferAnswer, InferCall, TensorOut

from .replies import Header, Reply

BINARY = b"application/octet-stream"


def infer_reply(answer: InferAnswer, call: InferCall) -> Reply:
    """The response of a call. InvalidArgument for text that JSON can not hold."""
    wanted = _binary_outputs(call)
    pieces: list[bytes | memoryview] = []
    outputs = [_output(tensor, wanted, pieces) for tensor in answer.outputs]
    head: dict[str, Any] = {"model_name": answer.model, "model_version": answer.version}
    if answer.id:
        head["id"] = answer.id
    if answer.parameters:
        head["parameters"] = dict(answer.parameters)
    head["outputs"] = outputs
    text = msgspec.json.encode(head)
    if not pieces:
        return Reply(200, (text,))
    headers: Sequence[Header] = ((b"inference-header-content-length", b"%d" % len(text)),)
    return Reply(200, (text, *pieces), BINARY, headers)


class _Binary:
    """Which outputs go as raw bytes: those that say so, and all others by the request's default."""

    __slots__ = ("default", "said")

    def __init__(self, default: bool, said: dict[str, bool]) -> None:
        self.default = default
        self.said = said

    def __contains__(self, name: str) -> bool:
        return self.said.get(name, self.default)


def _binary_outputs(call: InferCall) -> _Binary:
    default = call.parameters.get("binary_data_output", False) if call.parameters else False
    if type(default) is not bool:
        raise InvalidArgument(f"parameter `binary_data_output` takes true or false, found {default!r}")
    said: dict[str, bool] = {}
    for name, parameters in call.outputs:
        given = parameters.get("binary_data")
        if given is None:
            continue
        if type(given) is not bool:
            raise InvalidArgument(f"output `{name[:80]}`: `binary_data` takes true or false, found {given!r}")
        said[name] = given
    return _Binary(default, said)


def _output(tensor: TensorOut, wanted: _Binary, pieces: list[bytes | memoryview]) -> dict[str, Any]:
    head: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
    parameters = dict(tensor.parameters)
    if tensor.data is not None and tensor.name in wanted:
        raw = raw_bytes(tensor.data) if isinstance(tensor.data, np.ndarray) else pack(tensor.data)
        parameters["binary_data_size"] = len(raw)
        pieces.append(raw)
    elif tensor.data is not None:
        head["data"] = items(tensor)
    if parameters:
        head["parameters"] = parameters
    return head


def items(tensor: TensorOut) -> list[Any]:
    """The items of an output as JSON data, flat; NaN and infinities are null."""
    if isinstance(tensor.data, np.ndarray):
        flat = tensor.data.reshape(-1)
        if flat.dtype.kind == "V":  # bfloat16 and the like
            flat = flat.astype(np.float32)
        found: list[Any] = flat.tolist()
        return found
    try:
        return [item.decode() for item in tensor.data]
    except UnicodeDecodeError:
        raise InvalidArgument(
            f"output `{tensor.name}` holds bytes that are no UTF-8, which JSON can not hold; ask for it with"
            " `binary_data`"
        ) from None
