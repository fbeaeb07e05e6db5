"""Isolated instances for the tests, and the proof that each test leaves nothing behind."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import pytest

from backends.base import InstanceConfig
from backends.process import RestartPolicy, load_isolated
from pipeline_dsl.ir import Contract
from pipeline_dsl.plan import StagePlan


def plan(**arguments):
    return StagePlan(0, "echo", None, "test", arguments, Contract(), "", (), (), (), True)


def traces():
    """What a test could leave: descriptors, threads, children, names in shared memory."""
    children = []
    for task in Path("/proc/self/task").iterdir():
        try:
            children += (task / "children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            pass  # a thread that has just ended
    return {
        "descriptors": set(range(len(os.listdir("/proc/self/fd")))),
        "threads": set(threading.enumerate()),
        "children": set(children),
        "names": set(os.listdir("/dev/shm")),
    }


def left_behind(before):
    return {what: found - before[what] for what, found in traces().items() if found - before[what]}


@pytest.fixture(autouse=True)
def _nothing_left():
    before = traces()
    yield
    if left_behind(before):
        gc.collect()  # a caught exception keeps the frames it came through
    assert left_behind(before) == {}


@pytest.fixture
def isolated(_nothing_left, monkeypatch):
    """`isolated("double", ...)` starts a stage of `process_stages`; all are closed at the end."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    started = []

    def start(act="copy", *, config=None, **settings):
        arguments = {key: settings.pop(key) for key in ("load", "marker", "closed") if key in settings}
        settings.setdefault("policy", RestartPolicy(first=0.01))
        settings.setdefault("output", lambda line: None)
        settings.setdefault("loader", "process_stages:backend")
        instance = load_isolated(plan(act=act, **arguments), config or InstanceConfig(), **settings)
        started.append(instance)
        return instance

    yield start
    for instance in started:
        instance.close()
