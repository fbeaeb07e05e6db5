"""The child dies, hangs or talks nonsense: one clear error, a restart, and nothing else is harmed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from backends.base import Batch, StageDied
from backends.process import Limits, RestartPolicy, StageHung, supervisor


def run(instance, *inputs, **fields):
    return instance.execute(Batch(inputs, 1, **fields)).outputs


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("exit", "ended with exit code 3 while it worked on a batch"),
        ("kill", "was killed by SIGKILL"),
        ("segfault", "was killed by SIGSEGV"),
        ("garbage", "was killed"),
    ],
)
def test_a_death_names_stage_process_and_cause(isolated, what, text):
    instance = isolated("ends")
    pid = instance.pid
    with pytest.raises(StageDied, match=rf"stage `echo`: its process {pid} .*{text}"):
        run(instance, what)
    assert run(instance, "fine") == ("fine",)
    assert instance.restarts == 1
    assert instance.pid != pid


def test_last_words_go_into_a_note(isolated):
    with pytest.raises(StageDied) as caught:
        run(isolated("ends"), "exit")
    assert "last words" not in str(caught.value)
    assert "last words" in caught.value.__notes__[0]
    with pytest.raises(StageDied) as caught:
        run(isolated("ends"), "segfault")
    assert "Segmentation fault" in caught.value.__notes__[0]


def test_a_process_that_closes_its_socket_is_ended(isolated, monkeypatch):
    monkeypatch.setattr(supervisor, "EXIT_S", 0.05)
    instance = isolated("ends")
    with pytest.raises(StageDied):
        run(instance, "close")
    assert run(instance, "fine") == ("fine",)


def test_killed_20_times_idle_and_running_by_turns(isolated, tmp_path):
    marker = tmp_path / "runs"
    instance = isolated("marks", marker=str(marker))

    def kill_once_it_runs(pid):
        waits = threading.Event()
        while not marker.exists():
            waits.wait(0.002)
        marker.unlink()
        os.kill(pid, signal.SIGKILL)

    for _ in range(10):
        os.kill(instance.pid, signal.SIGKILL)
        assert run(instance, 0) == (0,)  # the batch had not begun, so it is not lost
        killer = threading.Thread(target=kill_once_it_runs, args=(instance.pid,))
        killer.start()
        with pytest.raises(StageDied, match="SIGKILL"):
            run(instance, 60)
        killer.join()
        assert run(instance, 0) == (0,)
    assert instance.restarts == 20


def test_arrays_outlive_the_process_that_made_them(isolated):
    instance = isolated("double")
    held = [run(instance, np.full(100_000, i))[0] for i in range(3)]
    os.kill(instance.pid, signal.SIGKILL)
    more = [run(instance, np.full(100_000, 10 + i))[0] for i in range(3)]
    assert [int(array[-1]) for array in held] == [0, 2, 4]
    assert [int(array[-1]) for array in more] == [20, 22, 24]


def test_a_replacement_is_warm_if_the_first_was(isolated):
    instance = isolated("facts")
    instance.warmup()
    os.kill(instance.pid, signal.SIGKILL)
    assert run(instance)[0]["warmed"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_to_everybody_are_left_to_the_parent(isolated, number):
    instance = isolated("ends")
    (grandchild,) = run(instance, "fork")
    os.kill(instance.pid, number)
    assert run(instance, "fine") == ("fine",)
    assert instance.restarts == 0
    os.kill(grandchild, number)
    wait_gone(grandchild)


# ---- crash loops


def test_the_breaker_opens_and_says_when_it_tries_again(isolated):
    instance = isolated("ends", policy=RestartPolicy(first=0.001, longest=60.0, limit=3))
    for _ in range(3):
        with pytest.raises(StageDied, match="exit code 3"):
            run(instance, "exit")
    with pytest.raises(StageDied, match=r"stage `echo` keeps dying: 3 of .* starts in (59|60)\.\d s"):
        run(instance, "fine")
    assert not instance.alive
    assert instance.restarts == 2


def test_the_breaker_closes_after_a_good_trial(isolated):
    instance = isolated("ends", policy=RestartPolicy(first=0.001, longest=0.05, limit=2))
    for _ in range(2):
        with pytest.raises(StageDied):
            run(instance, "exit")
    assert instance._supervisor.policy.is_open
    until = time.monotonic() + 10
    while not instance.alive:
        assert time.monotonic() < until
        time.sleep(0.002)
    assert run(instance, "fine") == ("fine",)
    assert not instance._supervisor.policy.is_open


def test_a_replacement_that_does_not_load_is_told(isolated, tmp_path):
    policy = RestartPolicy(first=0.001, longest=60.0, limit=3)
    instance = isolated("copy", load="once", marker=str(tmp_path / "loaded"), policy=policy)
    os.kill(instance.pid, signal.SIGKILL)
    with pytest.raises(StageDied, match="did not load: the model file is gone"):
        run(instance, 1)


def test_a_batch_does_not_wait_for_a_start_past_its_deadline(isolated):
    instance = isolated("ends", policy=RestartPolicy(first=60.0, longest=60.0))
    with pytest.raises(StageDied):
        run(instance, "exit")
    with pytest.raises(StageDied, match="ended with exit code 3 and is being started again"):
        run(instance, "fine", deadline_ns=time.monotonic_ns() + 10_000_000)


# ---- hangs


def test_a_hang_ends_with_the_timeout(isolated):
    instance = isolated("ends", limits=Limits(timeout_ns=200_000_000))
    with pytest.raises(StageHung, match=r"it had not answered for \d+\.\d s"):
        run(instance, "hang")
    assert run(instance, "fine") == ("fine",)


def test_a_hang_ends_after_the_deadline_and_its_grace(isolated):
    instance = isolated("ends", limits=Limits(grace_ns=100_000_000))
    with pytest.raises(StageHung):
        run(instance, "hang", deadline_ns=time.monotonic_ns() + 50_000_000)


def test_a_slow_stage_that_is_only_late_is_not_killed():
    limits = Limits(grace_ns=1)
    assert limits.until(100, None, 50) is None
    assert limits.until(100, 110, 0) == 111
    assert limits.until(100, 110, 50) == 200
    assert Limits(timeout_ns=30).until(100, 500, 50) == 130


def test_an_interrupted_wait_ends_the_process_so_that_answers_never_mix(isolated):
    instance = isolated("naps")

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(instance, 0.5, cancelled=interrupt)
    assert run(instance, 0) == (0,)


# ---- families


def test_what_the_stage_started_ends_with_it(isolated):
    instance = isolated("ends")
    (grandchild,) = run(instance, "fork")
    assert not _is_gone(grandchild)
    os.kill(instance.pid, signal.SIGKILL)
    wait_gone(grandchild)


PARENT = """
import sys, time
sys.path[:0] = {path!r}
from conftest import plan
from backends.base import Batch, InstanceConfig
from backends.process import load_isolated

instance = load_isolated(plan(act="ends"), InstanceConfig(), loader="process_stages:backend")
print(instance.pid, flush=True)
{then}
"""


@pytest.mark.parametrize("then", ["time.sleep(60)", "instance.execute(Batch(('hang',), 1))"], ids=["idle", "running"])
def test_the_child_dies_with_its_parent(then):
    path = [str(Path(__file__).parent), str(Path(__file__).parents[3])]
    command = [sys.executable, "-c", PARENT.format(path=path, then=then)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        if "hang" in then:
            assert parent.stderr.readline() == "[echo] hanging\n"
        assert not _is_gone(child)
        parent.kill()
    wait_gone(child)


def test_ending_without_close_is_clean():
    path = [str(Path(__file__).parent), str(Path(__file__).parents[3])]
    script = PARENT.format(path=path, then="")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    wait_gone(int(done.stdout))


def wait_gone(pid):
    until = time.monotonic() + 5
    while not _is_gone(pid):
        assert time.monotonic() < until
        time.sleep(0.002)


def _is_gone(pid):
    """No such process, or only its record waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
