"""The process that serves: it drains at a signal, and large requests cost it no memory."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio as grpc_aio

from serving.protocol import message

from .process import PATIENCE, Served, served

SLOW = """pipe 1
stage first(x: f32[*, 4]) -> (x: f32[*, 4]) using null(latency = 20ms)
stage second(x: f32[*, 4]) -> (x: f32[*, 4]) using null(latency = 20ms)
pipeline rows(x: f32[*, 4]) -> (x: f32[*, 4]) { return x = second(first(x)) }
"""
MIB = 2**20
ROW = np.arange(4, dtype=np.float32)


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    path = tmp_path / "slow.pipe"
    path.write_text(SLOW)
    return path


def infer(rows: int = 1) -> bytes:
    request = message("inference.ModelInferRequest")(model_name="rows")
    request.inputs.add(name="x", datatype="FP32", shape=[rows, 4])
    request.raw_input_contents.append(np.tile(ROW, rows).tobytes())
    data: bytes = request.SerializeToString()
    return data


METHOD = "/inference.GRPCInferenceService/ModelInfer"


# ---- R12


async def grpc_load(url: str, outcomes: Counter[str]) -> None:
    """Asks until it is refused, twice as a balancer would that has not noticed."""
    async with grpc.aio.insecure_channel(url) as channel:
        while outcomes["gRPC refused"] < 2:
            try:
                await channel.unary_unary(METHOD)(infer())
                outcomes["answered"] += 1
            except grpc.aio.AioRpcError as error:
                known = error.code().name in ("UNAVAILABLE", "CANCELLED")
                outcomes["gRPC refused" if known else f"{error.code()} {error.details()}"] += 1


def http_load(url: str, outcomes: Counter[str]) -> None:
    body = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 1, 2, 3]}]}'
    while not outcomes["HTTP refused"]:
        try:
            with urllib.request.urlopen(f"http://{url}/v2/models/rows/infer", body, PATIENCE) as reply:
                outcomes["answered" if reply.status == 200 else str(reply.status)] += 1
        except urllib.error.HTTPError as error:
            with error:
                outcomes["HTTP refused" if error.code == 503 else str(error)] += 1
        except OSError:  # nobody listens any more
            outcomes["HTTP refused"] += 1


def test_a_signal_under_load_loses_nothing(slow: Path) -> None:
    """Ready is false at once, answers go on during the delay, then new requests are refused, and the exit code is 0."""
    outcomes: Counter[str] = Counter()
    with served(slow, drain_delay="500ms") as server:
        threads = [threading.Thread(target=http_load, args=(server.http, outcomes)) for _ in range(4)]

        async def scenario() -> float:
            clients = [asyncio.create_task(grpc_load(server.grpc, outcomes)) for _ in range(20)]
            async with grpc_aio.InferenceServerClient(server.grpc) as triton:
                while outcomes["answered"] < 100:  # noqa: ASYNC110 - threads count too
                    await asyncio.sleep(0.01)
                before = outcomes["answered"]
                server.process.send_signal(signal.SIGTERM)
                sent = time.monotonic()
                while await triton.is_server_ready():
                    pass
                told = time.monotonic() - sent
                assert not outcomes["gRPC refused"]
            await asyncio.gather(*clients)
            assert outcomes["answered"] > before
            return told

        for thread in threads:
            thread.start()
        told = asyncio.run(scenario())
        for thread in threads:
            thread.join(PATIENCE)
        assert server.process.wait(PATIENCE) == 0, server.log
        assert "Traceback" not in server.log
    assert set(outcomes) == {"answered", "gRPC refused", "HTTP refused"}
    assert told < 0.5
    print(f"not ready {told * 1000:.0f} ms after the signal; {outcomes}")


def test_a_stream_gets_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "drain_stages.py").write_text(
        "import time\ndef count(*, n):\n    for i in range(n):\n        time.sleep(0.02)\n        yield i\n"
    )
    path = tmp_path / "count.pipe"
    path.write_text(
        'pipe 1\nstage count(n: i64) -> (i: stream i64) using python("drain_stages:count")\n'
        "pipeline counts(n: i64) -> (i: stream i64) { return i = count(n) }\n"
    )
    with served(path) as server:
        url = f"http://{server.http}/v2/models/counts/generate_stream"
        with urllib.request.urlopen(url, b'{"n": 30}', PATIENCE) as reply:
            assert b'"i":0' in reply.readline()
            server.process.send_signal(signal.SIGTERM)
            assert b'"i":29' in reply.read()
        assert server.process.wait(PATIENCE) == 0, server.log


# ---- R3, R4


def peak(server: Served) -> int:
    """The most memory that the process has had, in bytes."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


def ask(url: str, data: bytes, compression: grpc.Compression | None = None, times: int = 1) -> set[str]:
    """The codes of some calls, one after the other."""
    codes = set()
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(url, options=options, compression=compression) as channel:
        for _ in range(times):
            try:
                channel.unary_unary(METHOD)(data, timeout=PATIENCE)
                codes.add("OK")
            except grpc.RpcError as error:
                codes.add(error.code().name)  # type: ignore[attr-defined]  # a Call too
    return codes


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> object:
    path = tmp_path_factory.mktemp("limited") / "slow.pipe"
    path.write_text(SLOW)
    with served(path, "--max-message", "1MiB") as server:
        yield server


def test_large_messages_cost_no_memory(limited: Served) -> None:
    large = infer(2 * MIB // ROW.nbytes)
    assert ask(limited.grpc, infer()) == {"OK"}
    assert ask(limited.grpc, large, times=5) == {"RESOURCE_EXHAUSTED"}
    before = peak(limited)
    assert ask(limited.grpc, large, times=50) == {"RESOURCE_EXHAUSTED"}
    assert peak(limited) - before < 32 * MIB, "100 MiB came; how many lie in buffers at once depends on the machine"
    assert ask(limited.grpc, infer()) == {"OK"}


def test_a_message_that_grows_is_stopped(limited: Served) -> None:
    """64 MiB of zeros are 64 KiB on the wire."""
    bomb = infer(64 * MIB // ROW.nbytes).replace(ROW.tobytes(), bytes(ROW.nbytes))
    before = peak(limited)
    assert ask(limited.grpc, bomb, grpc.Compression.Gzip) == {"RESOURCE_EXHAUSTED"}
    assert peak(limited) - before < 32 * MIB
    assert ask(limited.grpc, infer()) == {"OK"}
