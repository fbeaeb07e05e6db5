"""Nodes: the places that cohorts arrive at, and the edges between them.

A node says what becomes of a cohort (`arrive`): it waits at a stage, it is at the end, or it goes on along edges, as
one cohort or as several. Constructs are nodes too (`control`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backends.values import Value
from pipeline_dsl.ir import Binding, Constant
from pipeline_dsl.plan import Step

from .cohort import Cohort, Layout
from .columns import Column, Copies, Items, Same
from .compute import compiled
from .egress import responses
from .errors import InvalidArgument
from .join import Columns, Join

if TYPE_CHECKING:
    from .flow import Flow
    from .passage import Passage
    from .stage import StageRuntime


class Edge:
    """Columns of a producer (by number) that go to one side of `target`; None: all, in order."""

    __slots__ = ("columns", "side", "target")

    def __init__(self, target: Node, side: int, columns: tuple[int, ...] | None) -> None:
        self.target = target
        self.side = side
        self.columns = columns

    def pick(self, produced: Columns) -> Columns:
        return produced if self.columns is None else tuple(produced[i] for i in self.columns)


Argument = tuple[int, int] | Constant | None
"""(side, column of that side), a constant, or an absent optional."""
Arguments = tuple[Argument, ...]
Going = tuple[Sequence[Edge], Layout, Columns]
"""Columns of a layout that go along edges."""


class Node:
    """One place that cohorts arrive at; what it is called, what it reads and who reads it."""

    __slots__ = ("arguments", "background", "direct", "edges", "inner", "join", "lands", "name", "stage", "then")

    def __init__(self, name: str, arguments: Arguments, sides: int) -> None:
        self.name = name
        self.arguments = arguments
        self.join = Join(sides) if sides > 1 else None
        self.edges: tuple[Edge, ...] = ()
        self.direct = arguments == tuple((0, i) for i in range(len(arguments)))
        self.stage: StageRuntime | None = None
        """Of a call: where it waits."""
        self.background = False
        """It is served when nothing else waits."""
        self.inner = False
        """Its elements are children."""
        self.lands: tuple[int, ...] = ()
        """Arguments that must be on the host when a cohort arrives; none where nothing is ever elsewhere."""
        self.then: Call | None = None
        """The one call that all it makes goes to as it is, if that is so: nothing is to be looked at on the way."""

    def lead(self, edges: Sequence[Edge]) -> None:
        """Say where what it makes goes."""
        self.edges = tuple(edges)
        self.then = _straight(self.edges)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"

    def reads(self) -> Sequence[int]:
        """The arguments whose values are looked at on the host; others may lie on a device."""
        return range(len(self.arguments))

    def cohort(self, layout: Layout, sides: Sequence[Columns]) -> Cohort:
        """The cohort that the columns of all sides make here, constants filled in."""
        if self.direct:
            return Cohort(layout, sides[0])
        return Cohort(layout, tuple(_argument(a, layout, sides) for a in self.arguments))

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        """What becomes of a cohort that is complete here."""
        raise NotImplementedError


class Chain(NamedTuple):
    """Steps that follow one another on one stream of a device."""

    number: int = 0
    width: int = 1
    """How many such streams its region has."""
    critical: bool = False
    """It is the longest way through the region, and goes before others."""


class Call(Node):
    """A call site of a stage."""

    __slots__ = ("binding", "chain", "priority", "timeout_ns")

    stage: StageRuntime

    def __init__(self, step: Step, arguments: Arguments, sides: int, stage: StageRuntime, background: bool) -> None:
        super().__init__(step.node, arguments, sides)
        self.stage = stage
        self.background = background
        self.binding: Binding = step.binding
        self.timeout_ns = step.timeout_ns
        self.priority = step.priority
        self.chain = Chain()
        """On an accelerator: the stream of its lane that it runs on."""

    def reads(self) -> Sequence[int]:
        plan = self.stage.plan
        if plan.on_host or self.stage.cache is not None:
            return super().reads()
        return [i for i, port in enumerate(plan.inputs) if port.form in ("scalar", "object")]

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        if self.background:
            passage.behind += ((self, cohort),)
        else:
            passage.ready.append((self, cohort))
        return ()


class Streaming(Call):
    """A call site of a stage with stream outputs. Its edges carry the streams, `late` the other outputs."""

    __slots__ = ("late",)

    def __init__(self, step: Step, arguments: Arguments, sides: int, stage: StageRuntime, background: bool) -> None:
        super().__init__(step, arguments, sides, stage, background)
        self.late: tuple[Edge, ...] = ()

    @property
    def keeps(self) -> bool:
        """Whether a call must come to its end though nobody reads its elements."""
        return bool(self.late) or not self.stage.repeatable


class Compute(Node):
    """An expression, evaluated for one element after the other."""

    __slots__ = ("evaluate",)

    def __init__(self, step: Step, arguments: Arguments, sides: int) -> None:
        super().__init__(step.node, arguments, sides)
        self.evaluate: Callable[[Sequence[Value]], Value] = compiled(step)

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        values: list[Value] = []
        good: list[int] = []
        owners = cohort.layout.owners
        for i in range(len(owners)):
            try:
                values.append(self.evaluate([None if c is None else c.element(i) for c in cohort.columns]))
                good.append(i)
            except Exception as error:
                cause = error.with_traceback(None)  # or it holds this frame, and so all values, in a cycle
                passage.fail(owners[i], self, InvalidArgument(str(cause)), cause)
        if not good:
            return ()
        layout = Cohort(cohort.layout, ()).take(good, Copies(), "failed").layout
        return ((self.edges, layout, (Items(values),)),)


class Egress(Node):
    """The end of a pipeline: all wanted outputs are there."""

    __slots__ = ()

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        passage.done += ((self, cohort),)
        return ()

    def answer(self, cohort: Cohort, flow: Flow) -> None:
        """Tell those who wait for these requests. Not with the engine's lock held."""
        copies = Copies()
        ended = responses(cohort, flow.clock.now(), copies)
        flow.tally.copied(cohort.layout.owners[0].pipeline, copies)
        flow.end(ended)


class Yield(Node):
    """The end of a region whose elements are those of its construct: they go on behind that."""

    __slots__ = ("construct",)

    def __init__(self, construct: Node, arguments: Arguments, sides: int) -> None:
        super().__init__(construct.name, arguments, sides)
        self.construct = construct

    def reads(self) -> Sequence[int]:
        return ()

    def arrive(self, cohort: Cohort, passage: Passage) -> Sequence[Going]:
        return ((self.construct.edges, cohort.layout, cohort.columns),)


def _straight(edges: tuple[Edge, ...]) -> Call | None:
    """The call at the end of edges that are one, which changes nothing."""
    if len(edges) != 1 or edges[0].columns is not None:
        return None
    target = edges[0].target
    as_it_is = target.join is None and target.direct and not (target.background or target.lands)
    return target if isinstance(target, Call) and as_it_is else None


def _argument(argument: Argument, layout: Layout, sides: Sequence[Columns]) -> Column | None:
    if argument is None:
        return None
    if isinstance(argument, Constant):
        if isinstance(argument.value, np.ndarray):
            return Items([argument.value] * len(layout))
        return Same(argument.value, len(layout))
    side, column = argument
    return sides[side][column]
