"""The graph of one pipeline: typed nodes in definition order, constructs with regions of their own inside.

Everything that asks what a node reads or makes asks here: `references`, `results`, `regions`, `captures`, `walk`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline_dsl.source import Span
from pipeline_dsl.types import TensorType

from .control import Branch, Control, Map, Region, Route, Try
from .nodes import Apply, Call, Collect, Compute, Context, Expression, Given, Input, Operand, Output, Ref, StreamOf
from .stages import Signature

if TYPE_CHECKING:
    import networkx as nx

AnyNode = Input | Given | Context | Call | Compute | Collect | StreamOf | Branch | Route | Map | Try | Output


def regions(node: AnyNode) -> tuple[Region, ...]:
    """The regions of a construct in the order of the text; none for other nodes."""
    match node:
        case Branch(arms=arms):
            return tuple(arm.region for arm in arms)
        case Route(arms=arms, shadows=shadows):
            return (*(arm.region for arm in arms), *(shadow.region for shadow in shadows))
        case Map(body=body):
            return (body,)
        case Try(body=body, fallback=fallback):
            return (body, fallback)
    return ()


def operands(node: AnyNode) -> tuple[Operand, ...]:
    """What a node itself reads in order, without what its regions read."""
    match node:
        case Call(args=args):
            return tuple(o for _, o in args if o is not None)
        case Compute(expression=expression):
            return tuple(_leaves(expression))
        case Collect(source=source):
            return (source,)
        case StreamOf(elements=elements):
            return elements
        case Branch(subject=subject):
            return (subject,)
        case Route(key=key):
            return () if key is None else (key,)
        case Map(sources=sources):
            return sources
        case Output(value=value):
            return (value,)
    return ()


def references(node: AnyNode) -> Iterator[Ref]:
    """The refs a node reads, in order, repeated ones included; for a construct also what its regions capture."""
    yield from (o for o in operands(node) if isinstance(o, Ref))
    for region in regions(node):
        yield from captures(region)


def captures(region: Region) -> tuple[Ref, ...]:
    """What a region reads of the regions around it, each once, in order of use."""
    inside = {node.id for node in (*region.given, *region.nodes)}
    read = [ref for node in region.nodes for ref in references(node)]
    read += [o for o in region.yields if isinstance(o, Ref)]
    return tuple(dict.fromkeys(ref for ref in read if ref.node not in inside))


def results(node: AnyNode) -> tuple[tuple[str, TensorType], ...]:
    """Port and type of each value a node makes, in port order."""
    if isinstance(node, Input):
        return ((node.port.name, node.port.type),)
    if isinstance(node, Call | Control):
        return node.results
    return () if isinstance(node, Output) else (("value", node.type),)


def walk(nodes: Iterable[AnyNode]) -> Iterator[AnyNode]:
    """Every node in definition order, a construct before what is in its regions."""
    for node in nodes:
        yield node
        for region in regions(node):
            yield from region.given
            yield from walk(region.nodes)


def _leaves(expression: Expression) -> Iterator[Operand]:
    if isinstance(expression, Apply):
        for arg in expression.args:
            yield from _leaves(arg)
    else:
        yield expression


@dataclass(frozen=True)
class Graph:
    """One pipeline. `nodes` are in definition order, which is topological."""

    name: str
    signature: Signature
    nodes: tuple[AnyNode, ...]
    doc: str = ""
    sequence: bool = False
    """It takes requests of sequences only, told apart by their correlation id."""
    span: Span | None = field(default=None, compare=False, repr=False)

    @staticmethod
    def of(
        name: str,
        signature: Signature,
        nodes: Iterable[AnyNode],
        doc: str = "",
        span: Span | None = None,
        sequence: bool = False,
    ) -> Graph:
        """The graph of nodes given in definition order. ValueError if two have one id."""
        graph = Graph(name, signature, tuple(nodes), doc, sequence, span)
        if len(graph._by_id) < graph.size:
            raise ValueError(f"graph `{name}` has two nodes of one id")
        return graph

    @cached_property
    def dag(self) -> nx.DiGraph[str]:
        """The same as a networkx graph over ids: an `AnyNode` as attribute `node`, edges from what it reads.

        A construct is one node of it."""
        import networkx as nx  # a tenth of the time of checking a file, which does not need it

        dag: nx.DiGraph[str] = nx.DiGraph()
        for node in self.nodes:
            dag.add_node(node.id, node=node)
        for node in self.nodes:
            dag.add_edges_from((ref.node, node.id) for ref in references(node))
        return dag

    @cached_property
    def _by_id(self) -> dict[str, AnyNode]:
        return {node.id: node for node in walk(self.nodes)}

    @cached_property
    def size(self) -> int:
        """How many nodes it has, those in regions included."""
        return sum(1 for _ in walk(self.nodes))

    def node(self, id: str) -> AnyNode:
        """The node of an id, in whatever region. KeyError if there is none."""
        return self._by_id[id]

    @property
    def calls(self) -> list[Call]:
        """The call sites in definition order, those in regions included."""
        return [n for n in walk(self.nodes) if isinstance(n, Call)]

    def _repr_svg_(self) -> str:
        """The graph as a picture, which notebooks show."""
        from pipeline_dsl.graph_text import svg  # draws graphs, so it can not be loaded before them

        return svg(self)
