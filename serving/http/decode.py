"""The body of an inference request -> `InferCall`: JSON, or JSON and the raw bytes of tensors behind it.

Lengths that a client claims are held against what is there; a mistake names the tensor it is in.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from serving.errors import InvalidArgument
from serving.tensors import NO_PARAMETERS, InferCall, Parameter, TensorIn, Wanted

from .request import Head

MAX_DEPTH = 100
"""Brackets inside one another."""
SHM = "shared_memory_region"

Given = dict[str, Parameter]


class _Input(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: Given | None = None
    data: list[Any] | None = None


class _Output(msgspec.Struct):
    name: str
    parameters: Given | None = None


class _Request(msgspec.Struct):
    inputs: list[_Input] = []
    outputs: list[_Output] | None = None
    id: str = ""
    parameters: Given | None = None


_DECODER = msgspec.json.Decoder(_Request)
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PLACE = re.compile(r"\$\.(inputs|outputs)\[(\d+)\]")


def infer_call(model: str, version: str, body: bytes, head: Head) -> InferCall:
    """The call a body makes. InvalidArgument for anything that is not of the protocol's form."""
    split = json_length(head, len(body))
    text = body if split is None else body[:split]
    if split == 0:
        raise InvalidArgument("`Inference-Header-Content-Length: 0`: a request needs its JSON header")
    request = decoded(text)
    inputs = request.inputs
    if split is not None:
        tensors = _binary(inputs, memoryview(body)[split:])
    else:
        tensors = [TensorIn(i.name, i.datatype, i.shape, _listed(i), i.parameters or NO_PARAMETERS) for i in inputs]
    return InferCall(
        model,
        version,
        request.id or head.id,
        tensors,
        [Wanted(o.name, o.parameters or NO_PARAMETERS) for o in request.outputs] if request.outputs else (),
        request.parameters or NO_PARAMETERS,
        head.timeout,
        head.forwarded,
        peer=head.peer,
    )


def json_length(head: Head, size: int) -> int | None:
    """Bytes of JSON before the tensors; None where the body is JSON alone."""
    given = head.json_length
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 12):
        raise InvalidArgument(f"header `Inference-Header-Content-Length` is {given[:40]!r}, no whole number")
    if int(given) > size:
        raise InvalidArgument(f"header `Inference-Header-Content-Length` is {int(given)}, the body has {size} bytes")
    return int(given)


def decoded(text: bytes) -> _Request:
    """The JSON of a request."""
    check_depth(text)
    try:
        return _DECODER.decode(text)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"{_placed(str(error), text)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"the request is no JSON: {error}") from None


def check_depth(text: bytes) -> None:
    """InvalidArgument where brackets are nested deeper than `MAX_DEPTH`."""
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return
    brackets = _STRINGS.sub(b"", text).translate(_ONE_KIND, delete=_OTHERS)
    for _ in range(MAX_DEPTH):  # each round takes the innermost level away
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return
    raise InvalidArgument(f"the JSON is nested deeper than {MAX_DEPTH} levels, or its brackets do not match")


_OTHERS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def _placed(message: str, text: bytes) -> str:
    """A decoder's message with the name of the tensor it is about."""
    found = _PLACE.search(message)
    if found is None:
        return f"the request is not of the protocol's form: {message}"
    kind, index = found[1], int(found[2])
    try:
        name = msgspec.json.decode(text)[kind][index]["name"]
    except (msgspec.MsgspecError, UnicodeDecodeError, LookupError, TypeError):
        name = None
    shown = f"{kind[:-1]} `{name[:80]}`" if isinstance(name, str) else f"{kind[:-1]} {index}"
    return f"{shown} is not of the protocol's form: {message}"


def _listed(given: _Input) -> list[Any] | None:
    size = given.parameters.get("binary_data_size") if given.parameters else None
    if size is not None:
        raise InvalidArgument(
            f"input `{given.name[:80]}`: `binary_data_size` needs the header `Inference-Header-Content-Length`"
        )
    return given.data


def _binary(inputs: list[_Input], rest: memoryview) -> list[TensorIn]:
    """Tensors in order, each with its bytes or its items."""
    found: list[TensorIn] = []
    place = 0
    for given in inputs:
        parameters = given.parameters or NO_PARAMETERS
        size = parameters.get("binary_data_size")
        data: Any = given.data
        if size is not None:
            name = f"input `{given.name[:80]}`"
            if type(size) is not int or size < 0:
                raise InvalidArgument(f"{name}: `binary_data_size` is {size!r}, no size")
            if data is not None:
                raise InvalidArgument(f"{name} has `data` and `binary_data_size`")
            if place + size > len(rest):
                raise InvalidArgument(f"{name}: `binary_data_size` is {size}, {len(rest) - place} bytes are left")
            data = rest[place : place + size]
            place += size
        found.append(TensorIn(given.name, given.datatype, given.shape, data, _kept(parameters)))
    if place != len(rest):
        raise InvalidArgument(f"{len(rest) - place} bytes are left over behind the inputs")
    return found


def _kept(parameters: Any) -> Any:
    """Parameters that are not about this body."""
    if "binary_data_size" not in parameters:
        return parameters
    return {name: value for name, value in parameters.items() if name != "binary_data_size"} or NO_PARAMETERS
