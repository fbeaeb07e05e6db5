"""Stages for executor tests: numpy functions behind a backend, with failures planted by value.

A row whose first item is in `POISON` makes its stage raise; in `ROW_POISON` it fails alone. Values are small whole
numbers, so that sums are exact in any grouping.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from backends.base import Batch, BatchResult, InstanceConfig
from backends.values import Ragged
from pipeline_dsl.plan import StagePlan

from .interpreter import Failure, Function

POISON = 1000.0
"""Values from here on make a stage with `fails = "batch"` raise for its whole batch."""
ROW_POISON = 2000.0
"""Values from here on fail as single rows."""


def scale(x: Any) -> tuple[Any, ...]:
    """rows -> rows"""
    return (np.where(x >= POISON, x, x * 2 % 997).astype(np.float32),)


def add(a: Any, b: Any) -> tuple[Any, ...]:
    """rows, rows -> rows; a poisonous row stays poisonous"""
    return (np.where(np.maximum(a, b) >= POISON, np.maximum(a, b), (a + b) % 997).astype(np.float32),)


def total(x: Any) -> tuple[Any, ...]:
    """all rows of a request -> one vector"""
    return (x.sum(0) % 997,)


def first(v: Any) -> tuple[Any, ...]:
    """vector -> single value"""
    return (float(v[0]),)


def shift(v: Any) -> tuple[Any, ...]:
    """vector -> vector, lifted"""
    return ((v + 3) % 997,)


def weigh(v: Any, s: Any) -> tuple[Any, ...]:
    """vector, single value -> vector, both lifted"""
    return ((v + s[:, None]) % 997,)


def spell(x: Any) -> tuple[Any, ...]:
    """rows -> ragged rows: as many items as the row's first value says"""
    return ([np.arange(1 + int(row[0]) % 5, dtype=np.float32) + row[1] for row in x],)


def count(r: Any, mask: Any = None) -> tuple[Any, ...]:
    """ragged rows -> rows, for the interpreter: real items only"""
    return (np.stack([np.full(4, np.sum(row) % 997, np.float32) for row in r]),)


def count_padded(r: Any, mask: Any) -> tuple[Any, ...]:
    """the same as the executor calls it: padded with 7s, and a mask that says so"""
    assert (np.where(mask, 7.0, r) == 7.0).all(where=~mask)
    return (np.repeat(((r * mask).sum(1) % 997).astype(np.float32)[:, None], 4, 1),)


FUNCTIONS: dict[str, Function] = {f.__name__: f for f in (scale, add, total, first, shift, weigh, spell, count)}


class FunctionBackend:
    """Runs `FUNCTIONS`; `pause(stage)` gives the seconds a batch takes, `log` what ran."""

    name = "function"

    def __init__(self, pause: Callable[[], float] = lambda: 0.0) -> None:
        self.pause = pause
        self.log: list[tuple[str, int]] = []
        self.live = 0

    def load(self, stage: StagePlan, config: InstanceConfig) -> FunctionInstance:
        self.live += 1
        return FunctionInstance(self, stage)


class FunctionInstance:
    thread_affine = False

    def __init__(self, backend: FunctionBackend, stage: StagePlan) -> None:
        self.backend = backend
        self.stage = stage
        name = stage.arguments["function"]
        self.function = count_padded if name == "count" else FUNCTIONS[name]
        self.busy = threading.Lock()

    def execute(self, batch: Batch) -> BatchResult:
        assert self.busy.acquire(blocking=False), "one instance was called from two threads at a time"
        try:
            if (pause := self.backend.pause()) > 0:
                time.sleep(pause)
            self.backend.log.append((self.stage.name, batch.rows))
            return self._result(batch)
        finally:
            self.busy.release()

    def _result(self, batch: Batch) -> BatchResult:
        fails = self.stage.arguments.get("fails")
        tensor = next((v for v in batch.inputs if isinstance(v, np.ndarray) and v.ndim == 2), None)
        failed: dict[int, Exception] = {}
        if fails and tensor is not None:
            rows = np.asarray(tensor)[:, 0].tolist()
            if any(POISON <= v < ROW_POISON for v in rows):
                raise Failure("poison in the batch")
            failed = {i: Failure("poison in a row") for i, v in enumerate(rows) if v >= ROW_POISON}
        outputs = self.function(*batch.inputs)
        made = tuple(Ragged(o) if isinstance(o, list) else o for o in outputs)
        return BatchResult(made, failed or None)

    def warmup(self) -> None:
        pass

    def close(self) -> None:
        self.backend.live -= 1
