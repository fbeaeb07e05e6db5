"""Let readers read the source: an expression that is only a ref or a constant is replaced by it everywhere.

`y = x` and `y = 3` then cost no step and no slot at run time. Expressions that compute something stay, those over
constants included: the checker has already folded what it may fold, and says so where it can not. Regions are gone
through as well; what stands for a value outside of them becomes a capture.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from pipeline_dsl.ir import (
    AnyNode,
    Compute,
    Constant,
    Graph,
    Operand,
    Ref,
    Region,
    results,
    walk,
    with_operands,
    with_regions,
)
from pipeline_dsl.types import TensorType

from .context import Context


def forward(graph: Graph, _: Context) -> Graph:
    """The graph in which no expression is a bare ref or constant; the same object if there was none."""
    forwarding = _Forwarding({Ref(n.id, port): kind for n in walk(graph.nodes) for port, kind in results(n)})
    kept = forwarding.nodes(graph.nodes)
    return replace(graph, nodes=kept) if forwarding.aliases else graph


@dataclass(slots=True)
class _Forwarding:
    """One walk over a graph; definition order shows an alias before its readers."""

    types: dict[Ref, TensorType]
    aliases: dict[Ref, Operand] = field(default_factory=dict)

    def nodes(self, nodes: Iterable[AnyNode]) -> tuple[AnyNode, ...]:
        kept: list[AnyNode] = []
        for node in nodes:
            target = self._stands_for(node)
            if target is not None:
                self.aliases[Ref(node.id, "value")] = self._operand(target)
            else:
                kept.append(with_regions(with_operands(node, self._operand) if self.aliases else node, self._region))
        return tuple(kept)

    def _region(self, region: Region) -> Region:
        nodes = self.nodes(region.nodes)
        return replace(region, nodes=nodes, yields=tuple(map(self._operand, region.yields)))

    def _stands_for(self, node: AnyNode) -> Operand | None:
        """The value a node only renames. One that changes the dtype is a conversion and stays."""
        if not isinstance(node, Compute) or not isinstance(node.expression, Ref | Constant):
            return None
        source = node.expression
        type_ = source.type if isinstance(source, Constant) else self.types[source]
        same = (type_.dtype, type_.optional, type_.stream) == (node.type.dtype, node.type.optional, node.type.stream)
        return source if same else None

    def _operand(self, operand: Operand) -> Operand:
        # One look-up is enough: what an alias stands for was itself resolved when it was entered.
        return self.aliases.get(operand, operand) if isinstance(operand, Ref) else operand
