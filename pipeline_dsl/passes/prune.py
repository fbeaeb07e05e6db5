"""Drop what nobody needs: calls and expressions whose values reach no output.

A call of a stage with `effects = once` is never dropped, nor is anything it needs: `_ = audit(x)` runs. Inputs stay,
they are the pipeline's signature. Takes a checked graph, gives one whose remaining nodes are equal and in order.
"""

from __future__ import annotations

from pipeline_dsl.ir import AnyNode, Call, Compute, Graph, references

from .context import Context


def prune(graph: Graph, context: Context) -> Graph:
    """The graph without dead calls and expressions; the same object if there are none."""
    nodes = graph.nodes
    live: set[str] = set()
    # Definition order is topological, so walking it backwards meets every reader before what it reads.
    for node in reversed(nodes):
        if node.id in live or _is_root(node, context):
            live.add(node.id)
            live.update(ref.node for ref in references(node))
    if len(live) == len(nodes):
        return graph
    kept = [node for node in nodes if node.id in live]
    return Graph.of(graph.name, graph.signature, kept, graph.doc, graph.span)


def _is_root(node: AnyNode, context: Context) -> bool:
    if isinstance(node, Call):
        return context.stages[node.stage].contract.effects == "once"
    return not isinstance(node, Compute)
