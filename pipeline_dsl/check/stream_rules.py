"""What holds of streams in a whole graph: who may take several together, and where one may be read.

Works on a finished graph, so it sees streams through constructs and inlined pipelines alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pipeline_dsl import ir
from pipeline_dsl.errors import Mistake
from pipeline_dsl.errors.streams import ReadAgain, StreamsJoined
from pipeline_dsl.source import Span
from pipeline_dsl.types import TensorType

Block = Literal["try", "map", "shadow"]


def stream_mistakes(graph: ir.Graph, fallback: Span) -> Iterator[Mistake]:
    """E0703 and E0707, in the order of the text. `fallback`: the place of a node that has none."""
    nodes = {node.id: node for node in ir.walk(graph.nodes)}
    types = {ir.Ref(node.id, port): type_ for node in nodes.values() for port, type_ in ir.results(node)}
    for node in nodes.values():
        read = list(_streams_read(node, types))
        makers = list(dict.fromkeys(ref.node for ref in read))
        if len(makers) > 1 or len(set(read)) < len(read):
            streams = tuple((_short(graph, maker), nodes[maker].span) for maker in makers)
            yield StreamsJoined(node.span or fallback, _reader(node), streams)
        for block, regions in _blocks(node):
            yield from _read_inside(block, regions, graph, nodes, types, fallback)


def _blocks(node: ir.AnyNode) -> Iterator[tuple[Block, list[ir.Region]]]:
    """Regions that may be entered more than once for what is outside of them."""
    if isinstance(node, ir.Try):
        yield "try", [node.body]
    elif isinstance(node, ir.Map):
        yield "map", [node.body]
    elif isinstance(node, ir.Route):
        yield "shadow", [arm.region for arm in node.shadows]


def _read_inside(
    block: Block,
    regions: list[ir.Region],
    graph: ir.Graph,
    nodes: Mapping[str, ir.AnyNode],
    types: Mapping[ir.Ref, TensorType],
    fallback: Span,
) -> Iterator[Mistake]:
    """Readers in these regions whose stream is made outside of them."""
    body = [node for region in regions for node in ir.walk((*region.given, *region.nodes))]
    made_inside = {node.id for node in body}
    for node in body:
        for ref in _streams_read(node, types):
            if ref.node not in made_inside:
                at = node.span or fallback
                yield ReadAgain(at, _reader(node), _short(graph, ref.node), nodes[ref.node].span, block)


def _streams_read(node: ir.AnyNode, types: Mapping[ir.Ref, TensorType]) -> Iterator[ir.Ref]:
    """The streams that a node takes elements of; constructs that only pass one on do not."""
    if isinstance(node, ir.Call | ir.Collect | ir.Map):
        yield from (o for o in ir.operands(node) if isinstance(o, ir.Ref) and types[o].stream)


def _reader(node: ir.AnyNode) -> str:
    if isinstance(node, ir.Call):
        return f"stage `{node.stage}`"
    return "`collect`" if isinstance(node, ir.Collect) else "`map`"


def _short(graph: ir.Graph, node: str) -> str:
    return node.removeprefix(f"{graph.name}.")
