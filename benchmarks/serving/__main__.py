"""Measures all servers and prints their figures beside the floor's."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from serving.protocol import message

from .trees import cpu_seconds, pss_bytes

HERE = Path(__file__).parent
FLOOR = "echo bytes"
PORTS = ("--grpc", "127.0.0.1:0", "--http", "none", "--metrics", "none")
SERVERS = {
    FLOOR: ["benchmarks.serving.echo", "bytes"],
    "echo v2": ["benchmarks.serving.echo", "v2"],
    "pipectl": ["pipectl", "serve", str(HERE / "w2.pipe"), *PORTS, "--drain-delay", "1ms"],
}
TRITON = HERE.parents[1] / ".peers" / "triton" / "serve"
if TRITON.exists():
    SERVERS["triton 0 ms"] = ["benchmarks.serving.triton", str(TRITON), "0"]
    SERVERS["triton 1 ms"] = ["benchmarks.serving.triton", str(TRITON), "1000"]


@contextmanager
def running(module: str, *args: str) -> Iterator[tuple[int, str, float]]:
    """Process id, address and seconds to ready of a server."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", module, *args], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = next(line.split()[2] for line in process.stdout if line.startswith("gRPC at"))
        yield process.pid, address, time.perf_counter() - start
    finally:
        process.terminate()
        process.wait(30)


def w2_request() -> bytes:
    request = message("inference.ModelInferRequest")(model_name="w2")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 16])
    request.raw_input_contents.append(np.arange(16, dtype=np.float32).tobytes())
    data: bytes = request.SerializeToString()
    return data


def measured(pid: int, address: str, concurrency: int, seconds: float) -> dict[str, Any]:
    before = cpu_seconds(pid)
    arguments = [sys.executable, "-m", "benchmarks.serving.client", address, str(concurrency), str(seconds)]
    done = subprocess.run(arguments, input=w2_request(), capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return {
        "concurrency": concurrency,
        "requests_per_s": found["calls"] / found["seconds"],
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
        "cpu_ms": (cpu_seconds(pid) - before) * 1e3 / found["calls"],
        "calls": found["calls"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each point")
    parser.add_argument("--repeats", type=int, default=2, help="servers take turns so many times")
    parser.add_argument("--concurrency", type=int, nargs="*", default=[1, 8, 64])
    options = parser.parse_args()
    points: list[dict[str, Any]] = []
    for _ in range(options.repeats):
        for name, (module, *args) in SERVERS.items():
            with running(module, *args) as (pid, address, ready):
                for concurrency in options.concurrency:
                    point = measured(pid, address, concurrency, options.seconds)
                    points.append({"server": name, "ready_s": ready, "pss_bytes": pss_bytes(pid), **point})
    rows = summary(points, options.concurrency)
    for row in rows:
        print(
            f"{row['server']:12} {row['concurrency']:3} clients  {row['requests_per_s']:7.0f} requests/s"
            f"  p50 {row['p50_ms']:7.2f} ms  p99 {row['p99_ms']:7.2f} ms  cpu {row['cpu_ms']:.3f} ms"
            f"  {row['cpu_to_floor']:.2f} x floor"
        )
    if options.json:
        options.json.write_text(json.dumps({"environment": environment(), "rows": rows, "points": points}, indent=1))
    return 0


def summary(points: list[dict[str, Any]], levels: list[int]) -> list[dict[str, Any]]:
    """Mean over repeats, and the CPU time's ratio to the floor's at the same number of clients."""
    rows = []
    for level in levels:
        floor = 0.0
        for name in SERVERS:
            found = [p for p in points if p["server"] == name and p["concurrency"] == level]
            mean = {k: float(np.mean([p[k] for p in found])) for k in ("requests_per_s", "p50_ms", "p99_ms", "cpu_ms")}
            floor = mean["cpu_ms"] if name == FLOOR else floor
            rows.append({"server": name, "concurrency": level, **mean, "cpu_to_floor": mean["cpu_ms"] / floor})
    return rows


def environment() -> dict[str, str]:
    libraries = {name: version(name) for name in ("grpcio", "protobuf", "uvloop", "numpy")}
    return {"python": platform.python_version(), "machine": platform.machine(), **libraries}


if __name__ == "__main__":
    sys.exit(main())
