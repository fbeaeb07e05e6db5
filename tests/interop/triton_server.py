"""A real Triton server, as `scripts/peers.sh` builds it, and the few calls that the tests make."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

SERVE = Path(__file__).parents[2] / ".peers" / "triton" / "serve"
SECONDS = 60

WIRE = {"bool": "BOOL", "uint8": "UINT8", "uint64": "UINT64", "int8": "INT8", "int32": "INT32", "int64": "INT64"}
WIRE |= {"float16": "FP16", "float32": "FP32", "float64": "FP64", "object": "BYTES"}


class Server:
    """One that runs, over HTTP."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v2"

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False

    def config(self, model: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/models/{model}/config", timeout=30) as answer:
            return dict(json.load(answer))

    def infer(self, model: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Arrays by name, with the shapes of the wire. RuntimeError with the server's words for an error."""
        body = b"".join(array.tobytes() for array in inputs.values() if array.dtype != object)
        tensors = [_tensor(name, array) for name, array in inputs.items()]
        request = {"inputs": tensors, "parameters": {"binary_data_output": True}}
        head = json.dumps(request).encode()
        sent = urllib.request.Request(f"{self.url}/models/{model}/infer", head + body)
        sent.add_header("Inference-Header-Content-Length", str(len(head)))
        try:
            with urllib.request.urlopen(sent, timeout=30) as answer:
                return _answer(answer.read(), int(answer.headers["Inference-Header-Content-Length"]))
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["error"]) from None


def _tensor(name: str, array: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": WIRE[array.dtype.name]}
    if array.dtype == object:
        return told | {"data": [item.decode() for item in array.ravel()]}
    return told | {"parameters": {"binary_data_size": array.nbytes}}


def _answer(body: bytes, head: int) -> dict[str, Any]:
    found, at = {}, head
    for tensor in json.loads(body[:head])["outputs"]:
        data = body[at : at + tensor["parameters"]["binary_data_size"]]
        at += len(data)
        found[tensor["name"]] = _array(tensor, data)
    return found


def _array(tensor: dict[str, Any], data: bytes) -> Any:
    if tensor["datatype"] != "BYTES":
        name = next(n for n, wire in WIRE.items() if wire == tensor["datatype"])
        return np.frombuffer(data, name).reshape(tensor["shape"])
    items = []
    while data:
        size = int.from_bytes(data[:4], "little")
        items.append(data[4 : 4 + size])
        data = data[4 + size :]
    made = np.empty(len(items), dtype=object)
    made[:] = items
    return made.reshape(tensor["shape"])


@contextmanager
def serving(repository: Path) -> Iterator[Server]:
    """A server of a repository; AssertionError with its log if it does not come up."""
    ports = _free_ports(3)
    names = ("--http-port", "--grpc-port", "--metrics-port")
    options = [f"--model-repository={repository}", *(f"{n}={p}" for n, p in zip(names, ports, strict=True))]
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    log = repository.parent / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen([SERVE, *options], stdout=out, stderr=out, env=environ)
        try:
            server, end = Server(ports[0]), time.monotonic() + SECONDS
            while not server.ready():
                alive = process.poll() is None and time.monotonic() < end
                assert alive, log.read_text(errors="replace")[-8000:]
                time.sleep(0.1)  # the server gives no other sign of being up
            yield server
        finally:
            process.terminate()
            process.wait(30)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for one in sockets:
        one.close()
    return ports
