"""One point: a server, a protocol, a number of clients. Several runs of a point make a row."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .client import written
from .payloads import grpc_requests
from .servers import Live, Server, requests, running
from .shared import regions
from .trees import TICKS, cpu_seconds, pss_bytes
from .works import Array, Work

Point = dict[str, Any]
SORTED = 8
"""Texts of a batch in the loop that sorts by length: larger ones pad more than they save."""
SHARED = "grpc, shared memory"


def measured_work(
    work: Work, servers: Sequence[Server], levels: Sequence[int], seconds: float, expected: Array
) -> Iterable[Point]:
    """The loops without a server, and then the servers in turn, each once."""
    yield from floors(work, seconds)
    for server in servers:
        with running(server, expected) as live:
            for protocol in server.protocols:
                given = requests(server, protocol)
                for clients in levels:
                    yield point(live, protocol, protocol, clients, seconds, given)
            if work.name == "w4" and server.kind != "echo":
                yield from over_shared_memory(live, levels, seconds)


def over_shared_memory(live: Live, levels: Sequence[int], seconds: float) -> Iterable[Point]:
    """The tensors in shared memory, a pair of regions for each client."""
    work = live.server.work
    with regions(work, live.addresses["grpc"]) as found:
        given = grpc_requests(work, live.server.kind == "triton", found)
        for clients in levels:
            if clients <= len(found):
                yield point(live, SHARED, "grpc", clients, seconds, given)


def point(live: Live, label: str, protocol: str, clients: int, seconds: float, given: Sequence[bytes]) -> Point:
    """Figures of the time between the client's warming up and its end."""
    address = live.addresses[protocol]
    command = [sys.executable, "-m", "benchmarks.serving.client", protocol, address, str(clients), str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(written(given))
        client.stdin.close()
        client.stdout.readline()
        before, busy, start = cpu_seconds(live.pid), busy_seconds(), time.perf_counter()
        client_before = cpu_seconds(client.pid)
        text = client.stdout.readline()
        cpu, spent = cpu_seconds(live.pid) - before, time.perf_counter() - start
        others = busy_seconds() - busy - cpu
    if client.wait() or not text:
        raise RuntimeError(f"the client of {live.server.name} over {label} failed; what it says is above")
    found = json.loads(text)
    others -= found["cpu_s"] - client_before
    return {
        "work": live.server.work.name,
        "server": live.server.name,
        "protocol": label,
        "clients": clients,
        "requests_per_s": found["calls"] / found["seconds"],
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
        "cpu_ms": cpu * 1e3 / found["calls"],
        "pss_mb": pss_bytes(live.pid) / 1e6,
        "ready_s": live.ready_s,
        "foreign_cores": max(0.0, others / spent),
        "calls": found["calls"],
    }


def floors(work: Work, seconds: float) -> Iterable[Point]:
    """The functions in a loop, without a server."""
    sizes = [("in-process", 1, 1)]
    if work.rows:
        sizes.append(("in-process", work.rows, work.rows))
    if work.name == "w5":
        sizes.append(("in-process, sorted", -SORTED, work.rows))
    for name, size, clients in sizes:
        command = [sys.executable, "-m", "benchmarks.serving.bare", work.name, str(size), str(seconds)]
        found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        yield {
            "work": work.name,
            "server": name,
            "protocol": "none",
            "clients": clients,
            "requests_per_s": found["calls"] / found["seconds"],
            "p50_ms": found["p50_ms"],
            "p99_ms": found["p99_ms"],
            "cpu_ms": found["cpu_s"] * 1e3 / found["calls"],
            "calls": found["calls"],
        }


def busy_seconds() -> float:
    """CPU time of the whole machine so far that was not idle, time taken by its host included."""
    user, nice, system, _idle, _wait, irq, soft, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + soft + steal) / TICKS


KEY = ("work", "server", "protocol", "clients")
BEST = {"requests_per_s": max, "p50_ms": min, "p99_ms": min, "cpu_ms": min, "pss_mb": min, "ready_s": min}


def rows(points: Iterable[Point]) -> list[Point]:
    """The better of the runs of each point, figure by figure, and how far apart they are: (most - least) / least."""

    grouped: dict[tuple[Any, ...], list[Point]] = {}
    for found in points:
        grouped.setdefault(tuple(found[name] for name in KEY), []).append(found)
    made = []
    for runs in grouped.values():
        row = {name: runs[0][name] for name in KEY}
        for name, best in BEST.items():
            values = [run[name] for run in runs if name in run]
            if values:
                row[name] = best(values)
        for name in ("requests_per_s", "cpu_ms"):
            values = [run[name] for run in runs]
            row[f"{name}_spread"] = (max(values) - min(values)) / min(values) if min(values) else 0.0
        row["foreign_cores"] = float(np.mean([run.get("foreign_cores", 0.0) for run in runs]))
        made.append(row)
    return made
