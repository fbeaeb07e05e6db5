"""Constructs at run time: nodes that send elements into regions, and what becomes of them there.

`if` and `match` (`branch`) and `route` part the elements that arrive; `map` and `try` (`attempt`) open scopes of
children; `folding` is what `map` does to columns.
"""

from __future__ import annotations

from collections.abc import Callable

from executor.node import Arguments, Node
from executor.streaming.nodes import Collect, Context, StreamOf
from executor.wiring import Wirer
from pipeline_dsl.plan import (
    BranchPlan,
    CollectPlan,
    ContextPlan,
    MapPlan,
    RoutePlan,
    Step,
    StreamOfPlan,
    TryPlan,
)

from .attempt import Try
from .branch import Branch
from .map import Map
from .route import Route
from .stream_map import StreamMap

Make = Callable[[Step, Arguments, int, Wirer], Node]

_NODES: dict[type, Make] = {
    BranchPlan: Branch,
    RoutePlan: Route,
    MapPlan: Map,
    TryPlan: Try,
    CollectPlan: Collect,
    StreamOfPlan: StreamOf,
    ContextPlan: Context,
}


def construct(step: Step, arguments: Arguments, sides: int, wirer: Wirer) -> Node:
    """The node of a construct's step, its regions wired."""
    if isinstance(step.control, MapPlan) and step.control.over_stream:
        return StreamMap(step, arguments, sides, wirer)
    return _NODES[type(step.control)](step, arguments, sides, wirer)
