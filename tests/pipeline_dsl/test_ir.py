"""What `verify` finds in a broken graph, and the text form of a graph."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline_dsl import ir
from pipeline_dsl.ir_text import digest, to_text
from pipeline_dsl.verify import InvalidGraph, problems, verify
from tests.pipeline_dsl.graphs import Build, chain, stage


def _broken(build: Build, nodes: list[ir.AnyNode]) -> list[str]:
    sound = build.graph()
    return problems(ir.Graph.of(sound.name, sound.signature, nodes), build.stages)


def _call(build: Build) -> ir.Call:
    return next(n for n in build.nodes if isinstance(n, ir.Call))


def test_a_sound_graph_has_no_problems() -> None:
    build = chain(3)
    assert problems(build.graph(), build.stages) == []
    verify(build.graph(), build.stages)


def test_a_graph_that_reads_what_is_not_there() -> None:
    build = chain(1)
    node = replace(_call(build), args=(("x", ir.Ref("p.nowhere", "y")),))
    assert _broken(build, [build.nodes[0], node, build.nodes[2]]) == [
        "p.n0: reads `y` of `p.nowhere`, which is not defined before it"
    ]


def test_a_graph_with_a_cycle_reads_what_is_defined_later() -> None:
    build = chain(2)
    first = next(n for n in build.nodes if n.id == "p.n0")
    assert isinstance(first, ir.Call)
    turned = replace(first, args=(("x", ir.Ref("p.n1", "y")),))
    found = _broken(build, [build.nodes[0], turned, *build.nodes[2:]])
    assert found == ["p.n0: reads `y` of `p.n1`, which is not defined before it"]


def test_an_id_of_another_pipeline() -> None:
    build = chain(1)
    build.nodes[1] = replace(build.nodes[1], id="q.n0")
    assert "q.n0: the id does not start with `p.`" in _broken(build, build.nodes)


def test_an_argument_of_another_dtype() -> None:
    build = Build()
    value = build.input("x", "i64[B, 4]")
    build.output("out", build.call("n", stage("s"), value))
    assert problems(build.graph(), build.stages) == ["p.n: port `x`: E0302 f32[*, 4], i64[B, 4]"]


def test_a_binding_that_the_arguments_contradict() -> None:
    build = chain(1)
    build.nodes[1] = replace(_call(build), binding="lift")
    assert _broken(build, build.nodes) == ["p.n0: is bound as `lift`, its arguments say `rows`"]


def test_an_output_that_no_node_gives() -> None:
    build = chain(1)
    assert _broken(build, build.nodes[:2]) == ["output `out` stands in only one of signature and nodes"]


def test_a_stage_that_is_not_there() -> None:
    build = chain(1)
    assert problems(build.graph(), {}) == ["p.n0: calls `s0`, which is no stage of the program"]


def test_ports_in_another_order() -> None:
    build = chain(1)
    build.nodes[1] = replace(_call(build), args=(("y", None),))
    assert _broken(build, build.nodes)[0] == "p.n0: has ports (('y',), ('y',)), `s0` has (('x',), ('y',))"


def test_two_nodes_of_one_id_make_no_graph() -> None:
    build = chain(2)
    build.nodes[2] = replace(build.nodes[2], id="p.n0")
    with pytest.raises(ValueError, match="two nodes of one id"):
        build.graph()


def test_verify_raises_with_all_problems() -> None:
    build = chain(2)
    with pytest.raises(InvalidGraph) as caught:
        verify(build.graph(), {})
    assert len(caught.value.problems) == 2
    assert "graph `p` is not valid" in str(caught.value)


def test_text_and_digest_follow_the_graph() -> None:
    graph = chain(1).graph()
    assert to_text(graph) == (
        "pipeline p(x: f32[B, 4]) -> (out: f32[B, 4])\n"
        "  x = input f32[B, 4]\n"
        "  n0 = s0(x = x) rows\n"
        "    .y: f32[B, 4]\n"
        "  return out = n0.y\n"
    )
    assert digest(graph) == digest(chain(1).graph())
    assert digest(graph) != digest(chain(2).graph())
