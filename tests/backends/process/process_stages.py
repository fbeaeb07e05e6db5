"""Stages for the tests of process isolation; the child finds this module on the parent's `sys.path`."""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from backends.base import BackendError, BatchResult
from backends.values import InvalidInput, Ragged


class Stage:
    """`act` is called with (instance, batch) and gives a BatchResult."""

    thread_affine = False

    def __init__(self, act, stage, config):
        self.act = act
        self.stage = stage
        self.config = config
        self.warmed = 0
        self.calls = 0
        self.kept = None

    def execute(self, batch):
        self.calls += 1
        return self.act(self, batch)

    def warmup(self):
        self.warmed += 1

    def close(self):
        marker = self.stage.arguments.get("closed")
        if marker:
            Path(marker).write_text("closed")


def same(self, batch):
    """The inputs themselves."""
    return BatchResult(batch.inputs)


def copy(self, batch):
    """Equal values in other objects."""
    return BatchResult(tuple(_copied(value) for value in batch.inputs))


def _copied(value):
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, Ragged):
        if value.is_packed:
            values, offsets = value.packed()
            return Ragged(values=values.copy(), offsets=offsets.copy())
        if value.is_padded:
            return Ragged(padded=value.padded().copy(), lengths=value.lengths().copy())
        return Ragged([_copied(row) for row in value])
    return value


def double(self, batch):
    return BatchResult((batch.inputs[0] * 2,))


def strided(self, batch):
    return BatchResult((batch.inputs[0][:, ::2], batch.inputs[0].T))


def facts(self, batch):
    """What the stage sees of its surroundings, as one JSON value."""
    value = batch.inputs[0] if batch.inputs else None
    return BatchResult(
        (
            {
                "pid": os.getpid(),
                "group": os.getpgid(0),
                "session": os.getsid(0),
                "rows": batch.rows,
                "sizes": list(batch.sizes),
                "request_ids": list(batch.request_ids),
                "deadline_ns": batch.deadline_ns,
                "node": batch.node,
                "threads": os.environ["OMP_NUM_THREADS"],
                "python_path": os.environ.get("PYTHONPATH"),
                "path": sys.path,
                "index": self.config.index,
                "device": self.config.device,
                "warmed": self.warmed,
                "calls": self.calls,
                "writeable": bool(value.flags.writeable) if isinstance(value, np.ndarray) else None,
            },
        )
    )


def raises(self, batch):
    what = batch.inputs[0]
    if what == "invalid":
        raise InvalidInput("the picture has no pixels")
    if what == "own":
        raise Unusual(3, "rows")
    if what == "chained":
        try:
            {}["deep cause"]
        except KeyError as error:
            raise RuntimeError("on the surface") from error
    if what == "unprintable":
        raise Unprintable
    if what == "long":
        raise ValueError("x" * 1_000_000 + "\udcff")
    if what == "unsendable":
        return BatchResult((object(),))
    return BatchResult((what,))


class Unusual(Exception):
    """Can not be made from one text."""

    def __init__(self, count, unit):
        super().__init__(f"{count} {unit} too many")


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def fails_rows(self, batch):
    return BatchResult(
        (batch.inputs[0], np.array(["a", ValueError("b"), "c"], object)),
        {np.int64(1): InvalidInput("row one"), 2: ValueError("row two")},
    )


def ends(self, batch):
    """End this process in one of several ways."""
    what = batch.inputs[0]
    if what == "exit":
        print("last words", flush=True)
        sys.exit(3)
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "segfault":
        ctypes.string_at(0)
    if what == "hang":
        print("hanging")
        signal.pause()
    if what == "close":
        os.closerange(3, 256)
        signal.pause()
    if what == "garbage":
        frame = sys._getframe()
        while "channel" not in frame.f_locals:
            frame = frame.f_back
        frame.f_locals["channel"].send(b"\xff\xff\xff")
        signal.pause()
    if what == "fork":
        child = os.fork()
        while not child:
            time.sleep(0.01)
        return BatchResult((child,))
    return BatchResult((what,))


def waits(self, batch):
    """Wait until cancelled; how often it looked is of no interest."""
    until = time.monotonic() + 10
    while not batch.cancelled() and time.monotonic() < until:
        time.sleep(0.001)
    return BatchResult((batch.cancelled(),))


def naps(self, batch):
    time.sleep(batch.inputs[0])
    return BatchResult((batch.inputs[0],))


def marks(self, batch):
    """Says that it runs, then takes its time."""
    if batch.inputs[0]:
        Path(self.stage.arguments["marker"]).touch()
    return naps(self, batch)


def writes(self, batch):
    batch.inputs[0][0] = 1
    return BatchResult(())


def talks(self, batch):
    print("to stdout")
    print("to stderr", file=sys.stderr)
    sys.stdout.write("no end of line")
    return BatchResult(())


def counts_copies(self, batch):
    self.config.on_copy(7, "mine")
    batch.inputs[0].padded()
    return BatchResult(())


class TestBackend:
    name = "test"
    __test__ = False

    def load(self, stage, config):
        match stage.arguments.get("load"):
            case "error":
                raise ZeroDivisionError("in set-up")
            case "backend_error":
                raise BackendError("model.bin is not a model", "Export it again.")
            case "import":
                importlib.import_module("no_such_module_anywhere")
            case "exit":
                print("cannot go on")
                os._exit(9)
            case "once" if self._was_here(stage):
                raise BackendError("the model file is gone", "Put it back.")
        return Stage(globals()[stage.arguments.get("act", "same")], stage, config)

    def _was_here(self, stage):
        marker = Path(stage.arguments["marker"])
        seen = marker.exists()
        marker.touch()
        return seen


def backend(name):
    return TestBackend()
