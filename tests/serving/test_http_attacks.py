"""The attacks of `attacks` over HTTP, as JSON and as binary tensors: the same words, the code of the table, and a
server that goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.errors import InvalidArgument, NotFound, Unavailable
from serving.tensors import InferCall, TensorIn

from .attacks import ATTACKS, Attack
from .http_server import Raw, Running, http_server, request
from .live import Live, live
from .programs import PIPE

Server = Live[Running]
STATUS = {kind.grpc_code: kind.http_status for kind in (InvalidArgument, NotFound, Unavailable)}
NUMPY = {"INT8": np.int8, "INT32": np.int32, "INT64": np.int64, "UINT16": np.uint16, "BOOL": np.bool_}
NOT_HERE = {"no name at all", "path for a name", "control characters in a name", "a name of a mebibyte"}
"""Names that can not stand in a path; `test_names_in_paths` sends what comes closest."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path: Path = tmp_path_factory.mktemp("serving") / "null.pipe"
    path.write_text(PIPE)
    with live(http_server(path)) as found:
        yield found


def sent(call: InferCall) -> bytes:
    """The call as a request; its bytes behind the JSON."""
    tail = b""
    raw = any(isinstance(tensor.data, bytes) for tensor in call.inputs)
    inputs = []
    for tensor in call.inputs:
        given: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        parameters = dict(tensor.parameters)
        if isinstance(tensor.data, bytes):
            parameters["binary_data_size"] = len(tensor.data)
            tail += tensor.data
        elif tensor.data is not None:
            given["data"] = [d.decode() if isinstance(d, bytes) else d for d in tensor.data]
        inputs.append(given | ({"parameters": parameters} if parameters else {}))
    body: dict[str, Any] = {"inputs": inputs, "parameters": dict(call.parameters)}
    if call.id:
        body["id"] = call.id
    if call.outputs:
        body["outputs"] = [{"name": name, "parameters": dict(given)} for name, given in call.outputs]
    text = json.dumps(body).encode()
    path = f"/v2/models/{call.model}" + (f"/versions/{call.version}" if call.version else "") + "/infer"
    headers = {"inference_header_content_length": str(len(text))} if raw else {}
    return request(text + tail, path=path, **headers)


def good() -> bytes:
    data = np.arange(4, dtype=np.float32).tobytes()
    return sent(InferCall("rows", inputs=[TensorIn("x", "FP32", (1, 4), data)]))


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.name not in NOT_HERE], ids=lambda a: a.name)
def test_an_attack_fails_as_it_must(server: Server, attack: Attack) -> None:
    with Raw(server.value.url) as raw:
        raw.send(sent(attack.call))
        status, headers, body = raw.response()
        assert status == STATUS[attack.code], body
        assert headers["content-type"] == "application/json"
        error = json.loads(body)
        assert list(error) == ["error"]
        for word in attack.words:
            assert word in error["error"]
        raw.send(good())
        assert raw.response()[0] == 200


@pytest.mark.parametrize("name", ["..%2f..%2fetc%2fpasswd", "a%0a%1b[31m", "%00", "n" * 5000, "%ff", "rows%20", "ROWS"])
def test_names_in_paths(server: Server, name: str) -> None:
    with Raw(server.value.url) as raw:
        raw.send(request(b'{"inputs": []}', path=f"/v2/models/{name}/infer"))
        status, _, body = raw.response()
        assert status == 404
        text = json.loads(body)["error"]
        assert text.isprintable()
        assert len(text) < 400


def test_the_same_answer_every_time_between_good_requests(server: Server) -> None:
    """R22: attacks change nothing for the others, and nothing for one another."""
    chosen = [a for a in ATTACKS if a.name not in NOT_HERE]
    first: dict[str, tuple[int, bytes]] = {}
    with Raw(server.value.url) as raw:
        for _ in range(5):
            for attack in chosen:
                raw.send(sent(attack.call), good())
                status, _, body = raw.response()
                told = (status, re.sub(rb" \(request r\d+\)", b"", body))
                assert first.setdefault(attack.name, told) == told
                assert raw.response()[0] == 200
