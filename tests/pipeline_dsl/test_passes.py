"""Passes: what they drop, what they must keep, and that they cost linear work."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_dsl import ir, passes
from pipeline_dsl.ir import Apply, Call, Compute, Graph, Output, Ref, references
from pipeline_dsl.passes import Context, forward, prune
from pipeline_dsl.verify import verify

from .graphs import Build, chain, diamond, function_calls, number, random_dag, stage


def context(build: Build) -> Context:
    return Context(build.stages)


def ids(graph: Graph) -> list[str]:
    return [node.id.removeprefix("p.") for node in graph.nodes]


class TestPrune:
    def test_nothing_dead_gives_the_same_object(self) -> None:
        graph = diamond().graph()
        assert prune(graph, context(diamond())) is graph

    def test_a_dead_call_goes_with_all_that_only_fed_it(self) -> None:
        build = diamond()
        extra = build.call("extra", stage("extra"), Ref("p.x", "x"))
        build.call("dead", stage("dead"), extra)
        assert ids(prune(build.graph(), context(build))) == ids(diamond().graph())

    def test_what_is_shared_with_a_live_call_stays(self) -> None:
        build = diamond()
        build.call("dead", stage("dead"), Ref("p.b", "y"))
        assert "b" in ids(prune(build.graph(), context(build)))

    def test_effects_once_runs_though_nobody_reads_it(self) -> None:
        build = chain(1)
        fed = build.call("fed", stage("fed"), Ref("p.x", "x"))
        build.call("audit", stage("audit", effects="once"), fed)
        assert {"fed", "audit"} <= set(ids(prune(build.graph(), context(build))))

    @pytest.mark.parametrize("effects", ["none", "repeatable"])
    def test_other_effects_do_not_keep_a_call(self, effects: str) -> None:
        build = chain(1)
        build.call("audit", stage("audit", effects=effects), Ref("p.x", "x"))
        assert "audit" not in ids(prune(build.graph(), context(build)))

    def test_a_dead_expression_goes(self) -> None:
        build = chain(1)
        build.compute("y", "+", Ref("p.x", "x"), number(1))
        assert "y" not in ids(prune(build.graph(), context(build)))

    def test_unused_inputs_stay_in_the_signature(self) -> None:
        build = chain(1)
        build.input("unused")
        graph = prune(build.graph(), context(build))
        assert "unused" in ids(graph)

    @given(st.integers(0, 10_000), st.integers(1, 30))
    def test_what_is_left_is_exactly_what_a_root_needs(self, seed: int, size: int) -> None:
        build = random_dag(seed, size)
        before = build.graph()
        after = prune(before, context(build))
        needed: set[str] = set()
        todo = [n.id for n in before.nodes if _is_root(n, build)]
        while todo:
            here = todo.pop()
            if here not in needed:
                needed.add(here)
                todo += [ref.node for ref in references(before.node(here))]
        assert [n.id for n in after.nodes] == [n.id for n in before.nodes if n.id in needed]
        assert all(before.node(n.id) == n for n in after.nodes)


def _is_root(node: ir.AnyNode, build: Build) -> bool:
    if isinstance(node, Call):
        return build.stages[node.stage].contract.effects == "once"
    return not isinstance(node, Compute)


class TestForward:
    def test_readers_of_a_name_read_what_it_stands_for(self) -> None:
        build = Build()
        x = build.input("x", "f32")
        y = build.alias("y", x)
        z = build.alias("z", y)
        total = build.compute("sum", "+", z, Apply("*", (y, number(2))))
        build.output("out", total, "f32")
        build.output("same", z, "f32")
        graph = forward(build.graph(), context(build))
        assert ids(graph) == ["x", "sum", "return.out", "return.same"]
        assert graph.node("p.sum").expression == Apply("+", (x, Apply("*", (x, number(2)))))
        assert graph.node("p.return.same").value == x

    def test_a_constant_goes_into_the_call(self) -> None:
        build = Build()
        k = build.alias("k", number(3, "i32"), "i32")
        called = stage("top", {"x": "f32[*, 4]", "k": "i32"})
        build.output("out", build.call("top", called, build.input("x"), k))
        graph = forward(build.graph(), context(build))
        assert dict(graph.node("p.top").args)["k"] == number(3, "i32")

    def test_a_conversion_stays(self) -> None:
        build = Build()
        y = build.alias("y", build.input("x", "f32"), "f64")
        build.output("out", y, "f64")
        assert "y" in ids(forward(build.graph(), context(build)))

    def test_an_absent_argument_stays_absent(self) -> None:
        build = Build()
        x = build.alias("a", build.input("x"), "f32[B, 4]")
        called = stage("opt", {"x": "f32[*, 4]", "m": "f32[*, 4]?"})
        build.output("out", build.call("opt", called, x, None))
        assert dict(forward(build.graph(), context(build)).node("p.opt").args)["m"] is None

    def test_nothing_to_do_gives_the_same_object(self) -> None:
        graph = diamond().graph()
        assert forward(graph, context(diamond())) is graph


class TestRun:
    def test_a_name_that_only_fed_an_alias_is_pruned(self) -> None:
        build = chain(1)
        build.alias("unused", build.compute("y", "+", number(1), number(2)))
        assert ids(passes.run(build.graph(), context(build))) == ids(chain(1).graph())

    def test_verifies_before_and_after_each_pass(self) -> None:
        seen: list[Graph] = []
        build = diamond()
        passes.run(build.graph(), context(build), verify=seen.append)
        assert len(seen) == 1 + len(passes.PASSES)

    def test_the_pass_that_breaks_a_rule_is_named(self) -> None:
        def lose_outputs(graph: Graph, _: Context) -> Graph:
            kept = [n for n in graph.nodes if not isinstance(n, Output)]
            return Graph.of(graph.name, graph.signature, kept)

        def verify(graph: Graph) -> None:
            assert any(isinstance(n, Output) for n in graph.nodes), "no outputs"

        with pytest.raises(AssertionError) as caught:
            passes.run(diamond().graph(), context(diamond()), verify=verify, passes=(prune, lose_outputs))
        assert caught.value.__notes__ == ["after pass `lose_outputs` of pipeline `p`"]

    def test_no_pass_changes_the_graph_it_is_given(self) -> None:
        build = random_dag(3, 30)
        graph = build.graph()
        before = list(graph.nodes), list(graph.dag.edges)
        passes.run(graph, context(build))
        assert (list(graph.nodes), list(graph.dag.edges)) == before

    @given(st.integers(0, 10_000), st.integers(1, 30))
    def test_valid_graphs_stay_valid(self, seed: int, size: int) -> None:
        build = random_dag(seed, size)
        build.output("alias", build.alias("alias", Ref("p.n0", "y"), "f32[B, 4]"))
        passes.run(build.graph(), context(build), verify=partial(verify, stages=build.stages))

    def test_work_grows_with_the_graph_and_no_faster(self) -> None:
        assert _work(2000) <= 10 * _work(200) * 1.1


def _work(length: int) -> int:
    build = chain(length)
    build.call("dead", stage("dead"), Ref("p.x", "x"))
    graph = build.graph()
    return function_calls(lambda: passes.run(graph, context(build)))
