"""Stages to ready instances: load, warm up, or nothing is left running.

Instances load side by side, as many as there are cores; a thread-affine one on the thread it will live on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import backends
from backends.base import BackendError, Batch, Instance, InstanceConfig
from backends.checks import OutputCheck
from backends.process import load_isolated
from backends.values import Ragged, Value
from pipeline_dsl.plan import Hardware, PortPlan, StagePlan, Warmup
from pipeline_dsl.types import Ragged as RaggedDim
from pipeline_dsl.types import Rows, Sized

from .columns import Copies
from .errors import LoadError
from .stage import Slot, StageRuntime
from .workers import Worker


def load(stages: Sequence[StageRuntime], hardware: Hardware) -> None:
    """Give every stage its instances. LoadError for the first stage that fails, with all others closed again."""
    with ThreadPoolExecutor(max(1, hardware.cores), thread_name_prefix="pipectl-load") as pool:
        waiting = [(s, pool.submit(_load_one, s, i)) for s in stages for i in range(s.plan.instances)]
        errors: list[LoadError] = []
        for stage, future in waiting:
            try:
                stage.slots.append(future.result())
            except LoadError as error:
                errors.append(error)
    if errors:
        unload(stages)
        raise errors[0]
    for stage in stages:
        stage.slots.sort(key=lambda slot: slot.index)
        stage.free = stage.slots[::-1]


def unload(stages: Sequence[StageRuntime], timeout: float = 5.0) -> None:
    """Close all instances; an error in one does not keep the others open."""
    for stage in stages:
        for slot in stage.slots:
            try:
                close = slot.instance.close
                close() if slot.thread is None else slot.thread.call(close)
            except Exception as error:  # closing must go on; there is nobody to hand this to but the log
                import logging

                logging.getLogger("pipectl").warning("stage %s did not close: %s", stage.plan.name, error)
            if slot.thread is not None:
                slot.thread.stop(timeout)
        stage.slots, stage.free = [], []


def _load_one(stage: StageRuntime, index: int) -> Slot:
    plan = stage.plan
    start = time.monotonic()
    copies = Copies()
    config = InstanceConfig(index, plan.device, plan.threads or 1, copies.copied)
    thread = Worker(f"pipectl-{plan.name}-{index}") if plan.extra.get("thread") == "own" else None
    try:
        instance = thread.call(lambda: _open(plan, config)) if thread else _open(plan, config)
        slot = Slot(index, instance, OutputCheck(plan, copies.copied), copies, thread)
        try:
            thread.call(lambda: _warm(stage, slot)) if thread else _warm(stage, slot)
        except (Exception, SystemExit) as error:
            instance.close()
            if isinstance(error, BackendError):
                raise
            raise BackendError(f"its warm-up raised {type(error).__name__}: {error}") from error
    except BackendError as error:
        _drop(thread)
        raise LoadError(plan.name, str(error).removeprefix(f"stage `{plan.name}`: "), error.hint) from error
    except (Exception, SystemExit) as error:
        _drop(thread)
        raise LoadError(plan.name, f"{type(error).__name__}: {error}") from error
    stage.load_seconds = max(stage.load_seconds, time.monotonic() - start)
    return slot


def _drop(thread: Worker | None) -> None:
    if thread is not None:
        thread.stop(1.0)


def _open(plan: StagePlan, config: InstanceConfig) -> Instance:
    if plan.isolate:
        return load_isolated(plan, config)
    return backends.load(plan.backend).load(plan, config)


# ---- warm-up


def _warm(stage: StageRuntime, slot: Slot) -> None:
    """The instance's own warm-up, then made-up batches as the profile asks."""
    instance = slot.instance
    instance.warmup()
    if (warmup := stage.plan.warmup) is None:
        return
    for rows in warmup.batches or (1,):
        for sizes in _combinations(warmup):
            inputs = tuple(_made_up(p, rows, sizes, warmup.data) for p in stage.plan.inputs)
            batch = Batch(inputs, rows if stage.plan.has_rows else 1, sizes=(rows,), request_ids=("warmup",))
            for _ in range(warmup.count):
                slot.check(batch, instance.execute(batch))


def _combinations(warmup: Warmup) -> list[dict[str, int]]:
    """One value for each named size, the first of each together, then the second, ..: buckets go side by side."""
    longest = max((len(v) for v in warmup.sizes.values()), default=1)
    return [{k: v[min(i, len(v) - 1)] for k, v in warmup.sizes.items()} for i in range(longest)]


def _made_up(port: PortPlan, rows: int, sizes: dict[str, int], data: str) -> Value:
    """Zeros, or random values, of the right form."""
    shape = [_size(d, rows, sizes) for d in port.type.dims]
    if port.form == "scalar":
        return (
            port.default
            if port.has_default
            else {"string": "", "bytes": b"", "json": None}.get(
                port.type.dtype.name, port.type.dtype.numpy.type(0).item() if port.type.dtype.numeric else None
            )
        )
    if port.filled == "offsets":
        shape = [rows + 1]
    made: Any
    if not port.type.dtype.numeric:
        made = np.empty(shape, object)
        made[...] = b"" if port.type.dtype.name == "bytes" else ""
    elif data == "random" and port.type.dtype.kind == "float":
        made = np.random.default_rng(0).random(shape).astype(port.type.dtype.numpy)
    elif port.filled == "mask":
        made = np.ones(shape, port.type.dtype.numpy)
    else:
        made = np.zeros(shape, port.type.dtype.numpy)
    return Ragged(list(made)) if port.form == "ragged" else made


def _size(dim: Any, rows: int, sizes: dict[str, int]) -> int:
    if isinstance(dim, Rows):
        return rows
    if isinstance(dim, Sized | RaggedDim):
        try:
            return max(dim.size.evaluate(sizes), 1)
        except KeyError:
            return 1
    return 1
