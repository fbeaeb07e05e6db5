"""The proof that a test leaves nothing behind."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import pytest


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
def nothing_left():
    before = traces()
    yield
    if left_behind(before):
        gc.collect()  # a caught exception keeps the frames it came through
    assert left_behind(before) == {}
