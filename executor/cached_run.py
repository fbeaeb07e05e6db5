"""Run a group of a cached stage: rows whose answer is kept leave the batch, the others share it, equal ones as one row.

gathered rows -> keys -> hits from the cache | first of each miss -> Instance.execute -> put -> all rows in order
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np

from backends.base import BatchResult
from backends.values import Array, Ragged, Value
from pipeline_dsl.plan import PortPlan

from .assemble import Gathered
from .budget import RetryBudget
from .cache import Cache, Keys, Row, own_rows
from .columns import Offsets
from .devices.landing import hosted_values
from .execute import Run
from .ledger import Ledger, Part, by_node
from .padding import ragged_axis
from .stage import Slot, StageRuntime
from .stats import NodeStats
from .trace import Recorder
from .workers import Task


class CachedLedger(Ledger):
    """Books what ran: rows that were found in the cache are answered, but neither rows nor executions."""

    __slots__ = ("ran",)

    def __init__(self, stage: StageRuntime, slot: Slot, recorder: Recorder | None) -> None:
        super().__init__(stage, slot, recorder)
        self.ran = 0
        """Rows of the batch at hand that ran."""

    def batch(self, parts: list[Part], gathered: Gathered, stats: NodeStats, start: int, end: int) -> None:
        if self.ran == gathered.rows:
            super().batch(parts, gathered, stats, start, end)
            return
        requests = sum(len(c) for _, c, _ in parts)
        for node, cohort, enqueued in parts:
            cohort.layout.executions.append(
                (node.name, self.name, self.index, enqueued, start, end, self.ran, requests)
            )
            self.stage.stats(node.name, self.slot).waited(len(cohort), start - enqueued)
        for node, cohorts in by_node(parts):
            answered = sum(map(len, cohorts))
            found = self.stage.stats(node.name, self.slot)
            if found is stats and self.ran:
                found.ran(answered, self.ran, end - start)
            else:
                found.succeeded += answered


class CachedRun(Run):
    """What one instance of a cached stage does with groups."""

    __slots__ = ("_cache", "_keys")
    ledger: CachedLedger

    def __init__(
        self,
        stage: StageRuntime,
        slot: Slot,
        now: Callable[[], int],
        budget: RetryBudget,
        recorder: Recorder | None,
        later: Callable[[Task], None],
    ) -> None:
        super().__init__(stage, slot, now, budget, recorder, later)
        assert stage.cache is not None, "its stage is cached"
        self.ledger = CachedLedger(stage, slot, recorder)
        self._cache: Cache = stage.cache
        self._keys = Keys(stage.plan)

    def _call(self, gathered: Gathered, parts: list[Part]) -> BatchResult:
        keys = self._keys(gathered)
        found = self._cache.get(keys)
        first: dict[bytes, int] = {}
        for i, (key, row) in enumerate(zip(keys, found, strict=True)):
            if row is None:
                first.setdefault(key, i)
        if len(first) == len(keys):
            return self._all(gathered, parts, keys)
        rows = list(first.values())
        fresh = self._fresh(_picked(gathered, rows, self.stage.plan.inputs), parts) if rows else BatchResult(())
        self._keep(fresh, list(first))
        places = {key: place for place, key in enumerate(first)}
        made = [row if row is not None else self._row(fresh, places[k]) for k, row in zip(keys, found, strict=True)]
        outputs = _joined(made, self.stage.plan.outputs, self.stage.plan.has_rows)
        if (
            outputs is None
        ):  # sizes that only the outputs have differ from call to call: rows of two do not fit together
            return self._all(gathered, parts, keys)
        self.ledger.ran = len(rows)
        bad = {} if fresh.failed is None else fresh.failed
        failed = {i: bad[places[key]] for i, key in enumerate(keys) if places.get(key) in bad}
        return BatchResult(outputs, failed or None)

    def _all(self, gathered: Gathered, parts: list[Part], keys: list[bytes]) -> BatchResult:
        """The batch as it is."""
        self.ledger.ran = gathered.rows
        result = self._fresh(gathered, parts)
        self._keep(result, keys)
        return result

    def _fresh(self, gathered: Gathered, parts: list[Part]) -> BatchResult:
        """What the instance makes. Answers are kept on the host, and so are waited for."""
        result = super()._call(gathered, parts)
        if self.slot.site is not None:
            result.outputs = hosted_values(result.outputs)
        return result

    def _keep(self, result: BatchResult, keys: Sequence[bytes]) -> None:
        for place, key in enumerate(keys):
            if not result.failed or place not in result.failed:
                self._cache.put(key, self._row(result, place))

    def _row(self, result: BatchResult, place: int) -> Row:
        return own_rows(result.outputs, place, self.stage.plan.outputs)


def _picked(gathered: Gathered, rows: list[int], ports: Sequence[PortPlan]) -> Gathered:
    """Some rows of a batch, as a batch of its own with the same elements."""
    lengths = {name: value[rows] for name, value in gathered.lengths.items()}
    counts = [0] * (len(gathered.offsets) - 1)
    for row in rows:
        counts[bisect_right(gathered.offsets, row) - 1] += 1
    inputs = tuple(
        value if value is None or not _has_rows(port) else _some(value, port, gathered, rows)
        for port, value in zip(ports, gathered.inputs, strict=True)
    )
    return Gathered(inputs, len(rows), tuple(accumulate(counts, initial=0)), lengths)


def _has_rows(port: PortPlan) -> bool:
    return port.type.has_rows or port.filled == "offsets"


def _some(value: Value, port: PortPlan, gathered: Gathered, rows: list[int]) -> Value:
    """Some rows of one input."""
    if isinstance(value, Ragged):
        return value.take(rows)
    ends: Offsets
    if port.filled == "offsets":
        ends = value.tolist()
        counts = [ends[row + 1] - ends[row] for row in rows]
        return np.asarray(list(accumulate(counts, initial=0)), value.dtype)
    if port.form != "packed":
        made: Array = value[rows]
        made.flags.writeable = False
        return made
    name, _ = ragged_axis(port)
    ends = list(accumulate(gathered.lengths[name].tolist(), initial=0))
    return np.concatenate([value[ends[row] : ends[row + 1]] for row in rows])


def _joined(rows: Sequence[Row], ports: Sequence[PortPlan], has_rows: bool) -> tuple[Value, ...] | None:
    """Rows as the outputs of one batch; None where their shapes differ. Without `*` the one row is the outputs."""
    if not has_rows:
        return tuple(rows[0])
    outputs: list[Value] = []
    for port, values in zip(ports, zip(*rows, strict=True), strict=True):
        if port.type.is_ragged:
            outputs.append(Ragged(list(values)))
            continue
        shapes = {np.shape(v) if isinstance(v, np.ndarray) else () for v in values}
        if len(shapes) > 1:
            return None
        made = np.empty((len(values), *shapes.pop()), port.type.dtype.numpy)
        for i, value in enumerate(values):
            made[i] = value
        made.flags.writeable = False
        outputs.append(made)
    return tuple(outputs)
