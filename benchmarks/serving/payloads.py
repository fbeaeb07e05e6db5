"""Requests as the bytes that clients send, and answers read back to be compared with the bare loop's.

A request is made once; the client only sends it. Over HTTP texts and small tensors go as JSON, images and embeddings
as binary tensors. Triton's batched string tensors have one axis more.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.protocol import message

from .works import Array, Work, inputs

LARGE = 1024
"""Bytes from which a tensor goes in binary over HTTP."""
DTYPES = {"FP32": np.float32, "INT64": np.int64}


@dataclass(frozen=True)
class Region:
    """Shared memory of one client, known to the server as NAME_in and NAME_out, each of `size` bytes."""

    name: str
    size: int


def shape_of(work: Work, given: Array, triton: bool) -> list[int]:
    return [*given.shape, 1] if triton and work.values[work.input].datatype == "BYTES" else [*given.shape]


def raw(given: Array) -> bytes:
    """The bytes of a tensor; of texts, each behind its length."""
    if given.dtype != object:
        return given.tobytes()
    encoded = [text.encode() for text in given]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


def grpc_requests(work: Work, triton: bool, regions: Sequence[Region] = ()) -> list[bytes]:
    """ModelInferRequests; with `regions` the tensors lie there."""
    made = []
    for i, given in enumerate(inputs(work.name)):
        request = message("inference.ModelInferRequest")(model_name=work.name)
        datatype = work.values[work.input].datatype
        tensor = request.inputs.add(name=work.input, datatype=datatype, shape=shape_of(work, given, triton))
        if regions:
            wanted = request.outputs.add(name=work.output)
            for parameters, end in ((tensor.parameters, "in"), (wanted.parameters, "out")):
                parameters["shared_memory_region"].string_param = f"{regions[i].name}_{end}"
                parameters["shared_memory_byte_size"].int64_param = regions[i].size
        else:
            request.raw_input_contents.append(raw(given))
        made.append(request.SerializeToString())
    return made


def http_requests(work: Work, triton: bool) -> list[bytes]:
    """POSTs of protocol v2."""
    made = []
    for given in inputs(work.name):
        tensor: dict[str, Any] = {"name": work.input, "datatype": work.values[work.input].datatype}
        tensor["shape"] = shape_of(work, given, triton)
        binary = given.nbytes >= LARGE and given.dtype != object
        if binary:
            tensor["parameters"] = {"binary_data_size": given.nbytes}
        else:
            tensor["data"] = given.ravel().tolist()
        wanted = {"name": work.output, "parameters": {"binary_data": is_large(work)}}
        head = json.dumps({"inputs": [tensor], "outputs": [wanted]}).encode()
        extra = f"Inference-Header-Content-Length: {len(head)}\r\n" if binary else ""
        made.append(post(f"/v2/models/{work.name}/infer", head + (given.tobytes() if binary else b""), extra))
    return made


def mosec_requests(work: Work) -> list[bytes]:
    return [post("/inference", json.dumps({work.input: given.tolist()[0]}).encode()) for given in inputs(work.name)]


def is_large(work: Work) -> bool:
    return int(np.prod(work.values[work.output].dims)) * 4 >= LARGE


def post(path: str, body: bytes, headers: str = "") -> bytes:
    kind = "application/octet-stream" if headers else "application/json"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {kind}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def grpc_answer(data: bytes) -> Array:
    response = message("inference.ModelInferResponse")()
    response.ParseFromString(data)
    return np.frombuffer(response.raw_output_contents[0], np.float32)


def http_answer(headers: dict[str, str], body: bytes) -> Array:
    length = int(headers.get("inference-header-content-length", len(body)))
    output = json.loads(body[:length])["outputs"][0]
    if "data" in output:
        return np.array(output["data"], np.float32)
    return np.frombuffer(body[length:], np.float32)


def mosec_answer(headers: dict[str, str], body: bytes) -> Array:
    return np.frombuffer(body, np.float32)
