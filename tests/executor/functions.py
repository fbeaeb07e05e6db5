"""Stages for executor tests: numpy functions behind a backend, with failures planted by value.

A row whose first item is from `POISON` on makes its stage raise; from `ROW_POISON` on it fails alone. Values are small
whole numbers, so that sums are exact in any grouping.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from backends.base import Batch, BatchResult, InstanceConfig
from backends.values import Ragged
from pipeline_dsl.plan import StagePlan

from .interpreter import Failure, Function

POISON = 1000.0
"""Values from here on make a stage with `fails` raise for its whole batch."""
ROW_POISON = 2000.0
"""Values from here on fail as single rows."""


def scale(x: Any) -> tuple[Any, ...]:
    """rows -> rows"""
    return (np.where(x >= POISON, x, x * 2 % 997).astype(np.float32),)


def add(a: Any, b: Any) -> tuple[Any, ...]:
    """rows, rows -> rows; a poisonous row stays poisonous"""
    return (np.where(np.maximum(a, b) >= POISON, np.maximum(a, b), (a + b) % 997).astype(np.float32),)


def lean(x: Any, w: Any = None) -> tuple[Any, ...]:
    """rows, rows or nothing -> rows"""
    return add(x, w) if w is not None else scale(x)


def plus(x: Any, k: Any) -> tuple[Any, ...]:
    """rows, a number for each row -> rows; the number may be a constant"""
    return add(x, np.reshape(k, (-1, 1)))


def move(x: Any, v: Any) -> tuple[Any, ...]:
    """rows, one vector for the whole call -> rows"""
    return add(x, v)


def tag(x: Any) -> tuple[Any, ...]:
    """rows -> text"""
    made = np.empty(len(x), object)
    made[:] = ["a" * (int(row[1]) % 7) for row in x]
    return (made,)


def size(t: Any) -> tuple[Any, ...]:
    """text -> rows"""
    return (np.repeat(np.array([len(s) for s in t], np.float32)[:, None], 4, 1),)


def total(x: Any) -> tuple[Any, ...]:
    """all rows of a request -> one vector"""
    return (x.sum(0) % 997,)


def first(v: Any) -> tuple[Any, ...]:
    """vector -> single value"""
    return (float(v[0]),)


def perhaps(v: Any) -> tuple[Any, ...]:
    """vector -> vector or nothing"""
    return ((v + 1) % 997 if int(v[0]) % 2 else None,)


def shift(v: Any) -> tuple[Any, ...]:
    """vector -> vector, lifted"""
    return ((v + 3) % 997,)


def either(v: Any, w: Any = None) -> tuple[Any, ...]:
    """vector, vector or nothing -> vector, lifted"""
    return ((v + (5 if w is None else w)) % 997,)


def weigh(v: Any, s: Any) -> tuple[Any, ...]:
    """vector, single value -> vector, both lifted"""
    return ((v + s[:, None]) % 997,)


def spell(x: Any) -> tuple[Any, ...]:
    """rows -> ragged rows: none to five items, as the row's first value says"""
    return ([np.arange(int(row[0]) % 6, dtype=np.float32) + row[1] for row in x],)


def twice(r: Any) -> tuple[Any, ...]:
    """ragged rows -> ragged rows of the same lengths"""
    return ([row * 2 % 997 for row in r],)


def pair(a: Any, b: Any) -> tuple[Any, ...]:
    """ragged rows, others of the same lengths -> rows; padded with 0"""
    sums = [np.sum(x) + 2 * np.sum(y) for x, y in zip(a, b, strict=True)]
    return (np.repeat((np.array(sums, np.float32) % 997)[:, None], 4, 1),)


def count(r: Any, mask: Any = None) -> tuple[Any, ...]:
    """ragged rows -> rows, for the interpreter: real items only"""
    return (np.array([[np.sum(row) % 997] * 4 for row in r], np.float32).reshape(-1, 4),)


def count_padded(r: Any, mask: Any) -> tuple[Any, ...]:
    """the same as the executor calls it: padded with 7s, and a mask that says so"""
    assert (np.where(mask, 7.0, r) == 7.0).all(where=~mask)
    return (np.repeat(((r * mask).sum(1) % 997).astype(np.float32)[:, None], 4, 1),)


def join(r: Any, ends: Any = None) -> tuple[Any, ...]:
    """ragged rows -> ragged rows of the same lengths, for the interpreter"""
    return ([(row + 1) % 997 for row in r],)


def join_packed(r: Any, ends: Any) -> tuple[Any, ...]:
    """the same as the executor calls it: packed, with the ends of rows"""
    assert (ends[0], ends[-1]) == (0, len(r))
    return ((r + 1) % 997,)


def stretch(v: Any) -> tuple[Any, ...]:
    """vector -> strip (a vector of any length), lifted"""
    return spell(v)


def height(r: Any) -> tuple[Any, ...]:
    """strip -> single value, lifted"""
    return (np.array([np.sum(row) % 997 for row in r], np.float32),)


def letter(v: Any) -> tuple[Any, ...]:
    """vector -> a text of a few"""
    return ("abcd"[int(v[0]) % 4],)


def judge(v: Any) -> tuple[Any, ...]:
    """rows -> a flag for each"""
    return (np.array([int(row[0]) % 2 == 0 for row in v], bool),)


def grade(v: Any) -> tuple[Any, ...]:
    """rows -> 0, 1 or 2 for each"""
    return (np.array([int(row[0]) % 3 for row in v], np.int64),)


def spread(v: Any) -> tuple[Any, ...]:
    """one vector -> none to three rows, as its second value says"""
    return (np.tile(np.asarray(v, np.float32), (int(v[1]) % 4, 1)),)


FUNCTIONS: dict[str, Function] = {
    f.__name__: f
    for f in (
        *(scale, add, lean, plus, move, tag, size, total, first, perhaps, shift, either, weigh),
        *(spell, twice, pair, count, join, stretch, height, letter, judge, grade, spread),
    )
}
CALLED: dict[str, Function] = {**FUNCTIONS, "count": count_padded, "join": join_packed}
"""As the executor calls them."""


class FunctionBackend:
    """Runs `CALLED`; `pause` gives the seconds a batch takes."""

    name = "function"

    def __init__(
        self, pause: Callable[[], float] = lambda: 0.0, functions: Mapping[str, Function] | None = None
    ) -> None:
        self.pause = pause
        self.functions = {**CALLED, **(functions or {})}
        self.live = 0
        self.rows: Counter[tuple[str, str]] = Counter()
        """Rows that ran for each (stage, request id), of stages with `effects = once`."""

    def load(self, stage: StagePlan, config: InstanceConfig) -> FunctionInstance:
        self.live += 1
        return FunctionInstance(self, stage)


class FunctionInstance:
    def __init__(self, backend: FunctionBackend, stage: StagePlan) -> None:
        self.backend = backend
        self.stage = stage
        self.function = backend.functions[stage.arguments["function"]]
        self.once = stage.contract.effects == "once"
        self.thread_affine = bool(stage.arguments.get("affine"))
        self.thread = threading.get_ident()
        self.busy = threading.Lock()

    def execute(self, batch: Batch) -> BatchResult:
        assert self.busy.acquire(blocking=False), "one instance was called from two threads at a time"
        try:
            assert not self.thread_affine or self.thread == threading.get_ident(), "called from a foreign thread"
            assert sum(batch.sizes) == batch.rows
            if self.once:
                for request, rows in zip(batch.request_ids, batch.sizes, strict=True):
                    self.backend.rows[self.stage.name, request] += rows
            if (pause := self.backend.pause()) > 0:
                time.sleep(pause)
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
