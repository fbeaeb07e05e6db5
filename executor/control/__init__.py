"""Constructs at run time: nodes that send elements into regions, and what becomes of them there.

`if` and `match` (`branch`) and `route` part the elements that arrive; `map` and `try` (`attempt`) open scopes of
children; `folding` is what `map` does to columns.
"""

from __future__ import annotations

from collections.abc import Callable

from executor.node import Arguments, Node
from executor.wiring import Wirer
from pipeline_dsl.plan import BranchPlan, MapPlan, RoutePlan, Step, TryPlan

from .attempt import Try
from .branch import Branch
from .map import Map
from .route import Route

Make = Callable[[Step, Arguments, int, Wirer], Node]

_NODES: dict[type, Make] = {BranchPlan: Branch, RoutePlan: Route, MapPlan: Map, TryPlan: Try}


def construct(step: Step, arguments: Arguments, sides: int, wirer: Wirer) -> Node:
    """The node of a construct's step, its regions wired."""
    return _NODES[type(step.control)](step, arguments, sides, wirer)
