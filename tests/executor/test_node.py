"""Nodes: which of them lead straight on to one call, as running on sees it."""

from __future__ import annotations

from executor.clock import ManualClock
from executor.node import Node
from executor.stage import StageRuntime
from executor.variant import build
from pipeline_dsl.planning import build as plan_of
from tests.pipeline_dsl.graphs import HOST, Build, stage


def nodes_of(made: Build) -> dict[str, Node]:
    """The nodes of the pipeline with all its outputs, by their names in it."""
    plan = plan_of(made.program(), HOST)
    stages = [StageRuntime(s, ManualClock()) for s in plan.stages]
    return {n.name.partition(".")[2]: n for n in build(plan.pipelines["p"], None, stages).nodes}


def test_a_chain_leads_straight_on_up_to_its_end() -> None:
    made = Build()
    a = made.call("a", stage("a"), made.input("x"))
    made.output("out", made.call("b", stage("b"), a))
    nodes = nodes_of(made)
    assert nodes["a"].then is nodes["b"]
    assert nodes["b"].then is None


def test_two_consumers_and_joins_are_not_straight_on() -> None:
    made = Build()
    a = made.call("a", stage("a"), made.input("x"))
    b, c = made.call("b", stage("b"), a), made.call("c", stage("c"), a)
    made.output("out", made.call("d", stage("d", {"x": "f32[*, 4]", "z": "f32[*, 4]"}), b, c))
    nodes = nodes_of(made)
    assert [nodes[name].then for name in "abc"] == [None, None, None]
