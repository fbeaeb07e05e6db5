"""Calls and answers as messages, their tensors in shared memory, and back.

    InferCall --pack_call--> Call --unpack_call--> InferCall
    InferAnswer --pack_answer--> Answer --unpack_answer--> InferAnswer

Tensors up to `INLINE` bytes travel in the message; larger ones are copied once, into a region. What is read are views
of that region, which is free again when the last of them is gone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backends.ipc.segments import Arena, Attached
from backends.ipc.transfer import ValueReader, ValueWriter
from serving.access import Caller
from serving.errors import InvalidArgument, Overloaded
from serving.tensors import NO_PARAMETERS, InferAnswer, InferCall, Parameter, TensorIn, TensorOut, Wanted

from .messages import Answer, Call, Given, Tensor, who

NO_HEADERS: Mapping[str, str] = {}
INLINE = 8192
"""Bytes from which on a tensor goes through shared memory: below, a copy into the socket is cheaper than a region."""


class Packer:
    """Packs the tensors of one message; gives their memory back if the message is not sent."""

    def __init__(self, arena: Arena) -> None:
        self._writer = ValueWriter(arena, inline=INLINE)

    def __enter__(self) -> Packer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None:
            return
        self._writer.release()
        if isinstance(error, OverflowError | UnicodeEncodeError | TypeError):
            raise InvalidArgument(f"the request holds a value that is none of the protocol: {error}") from None
        if isinstance(error, OSError):
            raise Overloaded(f"there is no memory for the tensors: {error.strerror}") from None

    def tensor_in(self, tensor: TensorIn) -> Tensor:
        """Of a request."""
        data: Any = tensor.data
        packed = isinstance(data, bytes | memoryview)
        if packed:
            data = np.frombuffer(data, np.uint8)
        elif data is not None:
            data = list(data)
        written = None if data is None else self._writer.write(data)
        given = _given(tensor.parameters)
        return Tensor(tensor.name, tensor.datatype, list(tensor.shape), written, packed, given)

    def tensor_out(self, tensor: TensorOut) -> Tensor:
        """Of an answer."""
        written = None if tensor.data is None else self._writer.write(tensor.data)
        given = _given(tensor.parameters)
        return Tensor(tensor.name, tensor.datatype, list(tensor.shape), written, False, given)


def pack_call(number: int, caller: Caller, call: InferCall, packer: Packer, *, stream: bool) -> Call:
    """A call for the parent."""
    deadline = None if call.timeout is None else time.monotonic_ns() + round(call.timeout * 1e9)
    return Call(
        number,
        stream,
        who(caller),
        call.model,
        call.version,
        call.id,
        [packer.tensor_in(t) for t in call.inputs],
        [(w.name, _given(w.parameters)) for w in call.outputs],
        _given(call.parameters),
        deadline,
        dict(call.headers) if call.headers else None,
        call.company,
        call.peer,
    )


def unpack_call(call: Call, attached: Attached) -> InferCall:
    """The call that a frontend packed. ValueError or SegmentError if it is not consistent in itself."""
    timeout = None if call.deadline_ns is None else (call.deadline_ns - time.monotonic_ns()) / 1e9
    return InferCall(
        call.model,
        call.version,
        call.id,
        [_tensor_in(t, attached) for t in call.inputs],
        [Wanted(name, given or NO_PARAMETERS) for name, given in call.outputs],
        call.parameters or NO_PARAMETERS,
        timeout,
        call.headers or NO_HEADERS,
        call.company,
        call.peer,
    )


def pack_answer(number: int, answer: InferAnswer, packer: Packer) -> Answer:
    """An answer for a frontend."""
    outputs = [packer.tensor_out(t) for t in answer.outputs]
    return Answer(number, answer.model, answer.version, answer.id, outputs, _given(answer.parameters), answer.final)


def unpack_answer(answer: Answer, attached: Attached) -> InferAnswer:
    """The answer that the parent packed."""
    outputs = [_tensor_out(t, attached) for t in answer.outputs]
    return InferAnswer(
        answer.model, answer.version, answer.id, outputs, answer.parameters or NO_PARAMETERS, answer.final
    )


def _given(parameters: Mapping[str, Parameter]) -> Given | None:
    return dict(parameters) if parameters else None


def _tensor_in(tensor: Tensor, attached: Attached) -> TensorIn:
    data: Any = None if tensor.data is None else ValueReader(attached).read(tensor.data)
    if tensor.packed:
        data = data.data
    return TensorIn(tensor.name, tensor.datatype, tensor.shape, data, tensor.parameters or NO_PARAMETERS)


def _tensor_out(tensor: Tensor, attached: Attached) -> TensorOut:
    data: Sequence[Any] | None = None if tensor.data is None else ValueReader(attached).read(tensor.data)
    return TensorOut(tensor.name, tensor.datatype, tuple(tensor.shape), data, tensor.parameters or NO_PARAMETERS)
