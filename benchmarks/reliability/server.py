"""The server that is measured, what it holds, and requests for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serving.protocol import message

SERVICE = Path(__file__).parent / "service.pipe"
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


@dataclass
class Server:
    """A process that serves, and where."""

    pid: int
    grpc: str
    http: str

    def memory(self) -> int:
        """Bytes resident."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    def holds(self) -> dict[str, int]:
        """Descriptors and threads."""
        of = Path(f"/proc/{self.pid}")
        return {"descriptors": len(os.listdir(of / "fd")), "threads": len(os.listdir(of / "task"))}


@contextmanager
def running(path: Path = SERVICE, *options: str) -> Iterator[Server]:
    """`pipectl serve` until the block is left."""
    ports = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--metrics", "none", "--drain-delay", "1ms")
    command = [sys.executable, "-m", "pipectl", "serve", str(path), *ports, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        urls: dict[str, str] = {}
        for line in process.stdout:
            if found := re.match(r"(gRPC|HTTP) at (\S+)", line):
                urls[found[1]] = found[2]
            if len(urls) == 2:
                break
        yield Server(process.pid, urls["gRPC"], urls["HTTP"])
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def rows(model: str, count: int = 1, value: float = 1.0) -> bytes:
    """A request of so many rows of four."""
    request = message("inference.ModelInferRequest")(model_name=model)
    request.inputs.add(name="x", datatype="FP32", shape=[count, 4])
    request.raw_input_contents.append(np.full((count, 4), value, np.float32).tobytes())
    return _bytes(request)


def number(model: str, n: int) -> bytes:
    """A request of one whole number."""
    request = message("inference.ModelInferRequest")(model_name=model)
    request.inputs.add(name="n", datatype="INT64", shape=[1])
    request.raw_input_contents.append(np.array([n]).tobytes())
    return _bytes(request)


def _bytes(request: Any) -> bytes:
    data: bytes = request.SerializeToString()
    return data


def quantile(values: Sequence[float], share: float) -> float:
    """In milliseconds; 0 of nothing."""
    return float(np.quantile(values, share) * 1e3) if values else 0.0
