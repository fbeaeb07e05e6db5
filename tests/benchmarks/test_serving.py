"""The benchmark of servers: the same work everywhere, whole answers, ratios the right way round."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from benchmarks.serving import goals, payloads, triton
from benchmarks.serving.bare import Bare
from benchmarks.serving.client import over_http, read_requests, written
from benchmarks.serving.measure import rows
from benchmarks.serving.servers import tritons
from benchmarks.serving.works import W2, W3, W5, WORKS, inputs
from serving.protocol import message

ROOT = Path(__file__).resolve().parents[2]


def test_a_quick_run_has_sane_figures_of_our_server_and_the_floors(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.serving", "--quick", "--no-peers", "--only", "w2", "--json", str(file)]
    command += ["--clients", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())["rows"]
    assert {(row["server"], row["protocol"]) for row in found} == {
        ("in-process", "none"),
        ("echo", "grpc"),
        ("echo v2", "grpc"),
        ("echo asgi", "http"),
        ("pipectl", "grpc"),
        ("pipectl", "http"),
    }
    for row in found:
        assert row["requests_per_s"] > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert row["cpu_ms"] >= 0
    ours = [row for row in found if row["server"] == "pipectl"]
    assert all(row["pss_mb"] > 10 and row["ready_s"] > 0 for row in ours)


def test_an_unknown_work_is_refused_by_name() -> None:
    command = [sys.executable, "-m", "benchmarks.serving", "--only", "w2,w9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "there is no w9; there are w1, w2, w3, w4, w5" in done.stderr


# ---- works


def test_the_bare_loop_does_the_work() -> None:
    x = inputs("w2")[0]
    np.testing.assert_allclose(Bare(W2)(x), x + 4, rtol=1e-6)
    x = inputs("w3")[0]
    source = np.random.default_rng(480)
    left, right = (source.standard_normal((480, 480), np.float32) for _ in range(2))
    np.testing.assert_allclose(Bare(W3)(x), 2 * (x + 1 + (left @ right)[0, :16]), rtol=1e-4)


def test_texts_have_the_lengths_that_the_work_says() -> None:
    for name, least, most in (("w1", 22, 32), ("w5", 4, 128)):
        lengths = [len(text[0].split()) + 2 for text in inputs(name)]
        assert least <= min(lengths) < max(lengths) <= most


@pytest.mark.parametrize("name", WORKS)
def test_triton_gets_the_same_steps(name: str, tmp_path: Path) -> None:
    """Its own message reads what is written, and what a step takes is what one before it gives."""
    for server in tritons(WORKS[name]):
        folder = tmp_path / server.name
        triton.repository(folder, server.work)
        ensemble = text_format.Parse((folder / name / "config.pbtxt").read_text(), message("inference.ModelConfig")())
        known = {tensor.name for tensor in ensemble.input}
        for step in ensemble.ensemble_scheduling.step:
            text = (folder / step.model_name / "config.pbtxt").read_text()
            model = text_format.Parse(text, message("inference.ModelConfig")())
            assert set(step.input_map) == {tensor.name for tensor in model.input}
            assert set(step.output_map) == {tensor.name for tensor in model.output}
            assert set(step.input_map.values()) <= known
            assert model.max_batch_size == ensemble.max_batch_size == server.work.rows
            known |= set(step.output_map.values())
        assert {tensor.name for tensor in ensemble.output} <= known


def test_triton_pads_all_texts_or_joins_equal_shapes() -> None:
    padded, equal = (server.work for server in tritons(W5))
    assert (padded.steps[0].options["pad"], equal.steps[0].options["pad"]) == (True, False)


# ---- client


def test_requests_survive_the_way_to_the_client() -> None:
    given = [b"", b"a", bytes(range(256)) * 300]
    assert read_requests(written(given)) == given


def test_an_answer_in_pieces_is_one_answer() -> None:
    """Other headers end in the same words as Content-Length; a body may come with the head, in part or later."""
    ended = asyncio.Event()
    head = b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: 2\r\nContent-Length: 10\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for pieces in ((head + b"0123456789",), (head[:30], head[30:] + b"01", b"23456789"), (head, b"0123456789")):
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    async def main() -> None:
        async with asyncio.timeout(20), await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            async with over_http(f"{host}:{port}", 1) as (send,):
                for _ in range(3):
                    await send(payloads.post("/x", b""))
                with pytest.raises(RuntimeError, match="503"):
                    await send(payloads.post("/x", b""))
            await ended.wait()

    asyncio.run(main())


# ---- figures


def point(**changed: object) -> dict[str, object]:
    made = {"work": "w2", "server": "pipectl", "protocol": "grpc", "clients": 8, "requests_per_s": 100.0}
    return made | {"p50_ms": 1.0, "p99_ms": 2.0, "cpu_ms": 0.5, "calls": 10, "foreign_cores": 0.25} | changed


def test_the_better_run_counts_and_the_spread_is_told() -> None:
    (row,) = rows([point(), point(requests_per_s=150.0, cpu_ms=0.4, p50_ms=3.0, foreign_cores=0.75)])
    assert (row["requests_per_s"], row["cpu_ms"], row["p50_ms"]) == (150.0, 0.4, 1.0)
    assert row["requests_per_s_spread"] == pytest.approx(0.5)
    assert row["cpu_ms_spread"] == pytest.approx(0.25)
    assert row["foreign_cores"] == 0.5


def test_goals_compare_with_the_best_setting_of_a_peer() -> None:
    found = goals.outcomes(
        [
            point(),
            point(server="triton, no wait", requests_per_s=40.0, cpu_ms=1.0),
            point(server="triton, 1 ms wait", requests_per_s=80.0, cpu_ms=0.6),
        ]
    )
    values = {(o.goal.figure, o.goal.bound): (o.value, o.met) for o in found}
    assert values[("cpu_ms", 0.7)] == (pytest.approx(0.5 / 0.6), False)
    assert values[("requests_per_s", 1.9)] == (pytest.approx(100 / 80), False)
    assert len(found) == 2, "goals without figures are left out"
    assert all(str(o).startswith("MISS") for o in found)
