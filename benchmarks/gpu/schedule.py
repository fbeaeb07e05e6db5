"""What random programs need on simulated devices, beside the naive choice.

    events    ours: recorded; naive: one for each edge of data between two executions, and one behind each execution
    waits     ours: of streams for events; naive: one for each edge. Those before memory is used again are counted
              apart: the naive choice, which frees nothing before the end, has none
    streams   ours: that work was launched on; naive: one for each call site in each lane
    memory    ours: peak of what is held while one request runs alone; naive: all that it allocates, freed at its end

An edge is a value that one execution wrote and another, or a copy to the host, reads on a device; one that goes from a
device to another is one edge, and two waits of ours. Both choices need the events that the host waits for. Programs,
places and requests are those of `tests/executor/devices`; answers are compared there, in the same run.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

import numpy as np

from backends.device import Accelerator, Stream
from backends.device.block import Block
from executor import Engine
from executor.devices import Site
from executor.errors import RequestError

if TYPE_CHECKING:
    from tests.executor.random_programs import RandomProgram

Execution = Hashable
"""A number, or the place of a copy to the host in its stream."""


@dataclass
class Counts:
    """Of some programs."""

    programs: int = 0
    executions: int = 0
    """On devices."""
    edges: int = 0
    landings: int = 0
    events: int = 0
    waits: int = 0
    memory_waits: int = 0
    streams: int = 0
    sites: int = 0
    """Call sites on devices, counted in each lane that they ran in."""
    requests_alone: int = 0
    peak_bytes: int = 0
    """Sum over those requests."""
    allocated_bytes: int = 0

    def table(self) -> str:
        naive = (self.edges + self.executions + self.landings, self.edges, 0, self.sites, self.allocated_bytes)
        ours = (self.events, self.waits, self.memory_waits, self.streams, self.peak_bytes)
        names = ("events", "waits for values", "waits for memory", "streams", "bytes at peak")
        lines = [f"{'':<18}{'ours':>14}{'naive':>14}{'ratio':>8}"]
        for name, a, b in zip(names, ours, naive, strict=True):
            lines.append(f"{name:<18}{a:>14,}{b:>14,}{a / b if b else 0:>8.2f}")
        head = f"{self.programs:,} programs, {self.executions:,} executions on devices, {self.edges:,} edges"
        return "\n".join([f"{head}; memory: {self.requests_alone:,} requests alone", *lines])

    def report(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)


@dataclass
class Spy:
    """Sees which execution reads what another one wrote."""

    edges: set[tuple[Execution, Execution]] = field(default_factory=set)
    executions: int = 0
    landings: set[Execution] = field(default_factory=set)
    """Copies to the host."""
    sites: set[Hashable] = field(default_factory=set)
    allocated: int = 0
    """Bytes."""
    before: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Events and waits of a device before its first execution: of loading and warming up."""
    memory_waits: Counter[str] = field(default_factory=Counter)
    """By device."""
    _here: threading.local = field(default_factory=threading.local)
    _numbers: Iterator[int] = field(default_factory=count)
    _written: WeakKeyDictionary[Block, Execution] = field(default_factory=WeakKeyDictionary)

    @contextmanager
    def execution(self) -> Iterator[None]:
        """What this thread does on devices is one execution."""
        self.executions += 1
        self._here.execution = next(self._numbers)
        try:
            yield
        finally:
            self._here.execution = None

    def wrote(self, block: Block, stream: Stream, tick: int) -> None:
        self._written[block] = self._execution(stream, tick)

    def read(self, block: Block, stream: Stream, tick: int) -> None:
        writer, reader = self._written.get(block), self._execution(stream, tick)
        if writer is not None and writer != reader:
            self.edges.add((writer, reader))

    def _execution(self, stream: Stream, tick: int) -> Execution:
        found: Execution = getattr(self._here, "execution", None)
        if found is None:
            found = (stream.device.name, stream.number, tick)
            self.landings.add(found)
        return found


@contextmanager
def watching() -> Iterator[Spy]:
    """Every engine and device of the process is looked at."""
    spy = Spy()
    run, was_read, was_written, made = Site.run, Block.was_read, Block.was_written, Block.__init__
    retire = Block.retire

    def watched_run(site: Site, slot: Any, parts: Any, times: Any) -> Any:
        node, device = parts[0][0].name, site.device
        spy.before.setdefault(device.name, (device.events, device.waits))
        with spy.execution():
            launch = run(site, slot, parts, times)
        spy.sites.add((device.name, slot.stream.lane, node))
        return launch

    def watched_read(block: Block, stream: Stream, tick: int) -> None:
        spy.read(block, stream, tick)
        was_read(block, stream, tick)

    def watched_write(block: Block, stream: Stream, tick: int) -> None:
        spy.wrote(block, stream, tick)
        was_written(block, stream, tick)

    def watched_retire(block: Block) -> None:
        before = block.device.waits
        retire(block)
        if block.device.name in spy.before:
            spy.memory_waits[block.device.name] += block.device.waits - before

    def watched_block(block: Block, device: Accelerator, memory: Any, nbytes: int, *rest: Any, **more: Any) -> None:
        spy.allocated += nbytes
        made(block, device, memory, nbytes, *rest, **more)

    with ExitStack() as stack:
        stack.enter_context(patch.object(Site, "run", watched_run))
        stack.enter_context(patch.object(Block, "was_read", watched_read))
        stack.enter_context(patch.object(Block, "was_written", watched_write))
        stack.enter_context(patch.object(Block, "retire", watched_retire))
        stack.enter_context(patch.object(Block, "__init__", watched_block))
        yield spy


def survey(seeds: int) -> Counts:
    """Of the programs of so many seeds."""
    from tests.executor.devices.random_dags import quick_collections, run_on_devices

    counts = Counts()
    with quick_collections():
        for seed in range(seeds):
            try:
                with watching() as spy:
                    run_on_devices(seed, partial(_counted, counts, spy))
            except Exception as error:
                error.add_note(f"seed {seed}")
                raise
    return counts


def _counted(counts: Counts, spy: Spy, engine: Engine, made: RandomProgram) -> None:
    """Add what the requests of a program needed, then ask some of them again, each alone."""
    devices = used(engine)
    counts.programs += 1
    counts.executions += spy.executions
    counts.edges += len(spy.edges)
    counts.landings += len(spy.landings)
    counts.sites += len(spy.sites)
    for one in devices:
        events, waits = spy.before.get(one.name, (one.events, one.waits))
        counts.events += one.events - events
        counts.waits += one.waits - waits - spy.memory_waits[one.name]
        counts.memory_waits += spy.memory_waits[one.name]
    counts.streams += sum(one.streams_used for one in devices)
    for inputs in alone():
        for one in devices:
            one.synchronize()
            one.peak_bytes = one.held_bytes
        held, spy.allocated = sum(one.held_bytes for one in devices), 0
        try:
            engine.submit("p", inputs).result(20)
        except RequestError:
            continue
        counts.requests_alone += 1
        counts.peak_bytes += sum(one.peak_bytes for one in devices) - held
        counts.allocated_bytes += spy.allocated


def used(engine: Engine) -> list[Accelerator]:
    """The devices that an engine's instances are on."""
    sites = [slot.site for stage in engine.stages for slot in stage.slots]
    return list({site.device.name: site.device for site in sites if site is not None}.values())


def alone() -> Iterator[dict[str, Any]]:
    """Requests of four rows, none of them poisoned, for the pipeline `p` that every program has."""
    for i in range(2):
        x = (np.arange(16).reshape(4, 4) + 7 * i).astype(np.float32)
        yield {"x": x, "z": x * 3 % 900, "w": x * 7 % 900}
