"""What a construct is in a plan, beside the slots it reads and writes."""

from __future__ import annotations

from collections.abc import Callable

from pipeline_dsl.ir import AnyNode, Branch, Collect, Context, Map, Region, Route, StreamOf, Try
from pipeline_dsl.plan import (
    ArmPlan,
    BranchPlan,
    CollectPlan,
    ContextPlan,
    Control,
    MapPlan,
    RegionPlan,
    RouteArmPlan,
    RoutePlan,
    StreamOfPlan,
    TryPlan,
)


def control_plan(node: AnyNode, region: Callable[[Region], RegionPlan]) -> Control | None:
    """The plan of a construct, whose regions `region` plans in the order of the text; None for other nodes."""
    match node:
        case Branch(arms=arms):
            return BranchPlan(tuple(ArmPlan(arm.values, region(arm.region)) for arm in arms))
        case Route(key=key, arms=routed, shadows=shadows):
            taken = tuple(RouteArmPlan(arm.name, arm.share, region(arm.region)) for arm in routed)
            beside = tuple(RouteArmPlan(s.name, s.sample, region(s.region)) for s in shadows)
            return RoutePlan(key is not None, taken, beside)
        case Map():
            return MapPlan(
                sources=len(node.sources),
                body=region(node.body),
                maximum=node.maximum,
                order=node.order,
                on_error=node.on_error,
                in_flight=node.in_flight,
                over_stream=node.over_stream,
            )
        case Try():
            return TryPlan(
                body=region(node.body),
                fallback=region(node.fallback),
                timeout_ns=node.timeout_ns,
                retries=node.retries,
                hedge_ns=node.hedge_ns,
                first_ns=node.first_ns,
            )
        case Collect():
            return CollectPlan()
        case StreamOf():
            return StreamOfPlan()
        case Context(what=what, argument=argument):
            return ContextPlan(what, argument)
    return None
