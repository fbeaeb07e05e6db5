"""The attacks of `attacks` as tritonclient's messages: the same codes and words, and a server that goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from serving.convert.datatypes import CONTENTS
from serving.protocol import message
from serving.tensors import InferCall, Parameters, TensorIn

from .attacks import ATTACKS, Attack, rows, x
from .grpc_server import Running, grpc_server
from .live import Live, live
from .programs import PIPE
from .test_grpc import call

Server = Live[Running]
NUMPY = {"INT8": np.int8, "INT32": np.int32, "INT64": np.int64, "UINT16": np.uint16, "BOOL": np.bool_}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path: Path = tmp_path_factory.mktemp("serving") / "null.pipe"
    path.write_text(PIPE)
    with live(grpc_server(path)) as found:
        yield found


def fill(target: Any, given: Parameters) -> None:
    fields = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    for name, value in given.items():
        setattr(target[name], fields[type(value)], value)


def packed(tensor: TensorIn) -> bytes:
    """Its data as raw bytes; lists of numbers as their datatype has them."""
    if isinstance(tensor.data, bytes):
        return tensor.data
    return np.array(tensor.data, NUMPY[tensor.datatype]).tobytes()


def request(wanted: InferCall) -> Any:
    """The message; raw as a whole where the call has bytes anywhere."""
    raw = any(isinstance(t.data, bytes) for t in wanted.inputs)
    made = message("inference.ModelInferRequest")(model_name=wanted.model, model_version=wanted.version, id=wanted.id)
    fill(made.parameters, wanted.parameters)
    for tensor in wanted.inputs:
        field = made.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        fill(field.parameters, tensor.parameters)
        if raw and tensor.data is not None:
            made.raw_input_contents.append(packed(tensor))
        elif tensor.data:
            getattr(field.contents, CONTENTS[tensor.datatype]).extend(tensor.data)
    for name, given in wanted.outputs:
        fill(made.outputs.add(name=name).parameters, given)
    return made


SAYABLE = [a for a in ATTACKS if a.name != "item under its range"]
"""The client's own protobuf refuses a negative number in a field of unsigned ones."""


@pytest.mark.parametrize("attack", SAYABLE, ids=lambda a: a.name)
def test_bad_requests_get_their_code(server: Server, attack: Attack) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(server, request(attack.call))
    details = caught.value.details()  # type: ignore[attr-defined]  # a Call too
    assert caught.value.code().name == attack.code, details  # type: ignore[attr-defined]  # the same
    assert all(word in details for word in attack.words), details
    assert call(server, request(rows(x()))).model_name == "rows"
