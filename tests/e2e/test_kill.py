"""kill -9 of a stage's process, and of the process that holds it: nobody hangs, the stage is named, nothing stays."""

from __future__ import annotations

import os
import pty
import random
import re
import signal
import subprocess
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

import pipectl
from executor.errors import RequestError, StageUnavailable

from .conftest import is_running, until

CLIENTS = 6
BACK_WITHIN = 2.0
"""Seconds beyond the stage's own load time, issue and RELIABILITY R5."""
SLACK = 5.0
"""The stage's load time, on a machine that is busy with other things; `-s` shows what it was."""

PIPE = """pipe 1

stage risky(x: i64[*, 2]) -> (y: i64[*, 2])
  using python("MODULE:Risky", log = "LOG") { effects = EFFECTS }

stage calm(x: i64[*, 2]) -> (y: i64[*, 2])
  using python("MODULE:calm")

pipeline p(x: i64[*, 2]) -> (y: i64[*, 2], z: i64[*, 2]) {
  a = calm(x)
  b = risky(a)
  return y = calm(b), z = a
}
pipeline q(x: i64[*, 2]) -> (y: i64[*, 2]) {
  return y = calm(x)
}

profile apart {
  risky { isolate = process }
}
"""
PYTHON = """
import os, time

class Risky:
    '''Notes each row that it starts; takes a moment, so that kills find it at work.'''
    def __init__(self, *, log):
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def __call__(self, *, x):
        os.write(self.log, b"".join(b"%d\\n" % row for row in x[:, 0]))
        time.sleep(0.002)
        return x * 3

def calm(*, x):
    return x + 1
"""


def children() -> set[int]:
    """Processes that this one has started, through any of its threads."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found |= {int(pid) for pid in (task / "children").read_text().split()}
        except (FileNotFoundError, ProcessLookupError):
            pass  # a thread that has just ended
    return found


class Load:
    """Clients that send requests, one after the other each, until told to stop; every outcome is kept."""

    def __init__(self, app: pipectl.App) -> None:
        self.app = app
        self.outcomes: dict[int, tuple[float, Future[object]]] = {}
        self.calm = 0
        self.wrong: list[str] = []
        self.answered: list[float] = []
        """When requests through the risky stage were answered."""
        self._stop = threading.Event()
        self._numbers = iter(range(10**9))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._risky) for _ in range(CLIENTS)]
        self._threads.append(threading.Thread(target=self._calm))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a client hangs"

    def _risky(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                number = next(self._numbers)
            x = np.array([[number, 0]])
            job = self.app["p"].submit(x=x)
            self.outcomes[number] = (time.monotonic(), job)
            try:
                answer = job.result(30)
            except RequestError:
                continue
            self.answered.append(time.monotonic())
            if not (np.array_equal(answer["y"], (x + 1) * 3 + 1) and np.array_equal(answer["z"], x + 1)):
                self.wrong.append(f"request {number} was answered {answer['y']}")

    def _calm(self) -> None:
        """Another pipeline of the same engine, which must not notice."""
        x = np.array([[1, 2]])
        while not self._stop.is_set():
            np.testing.assert_array_equal(self.app["q"].submit(x=x).result(30)["y"], x + 1)
            self.calm += 1
            self._stop.wait(0.002)


def kill(child: int, load: Load, delay: float) -> float:
    """Kill a process at some moment; seconds until a request is answered after it has gone."""
    threading.Event().wait(delay)
    killed = time.monotonic()
    os.kill(child, signal.SIGKILL)
    until(lambda: not is_running(child))
    gone = time.monotonic()
    until(lambda: load.answered[-1] > gone)
    return next(t for t in load.answered if t > gone) - killed


def run_under_kills(folder, program, effects: str, kills: int) -> tuple[Load, list[float]]:
    """A load, and kills at random moments of it; seconds from each kill to the first answer after it."""
    rng = random.Random(5)
    text = PIPE.replace("LOG", str(folder / "log")).replace("EFFECTS", effects)
    before = children()
    with pipectl.load(program(PYTHON, text), profile="apart") as app:
        back = []
        with Load(app) as load:
            for _ in range(kills):
                until(lambda: len(load.answered) > 3)
                (child,) = children() - before
                back.append(kill(child, load, rng.random() * 0.01))
                load.answered.clear()
        assert app.drain(10)
        assert app._engine.check_idle() == []
        (restarts,) = [s.restarts for s in app._engine.stats().stages if s.stage == "risky"]
        assert restarts == kills
    assert children() == before
    return load, back


def check_outcomes(load: Load, back: list[float]) -> list[RequestError]:
    """All were answered, rightly, or failed with an error that names the stage; the failures."""
    assert load.wrong == []
    failures = []
    for _, job in load.outcomes.values():
        assert job.done()
        error = job.exception()
        if error is not None:
            assert isinstance(error, StageUnavailable)
            assert "stage `risky`" in error.message
            assert "process" in error.message
            assert (error.pipeline, error.node, error.retryable) == ("p", "p.b", True)
            failures.append(error)
    assert load.calm > len(back), "the other pipeline went on"
    print("back after a kill, seconds:", *(f"{s:.2f}" for s in back))
    assert max(back) < BACK_WITHIN + SLACK
    return failures


@pytest.mark.usefixtures("nothing_left")
def test_killed_20_times_under_load(folder, program):
    """A stage that may run again: its requests are run again, so that only a second death fails them."""
    load, back = run_under_kills(folder, program, "repeatable", 20)
    failures = check_outcomes(load, back)
    assert len(failures) <= len(load.outcomes) // 10


@pytest.mark.usefixtures("nothing_left")
def test_killed_under_load_where_nothing_may_run_twice(folder, program):
    load, back = run_under_kills(folder, program, "once", 10)
    failures = check_outcomes(load, back)
    started = (folder / "log").read_text().split()
    assert len(started) == len(set(started)), "no request ran twice"
    begun = [e for e in failures if "effects = once" in e.message]
    assert begun, "kills under load find batches at work"
    answered = {n + 1 for n, (_, job) in load.outcomes.items() if job.exception() is None}
    assert answered <= {int(n) for n in started}


@pytest.mark.usefixtures("nothing_left")
def test_a_stage_that_dies_on_every_batch_stops_being_tried(folder, program, capfd):
    """R6: restarts are bounded, the stage is named, and the other pipeline does not notice."""
    python = PYTHON.replace("time.sleep(0.002)", "os._exit(9)")
    text = PIPE.replace("LOG", str(folder / "log")).replace("EFFECTS", "repeatable")
    x = np.array([[1, 2]])
    with pipectl.load(program(python, text), profile="apart") as app:
        for _ in range(8):
            with pytest.raises(StageUnavailable, match="stage `risky`"):
                app["p"].submit(x=x).result(30)
            np.testing.assert_array_equal(app["q"](x=x)["y"], x + 1)
        with pytest.raises(StageUnavailable, match=r"keeps dying: 5 of its processes"):
            app["p"].submit(x=x).result(1)
        (restarts,) = [s.restarts for s in app._engine.stats().stages if s.stage == "risky"]
        assert restarts <= 5


# ---- the process that holds the stage

WAIT = """pipe 1
stage wait(x: string) -> (y: string)
  using python("MODULE:wait", folder = "FOLDER")
pipeline p(x: string) -> (y: string) {
  return y = wait(x)
}
profile apart {
  wait { isolate = process }
}
"""
WAITING = """
import os, pathlib, time
def wait(*, x, folder):
    pathlib.Path(folder, f"started-{x}.tmp").write_text(str(os.getpid()))
    os.rename(f"{folder}/started-{x}.tmp", f"{folder}/started-{x}")
    while not pathlib.Path(folder, "go").exists():
        time.sleep(0.005)
    return x
"""


@pytest.fixture
def waiting(folder, program):
    return program(WAITING, WAIT.replace("FOLDER", str(folder)))


def at_work(folder: Path, holder: subprocess.Popen[str], name: str = "a") -> int:
    """The process of the stage, once it works on a request."""
    until(lambda: (folder / f"started-{name}").exists() or holder.poll() is not None)
    assert holder.poll() is None, holder.communicate()
    return int((folder / f"started-{name}").read_text())


def shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm"))


def test_a_holder_that_is_killed_takes_its_stages_with_it(folder, waiting, spawn):
    before = shared_memory()
    holder = spawn("-m", "pipectl", "run", waiting, "--profile", "apart", "--input", "x=a")
    child = at_work(folder, holder)
    assert is_running(child)
    holder.kill()
    holder.wait(10)
    until(lambda: not is_running(child), 10)
    assert shared_memory() <= before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_drains_and_leaves_nothing(folder, waiting, spawn, number, code):
    before = shared_memory()
    holder = spawn("-m", "pipectl", "run", waiting, "--profile", "apart", "--input", "x=a", "--format", "json")
    child = at_work(folder, holder)
    holder.send_signal(number)
    (folder / "go").touch()
    out, err = holder.communicate(timeout=30)
    assert holder.returncode == code, err
    assert '"y":"a"' in out
    assert "Traceback" not in err
    until(lambda: not is_running(child), 10)
    assert shared_memory() <= before


def test_the_second_signal_does_not_wait_for_the_stage(folder, waiting, spawn):
    holder = spawn("-m", "pipectl", "run", waiting, "--profile", "apart", "--input", "x=a")
    child = at_work(folder, holder)
    holder.send_signal(signal.SIGINT)
    until(lambda: not pending(holder.pid))
    start = time.monotonic()
    holder.send_signal(signal.SIGINT)
    _, err = holder.communicate(timeout=30)
    assert time.monotonic() - start < 4, "the stage would never end by itself, and is given no time"
    assert holder.returncode == 130
    assert "Traceback" not in err
    until(lambda: not is_running(child), 10)


def pending(pid: int) -> bool:
    """Whether a signal was sent and not yet taken."""
    masks = re.findall(r"(?:SigPnd|ShdPnd):\s+(\w+)", Path(f"/proc/{pid}/status").read_text())
    return any(int(mask, 16) for mask in masks)


def test_ctrl_c_on_a_terminal_reaches_the_command_only(folder, waiting, spawn):
    """The terminal signals its whole foreground group; the stage's process is not in it, and gets to finish."""
    ours, theirs = pty.openpty()
    holder = spawn(
        *("-m", "pipectl", "run", waiting, "--profile", "apart", "--input", "x=a"),
        stdin=theirs,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: (os.setsid(), take_terminal(theirs)),
    )
    os.close(theirs)
    child = at_work(folder, holder)
    os.write(ours, b"\x03")
    until(lambda: not pending(holder.pid))
    threading.Event().wait(0.05)
    assert is_running(child)
    assert holder.poll() is None
    (folder / "go").touch()
    out, err = holder.communicate(timeout=30)
    os.close(ours)
    assert holder.returncode == 130, err
    assert "a" in out
    assert "interrupted" in err
    assert "Traceback" not in err
    until(lambda: not is_running(child), 10)


def take_terminal(fd: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


def test_started_and_killed_again_and_again_leaves_nothing(folder, waiting, spawn):
    """R16, small."""
    before = shared_memory()
    pids = []
    for i in range(4):
        holder = spawn("-m", "pipectl", "run", waiting, "--profile", "apart", "--input", f"x={i}")
        pids.append(at_work(folder, holder, str(i)))
        holder.kill()
        holder.wait(10)
    until(lambda: not any(map(is_running, pids)), 10)
    assert shared_memory() <= before
