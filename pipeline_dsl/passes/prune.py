"""Drop what nobody needs: calls, expressions and constructs whose values reach no output, and in constructs the
results that nobody reads, with what only fed them.

A call of a stage with `effects = once` is never dropped, nor is anything it needs, in whatever arm: `_ = audit(x)`
runs. Nor is a call in a shadow arm, whose results nobody reads anyway. Inputs stay, they are the pipeline's signature.
Takes a checked graph, gives one whose remaining nodes are in order.

A `try` keeps all of its results, as does a `map` that goes on without items that fail: whether one of them fails
decides what the others are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from pipeline_dsl.ir import (
    AnyNode,
    Branch,
    Call,
    Graph,
    Input,
    Map,
    Output,
    Ref,
    Region,
    Route,
    Try,
    operands,
    results,
    walk,
    with_regions,
)

from .context import Context


def prune(graph: Graph, context: Context) -> Graph:
    """The graph without what is dead; the same object if there is nothing."""
    pruning = _Pruning(context)
    found = replace(graph, nodes=pruning.nodes(graph.nodes))
    return found if pruning.trimmed or found.size < graph.size else graph


@dataclass(slots=True)
class _Pruning:
    """One walk backwards. Definition order is topological, so it meets every reader before what that reads."""

    context: Context
    live: set[Ref] = field(default_factory=set)
    trimmed: bool = False
    """A construct has lost a result."""

    def nodes(self, nodes: Sequence[AnyNode], *, shadow: bool = False) -> tuple[AnyNode, ...]:
        """The nodes that are needed; in a shadow arm that is all calls."""
        backwards = reversed(nodes)
        kept = [self._kept(n, shadow) for n in backwards if self._is_read(n) or self._is_root(n, shadow)]
        return tuple(reversed(kept))

    def _is_read(self, node: AnyNode) -> bool:
        return any(Ref(node.id, port) in self.live for port, _ in results(node))

    def _is_root(self, node: AnyNode, shadow: bool) -> bool:
        if isinstance(node, Input | Output):
            return True
        if isinstance(node, Route):
            shadow = shadow or any(_calls(s.region.nodes) for s in node.shadows)
        return any(shadow or self._runs_once(call) for call in _calls([node]))

    def _runs_once(self, call: Call) -> bool:
        return self.context.stages[call.stage].contract.effects == "once"

    def _kept(self, node: AnyNode, shadow: bool) -> AnyNode:
        if isinstance(node, Branch | Route | Map | Try):
            node = self._construct(node, shadow)
        self.live.update(o for o in operands(node) if isinstance(o, Ref))
        return node

    def _construct(self, node: Branch | Route | Map | Try, shadow: bool) -> AnyNode:
        """A construct with the results that are read, and with regions that hold what those need."""
        wanted = list(range(len(node.results)))
        if _trims(node):
            wanted = [at for at in wanted if Ref(node.id, node.results[at][0]) in self.live]
        self.trimmed = self.trimmed or len(wanted) < len(node.results)
        kept = replace(node, results=tuple(node.results[at] for at in wanted))
        if not isinstance(kept, Route):
            return with_regions(kept, lambda region: self._region(region, wanted, shadow))
        arms = tuple(replace(arm, region=self._region(arm.region, wanted, shadow)) for arm in kept.arms)
        shadows = tuple(replace(s, region=self._region(s.region, (), shadow=True)) for s in kept.shadows)
        return replace(kept, arms=arms, shadows=shadows)

    def _region(self, region: Region, wanted: Sequence[int], shadow: bool) -> Region:
        yields = tuple(region.yields[at] for at in wanted if at < len(region.yields))
        self.live.update(o for o in yields if isinstance(o, Ref))
        return replace(region, nodes=self.nodes(region.nodes, shadow=shadow), yields=yields)


def _trims(node: AnyNode) -> bool:
    """Whether results that nobody reads may go one by one."""
    return not isinstance(node, Try) and not (isinstance(node, Map) and node.on_error != "fail")


def _calls(nodes: Iterable[AnyNode]) -> list[Call]:
    return [node for node in walk(nodes) if isinstance(node, Call)]
