"""The captured graphs of one instance: for which rows there is one, and whether it pays.

A batch runs as the graph of the next larger number of rows. One is captured when batches of its size have come a few
times, or ahead where a profile names the sizes. It stays only where its replay is faster than the members by themselves
and gives the same. What is used least goes when there are too many.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

from backends.base import Batch
from backends.device import Accelerator, DeviceArray, DeviceLost, Stream
from backends.device.capture import capture_streams, captured
from backends.device.ops import assigned
from backends.values import Array, Value
from pipeline_dsl.plan import FusedPlan

from .captured import Captured, Copy, static_inputs
from .program import Program

_log = logging.getLogger("pipectl")

WARM = 2
"""Batches of a size that run as they are before it is captured."""
RUNS = 5
"""Of each kind, when times are compared."""
GAIN = 0.05
"""Share of the time that a graph must save."""
MOST = 8
"""Graphs of one instance."""
COPIES = 2
"""Of each graph: one may be lent out, the other is there for the next batch."""

Key = tuple[Program, int]


def next_size(rows: int, sizes: Sequence[int]) -> int | None:
    """The smallest of the sizes (ascending) that has room for the rows; None if none has."""
    return next((size for size in sizes if size >= rows), None)


def worthwhile(eager: Sequence[float], replay: Sequence[float], gain: float = GAIN) -> bool:
    """Whether a graph's replays (seconds) save enough of what the members take by themselves."""
    return median(replay) <= (1 - gain) * median(eager)


class _NotNow(Exception):
    """The batch at hand is none to try a graph on."""


class Graphs:
    """Used by one thread at a time."""

    def __init__(
        self,
        plan: FusedPlan,
        device: Accelerator,
        *,
        warm: int = WARM,
        most: int = MOST,
        gain: float = GAIN,
        copies: int = COPIES,
    ) -> None:
        self.plan = plan
        self.device = device
        self.why_not = "" if plan.graphs else "no graphs are wanted"
        """Why nothing is captured any more; "" if it may be."""
        self.kept: OrderedDict[Key, Captured] = OrderedDict()
        """Used last, last."""
        self.dropped: dict[Key, str] = {}
        """Why there will be none."""
        self.replays = 0
        """Batches that ran as a graph."""
        self._seen: Counter[Key] = Counter()
        self._warm = warm
        self._most = most
        self._gain = gain
        self._copies = copies

    def run(self, program: Program, batch: Batch) -> tuple[Value, ...] | None:
        """The outputs, if there is a graph for it; None if the members are to be called."""
        if self.why_not or (size := next_size(batch.rows, self.plan.graphs)) is None:
            return None
        key = (program, size)
        found = self.kept.get(key)
        if found is None:
            if key in self.dropped:
                return None
            self._seen[key] += 1
            if self._seen[key] <= self._warm:
                return None
            try:
                found = self.capture(program, size, batch)
            except _NotNow:
                return None
            if found is None:
                return None
        self.kept.move_to_end(key)
        self.replays += 1
        return found.replay(batch.inputs, batch.rows, batch.stream)

    def capture(self, program: Program, rows: int, batch: Batch | None = None) -> Captured | None:
        """A graph for that many rows, or None, which is final. `batch`: what it is tried on, else zeros.

        _NotNow if the members fail for the batch itself."""
        if self.why_not:
            return None
        key = (program, rows)
        try:
            made = self._captured(program, rows, batch)
        except (DeviceLost, _NotNow):
            raise
        except MemoryError as error:
            self.dropped[key] = f"memory is short: {error}"
            return None
        except Exception as error:
            place = ""
            if program.blamed is not None and program.blamed[0] is error:
                place = f"stage `{dict(program.members)[program.blamed[1]].stage}` raised "
            self.give_up(f"{place}{type(error).__name__}: {error}")
            return None
        if isinstance(made, str):
            self.dropped[key] = made
            return None
        self.kept[key] = made
        while len(self.kept) > self._most:
            old, evicted = self.kept.popitem(last=False)
            self._seen[old] = 0
            evicted.close()
        return made

    def drop(self, program: Program, rows: int, why: str) -> None:
        """Do without the graph of these rows from now on."""
        size = next_size(rows, self.plan.graphs) or rows
        self.dropped[program, size] = why
        _log.warning("%s: its graph of %d rows is given up: %s", self._name, size, why)
        found = self.kept.pop((program, size), None)
        if found is not None:
            found.close()

    def give_up(self, why: str) -> None:
        """Capture nothing any more."""
        self.why_not = why
        _log.info("%s: runs without graphs: %s", self._name, why)
        self.close()

    def close(self) -> None:
        """Let all graphs go."""
        while self.kept:
            self.kept.popitem()[1].close()

    @property
    def _name(self) -> str:
        return " + ".join(member.node for member in self.plan.members)

    # ---- capturing

    def _captured(self, program: Program, rows: int, batch: Batch | None) -> Captured | str:
        """A graph that pays, or why there is none."""
        has_rows = self.plan.stage.has_rows
        with capture_streams(self.device, program.chains) as streams, streams[0].use():
            main = streams[0]
            statics = static_inputs(self.plan.stage.inputs, rows if has_rows else None, main)
            full = _batch(statics, rows, main, self.plan)
            made = Captured(statics, has_rows, self.device)
            expected = None if batch is None else self._expected(program, made, batch, full, streams)
            _check(program.run(full, streams), rows if has_rows else None)
            before = self.plan.graphs[: self.plan.graphs.index(rows)] if rows in self.plan.graphs else ()
            fewest = (before[-1] if before else 0) + 1
            part = [s[:fewest] for s in statics] if has_rows else statics
            small = _batch(part, fewest if has_rows else 1, main, self.plan)
            eager = _seconds(main, lambda: program.run(small, streams))
            try:
                for _ in range(self._copies):
                    made.copies.append(Copy(*captured(streams, lambda: program.run(full, streams))))
                replays = _seconds(main, lambda: made.launch(made.copies[0], main))
                if not worthwhile(eager, replays, self._gain):
                    made.close()
                    return f"{median(replays) * 1e6:.0f} us as a graph, {median(eager) * 1e6:.0f} us without"
                if batch is not None:
                    made.fill(batch.inputs, batch.rows, main)
                wrong = _compared(made, program.run(full, streams) if expected is None else expected, main)
            except BaseException:
                made.close()
                raise
        if wrong:
            made.close()
            raise ValueError(f"a graph does not give what its stages give: {wrong}")
        return made

    def _expected(
        self, program: Program, made: Captured, batch: Batch, full: Batch, streams: Sequence[Stream]
    ) -> tuple[Value, ...]:
        """What the members give for a batch. The inputs are zeros again afterwards: what a graph is captured on is not
        what it is tried on, or one that does nothing might give the right values."""
        made.fill(batch.inputs, batch.rows, streams[0])
        try:
            outputs = program.run(full, streams)
        except (DeviceLost, MemoryError):
            raise
        except Exception as error:
            raise _NotNow from error
        outputs = tuple([self._own(value, streams[0]) for value in outputs])
        made.clear(streams[0])
        return outputs

    def _own(self, value: Value, stream: Stream) -> Value:
        """A copy, as it may be a view of an input."""
        if not isinstance(value, DeviceArray):
            return value
        return self.device.compute(value.shape, value.dtype, assigned, [value], stream)


def _batch(inputs: Sequence[DeviceArray], rows: int, stream: Stream, plan: FusedPlan) -> Batch:
    return Batch(tuple(inputs), rows, (rows,), ("capture",), stream=stream, node=plan.members[0].node)


def _check(outputs: Sequence[Value], rows: int | None) -> None:
    """TypeError for outputs that do not lie on the device."""
    for output in outputs:
        if not isinstance(output, DeviceArray):
            raise TypeError(f"a {type(output).__name__} on the host is not made by a graph")
        if rows is not None and len(output) != rows:
            raise TypeError(f"{len(output)} rows of an output for {rows} rows")


def _seconds(main: Stream, work: Callable[[], object]) -> list[float]:
    """What the device takes for some runs."""
    driver = main.device.driver
    marks = []
    for _ in range(RUNS):
        start = driver.mark(main.handle)
        work()
        marks.append((start, driver.mark(main.handle)))
        main.launched()
        main.synchronize()
    return [driver.elapsed(start, end) for start, end in marks]


def _compared(made: Captured, expected: Sequence[Value], main: Stream) -> str:
    """What is wrong with the outputs of the copies on what they were filled with; "" if they are as expected."""
    wanted = [_on_host(value) for value in expected]
    for copy in made.copies:
        made.launch(copy, main)
        for i, (output, right) in enumerate(zip(copy.outputs, wanted)):
            found = _on_host(output)
            if not close(found, right):
                return f"output {i} differs"
    return ""


def close(found: Array, right: Array) -> bool:
    """Whether values are equal, those of floats within what another order of additions may change."""
    if right.dtype.kind in "iub":
        return np.array_equal(found, right)
    one, two = found.astype(np.float64), right.astype(np.float64)
    largest = float(np.max(np.abs(two), initial=0.0, where=np.isfinite(two)))
    return np.allclose(one, two, rtol=1e-2, atol=1e-2 * largest, equal_nan=True)


def _on_host(value: Value) -> Array:
    assert isinstance(value, DeviceArray), "checked before"
    landing = value.block.device.download(value)
    landing.event.synchronize()
    return landing.array
