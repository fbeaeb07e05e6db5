"""Stages to ready instances: load, warm up, or nothing is left running.

Instances load side by side, as many as there are cores; each on a thread that a thread-affine one keeps.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import backends
from backends.base import BackendError, Instance, InstanceConfig
from backends.device import Accelerator, device
from backends.generators import check_of, reads_streams, streams
from backends.states import with_states
from pipeline_dsl.plan import Hardware, StagePlan, device_of

from .columns import Copies
from .devices import site_of
from .errors import LoadError
from .stage import Slot, StageRuntime
from .warmup import warm_up
from .workers import Worker


def load(stages: Sequence[StageRuntime], hardware: Hardware, serial: bool = False) -> None:
    """Give every stage its instances. LoadError for the first stage that fails, with all others closed again."""
    with ThreadPoolExecutor(max(1, hardware.cores), thread_name_prefix="pipectl-load") as pool:
        waiting = [(s, pool.submit(_load_one, s, i, serial)) for s in stages for i in range(s.plan.instances)]
        errors: list[LoadError] = []
        try:
            for stage, future in waiting:
                try:
                    stage.slots.append(future.result())
                except LoadError as error:
                    errors.append(error)
        except BaseException:  # Ctrl-C: what has loaded must not stay, and what waits need not load
            pool.shutdown(cancel_futures=True)
            _keep_loaded(waiting)
            unload(stages)
            raise
    if errors:
        unload(stages)
        raise errors[0]
    for stage in stages:
        stage.slots.sort(key=lambda slot: slot.index)
        stage.free = stage.slots[::-1]


def _keep_loaded(waiting: Sequence[tuple[StageRuntime, Future[Slot]]]) -> None:
    """Give stages all instances that did load."""
    for stage, future in waiting:
        if not future.cancelled() and future.exception() is None and future.result() not in stage.slots:
            stage.slots.append(future.result())


def unload(stages: Sequence[StageRuntime], timeout: float = 5.0) -> None:
    """Close all instances; an error in one does not keep the others open. What still runs gets `timeout` seconds."""
    for stage in stages:
        for slot in stage.slots:
            try:
                instance: Any = slot.instance
                close = partial(instance.close, timeout) if stage.plan.isolate else instance.close
                close() if slot.thread is None else slot.thread.call(close, timeout)
            except (Exception, SystemExit) as error:  # closing must go on; there is nobody to hand this to but the log
                import logging

                logging.getLogger("pipectl").warning("stage %s did not close: %s", stage.plan.name, error)
            if slot.thread is not None:
                slot.thread.stop(timeout)
        stage.slots, stage.free = [], []


def _load_one(stage: StageRuntime, index: int, serial: bool) -> Slot:
    plan = stage.plan
    start = time.monotonic()
    thread = Worker(f"pipectl-{plan.name}-{index}")  # an instance is loaded where it may have to stay
    try:
        slot: Slot = thread.call(lambda: _open(plan, index, serial))
    except BackendError as error:
        thread.stop(1.0)
        raise LoadError(plan.name, str(error).removeprefix(f"stage `{plan.name}`: "), error.hint) from error
    except BaseException as error:  # a stage's code may raise anything; Ctrl-C comes to the main thread only
        thread.stop(1.0)
        raise LoadError(plan.name, f"{type(error).__name__}: {error}") from error
    if slot.instance.thread_affine or plan.extra.get("affine") or reads_streams(plan):
        slot.thread = thread
    else:
        thread.stop(1.0)
    stage.load_seconds = max(stage.load_seconds, time.monotonic() - start)
    return slot


def _isolated(plan: StagePlan, config: InstanceConfig) -> Instance:
    from backends.process import load_isolated  # what only processes need is not imported for all others

    return load_isolated(plan, config)


def _simulated(plan: StagePlan, config: InstanceConfig) -> Instance:
    from backends.device.sim.instance import load as load_simulated

    made: Instance = load_simulated(plan, config, backends.load(plan.backend))
    return made


def _open(plan: StagePlan, index: int, serial: bool) -> Slot:
    """A warm instance."""
    plan = with_states(plan)
    copies = Copies()
    name = device_of(plan, index)
    if plan.isolate and name != "cpu":
        raise BackendError(f"`isolate = process` runs on the host, not on {name}", "set `device = cpu` for it")
    place = device(name)
    stream = place.partition_stream(plan.sms) if plan.sms and isinstance(place, Accelerator) else None
    config = InstanceConfig(index, name, plan.threads or 1, copies.copied, stream)
    instance: Instance
    if plan.isolate:
        instance = _isolated(plan, config)
    elif name.startswith("sim"):
        instance = _simulated(plan, config)
    else:
        instance = backends.load(plan.backend).load(plan, config)
    if stream is not None and getattr(instance, "stream", stream) is not stream:
        instance.close()
        text = f"`sms = {plan.sms}` can not hold: backend `{plan.backend}` works on a stream that it opens itself"
        raise BackendError(text, "leave `sms` out")
    site = site_of(place, instance, plan, index, serial, stream)
    judged = replace(plan, device="cpu") if streams(plan) else plan  # elements are on the host when they are judged
    slot = Slot(index, instance, check_of(judged, copies.copied), copies, None, site=site)
    try:
        warm_up(plan, slot)
    except (Exception, SystemExit) as error:
        instance.close()
        if isinstance(error, BackendError):
            raise
        raise BackendError(f"its warm-up raised {type(error).__name__}: {error}") from error
    return slot
