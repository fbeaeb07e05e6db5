"""Who reads whom: the nodes of one graph as steps and numbered slots, with producers, consumers and levels.

Inputs take the first slots, then the outputs of each step in order; a construct is numbered before what is in its
regions, and what a region is given takes slots where the region begins. Each region is wired by itself: what is made
outside of it comes from INGRESS there, and the construct is the step that reads it. One sweep in definition order,
which is topological, finds everything; time is linear in nodes and edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from pipeline_dsl.ir import (
    AnyNode,
    Apply,
    Constant,
    Expression,
    Graph,
    Input,
    Operand,
    Output,
    Ref,
    references,
    regions,
    results,
)
from pipeline_dsl.plan import INGRESS, Slot, Source
from pipeline_dsl.types import TensorType


@dataclass(frozen=True, slots=True)
class Wired:
    """The steps of a pipeline or of one region, in order. `numbers` are theirs in the whole pipeline, and those that
    `producers` and `consumers` name."""

    nodes: tuple[AnyNode, ...]
    numbers: tuple[int, ...]
    producers: tuple[tuple[int, ...], ...]
    consumers: tuple[tuple[int, ...], ...]
    levels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Wiring:
    """All steps and slots of a pipeline. `slot_types[s]` is the type of slot s."""

    slots: Mapping[Ref, int]
    slot_types: tuple[TensorType, ...]
    top: Wired
    inside: Mapping[tuple[str, str], Wired]
    """By construct and region: `("p.x", "else")`."""

    def slot(self, ref: Ref) -> Slot:
        return Slot(self.slots[ref])

    def source(self, operand: Operand | None) -> Source:
        """An argument as the plan spells it."""
        return self.slot(operand) if isinstance(operand, Ref) else operand


def wire(graph: Graph) -> Wiring:
    """The wiring of a graph. Steps that read nothing, or inputs only, are on level 1."""
    numbering = _Numbering()
    for node in graph.nodes:
        if isinstance(node, Input):
            numbering.slot(node)
    top = numbering.region(graph.nodes)
    return Wiring(numbering.slots, tuple(numbering.types), top, numbering.inside)


@dataclass(slots=True)
class _Numbering:
    """Steps and slots get their numbers on one walk."""

    slots: dict[Ref, int] = field(default_factory=dict)
    types: list[TensorType] = field(default_factory=list)
    inside: dict[tuple[str, str], Wired] = field(default_factory=dict)
    steps: int = 0

    def slot(self, node: AnyNode) -> None:
        for port, type_ in results(node):
            self.slots[Ref(node.id, port)] = len(self.types)
            self.types.append(type_)

    def region(self, nodes: Iterable[AnyNode]) -> Wired:
        """One region, and all below it."""
        steps = tuple(n for n in nodes if not isinstance(n, Input | Output))
        numbers: list[int] = []
        for node in steps:
            numbers.append(self.steps)
            self.steps += 1
            self.slot(node)
            self._regions(node)
        return _wired(steps, numbers)

    def _regions(self, node: AnyNode) -> None:
        for one in regions(node):
            for given in one.given:
                self.slot(given)
            self.inside[node.id, one.name] = self.region(one.nodes)


def _wired(nodes: tuple[AnyNode, ...], numbers: list[int]) -> Wired:
    writers = {node.id: number for node, number in zip(nodes, numbers, strict=True)}
    producers = [tuple(sorted({writers.get(ref.node, INGRESS) for ref in references(n)})) for n in nodes]
    consumers: dict[int, list[int]] = {number: [] for number in numbers}
    levels: dict[int, int] = {}
    for number, reads in zip(numbers, producers, strict=True):
        steps = [p for p in reads if p != INGRESS]
        levels[number] = 1 + max((levels[p] for p in steps), default=0)
        for producer in steps:
            consumers[producer].append(number)
    readers = tuple(tuple(consumers[number]) for number in numbers)
    return Wired(nodes, tuple(numbers), tuple(producers), readers, tuple(levels[number] for number in numbers))


def expression_of(expression: Expression, wiring: Wiring) -> Slot | Constant | Apply:
    """The same expression with slots in place of refs."""
    if isinstance(expression, Apply):
        # The plan's `Apply` has slots for leaves; `ir.Apply` is written for refs.
        args = tuple(cast(Expression, expression_of(arg, wiring)) for arg in expression.args)
        return Apply(expression.op, args)
    return wiring.slot(expression) if isinstance(expression, Ref) else expression
