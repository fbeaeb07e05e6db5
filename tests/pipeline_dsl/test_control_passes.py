"""Passes and `verify` on graphs with regions: what goes, what stays, what a broken graph is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline_dsl import ir, passes
from pipeline_dsl.ir_text import to_text
from pipeline_dsl.operations import scalar
from pipeline_dsl.passes import Context, choose, forward, prune
from pipeline_dsl.verify import problems

from .checking import good

HEAD = """
stage f(x: f32[4]) -> (y: f32[4]) using python("m:f")
stage g(x: f32[4]) -> (y: f32[4]) using python("m:g")
stage h(x: f32[4]) -> (y: f32[4]) using python("m:h")
stage audit(x: f32[4]) -> (y: f32[4]) using python("m:audit") { effects = once }
"""
PORTS = "v: f32[4], x: f32[B, 4], w: f32[4]?, flag: bool, k: string"


def program(body: str, outputs: str) -> ir.Program:
    return good(f"{HEAD}\npipeline p({PORTS}) -> ({outputs}) {{\n{body}\n}}")


def pruned(body: str, outputs: str) -> ir.Graph:
    made = program(body, outputs)
    found = prune(made.pipelines["p"], Context(made.stages))
    assert problems(found, made.stages) == []
    return found


def stages(graph: ir.Graph) -> list[str]:
    return [call.stage for call in graph.calls]


def ports(graph: ir.Graph, node: str) -> list[str]:
    found = graph.node(node)
    assert isinstance(found, ir.Control)
    return [port for port, _ in found.results]


# ---- prune


def test_a_result_that_nobody_reads_goes_with_what_only_fed_it() -> None:
    body = """
    a, b = if flag {
      one = f(v)
      two = g(v)
      yield one, two
    } else {
      yield h(v), v
    }
    return a
    """
    found = pruned(body, "a: f32[4]")
    assert ports(found, "p.a") == ["a"]
    assert stages(found) == ["f", "h"]


def test_a_construct_that_nobody_reads_goes_whole() -> None:
    body = "y = map i in x { z = if flag { yield f(i) } else { yield i }\n yield z }\nreturn out = v"
    assert stages(pruned(body, "out: f32[4]")) == []
    assert [n.id for n in pruned(body, "out: f32[4]").nodes if isinstance(n, ir.Control)] == []


def test_what_an_arm_captures_stays_and_what_a_dead_arm_captured_goes() -> None:
    body = """
    a = f(v)
    b = g(v)
    y, z = if flag { yield a, b } else { yield v, v }
    return y
    """
    assert stages(pruned(body, "y: f32[4]")) == ["f"]


@pytest.mark.parametrize(
    "construct",
    [
        "_ = if flag { yield audit(v) } else { yield v }",
        "_ = map i in x { yield audit(i) }",
        "_ = try { yield audit(v) } fallback { yield v }",
        "_ = route by k { to a weight 1 { yield audit(v) } }",
        "_ = map i in x { z = if flag { yield audit(i) } else { yield i }\n yield z }",
    ],
)
def test_effects_once_runs_in_whatever_arm(construct: str) -> None:
    found = pruned(construct + "\nreturn out = v", "out: f32[4]")
    assert stages(found) == ["audit"]
    assert all(not node.results for node in found.nodes if isinstance(node, ir.Branch | ir.Route))


def test_calls_in_a_shadow_stay_and_its_other_nodes_only_where_they_feed_them() -> None:
    body = """
    y, z = route by k {
      to a weight 1 { yield f(v), g(v) }
      shadow b {
        s = map i in x { q = h(i)
          yield i[0] + 1.0 }
        yield s
      }
    }
    return y
    """
    found = pruned(body, "y: f32[4]")
    assert stages(found) == ["f", "h"]
    assert not any(isinstance(node, ir.Compute) for node in ir.walk(found.nodes))


@pytest.mark.parametrize(
    "construct",
    [
        "a, b = try { yield f(v), g(v) } fallback { yield v, v }",
        "a, b, ok = map (on_error = mark) i in x { yield f(i), g(i) }",
        "a, b = map (on_error = drop) i in x { yield f(i), g(i) }",
    ],
)
def test_where_a_failure_decides_what_the_others_are_all_results_stay(construct: str) -> None:
    kind = "f32[4]" if "try" in construct else "f32[?, 4]"
    assert stages(pruned(f"{construct}\nreturn a", f"a: {kind}")) == ["f", "g"]


def test_a_marking_map_of_which_only_ok_is_read_keeps_its_body() -> None:
    body = "a, ok = map (on_error = mark) i in x { yield f(i) }\nreturn ok"
    assert stages(pruned(body, "ok: bool[B]")) == ["f"]


def test_nothing_dead_gives_the_same_object() -> None:
    made = program("y = if flag { yield f(v) } else { yield v }\nreturn y", "y: f32[4]")
    graph = made.pipelines["p"]
    assert all(one(graph, Context(made.stages)) is graph for one in (choose, forward, prune))


# ---- forward and choose


def test_names_that_only_rename_are_read_through_arms() -> None:
    body = """
    a = v
    y = if flag {
      b = a
      c = 3.0
      yield b, c
    } else {
      yield f(a), 1.0
    }
    return y
    """.replace("y = if", "y, z = if").replace("return y", "return y, z")
    made = program(body, "y: f32[4], z: f64")
    found = passes.run(made.pipelines["p"], Context(made.stages))
    assert problems(found, made.stages) == []
    assert not any(isinstance(node, ir.Compute) for node in ir.walk(found.nodes))
    branch = found.node("p.y")
    assert isinstance(branch, ir.Branch)
    assert branch.arms[0].region.yields == (ir.Ref("p.v", "v"), ir.Constant(3.0, scalar("f64")))
    assert ir.captures(branch.arms[1].region) == (ir.Ref("p.v", "v"),)


def chosen(condition: str) -> list[str]:
    """The stages that are left of an `if` inside a called pipeline, whose `w` is absent and `c` an input."""
    text = f"""{HEAD}
private pipeline sub(v: f32[4], w: f32[4]?, c: bool) -> (y: f32[4]) {{
  y = if {condition} {{ yield f(v) }} else {{ yield g(v) }}
  return y
}}
pipeline p(v: f32[4], c: bool) -> (y: f32[4]) {{ return y = sub(v, c = c) }}"""
    made = good(text)
    found = passes.run(made.pipelines["p"], Context(made.stages))
    assert problems(found, made.stages) == []
    return stages(found)


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        ("present(w)", ["g"]),
        ("not present(w)", ["f"]),
        ("present(w) and c", ["g"]),
        ("c and present(w)", ["g"]),
        ("c or not present(w)", ["f"]),
        ("c or present(w)", ["f", "g"]),
        ("c and not present(w)", ["f", "g"]),
        ("c", ["f", "g"]),
    ],
)
def test_an_arm_is_chosen_where_the_condition_is_known(condition: str, left: list[str]) -> None:
    assert chosen(condition) == left


# ---- verify


def broken(change: Callable[[ir.Branch], ir.AnyNode]) -> list[str]:
    """What is said of a sound graph after a change of its `if`."""
    made = program("a = f(v)\ny = if flag { b = g(a)\n yield b } else { yield a }\nreturn y", "y: f32[4]")
    graph = made.pipelines["p"]
    assert problems(graph, made.stages) == []
    nodes = [change(node) if isinstance(node, ir.Branch) else node for node in graph.nodes]
    return problems(replace(graph, nodes=tuple(nodes)), made.stages)


def with_then(node: ir.Branch, **changes: object) -> ir.Branch:
    then = replace(node.arms[0], region=replace(node.arms[0].region, **changes))  # type: ignore[arg-type]  # fields by name
    return replace(node, arms=(then, *node.arms[1:]))


FLAG = ir.Ref("p.flag", "flag")
INNER = ir.Ref("p.b", "y")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda n: with_then(n, yields=()), "yields 0 values for 1 results"),
        (lambda n: with_then(n, yields=(FLAG,)), "yields bool, declared f32[4]"),
        (lambda n: with_then(n, nodes=()), "which is not defined in it or before it"),
        (lambda n: replace(n, arms=(n.arms[0], replace(n.arms[1], region=replace(n.arms[1].region, yields=(INNER,))))),
         "which is not defined in it or before it"),
        (lambda n: replace(n, arms=n.arms[:1]), "result `y` may be absent"),
        (lambda n: replace(n, arms=n.arms[::-1]), "behind the one for everything else"),
        (lambda n: replace(n, subject=ir.Ref("p.a", "y")), "decides by f32[4]"),
        (lambda n: replace(n, subject=ir.Ref("p.z", "y")), "not defined before it"),
        (lambda n: with_then(n, nodes=(*n.arms[0].region.nodes, *n.arms[0].region.nodes)), "two nodes have this id"),
        (lambda n: with_then(n, nodes=(*n.arms[0].region.nodes, ir.Input(id="p.i", port=ir.Port("i", scalar("f32"))))),
         "stands inside a construct"),
        (lambda n: ir.Route(id=n.id, results=n.results, key=FLAG, arms=(ir.RouteArm("a", 0.4, n.arms[1].region),)),
         "shares that do not sum to 1"),
        (lambda n: ir.Map(id=n.id, results=n.results, sources=(FLAG,), body=n.arms[1].region), "1 sources and 0 items"),
    ],
)  # fmt: skip
def test_a_broken_construct_is_told(change: Callable[[ir.Branch], ir.AnyNode], said: str) -> None:
    found = broken(change)
    assert any(said in problem for problem in found), found


def test_what_is_narrowed_in_an_arm_is_optional_again_outside() -> None:
    made = program("y = if present(w) and flag { yield f(w) } else { yield v }\nreturn y", "y: f32[4]")
    graph = made.pipelines["p"]
    assert problems(graph, made.stages) == []
    branch = graph.node("p.y")
    assert isinstance(branch, ir.Branch)
    swapped = replace(branch, arms=(replace(branch.arms[0], values=(False,)), branch.arms[1]))
    nodes = tuple(swapped if node is branch else node for node in graph.nodes)
    assert any("E0309" in problem for problem in problems(replace(graph, nodes=nodes), made.stages))


def test_the_text_shows_regions() -> None:
    body = """
    y, ok = map (max = 9, order = any, on_error = mark, in_flight = 2) i in x {
      z = try (timeout = 1s, retries = 2, hedge = 10ms) { yield f(i) } fallback err { yield i }
      q = match k {
        case "a" { yield z }
        else { yield i }
      }
      yield q
    }
    return y, ok
    """
    text = to_text(program(body, "y: f32[B, 4], ok: bool[B]").pipelines["p"])
    assert (
        "  y = map x max=9 order=any on_error=mark in_flight=2\n    .y: f32[B, 4]\n    .ok: bool[B]\n    body\n" in text
    )
    assert "      z = try timeout=1000000000ns hedge=10000000ns retries=2\n" in text
    assert (
        '      q = branch k\n        .q: f32[4]\n        case_1: case "a"\n          yield z\n        else: else\n'
        in text
    )
