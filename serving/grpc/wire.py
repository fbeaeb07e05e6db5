"""ModelInferRequest to InferCall, InferAnswer to ModelInferResponse, each in one pass.

    bytes --split--> head (parsed) + raw contents (views of the same bytes) -> InferCall
    InferAnswer -> head parts (kept by shape) + raw contents (as they lie) --join--> bytes

A large request is not parsed whole: its raw contents would be copied twice. A response is put together from parts that
were serialised before, so that each tensor is copied once, into the message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from google.protobuf.message import DecodeError

from executor.errors import InvalidArgument
from serving.convert.datatypes import CONTENTS, raw_bytes
from serving.convert.items import pack
from serving.convert.regions import REGION
from serving.protocol import message
from serving.tensors import NO_PARAMETERS, InferAnswer, InferCall, Parameters, TensorIn, TensorOut, Wanted

from .scan import split

BIG = 2**15
"""Bytes of a request from which on its raw contents are not parsed."""

Request: Any = message("inference.ModelInferRequest")
Response: Any = message("inference.ModelInferResponse")
StreamResponse: Any = message("inference.ModelStreamInferResponse")

_CONTENT_FIELDS = tuple(dict.fromkeys(CONTENTS.values()))


# ---- in


def decode(data: bytes) -> InferCall:
    """A request from its bytes. InvalidArgument if they are none."""
    raw: Sequence[bytes | memoryview]
    try:
        found = split(data, 7) if len(data) > BIG else None
        if found is None:
            request = Request.FromString(data)
            raw = request.raw_input_contents[:]
        else:
            request = Request.FromString(found.head)
            raw = found.fields
    except DecodeError:
        raise InvalidArgument("the message is no ModelInferRequest") from None
    return InferCall(
        request.model_name,
        request.model_version,
        request.id,
        _inputs(request.inputs[:], raw),
        [Wanted(o.name, parameters(o.parameters)) for o in request.outputs] if len(request.outputs) else (),
        parameters(request.parameters),
    )


def parameters(given: Mapping[str, Any]) -> Parameters:
    """Values of InferParameters by name. InvalidArgument for one that holds nothing."""
    if not given:
        return NO_PARAMETERS
    found = {}
    for name, value in given.items():
        field = value.WhichOneof("parameter_choice")
        if field is None:
            raise InvalidArgument(f"parameter `{name[:80]}` has no value")
        found[name] = getattr(value, field)
    return found


def _inputs(inputs: Iterable[Any], raw: Sequence[bytes | memoryview]) -> list[TensorIn]:
    found = []
    taken = 0
    for tensor in inputs:
        given = parameters(tensor.parameters)
        data: Any = None
        if given and REGION in given:
            pass
        elif raw:
            if taken == len(raw):
                raise InvalidArgument(
                    f"input `{tensor.name[:80]}`: raw_input_contents has {len(raw)} entries, too few for the inputs"
                )
            if tensor.HasField("contents"):
                raise InvalidArgument(f"input `{tensor.name[:80]}` has contents beside raw_input_contents")
            data = raw[taken]
            taken += 1
        else:
            data = _contents(tensor)
        found.append(TensorIn(tensor.name, tensor.datatype, tensor.shape[:], data, given))
    if taken != len(raw):
        raise InvalidArgument(f"raw_input_contents has {len(raw)} entries, the inputs take {taken}")
    return found


def _contents(tensor: Any) -> Sequence[Any]:
    """Items one by one. InvalidArgument if they stand in another field than the datatype's."""
    field = CONTENTS.get(tensor.datatype)
    if not tensor.HasField("contents"):
        return ()
    used = [name for name in _CONTENT_FIELDS if len(getattr(tensor.contents, name))]
    wrong = [name for name in used if name != field]
    if wrong and field is None:
        raise InvalidArgument(f"input `{tensor.name[:80]}`: {tensor.datatype[:20]} travels in raw_input_contents only")
    if wrong:
        raise InvalidArgument(f"input `{tensor.name[:80]}`: {tensor.datatype} takes {field}, found {wrong[0]}")
    return list(getattr(tensor.contents, field)) if field else ()


# ---- out


def encode(answer: InferAnswer) -> bytes:
    """A ModelInferResponse."""
    return b"".join(_parts(answer))


def encode_stream(answer: InferAnswer) -> bytes:
    """A ModelStreamInferResponse that holds it."""
    parts = list(_parts(answer))
    return b"".join((b"\x12", varint(sum(map(len, parts))), *parts))


def encode_stream_error(text: str, id: str) -> bytes:
    """A ModelStreamInferResponse that says what went wrong with the request of that id."""
    made: bytes = StreamResponse(error_message=text, infer_response=Response(id=id)).SerializeToString()
    return made


def _parts(answer: InferAnswer) -> Iterator[bytes | memoryview]:
    yield _name(answer.model, answer.version)
    if answer.id:
        id = answer.id.encode()
        yield b"\x1a" + varint(len(id)) + id
    if answer.parameters:
        yield _response_parameters(tuple(answer.parameters.items()))
    for tensor in answer.outputs:
        yield _tensor(tensor) if tensor.parameters else _plain(tensor.name, tensor.datatype, tensor.shape)
    for tensor in answer.outputs:
        if tensor.data is None:
            yield b"2\x00"  # clients count entries by outputs, those in shared memory too
        else:
            data = pack(tensor.data) if tensor.datatype == "BYTES" else raw_bytes(tensor.data)
            yield b"2" + varint(len(data))
            yield data


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    if number < 0x80:
        return _ONE_BYTE[number]
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


_ONE_BYTE = tuple(bytes((n,)) for n in range(0x80))


@lru_cache(maxsize=1024)
def _name(model: str, version: str) -> bytes:
    made: bytes = Response(model_name=model, model_version=version).SerializeToString()
    return made


@lru_cache(maxsize=4096)
def _plain(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    made: bytes = Response(outputs=[{"name": name, "datatype": datatype, "shape": shape}]).SerializeToString()
    return made


@lru_cache(maxsize=1024)
def _response_parameters(given: tuple[tuple[str, Any], ...]) -> bytes:
    response = Response()
    for name, value in given:
        _set(response.parameters[name], value)
    made: bytes = response.SerializeToString()
    return made


def _tensor(tensor: TensorOut) -> bytes:
    response = Response(outputs=[{"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}])
    for name, value in tensor.parameters.items():
        _set(response.outputs[0].parameters[name], value)
    made: bytes = response.SerializeToString()
    return made


def _set(parameter: Any, value: object) -> None:
    """Put a value in the field of its kind."""
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    else:
        parameter.string_param = value
