"""Programs in a folder of their own, the command called in this process or another, and what may be left behind."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pipectl import __main__ as command

_names = itertools.count()
ROOT = Path(__file__).parents[2]


class Called:
    """What a call of the command came to."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        self.said = out + err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder; output without colour."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


@pytest.fixture
def call(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Called]:
    """The command in this process; never with a traceback."""

    def run(*args: str | Path) -> Called:
        code = command.run([str(a) for a in args])
        done = Called(code, *capsys.readouterr())
        assert "Traceback" not in done.said
        return done

    return run


@pytest.fixture
def spawn(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """The command, or another program, as a process of its own; ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def run(*args: str | Path, **more: Any) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        process = subprocess.Popen(
            [sys.executable, *map(str, args)], text=True, env={**os.environ, "PYTHONPATH": path}, **{**pipes, **more}
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def program(folder: Path) -> Callable[..., Path]:
    """Writes a Python module, and a `.pipe` text in which MODULE stands for its name."""

    def make(python: str | bytes, pipe: str) -> Path:
        module = f"e2e_{os.getpid()}_{next(_names)}"
        source = python.encode() if isinstance(python, str) else python
        (folder / f"{module}.py").write_bytes(source)
        path = folder / f"{module}.pipe"
        path.write_text(pipe.replace("MODULE", module))
        return path

    return make


def traces() -> dict[str, set[Any]]:
    """What a run could leave: descriptors, threads, children, names in shared memory."""
    children: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            children |= set((task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            pass  # a thread that has just ended
    return {
        "descriptors": set(range(len(os.listdir("/proc/self/fd")))),
        "threads": set(threading.enumerate()),
        "children": children,
        "names": set(os.listdir("/dev/shm")),
    }


@pytest.fixture(scope="session")
def libraries() -> None:
    """Libraries that keep descriptors and threads once they are imported."""
    for name in ("onnxruntime", "torch"):
        if find_spec(name):
            import_module(name)


@pytest.fixture
def nothing_left(libraries: None) -> Iterator[None]:
    """Descriptors, threads, child processes and shared memory are as before when the test is over."""
    before = traces()
    yield

    def left() -> dict[str, set[Any]]:
        return {what: found - before[what] for what, found in traces().items() if found - before[what]}

    if left():
        gc.collect()  # a caught exception keeps the frames it came through
    until(lambda: not left(), 5, lambda: str(left()))


def until(condition: Callable[[], object], seconds: float = 30.0, told: Callable[[], str] = str) -> None:
    """Wait for a thread or another process; fails rather than hangs."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"it did not happen: {told()}"
        pause.wait(0.005)


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
