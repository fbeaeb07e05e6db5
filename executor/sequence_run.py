"""Run a group of a sequence stage: states and control values beside its inputs, new states back to the seats.

    gathered inputs, seats -> rows at their places, controls, states -> Instance.execute -> outputs, states -> seats

What a request makes of a state is pending in its seat until it is answered (`Seat.made`), so that running it again, and
its failure, change nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from backends.base import BatchResult, Elements, StageDied
from backends.device.ops import on_device, placed, take
from backends.states import CONTROLS, with_states
from backends.values import InvalidInput, Ragged, Value
from pipeline_dsl.plan import PortPlan

from .assemble import Gathered
from .columns import CopySink, size_of
from .errors import StageUnavailable
from .execute import Run
from .ledger import Part
from .request import Request, sequence_of
from .sequence import Seat, rows_of
from .sequence_stage import SequenceRuntime, spread


class Turn(NamedTuple):
    """One element of a batch: whose it is, and where its state lives."""

    request: Request
    seat: Seat


class SequenceRun(Run):
    """What one instance of a sequence stage does with groups."""

    __slots__ = ()
    stage: SequenceRuntime

    def run(self, parts: list[Part]) -> None:
        """As `Run.run`; requests whose sequence lost what the stage kept of it fail."""
        if not self.stage.keeps_its_own:
            super().run(parts)
            return
        lost = [part for part in parts if self._lost(part)]
        super().run([part for part in parts if part not in lost] if lost else parts)
        for node, cohort, _ in lost:
            for owner in cohort.layout.owners:
                told = f"{self._gone}: begin sequence {sequence_of(owner.root).id!r} anew with `start`"
                self._fail(owner, StageUnavailable(told), node)

    @property
    def _generation(self) -> int:
        return getattr(self.slot.instance, "restarts", 0)

    @property
    def _gone(self) -> str:
        return f"the process of stage `{self.stage.plan.name}` ended, and what it kept is gone"

    def _lost(self, part: Part) -> bool:
        node, cohort, _ = part
        request = cohort.layout.owners[0].root  # each element has a seat, and is a part, of its own
        seat = request.seats[node.name]
        if seat.fresh or _starts(request):
            seat.generation, seat.lost = self._generation, ""
        elif seat.generation != self._generation:
            seat.lost = self._gone
        return bool(seat.lost)

    def _lose(self, turns: list[Turn]) -> None:
        """What the instance kept of these is gone; a state that is kept here is not."""
        if self.stage.keeps_its_own:
            for turn in turns:
                turn.seat.lost = self._gone

    def _restarted(self, turns: list[Turn]) -> bool:
        """Whether the process that ran them is not the one that their sequences began in.

        Those that begin now began in this one."""
        now = self._generation
        for turn in turns:
            if turn.seat.fresh or _starts(turn.request):
                turn.seat.generation = now
        return any(turn.seat.generation != now for turn in turns)

    def _executed(self, gathered: Gathered, parts: list[Part]) -> BatchResult:
        """One call of the instance with states, whose new ones go to the seats."""
        turns = [
            Turn(request := owner.root, request.seats[node.name])
            for node, cohort, _ in parts
            for owner in cohort.layout.owners
        ]
        if gathered.rows != len(turns):
            text = f"stage `{self.stage.plan.name}` keeps state: a request brings it one row at a time"
            raise InvalidInput(f"{text}, not {gathered.rows}" if len(turns) == 1 else text)
        rows = rows_of([turn.seat for turn in turns], direct=self.stage.direct)
        total = max(rows) + 1
        stats = self.stage.stats(parts[0][0].name, self.slot)
        inputs = self._inputs(gathered, turns, rows, total, stats)
        try:
            result = super()._executed(replace(gathered, inputs=inputs, rows=total), parts)
        except StageDied:
            self._lose(turns)
            raise
        except Exception as error:
            if self.stage.keeps_its_own and self._restarted(turns):
                self._lose(turns)
                raise StageDied(self._gone) from error
            raise
        if self.stage.keeps_its_own and self._restarted(turns):
            self._lose(turns)
            raise StageDied(self._gone)
        return self._settled(result, turns, rows, total, stats)

    # ---- before

    def _inputs(
        self, gathered: Gathered, turns: list[Turn], rows: list[int], total: int, stats: CopySink
    ) -> tuple[Value, ...]:
        stage, has_rows = self.stage, self.stage.plan.has_rows
        inputs = list(gathered.inputs)
        if has_rows and rows != list(range(total)):
            inputs = [_placed(v, p, rows, total, stats) for v, p in zip(inputs, stage.plan.inputs, strict=True)]
        ports = with_states(stage.plan).inputs
        told = ports[: len(ports) - len(stage.initial)]
        inputs += [None] * (len(told) - len(inputs))
        for i, port in enumerate(told):
            if port.filled in CONTROLS:
                values = [_told(port, turn) for turn in turns]
                inputs[i] = (
                    spread(values, rows, total, _nothing(port), port.type.dtype.numpy) if has_rows else values[0]
                )
        found = [stage.states(turn.seat, turn.request) for turn in turns]
        for k, (rule, first) in enumerate(zip(stage.plan.contract.states, stage.initial, strict=True)):
            values = [states[k] for states in found]
            if has_rows:
                made = spread(values, rows, total, first, rule.type.dtype.numpy)
                stats.copied(size_of(made), "state")
                inputs.append(made)
            else:
                inputs.append(values[0])
        return tuple(inputs)

    # ---- after

    def _settled(
        self, result: BatchResult, turns: list[Turn], rows: list[int], total: int, stats: CopySink
    ) -> BatchResult:
        """Outputs of the elements in their order; states go to the seats of those that did not fail."""
        if result.elements is not None:
            result.elements = _until_the_end(result.elements, turns[0], len(self.stage.initial))
            return result
        has_rows = self.stage.plan.has_rows
        given = len(self.stage.plan.outputs)
        failed = {rows.index(row): error for row, error in (result.failed or {}).items() if row in rows}
        for i, turn in enumerate(turns):
            if i not in failed:
                states = result.outputs[given:]
                turn.seat.made(turn.request, tuple([_own(s, rows[i], stats) if has_rows else _kept(s) for s in states]))
        outputs = result.outputs[:given]
        if has_rows and rows != list(range(total)):
            ports = self.stage.plan.outputs
            outputs = tuple([_taken(v, p, rows, stats) for v, p in zip(outputs, ports, strict=True)])
        return BatchResult(outputs, failed or None)


def _until_the_end(elements: Elements, turn: Turn, states: int) -> Elements:
    """The elements of a streaming call; the states, which stand behind its other outputs, come with its end."""
    rest = yield from elements
    kept = len(rest) - states
    turn.seat.made(turn.request, tuple(map(_kept, rest[kept:])))
    return rest[:kept]


def _starts(request: Request) -> bool:
    return sequence_of(request).start


def _told(port: PortPlan, turn: Turn) -> Any:
    """A control value of one row, as its port's dtype."""
    info = sequence_of(turn.request)
    dtype = port.type.dtype
    if port.filled == "id":
        if dtype.name == "string":
            return str(info.id)
        if isinstance(info.id, str) or info.id > np.iinfo(dtype.numpy).max:
            raise InvalidInput(f"correlation id {info.id!r} does not fit port `{port.name}: {port.type}`")
        return info.id
    flag = {"start": turn.seat.fresh or info.start, "end": info.end}.get(port.filled, True)
    return {"bool": bool, "float": float}.get(dtype.kind, int)(flag)


def _nothing(port: PortPlan) -> Any:
    """What a row without a request is told."""
    return "" if port.type.dtype.name == "string" else 0


def _placed(value: Value, port: PortPlan, rows: list[int], total: int, stats: CopySink) -> Value:
    """The rows of one input at their places, zeros or empty rows elsewhere."""
    if value is None or not port.type.has_rows:
        return value
    if isinstance(value, Ragged):
        empty = np.zeros((0, *next(iter(value)).shape[1:]), port.type.dtype.numpy)
        whole = [empty] * total
        for row, item in zip(rows, value, strict=True):
            whole[row] = item
        return Ragged(whole)
    fill = {"string": "", "bytes": b"", "json": None}.get(port.type.dtype.name, 0)
    made = placed(value, rows, total, fill)
    stats.copied(size_of(made), "state")
    return made


def _taken(value: Value, port: PortPlan, rows: list[int], stats: CopySink) -> Value:
    """The rows of one output that have a request, in the order of the requests."""
    if value is None or not port.type.has_rows:
        return value
    if isinstance(value, Ragged):
        return value.take(rows)
    made = take(value, rows)
    stats.copied(size_of(made), "state")
    return _kept(made)


def _own(states: Value, row: int, stats: CopySink) -> Value:
    """One row of a state in memory of its own, so that a sequence does not keep those of its neighbours."""
    value = states[row]
    if on_device(value):
        return take(states, [row])[0] if len(states) > 1 else value
    if not isinstance(value, np.ndarray):
        return value.item() if isinstance(value, np.generic) else value
    if len(states) > 1:
        value = value.copy()
        stats.copied(size_of(value), "state")
    return _kept(value)


def _kept(value: Value) -> Value:
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    return value
