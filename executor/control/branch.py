"""`if` and `match`: each element takes the first arm whose values hold its subject.

The elements part for good: each arm's go on behind the construct as soon as they are through, and meet the others
again only at a join of the same element, or where an enclosing `map` folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from backends.values import Value
from executor.cohort import Cohort
from executor.columns import Column, Copies, Stack
from executor.errors import InvalidArgument
from executor.node import Arguments, Going, Node
from executor.passage import Passage
from executor.wiring import Entry, Wirer
from pipeline_dsl.plan import BranchPlan, Step

NO_ARM = -1


class Arm(NamedTuple):
    """One region of a construct whose elements go one way or another."""

    name: str
    entry: Entry


class Branch(Node):
    """Its arms are regions of the same elements."""

    __slots__ = ("_arms", "_choice", "_other", "_results")

    def __init__(self, step: Step, arguments: Arguments, sides: int, wirer: Wirer) -> None:
        super().__init__(step.node, arguments, sides)
        plan = step.control
        assert isinstance(plan, BranchPlan)
        self._arms = [Arm(a.region.name, wirer.arm(self, step, a.region)) for a in plan.arms]
        self._choice: Mapping[Any, int] = {
            value: i for i, arm in reversed([*enumerate(plan.arms)]) for value in arm.values or ()
        }
        self._other = next((i for i, arm in enumerate(plan.arms) if arm.values is None), NO_ARM)
        self._results = len(step.outputs)

    def reads(self) -> Sequence[int]:
        return (0,)

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        subject = cohort.columns[0]
        taken: dict[int, list[int]] = {}
        for i, value in enumerate(host_values(subject, len(cohort))):
            if value is None:
                passage.fail(cohort.layout.owners[i], self, InvalidArgument("what decides is absent"))
            else:
                taken.setdefault(self._choice.get(value, self._other), []).append(i)
        copies = Copies()
        going = [self._go(arm, cohort, indices, copies) for arm, indices in taken.items()]
        names = {self._arms[arm].name if arm != NO_ARM else "none": len(n) for arm, n in taken.items()}
        passage.flow.tally.count("arm", self.name, names, copies)
        return going

    def _go(self, arm: int, cohort: Cohort, indices: list[int], copies: Copies) -> Going:
        if arm == NO_ARM:
            part = Cohort(cohort.layout, ()).take(indices, copies, "branch")
            return self.edges, part.layout, (None,) * self._results
        return into(self._arms[arm].entry, cohort, indices, copies)


def into(entry: Entry, cohort: Cohort, indices: list[int], copies: Copies) -> Going:
    """Elements of a construct's cohort on their way into an arm."""
    captured = Cohort(cohort.layout, tuple([cohort.columns[c] for c in entry.captured]))
    part = captured.take(indices, copies, "branch")
    return entry.edges, part.layout, part.columns


def host_values(column: Column | None, elements: int) -> list[Value]:
    """The single value of each element as a Python value; None where it is absent."""
    if column is None:
        return [None] * elements
    if isinstance(column, Stack) and column.offsets is None:
        values: list[Value] = column.array.tolist()
        return values
    found = [column.element(i) for i in range(elements)]
    return [v.item() if isinstance(v, np.ndarray | np.generic) else v for v in found]
