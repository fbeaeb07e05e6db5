"""Rewrites of a checked graph, in the order of `PASSES`; each gives a graph with the same answers.

A pass is a plain function `(Graph, Context) -> Graph` in the file of its name. It never changes the graph it is given,
keeps definition order, and costs time linear in nodes and edges. `run` applies all of them and, when asked, verifies
between them, so that the pass that breaks a rule is the one that is named.

Equal calls are not merged on purpose: a call site is an address (metrics, timings, profile selectors), and one that
vanished from the plan because another looks like it would be a surprise. Their rows share batches anyway.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline_dsl.ir import Graph

from .choose import choose
from .context import Context
from .forward import forward
from .prune import prune

Pass = Callable[[Graph, Context], Graph]
Verify = Callable[[Graph], None]

PASSES: tuple[Pass, ...] = (choose, forward, prune)
"""`prune` last: what only fed an arm that is gone, or a name that stands for something else, is dead then."""

__all__ = ["PASSES", "Context", "Pass", "Verify", "choose", "forward", "prune", "run"]


def run(graph: Graph, context: Context, *, verify: Verify | None = None, passes: tuple[Pass, ...] = PASSES) -> Graph:
    """The graph after all passes. `verify` is called with the input and with each result; what it raises gets a
    note that names the pass."""
    if verify is not None:
        verify(graph)
    for step in passes:
        graph = step(graph, context)
        if verify is not None:
            _verify_after(step, graph, verify)
    return graph


def _verify_after(step: Pass, graph: Graph, verify: Verify) -> None:
    try:
        verify(graph)
    except Exception as error:
        error.add_note(f"after pass `{getattr(step, '__name__', step)}` of pipeline `{graph.name}`")
        raise
