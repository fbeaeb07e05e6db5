"""Requests over HTTP, broken at every level a seed can think of: JSON, binary tensors, headers, paths, bytes."""

from __future__ import annotations

import copy
import gzip
import json
import math
import random
import zlib
from dataclasses import dataclass, field
from typing import Any

from .attacks import IDS, ROW, item

JUNK: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 2**31, 2**63, 2**70, -(2**70), 1e308, math.inf, math.nan),
    *("", "x", "x" * 300, "\x00", "é\u202e", "../../etc/passwd", "FP32", "INT64", "BYTES", "-1"),
    *([], {}, [[]], [[1], [2, 3]], [1, "a"], {"a": {"b": 1}}, [0] * 500),
]
KEYS = ["inputs", "outputs", "parameters", "id", "name", "shape", "datatype", "data", "binary_data_size", "binary_data"]
MODELS = [
    "rows",
    "texts",
    "single",
    "ragged",
    "halves",
    "small",
    "blobs",
    "rows.y",
    "rowz",
    "..%2f..",
    "%00",
    "",
    "a" * 400,
]
PATHS = [
    *(
        "/",
        "/v2",
        "/v2/",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/stats",
        "/v2/repository/index",
        "/metrics",
    ),
    *("/v2/logging", "/v2/trace/setting", "/v2/systemsharedmemory/status", "/v2/cudasharedmemory/status", "/docs"),
    *("/v2/models/MODEL", "/v2/models/MODEL/config", "/v2/models/MODEL/stats", "/v2/models/MODEL/ready"),
    *("/v2/models/MODEL/versions/VERSION", "/v2/models/MODEL/versions/VERSION/infer", "/v2/models/MODEL/trace/setting"),
    *("/v2/repository/models/MODEL/load", "/v2/repository/models/MODEL/unload", "/v2/systemsharedmemory/unregister"),
    *("/v2/systemsharedmemory/region/MODEL/register", "/v2/cudasharedmemory/region/MODEL/register", "//v2//models"),
]
METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"]
VERSIONS = ["1", "2", "-1", "one", "9" * 30, "%2e%2e", "1.0"]
HEADERS: dict[str, list[str]] = {
    "inference-header-content-length": ["0", "-1", "99999999999", "abc", "1.5", "", "10", "١"],
    "content-encoding": ["gzip", "deflate", "br", "identity", "gzip, gzip", "", "\x7f"],
    "accept-encoding": ["gzip", "deflate", "*", "gzip;q=0", "gzip;q=x", ";;;"],
    "content-type": ["application/json", "text/plain", "multipart/form-data", ""],
    "x-envoy-expected-rq-timeout-ms": ["0", "-1", "1", "abc", "1e9", "99999999999999999999"],
    "x-request-id": ["mine", "x" * 500, "é", ""],
    "authorization": ["Bearer x", "Basic eDp5", "Bearer", ""],
    "expect": ["100-continue", "200-ok"],
    "upgrade": ["websocket", "h2c"],
}


@dataclass
class Sent:
    """One request; `framed`: its bytes say rightly where it ends, so that its connection can be used again."""

    method: str = "POST"
    path: str = "/v2/models/rows/infer"
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    broken: bytes = b""
    """Instead of all that: bytes that may be no request."""

    @property
    def framed(self) -> bool:
        return not self.broken and "expect" not in self.headers and "upgrade" not in self.headers

    def data(self) -> bytes:
        if self.broken:
            return self.broken
        headers = {"host": "test", "content-length": str(len(self.body)), **self.headers}
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in headers.items()),
            "",
            "",
        ]
        return "\r\n".join(lines).encode("latin-1", "replace") + self.body


def junk(chance: random.Random) -> Any:
    return copy.deepcopy(chance.choice(JUNK))  # it will be changed in its turn


def good(chance: random.Random) -> tuple[str, dict[str, Any], bytes]:
    """Model, JSON and binary tail of a request that is answered."""
    model, tensors = chance.choice(
        [
            ("rows", [("x", "FP32", [1, 4], [[0.0, 1.0, 2.0, 3.0]], ROW)]),
            ("texts", [("text", "BYTES", [2], ["one", "two"], item(b"one") + item(b"two"))]),
            ("single", [("n", "INT64", [1], [7], bytes(8)), ("j", "BYTES", [1], ['{"a": 1}'], item(b"{}"))]),
            (
                "ragged",
                [("ids", "INT64", [2, 3], list(range(6)), IDS), ("ids.lengths", "INT64", [2, 1], [3, 1], bytes(16))],
            ),
            (
                "small",
                [("a", "INT8", [1], [1], b"\1"), ("b", "UINT16", [1], [1], b"\1\0"), ("c", "BOOL", [1], [True], b"\1")],
            ),
        ]
    )
    tail, inputs = b"", []
    for name, datatype, shape, data, raw in tensors:
        given: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        if chance.random() < 0.4:
            given["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            given["data"] = data
        inputs.append(given)
    return model, {"inputs": inputs}, tail


def places(value: Any) -> list[tuple[Any, Any]]:
    """All (container, key) below a value of JSON."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [place for key in keys for place in [(value, key), *places(value[key])]]


def change(chance: random.Random, value: dict[str, Any]) -> None:
    """One place of a JSON object."""
    found = places(value)
    if not found:
        value[chance.choice(KEYS)] = junk(chance)
        return
    container, key = chance.choice(found)
    match chance.randrange(5):
        case 0:
            del container[key]
        case 1 if isinstance(container, dict):
            container[chance.choice([*KEYS, "timeout", "priority", "sequence_id", "classification"])] = chance.choice(
                JUNK
            )
        case 2 if isinstance(container, list):
            container.append(container[key])
        case _:
            container[key] = junk(chance)


def text(chance: random.Random, value: Any) -> bytes:
    """As JSON, sometimes as nearly that."""
    data = json.dumps(value).encode()
    match chance.randrange(12):
        case 0:
            return data[: chance.randrange(len(data) or 1)]
        case 1:
            place = chance.randrange(len(data) or 1)
            return data[:place] + chance.randbytes(chance.randrange(1, 4)) + data[place + 1 :]
        case 2:
            depth = chance.choice([20, 90, 120, 5000])
            return b"[" * depth + b"]" * depth
        case 3:
            return data.replace(b'"inputs"', b'"inputs": [], "inputs"', 1)
    return data


def asked(chance: random.Random) -> Sent:
    """A call of a pipeline, right or wrong in some places."""
    model, value, tail = good(chance)
    verb = chance.choice(["infer"] * 6 + ["generate", "generate_stream"])
    if verb != "infer":
        value = {i["name"]: i.get("data", 1) for i in value["inputs"]}
        tail = b""
    for _ in range(chance.randrange(4)):
        change(chance, value)
    body = text(chance, value)
    sent = Sent(path=f"/v2/models/{model}/{verb}", body=body + tail)
    if tail or chance.random() < 0.1:
        sent.headers["inference-header-content-length"] = str(len(body))
    if tail and chance.random() < 0.3:
        sent.body = sent.body[: -chance.randrange(1, 9)] + chance.randbytes(chance.randrange(9))
    if chance.random() < 0.1:
        sent.path = f"/v2/models/{chance.choice(MODELS)}/{verb}"
    return sent


def case(chance: random.Random) -> Sent:
    """A request of any kind."""
    sent = asked(chance)
    if chance.random() < 0.15:
        path = chance.choice(PATHS).replace("MODEL", chance.choice(MODELS)).replace("VERSION", chance.choice(VERSIONS))
        sent.path, sent.method = path, chance.choice(METHODS)
    if chance.random() < 0.1:
        pack = chance.choice([gzip.compress, zlib.compress, lambda data: gzip.compress(gzip.compress(data))])
        sent.body, sent.headers["content-encoding"] = pack(sent.body), chance.choice(["gzip", "deflate"])
    for _ in range(chance.choice([0, 0, 0, 0, 1, 2])):
        name = chance.choice(list(HEADERS))
        sent.headers[name] = chance.choice(HEADERS[name])
    if chance.random() < 0.04:
        sent.broken = bytes(broken(chance, bytearray(sent.data())))
    return sent


def broken(chance: random.Random, data: bytearray) -> bytearray:
    """Some bytes of a request changed, gone, or more of them, mostly where its headers are."""
    for _ in range(chance.randrange(1, 4)):
        place = chance.randrange(min(len(data), 200) or 1)
        match chance.randrange(5):
            case 0:
                data[place : place + 1] = chance.randbytes(1)
            case 1:
                del data[place : place + chance.randrange(1, 5)]
            case 2:
                data[place:place] = chance.choice([b"\r\n", b"\n", b"\0", b": ", b"Transfer-Encoding: chunked\r\n"])
            case 3:
                data[place:place] = chance.randbytes(chance.randrange(1, 5))
            case _:
                del data[chance.randrange(len(data) or 1) :]
    return data or bytearray(b"\r\n")
