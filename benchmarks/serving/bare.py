"""The floor without a server: the functions of a work, called in a loop on one thread.

    python -m benchmarks.serving.bare WORK BATCH SECONDS

Prints one JSON object: calls (of one request each), seconds, CPU seconds and latencies of a batch in milliseconds. A
BATCH below 0 stands for -BATCH requests that lie sorted by length, each batch padded to its longest.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .works import FOLDER, WORKS, Array, Step, Work, inputs


def loaded(step: Step) -> Callable[..., Any]:
    """The step's function, or an object of its class."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    module, _, name = step.function.partition(":")
    found: Any = getattr(importlib.import_module(module), name)
    made: Callable[..., Any] = found(**step.options) if inspect.isclass(found) else found
    return made


def padded(rows: Sequence[Array]) -> Array:
    """Rows of unequal length, zeros behind the shorter ones."""
    made = np.zeros((len(rows), max(map(len, rows))), rows[0].dtype)
    for i, row in enumerate(rows):
        made[i, : len(row)] = row
    return made


class Bare:
    """A work without a server: one batch in, its output back."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.functions = [loaded(step) for step in work.steps]

    def __call__(self, given: Array) -> Array:
        values: dict[str, Any] = {self.work.input: given}
        for step, function in zip(self.work.steps, self.functions):
            made = function(**{port: values[name] for port, name in step.takes.items()})
            for name, value in zip(step.gives, made if len(step.gives) > 1 else (made,)):
                values[name] = padded(value) if isinstance(value, list) else value
        output: Array = values[self.work.output]
        return output


def batches(work: Work, size: int) -> list[Array]:
    """Requests in batches of `size`; below 0: sorted by length first."""
    found = list(inputs(work.name))
    if size < 0:
        found.sort(key=lambda text: len(text[0].split()))
    if not work.rows:
        return found
    return [np.concatenate(found[i : i + abs(size)]) for i in range(0, len(found), abs(size))]


def main(name: str, size: int, seconds: float) -> dict[str, float]:
    work = WORKS[name]
    bare, given = Bare(work), batches(work, size)
    for batch in given[:2]:
        bare(batch)
    took: list[float] = []
    calls, start, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() < start + seconds:
        for batch in given:  # all of them: requests differ
            begin = time.perf_counter()
            bare(batch)
            took.append(time.perf_counter() - begin)
            calls += len(batch) if work.rows else 1
    spent, cpu = time.perf_counter() - start, time.process_time() - cpu
    p50, p99 = (float(q) * 1e3 for q in np.quantile(took, (0.5, 0.99)))
    return {"calls": calls, "seconds": spent, "cpu_s": cpu, "p50_ms": p50, "p99_ms": p99}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))
