"""The servers that a work is measured on, and how one is started.

Every server is a process tree of its own. It counts as ready when it has answered a request of the work, and the
answer is compared with the bare loop's.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import numpy as np

from . import payloads
from .client import PATH, SIZES
from .triton import repository
from .works import FOLDER, MODELS, Array, Work

ROOT = Path(__file__).resolve().parents[2]
TRITON = ROOT / ".peers" / "triton" / "serve"
MOSEC = ROOT / ".peers" / "mosec" / "venv" / "bin" / "python"
PATIENCE = 120.0
"""Seconds a server may take to answer first."""


@dataclass(frozen=True)
class Server:
    """`kind`: echo, pipectl, triton or mosec; `work` as this server runs it; `option` is what the kind makes of it."""

    name: str
    kind: str
    work: Work
    protocols: tuple[str, ...] = ("grpc", "http")
    option: str = ""


@dataclass(frozen=True)
class Live:
    """A server that answers."""

    server: Server
    pid: int
    addresses: dict[str, str]
    ready_s: float


def servers(work: Work) -> list[Server]:
    """All that can run here, floors first. Echo servers stand beside the works that the wire decides."""
    found = []
    if work.name in ("w2", "w4"):
        found += [Server("echo", "echo", work, ("grpc",), "grpc"), Server("echo asgi", "echo", work, ("http",), "asgi")]
    if work.name == "w2":
        found.append(Server("echo v2", "echo", work, ("grpc",), "grpc-v2"))
    found.append(Server("pipectl", "pipectl", work, option="one" if "text" in work.values else ""))
    if work.name == "w1":
        found.append(Server("pipectl, 2 encoders", "pipectl", work, option="two"))
    if work.name == "w5":
        found.append(Server("pipectl, single texts", "pipectl", work, option="single"))
    if TRITON.exists():
        found += tritons(work)
    if MOSEC.exists() and work.name in ("w1", "w2"):
        found.append(Server("mosec", "mosec", work, ("http",)))
    return found


def tritons(work: Work) -> list[Server]:
    """Triton with the settings that matter to a work."""
    match work.name:
        case "w1":
            two = work.step("encoder", instances=2)
            return [Server("triton", "triton", work), Server("triton, 2 encoders", "triton", two)]
        case "w2":
            waits = replace(work, delay_us=1000)
            return [Server("triton, no wait", "triton", work), Server("triton, 1 ms wait", "triton", waits)]
        case "w5":
            padded = work.step("tokenise", options={**work.steps[0].options, "pad": True})
            return [Server("triton, padded", "triton", padded), Server("triton, equal shapes", "triton", work)]
    return [Server("triton", "triton", work)]


# ---- requests


def requests(server: Server, protocol: str) -> list[bytes]:
    """What its clients send."""
    triton = server.kind == "triton"
    if server.kind == "mosec":
        return payloads.mosec_requests(server.work)
    if protocol == "http":
        return payloads.http_requests(server.work, triton)
    return payloads.grpc_requests(server.work, triton)


def first_answer(server: Server, protocol: str, address: str) -> Array:
    """The answer to the first request; an OSError or RpcError while nobody answers."""
    request = requests(server, protocol)[0]
    if protocol == "grpc":
        with grpc.insecure_channel(address, options=SIZES) as channel:
            return payloads.grpc_answer(channel.unary_unary(PATH)(request, timeout=PATIENCE))
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    connection.request("POST", first.split()[1], body, dict(line.split(": ", 1) for line in lines))
    response = connection.getresponse()
    data = response.read()
    connection.close()
    if response.status != 200:
        raise ConnectionError(f"{server.name} answers {response.status}: {data[:500]!r}")
    headers = {name.lower(): value for name, value in response.getheaders()}
    return (payloads.mosec_answer if server.kind == "mosec" else payloads.http_answer)(headers, data)


def check(server: Server, protocol: str, address: str, expected: Array) -> None:
    """Raise ValueError if a server does not do the work."""
    found = first_answer(server, protocol, address)
    if found.size != expected.size or not np.allclose(found.ravel(), expected.ravel(), atol=1e-3):
        raise ValueError(f"{server.name} over {protocol} answers {server.work.name} with {found}, not {expected}")


# ---- processes


@contextmanager
def running(server: Server, expected: Array) -> Iterator[Live]:
    """The server, ready."""
    with ExitStack() as stack:
        ports = {protocol: free_port() for protocol in server.protocols}
        command, env = command_of(server, ports, stack)
        log = stack.enter_context(tempfile.TemporaryFile())
        start = time.perf_counter()
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=log)
        stack.callback(end, process)
        addresses = {protocol: f"127.0.0.1:{port}" for protocol, port in ports.items()}
        if server.kind in ("echo", "pipectl"):
            addresses = printed(process, server.protocols, log)
        drain(process)
        if server.kind != "echo":
            wait_for(server, addresses, process, log)
        ready = time.perf_counter() - start
        if server.kind != "echo":
            for protocol, address in addresses.items():
                check(server, protocol, address, expected)
        yield Live(server, process.pid, addresses, ready)


def command_of(server: Server, ports: dict[str, int], stack: ExitStack) -> tuple[list[str], dict[str, str]]:
    """The command and the environment that start it. BLAS has one thread everywhere, as `benchmarks` sets it."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    python = [sys.executable, "-m"]
    if server.kind == "echo":
        return [*python, "benchmarks.serving.echo", server.option], env
    if server.kind == "mosec":
        env |= {"MOSEC_PORT": str(ports["http"]), "MOSEC_ADDRESS": "127.0.0.1", "MOSEC_LOG_LEVEL": "error"}
        return [str(MOSEC), "-m", "benchmarks.serving.mosec_chain", server.work.name], env
    if server.kind == "pipectl":
        options = ["--metrics", "none", "--drain-delay", "1ms", "--allow-client-shm"]
        options += ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        if server.option:
            options += ["--profile", server.option, "--set", f"MODELS={MODELS}"]
        return [*python, "pipectl", "serve", str(FOLDER / f"{server.work.name}.pipe"), *options], env
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    repository(Path(folder), server.work)
    # The OpenBLAS of numpy 1.26, which this server needs, does not know newer CPUs and falls back to slow kernels.
    if "avx512f" in Path("/proc/cpuinfo").read_text():
        env["OPENBLAS_CORETYPE"] = "SkylakeX"
    options = ["--allow-metrics=false", "--log-info=false", "--http-address=127.0.0.1", "--grpc-address=127.0.0.1"]
    options += [f"--http-port={ports['http']}", f"--grpc-port={ports['grpc']}"]
    return [str(TRITON), f"--model-repository={folder}", *options], env


def printed(process: subprocess.Popen[bytes], protocols: tuple[str, ...], log: object) -> dict[str, str]:
    """The addresses a server of ours prints: `gRPC at HOST:PORT`."""
    found: dict[str, str] = {}
    assert process.stdout is not None
    for line in process.stdout:
        words = line.decode().split()
        if len(words) >= 3 and words[1] == "at":
            found[words[0].lower()] = words[2]
        if len(found) == len(protocols):
            return found
    raise RuntimeError(f"a server ended with {process.wait()} before it said where it listens:\n{tail(log)}")


def drain(process: subprocess.Popen[bytes]) -> None:
    """Read what it prints from now on, or it would stop when the pipe is full."""
    assert process.stdout is not None
    threading.Thread(target=process.stdout.read, daemon=True).start()


def wait_for(server: Server, addresses: dict[str, str], process: subprocess.Popen[bytes], log: object) -> None:
    """Until it answers a request."""
    protocol = server.protocols[-1]
    end = time.perf_counter() + PATIENCE
    while True:
        try:
            first_answer(server, protocol, addresses[protocol])
            return
        except (OSError, http.client.HTTPException) as error:
            if process.poll() is not None or time.perf_counter() > end:
                raise RuntimeError(f"{server.name} does not answer: {error}\n{tail(log)}") from error
            time.sleep(0.02)


def tail(log: object) -> str:
    log.seek(0)  # type: ignore[attr-defined]  # a temporary file has no public type
    return str(log.read()[-4000:].decode())  # type: ignore[attr-defined]  # as above


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
