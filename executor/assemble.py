"""Columns to what a backend takes, and back.

    cohorts --gather--> Batch inputs (one array or Ragged a port) --backend--> outputs --scatter--> columns

`Assembler` is compiled once for a stage. `gather` brings each cohort's columns to rows (`*`) as its call site binds
them, puts the cohorts one after the other (a view where they lie side by side, else one counted copy), and pads or
packs ragged ports as the stage's rule says. `scatter` is the way back for one range of elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.checks import OutputError
from backends.device import on_device
from backends.device.ops import concatenate, joined
from backends.values import Array, Ragged, Value
from pipeline_dsl.ir import Binding
from pipeline_dsl.plan import PortPlan, StagePlan

from .cohort import Cohort
from .columns import (
    Column,
    CopySink,
    Jagged,
    Offsets,
    Same,
    Stack,
    concat_arrays,
    concat_ragged,
    joined_offsets,
    offsets_of,
    uniform_offsets,
)
from .padding import laid_out, lengths_along, padded_length, ragged_axis, real_lengths, unpadded
from .rows import as_ragged, count_rows, dense_rows, ragged_rows, row_offsets, stacked_offsets

if TYPE_CHECKING:
    from .node import Call


@dataclass(slots=True)
class Gathered:
    """What a batch is made of, and what is needed to take its outputs apart."""

    inputs: tuple[Value, ...]
    rows: int
    offsets: Offsets
    """Row offsets of the elements of all cohorts, [elements + 1]."""
    lengths: dict[str, Array]
    """Real sizes of each ragged dim by name, int64 [rows]."""


_NO_LENGTHS: dict[str, Array] = {}


class Assembler:
    """Gathers and scatters for one stage."""

    def __init__(self, stage: StagePlan) -> None:
        self.stage = stage
        self._filled = [(i, p) for i, p in enumerate(stage.inputs) if p.filled_from]
        self._given = [(i, p) for i, p in enumerate(stage.inputs) if not p.filled]
        self._rows = [(i, p) for i, p in self._given if p.type.has_rows]
        self._shared = [(i, p) for i, p in self._given if not p.type.has_rows]
        self._plain = len(self._rows) == len(stage.inputs) and all(_is_dense(p) for _, p in self._rows)
        self._join = concatenate if stage.cache is not None else joined
        """Where its values are looked at on the host, they stay there."""
        self.ragged_out = any(p.type.is_ragged for p in stage.outputs)
        """Outputs must be settled (`outputs`)."""

    def rows(self, columns: Sequence[Column | None], binding: Binding, elements: int) -> int:
        """Rows that a cohort brings to a batch."""
        if binding != "rows":
            return elements
        for i, _ in self._rows:
            column = columns[i]
            if type(column) is Stack and column.offsets is not None:
                return column.offsets[-1]
            if column is not None and not isinstance(column, Same):
                return count_rows(column)
        return elements

    # ---- to the backend

    def gather(self, parts: Sequence[tuple[Call, Cohort, int]], copies: CopySink) -> Gathered:
        """Inputs for one batch of cohorts at their call sites; all have equal group keys."""
        if self._plain and len(parts) == 1:
            node, cohort, _ = parts[0]
            return self._as_it_is(cohort.columns, node.binding, len(cohort.layout.owners))
        cohorts = [(cohort.columns, node.binding, len(cohort)) for node, cohort, _ in parts]
        inputs: list[Value] = [None] * len(self.stage.inputs)
        ragged: list[tuple[int, PortPlan, Ragged]] = []
        offsets: Offsets | None = None
        for i, port in self._rows:
            if cohorts[0][0][i] is None:
                continue
            if _is_dense(port):
                stacks = [self._dense(i, port, *cohort) for cohort in cohorts]
                inputs[i] = concat_arrays(stacks, copies, "gather", self._join).array
                if offsets is None and not any(type(columns[i]) is Same for columns, _, _ in cohorts):
                    offsets = stacked_offsets(stacks)
            else:
                pieces = [ragged_rows(_there(columns[i]), binding) for columns, binding, _ in cohorts]
                ragged.append((i, port, concat_ragged([r for r, _ in pieces], copies, "gather")))
                offsets = offsets or joined_offsets([o or uniform_offsets(len(r)) for r, o in pieces])
        if offsets is None:
            offsets = joined_offsets([self.offsets(*cohort) for cohort in cohorts])
        for i, port in self._shared:
            column = cohorts[0][0][i]
            inputs[i] = None if column is None else shared_value(column.element(0), port)
        lengths = self._lay_out(ragged, inputs, copies) if ragged else {}
        return Gathered(tuple(inputs), offsets[-1], offsets, lengths)

    def _as_it_is(self, columns: Sequence[Column | None], binding: Binding, elements: int) -> Gathered:
        """One cohort whose ports are all dense rows: nothing to merge."""
        inputs: list[Value] = []
        offsets: Offsets | None = None
        for i, port in self._rows:
            column = columns[i]
            if column is None:
                inputs.append(None)
                continue
            if type(column) is Stack and column.offsets and binding == "rows":
                stack = column
            else:
                stack = self._dense(i, port, columns, binding, elements)
            inputs.append(stack.array)
            if type(column) is not Same:
                offsets = stack.offsets
        if offsets is None:
            offsets = uniform_offsets(elements)
        return Gathered(tuple(inputs), offsets[-1], offsets, _NO_LENGTHS)

    def offsets(self, columns: Sequence[Column | None], binding: Binding, elements: int) -> Offsets:
        """Row offsets of the elements of one cohort: those of any port that is no constant."""
        given = (columns[i] for i, _ in self._rows)
        found = next((c for c in given if c is not None and not isinstance(c, Same)), None)
        return uniform_offsets(elements) if found is None else row_offsets(found, binding)

    def _dense(
        self, index: int, port: PortPlan, columns: Sequence[Column | None], binding: Binding, elements: int
    ) -> Stack:
        """The rows of one port of one cohort; a constant once for each."""
        column = _there(columns[index])
        if isinstance(column, Same):
            made = np.empty(self.rows(columns, binding, elements), port.type.dtype.numpy)
            made.fill(column.value)
            made.flags.writeable = False
            return Stack(made, None)
        return dense_rows(column, binding, port, self._join)

    def element(self, columns: Sequence[Column | None], index: int, copies: CopySink) -> Gathered:
        """Inputs of one element, for a stage without `*`."""
        inputs: list[Value] = [None] * len(self.stage.inputs)
        ragged: list[tuple[int, PortPlan, Ragged]] = []
        for i, port in self._given:
            column = columns[i]
            value = None if column is None else column.element(index)
            if value is not None and port.type.is_ragged and port.form != "object":
                ragged.append((i, port, as_ragged(value)))
            elif value is not None:
                inputs[i] = shared_value(value, port)
        lengths = self._lay_out(ragged, inputs, copies) if ragged else {}
        return Gathered(tuple(inputs), 1, (0, 1), lengths)

    def chunk(self, gathered: Gathered, lo: int, hi: int) -> Gathered:
        """Rows lo..hi of a batch, as a batch of its own with the same elements, most of them without rows."""
        lengths = {name: value[lo:hi] for name, value in gathered.lengths.items()}
        inputs = tuple(
            value if value is None else self._part(port, value, gathered.lengths, lo, hi)
            for port, value in zip(self.stage.inputs, gathered.inputs)
        )
        return Gathered(inputs, hi - lo, [min(max(o, lo), hi) - lo for o in gathered.offsets], lengths)

    def _part(self, port: PortPlan, value: Value, lengths: dict[str, Array], lo: int, hi: int) -> Value:
        """Rows lo..hi of one port."""
        if port.form == "packed":
            ends = offsets_of(lengths[ragged_axis(port)[0]].tolist())
            return value[ends[lo] : ends[hi]]
        if port.filled == "offsets":
            return value[lo : hi + 1] - value[lo]
        return value[lo:hi] if port.type.has_rows else value

    def unchunk(self, outputs: Sequence[tuple[Value, ...]], copies: CopySink) -> tuple[Value, ...]:
        """The outputs of consecutive chunks as those of one batch."""
        made: list[Value] = []
        for values in zip(*outputs):
            if isinstance(values[0], Ragged):
                made.append(concat_ragged(values, copies, "split"))
            else:
                made.append(concat_arrays([Stack(v, None) for v in values], copies, "split").array)
        return tuple(made)

    def _lay_out(
        self, ragged: list[tuple[int, PortPlan, Ragged]], inputs: list[Value], copies: CopySink
    ) -> dict[str, Array]:
        """Pad, pack or pass on ragged ports; every port with one dim name gets one padded length."""
        lengths: dict[str, Array] = {}
        sizes: dict[str, int] = {}
        for _, port, value in ragged:
            name, axis = ragged_axis(port)
            if name not in lengths:
                lengths[name] = lengths_along(value, axis)
        for _, port, value in ragged:
            if port.form == "padded":
                name, axis = ragged_axis(port)
                sizes[name] = padded_length(port, lengths[name], value if axis == 0 else None, sizes.get(name, 0))
        for i, port, value in ragged:
            name, axis = ragged_axis(port)
            inputs[i] = laid_out(port, value, axis, sizes.get(name), copies)
        for i, port in self._filled:
            inputs[i] = self._companion(port, lengths, sizes, copies)
        return lengths

    def _companion(self, port: PortPlan, lengths: dict[str, Array], sizes: dict[str, int], copies: CopySink) -> Array:
        source = next(p for p in self.stage.inputs if p.name == port.filled_from)
        name, _ = ragged_axis(source)
        made: Array
        if port.filled == "mask":
            made = np.arange(sizes[name]) < lengths[name][:, None]
        elif port.filled == "lengths":
            made = lengths[name]
        else:
            made = np.asarray(offsets_of(lengths[name].tolist()))
        return made.astype(port.type.dtype.numpy, copy=False)

    # ---- from the backend

    def outputs(self, values: Sequence[Value], gathered: Gathered) -> tuple[Value, ...]:
        """A backend's outputs with ragged ones as `Ragged`."""
        return tuple(
            [
                self._settled(port, value, gathered) if port.type.is_ragged and value is not None else value
                for port, value in zip(self.stage.outputs, values, strict=True)
            ]
        )

    def _settled(self, port: PortPlan, value: Value, gathered: Gathered) -> Ragged:
        """A ragged output with its real lengths; what is padded holds the port's filler behind them.

        Without that, what a stage sees behind the end of a row would depend on the rows it was batched with."""
        if isinstance(value, np.ndarray) or on_device(value):
            array, value = value, self._ragged(port, value, gathered.lengths)
            returned = (p for p, x in zip(self.stage.inputs, gathered.inputs) if x is array and not p.filled)
            value.fill = next((p.pad_value for p in returned), None)
        elif isinstance(value, list):
            value = Ragged(value)
        if value.padded_form is not None:
            if value.fill is None:
                value = value.cleaned(port.pad_value)
            _close(value.padded_form)
        made: Ragged = value
        return made

    def _ragged(self, port: PortPlan, value: Array, lengths: dict[str, Array]) -> Ragged:
        """A packed or padded output with its real lengths. OutputError if they do not add up."""
        if port.form != "packed":
            return unpadded(port, value, lengths)
        _close(value)
        offsets = np.asarray(offsets_of(real_lengths(port, lengths).tolist()), np.int64)
        if offsets[-1] != len(value):
            message = f"{offsets[-1]} packed items are expected, the sum of its rows' lengths, found {len(value)}"
            raise OutputError(self.stage.name, port.name, message)
        return Ragged(values=value, offsets=offsets)


def scatter(outputs: Sequence[Value], offsets: Offsets, binding: Binding, lo: int, hi: int) -> tuple[Column, ...]:
    """Columns of elements lo..hi of a batch; outputs of a stage with `*`."""
    rows_apart = binding == "rows"
    if lo == 0 and hi == len(offsets) - 1:
        own = offsets if rows_apart else None
        if len(outputs) == 1 and type(outputs[0]) is not Ragged:
            return (Stack(outputs[0], own),)
        return tuple([Jagged(v, own) if type(v) is Ragged else Stack(v, own) for v in outputs])
    first, last = offsets[lo], offsets[hi]
    own = [o - first for o in offsets[lo : hi + 1]] if rows_apart else None
    return tuple(
        [Jagged(v[first:last], own) if type(v) is Ragged else Stack(v[first:last], own, v, first) for v in outputs]
    )


def _close(array: Any) -> None:
    """Let nobody write it."""
    if isinstance(array, np.ndarray):
        array.flags.writeable = False


def shared_value(value: Value, port: PortPlan) -> Value:
    """A value of a port without `*`: a 0-d array never reaches a stage."""
    return value.item() if not port.type.dims and isinstance(value, (np.ndarray, np.generic)) else value


def _is_dense(port: PortPlan) -> bool:
    return not port.type.is_ragged


def _there(column: Column | None) -> Column:
    """A column whose presence the group key has settled."""
    assert column is not None
    return column
