"""`pipectl serve` as a process of its own, on free ports that its banner tells."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[3]
ELSEWHERE = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
PATIENCE = 60.0
_ADDRESS = re.compile(r"(gRPC|HTTP|metrics) at (\S+)")


class Served:
    """A server that has said that it is ready."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._urls: dict[str, str] = {}
        self._log: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert process.stdout is not None
        for line in process.stdout:
            if found := _ADDRESS.match(line):
                self._urls[found[1]] = found[2]
            if len(self._urls) == 3:
                return
        self._reader.join(PATIENCE)
        raise AssertionError(f"it did not start: {self.log}")

    def _read(self) -> None:
        assert self.process.stderr is not None
        self._log.extend(self.process.stderr)

    @property
    def log(self) -> str:
        """What it has said on its standard error so far."""
        return "".join(self._log)

    @property
    def grpc(self) -> str:
        return self._urls["gRPC"]

    @property
    def http(self) -> str:
        return self._urls["HTTP"]

    def metric(self, name: str, pipeline: str = "") -> float:
        """The sum of all samples of one name, of one pipeline if it is given."""
        with urllib.request.urlopen(f"http://{self._urls['metrics']}/metrics", timeout=20) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            found = [s for family in families for s in family.samples if s.name == name]
        assert found, f"there is no metric {name}"
        return sum(s.value for s in found if pipeline in ("", s.labels["pipeline"]))

    def end(self, number: int) -> int:
        """Send it a signal; its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code


@contextmanager
def served(*args: str | Path, drain_delay: str = "1ms") -> Iterator[Served]:
    """A server with these arguments, killed at the end if it still runs."""
    command = [sys.executable, "-m", "pipectl", "serve", *map(str, args), *ELSEWHERE, "--drain-delay", drain_delay]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield Served(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
