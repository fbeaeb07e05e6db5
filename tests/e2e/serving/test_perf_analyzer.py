"""perf_analyzer, as `scripts/peers.sh` unpacks it, against a pipeline: it runs, and prints its table of every step."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path

import pytest

from .process import ROOT, Served

PERF = ROOT / ".peers" / "triton" / "perf_analyzer"
pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not PERF.exists(), reason="scripts/peers.sh has not been run: there is no perf_analyzer"),
]
MEASURED = ("--measurement-mode", "count_windows", "--measurement-request-count", "100", "-r", "3", "-s", "999")


def run(*arguments: str | Path) -> str:
    done = subprocess.run([PERF, *map(str, arguments)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def steps(said: str) -> dict[str, int]:
    """How often each step was executed, by its name."""
    table = said.partition("Composing models:")[2]
    return {name: int(count) for name, count in re.findall(r"(\S+), version: 1\s+Inference count: (\d+)", table)}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_it_prints_a_table_of_every_step(server: Served, protocol: str) -> None:
    url = server.grpc if protocol == "grpc" else server.http
    said = run("-m", "numbers", "-i", protocol, "-u", url, "--concurrency-range", "4", "-b", "2", *MEASURED)
    print(said)
    assert re.search(r"throughput: [1-9][\d.]* infer/sec", said)
    found = steps(said)
    assert set(found) == {"numbers.y", "numbers.score"}
    assert all(count >= 100 for count in found.values())


def test_scans_of_the_digits_example(server: Served, scans: list[bytes], tmp_path: Path) -> None:
    data = tmp_path / "inputs.json"
    sized = [len(scan).to_bytes(4, "little") + scan for scan in scans]  # as it sends them
    images = [{"image": {"b64": base64.b64encode(scan).decode()}} for scan in sized]
    data.write_text(json.dumps({"data": images}))
    said = run("-m", "digits", "-i", "grpc", "-u", server.grpc, "--input-data", data, *MEASURED)
    assert set(steps(said)) == {"digits.pixels", "digits.features", "digits.t", "digits.n", "digits.label"}
