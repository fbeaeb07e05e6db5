"""A program on our engine: its answers, and what it made the device do."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np

from backends.base import Batch, BatchResult
from backends.device import Accelerator, DeviceArray, Driver, device
from backends.fused import FusedInstance
from backends.fused.graphs import Graphs
from benchmarks.figures import keep_busy
from executor import Engine
from executor.devices import Site
from executor.gpu_time import GpuTime
from pipeline_dsl.plan import Plan

from .costs import INFLIGHT, Cost, cost
from .works import Mode, Work, planned


@dataclass(frozen=True)
class Told:
    """What counters say."""

    events: float
    """Recorded for each request."""
    waits: float
    """Of streams for events, for each request."""
    copied: int
    """Bytes between stages in all."""
    replays: int = 0
    """Batches that ran as a captured graph."""
    without_graphs: str = ""
    """Why none did, if one was wanted."""


@dataclass(frozen=True)
class Spans:
    """Of one request on the device, in the device's seconds."""

    makespan: float
    """From the beginning of the first stage to the end of the last."""
    critical_path: float
    """The longest way through, each stage as long as it took."""
    serial: float
    """All stages one after the other."""


@dataclass
class Moment:
    """Where one execution began and ended in its stream; in place of a `Span`."""

    stage: str
    driver: Driver
    stream: Any
    start: Any
    stop: Any = None

    def end(self) -> None:
        self.stop = self.driver.mark(self.stream)

    def passed(self) -> None:
        """Its times are read later."""


class Timeline(GpuTime):
    """Where every execution begins and ends."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[Moment] = []

    def begin(self, stage: str, driver: Driver, stream: Any, order: Callable[[], object] = lambda: None) -> Any:
        order()
        made = Moment(stage, driver, stream, driver.mark(stream))
        self.moments.append(made)
        return made

    def spans(self, work: Work) -> Spans:
        """Of the one request that ran; all has ended."""
        first = self.moments[0]
        elapsed = first.driver.elapsed
        begins = {m.stage: elapsed(first.start, m.start) for m in self.moments}
        ends = {m.stage: elapsed(first.start, m.stop) for m in self.moments}
        took = {stage: ends[stage] - begins[stage] for stage in ends}
        return Spans(max(ends.values()) - min(begins.values()), work.critical_path(took), sum(took.values()))


@contextmanager
def on_plan(plan: Plan) -> Iterator[Engine]:
    """An engine that runs a plan."""
    running = Engine(plan)
    running.start()
    try:
        yield running
    finally:
        running.stop()
        gc.collect()


def on_engine(
    work: Work, on: str, library: str, mode: Mode, rows: int, *, serial: bool = False
) -> AbstractContextManager[Engine]:
    """An engine with the program on a device, `cuda:0`."""
    return on_plan(replace(planned(work, on, library, mode, rows), serial=serial))


def ask(running: Engine, x: Any) -> Any:
    """The answer to one request; a copy, so that the engine may use its memory again."""
    return np.array(running.submit("p", {"x": x}).result(60)["out"])


def accelerator(on: str) -> Accelerator:
    found = device(on)
    assert isinstance(found, Accelerator), f"{on} is the host"
    return found


def cost_of(running: Engine, x: Any, count: int) -> Cost:
    """Of requests to an engine that is warm."""
    return cost(lambda: ask(running, x), lambda many: keep_busy(running, x, many, INFLIGHT), count)


def told(running: Engine, on: str, x: Any, count: int) -> Told:
    """What `count` requests, one after the other, add to the counters."""
    place = accelerator(on)
    events, waits, replays = place.events, place.waits, _replays(running)
    for _ in range(count):
        ask(running, x)
    graphs = _graphs(running)
    why = "; ".join(dict.fromkeys(text for g in graphs for text in (g.why_not, *g.dropped.values()) if text))
    return Told(
        (place.events - events) / count,
        (place.waits - waits) / count,
        copied_between(running),
        _replays(running) - replays,
        why,
    )


def _graphs(running: Engine) -> list[Graphs]:
    """Of all instances that several stages are."""
    instances = [slot.instance for one in running.sets for slot in one.slots]
    return [instance.graphs for instance in instances if isinstance(instance, FusedInstance)]


def _replays(running: Engine) -> int:
    return sum(graphs.replays for graphs in _graphs(running))


def copied_between(running: Engine) -> int:
    """Bytes that were copied between stages so far: all but those of answers on their way to the host."""
    snapshot = running.stats()
    reasons = [*(node.copied_bytes for node in snapshot.nodes), *snapshot.copied_bytes.values()]
    return sum(nbytes for found in reasons for why, nbytes in found.items() if why != "to_host")


def spans_of(running: Engine, work: Work, on: str, x: Any) -> Spans:
    """Of one request whose stages run apart: the one with the shortest makespan of five."""
    found = []
    before = running.flow.gpu_time
    for _ in range(5):
        running.flow.gpu_time = timeline = Timeline()
        ask(running, x)
        accelerator(on).synchronize()
        found.append(timeline.spans(work))
    running.flow.gpu_time = before
    return min(found, key=lambda spans: spans.makespan)


@contextmanager
def addresses() -> Iterator[dict[str, tuple[list[int], list[int]]]]:
    """Stage -> where its inputs and outputs lay in its latest batch, of engines that are started inside."""
    found: dict[str, tuple[list[int], list[int]]] = {}
    execute = Site.execute

    def looked_at(site: Site, batch: Batch) -> BatchResult:
        result = execute(site, batch)
        found[site.stage] = (_addresses(batch.inputs), _addresses(result.outputs))
        return result

    with patch.object(Site, "execute", looked_at):
        yield found


def _addresses(values: tuple[Any, ...]) -> list[int]:
    return [v.address if isinstance(v, DeviceArray) else -1 for v in values]


def moved(work: Work, found: dict[str, tuple[list[int], list[int]]]) -> int:
    """Values that a stage was not handed where the one before it left them."""
    edges = [(read, node.name, i) for node in work.nodes for i, read in enumerate(node.reads) if read != "x"]
    return sum(found[left][1] != [found[right][0][i]] for left, right, i in edges)
