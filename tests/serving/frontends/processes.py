"""A server with frontends as real processes, and what the system says of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc_client

PATIENCE = 90.0
"""Seconds: a process that starts again on a busy machine may need many."""
LISTEN = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
OWN = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
"""A channel with these shares no connection with others of this process."""


class Serving:
    """A server that has said that it is ready."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.urls: dict[str, str] = {}
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.match(r"(gRPC|HTTP|metrics) at (\S+)", line):
                self.urls[found[1]] = found[2]
            if len(self.urls) == 3:
                return
        assert process.stderr is not None
        pytest.fail(f"it did not start: {process.stderr.read()}")

    @property
    def frontends(self) -> list[int]:
        """Process ids of the frontends that run."""
        return [pid for pid in children(self.process.pid) if b"serving.frontends.main" in command(pid)]

    def figures(self, name: str) -> dict[str, float]:
        """Values of a metric by frontend."""
        with urllib.request.urlopen(f"http://{self.urls['metrics']}/metrics", timeout=PATIENCE) as answer:
            text = answer.read().decode()
        return {i: float(v) for i, v in re.findall(rf'^{name}{{frontend="(\d+)"}} (\S+)$', text, re.MULTILINE)}

    def client(self) -> Any:
        """A gRPC client with a connection of its own."""
        return grpc_client.InferenceServerClient(self.urls["gRPC"], channel_args=OWN)


@contextmanager
def served(path: Path, *args: str | Path) -> Iterator[Serving]:
    """`pipectl serve` on loopback until the block is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipectl", "serve", *map(str, (path, *LISTEN, *args))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Serving(process)
    finally:
        process.kill()
        process.communicate()


def children(pid: int) -> list[int]:
    try:
        return [int(c) for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def segments(pid: int) -> set[str]:
    """Inodes of the shared memory that a process maps."""
    return set(re.findall(r"(\d+)\s+/memfd:pipectl", Path(f"/proc/{pid}/maps").read_text()))


def descriptors(pid: int) -> list[str]:
    """What the descriptors of a process are."""
    found = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(one))
        except FileNotFoundError:
            pass  # closed meanwhile
    return found


def until(condition: Callable[[], object]) -> None:
    """Wait for something that other processes do."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    pytest.fail("it did not happen")


def tensor(client: Any, name: str, value: Any) -> Any:
    """An input of any of the clients, from an array or a list of texts."""
    array = np.array(value, object) if isinstance(value, list) else value
    kinds = {"f": "FP32", "i": "INT64", "O": "BYTES"}
    found = client.InferInput(name, list(array.shape), kinds[array.dtype.kind])
    found.set_data_from_numpy(array)
    return found
