"""Take the arm of an `if` or `match` whose subject is known: its nodes go where the construct stands.

A condition is known if it reads constants only, which happens where a param is a switch, and in a called pipeline whose
input the call leaves out (`present(x)`). The other arms are gone then, and with them stages that nothing else calls.
Nodes keep their ids: the arm's name stays in those that have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline_dsl.ir import (
    AnyNode,
    Apply,
    Branch,
    Call,
    Compute,
    Constant,
    Expression,
    Graph,
    Operand,
    Ref,
    Region,
    with_operands,
    with_regions,
)
from pipeline_dsl.operations import OPERATIONS

from .context import Context


def choose(graph: Graph, _: Context) -> Graph:
    """The graph without arms that are never taken; the same object if there is none."""
    choosing = _Choosing()
    kept = tuple(choosing.nodes(graph.nodes))
    return replace(graph, nodes=kept) if choosing.changed else graph


@dataclass(slots=True)
class _Choosing:
    """One walk over a graph."""

    known: dict[Ref, Any] = field(default_factory=dict)
    """Values of expressions that read constants only."""
    results: dict[Ref, Operand] = field(default_factory=dict)
    """What the results of constructs that are gone stand for."""
    changed: bool = False

    def nodes(self, nodes: Iterable[AnyNode]) -> Iterator[AnyNode]:
        for node in nodes:
            if self.results:
                node = _with_absent(with_operands(node, self._operand))
            if isinstance(node, Compute):
                self._note(node)
            if isinstance(node, Branch) and self._is_known(node.subject):
                self.changed = True
                yield from self._chosen(node)
            else:
                yield with_regions(node, self._region)

    def _chosen(self, node: Branch) -> Iterator[AnyNode]:
        """The nodes of the arm that every element takes; without such an arm the results are absent."""
        value = node.subject.value if isinstance(node.subject, Constant) else self.known[node.subject]
        arm = next((arm.region for arm in node.arms if arm.values is None or value in arm.values), None)
        if arm is None:
            self.results.update((Ref(node.id, port), Constant(None, kind)) for port, kind in node.results)
            return
        yield from self.nodes(arm.nodes)
        pairs = zip(node.results, arm.yields, strict=True)
        self.results.update((Ref(node.id, port), self._operand(made)) for (port, _), made in pairs)

    def _region(self, region: Region) -> Region:
        nodes = tuple(self.nodes(region.nodes))
        return replace(region, nodes=nodes, yields=tuple(map(self._operand, region.yields)))

    def _operand(self, operand: Operand) -> Operand:
        return self.results.get(operand, operand) if isinstance(operand, Ref) else operand

    def _is_known(self, subject: Operand) -> bool:
        return isinstance(subject, Constant) or subject in self.known

    def _note(self, node: Compute) -> None:
        try:
            self.known[Ref(node.id, "value")] = self._value(node.expression)
        except (LookupError, ArithmeticError, TypeError, ValueError):
            pass  # it is not known, or fails at run time as it should

    def _value(self, expression: Expression) -> Any:
        """LookupError if it is not known."""
        if isinstance(expression, Apply) and expression.op in ("and", "or"):
            return self._logic(expression)
        if isinstance(expression, Apply):
            return OPERATIONS[expression.op].compute(*map(self._value, expression.args))
        return expression.value if isinstance(expression, Constant) else self.known[expression]

    def _logic(self, expression: Apply) -> bool:
        """`and` is false, and `or` true, as soon as one side is; the other need not be known."""
        decides: bool = expression.op == "or"
        unknown: LookupError | None = None
        for side in expression.args:
            try:
                if self._value(side) == decides:
                    return decides
            except LookupError as error:
                unknown = error
        if unknown is not None:
            raise unknown
        return not decides


def _with_absent(node: AnyNode) -> AnyNode:
    """A call in which a value that is absent is left out, as the checker writes it."""
    if not isinstance(node, Call):
        return node
    absent = (isinstance(o, Constant) and o.value is None and o.type.optional for _, o in node.args)
    args = tuple((port, None if gone else o) for (port, o), gone in zip(node.args, absent, strict=True))
    return replace(node, args=args)
