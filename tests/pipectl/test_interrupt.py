"""Ctrl-C and SIGTERM: the first drains, the second stops at once; nothing stays behind."""

import json
import signal
import threading
import time

import pytest

WAIT = (
    "pipe 1\nstage wait(name: string) -> (out: string)\n"
    '  using python("{module}:Wait", folder = "FOLDER")\n'
    "pipeline p(name: string) -> (out: string) {{\n  return out = wait(name)\n}}\n"
)


@pytest.fixture
def waiting(write, folder):
    """A pipeline whose stage waits for the file `go` and says when it has started."""
    return write(WAIT.replace("FOLDER", str(folder)), "wait.pipe")


def until(condition, seconds: float = 30.0) -> None:
    """Waits for another process; fails rather than hangs."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        pause.wait(0.005)


def test_first_finishes_what_is_under_way_and_makes_no_new_requests(waiting, spawn, folder):
    process = spawn("run", waiting, "--jsonl", "-", "--format", "json", "--in-flight", "2")
    process.stdin.write('{"name": "a"}\n{"name": "b"}\n{"name": "c"}\n')
    process.stdin.flush()
    until((folder / "started-a").exists)
    process.send_signal(signal.SIGINT)
    until(lambda: interrupted(process.pid))
    (folder / "go").touch()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert [json.loads(line)["outputs"]["out"] for line in out.splitlines()] == ["a", "b"]
    assert "interrupted" in err
    assert "Traceback" not in err


def interrupted(pid: int) -> bool:
    """Whether no SIGINT is pending any more."""
    with open(f"/proc/{pid}/status") as status:
        pending = [line.split()[1] for line in status if line.startswith(("SigPnd", "ShdPnd"))]
    return all(int(mask, 16) == 0 for mask in pending)


def test_first_ends_a_read_that_nothing_comes_from(waiting, spawn, folder):
    (folder / "go").touch()
    process = spawn("run", waiting, "--jsonl", "-", "--format", "json")
    process.stdin.write('{"name": "a"}\n')
    process.stdin.flush()
    until((folder / "started-a").exists)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    assert process.returncode == 130
    assert json.loads(process.stdout.readline())["outputs"]["out"] == "a"


def test_second_stops_at_once(waiting, spawn, folder):
    process = spawn("run", waiting, "--input", "name=a", "--input", "name=b")
    until((folder / "started-a").exists)
    process.send_signal(signal.SIGINT)
    until(lambda: interrupted(process.pid))
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_sigterm_drains_as_well(waiting, spawn, folder):
    process = spawn("run", waiting, "--input", "name=a", "--format", "json")
    until((folder / "started-a").exists)
    process.send_signal(signal.SIGTERM)
    until(lambda: interrupted(process.pid))
    (folder / "go").touch()
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert json.loads(out)["outputs"]["out"] == "a"
