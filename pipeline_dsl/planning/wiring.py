"""Who reads whom: the nodes of one graph as steps and numbered slots, with producers, consumers and levels.

Inputs take the first slots, then the outputs of each step in order. One sweep in definition order, which is
topological, finds everything; time is linear in nodes and edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from pipeline_dsl.ir import (
    AnyNode,
    Apply,
    Call,
    Compute,
    Constant,
    Expression,
    Graph,
    Input,
    Operand,
    Ref,
    references,
    results,
)
from pipeline_dsl.plan import INGRESS, Slot, Source
from pipeline_dsl.types import TensorType


@dataclass(frozen=True, slots=True)
class Wiring:
    """Steps are indices into `nodes`; `slot_types[s]` is the type of slot s, `writers[s]` the step that fills it."""

    nodes: tuple[Call | Compute, ...]
    slots: Mapping[Ref, int]
    slot_types: tuple[TensorType, ...]
    writers: tuple[int, ...]
    producers: tuple[tuple[int, ...], ...]
    consumers: tuple[tuple[int, ...], ...]
    levels: tuple[int, ...]

    def slot(self, ref: Ref) -> Slot:
        return Slot(self.slots[ref])

    def source(self, operand: Operand | None) -> Source:
        """An argument as the plan spells it."""
        return self.slot(operand) if isinstance(operand, Ref) else operand


def wire(graph: Graph) -> Wiring:
    """The wiring of a graph. Steps that read nothing, or inputs only, are on level 1."""
    inputs = [n for n in graph.nodes if isinstance(n, Input)]
    nodes = tuple(n for n in graph.nodes if isinstance(n, Call | Compute))
    slots, types, writers = _slots(inputs, nodes)
    producers = [tuple(sorted({writers[slots[ref]] for ref in references(n)})) for n in nodes]
    consumers: list[list[int]] = [[] for _ in nodes]
    levels: list[int] = []
    for index, reads in enumerate(producers):
        steps = [p for p in reads if p != INGRESS]
        levels.append(1 + max((levels[p] for p in steps), default=0))
        for producer in steps:
            consumers[producer].append(index)
    return Wiring(nodes, slots, types, writers, tuple(producers), tuple(map(tuple, consumers)), tuple(levels))


def expression_of(expression: Expression, wiring: Wiring) -> Slot | Constant | Apply:
    """The same expression with slots in place of refs."""
    if isinstance(expression, Apply):
        # The plan's `Apply` has slots for leaves; `ir.Apply` is written for refs.
        args = tuple(cast(Expression, expression_of(arg, wiring)) for arg in expression.args)
        return Apply(expression.op, args)
    return wiring.slot(expression) if isinstance(expression, Ref) else expression


def _slots(
    inputs: list[Input], nodes: tuple[Call | Compute, ...]
) -> tuple[dict[Ref, int], tuple[TensorType, ...], tuple[int, ...]]:
    slots: dict[Ref, int] = {}
    types: list[TensorType] = []
    writers: list[int] = []
    places: list[tuple[int, AnyNode]] = [(INGRESS, n) for n in inputs]
    places += enumerate(nodes)
    for writer, node in places:
        for port, type_ in results(node):
            slots[Ref(node.id, port)] = len(types)
            types.append(type_)
            writers.append(writer)
    return slots, tuple(types), tuple(writers)
