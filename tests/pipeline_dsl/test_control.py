"""Constructs in a body: types of what they give, names and ids in arms, narrowing, inlining."""

from __future__ import annotations

import random
import re

import pytest

from pipeline_dsl import ir
from pipeline_dsl.compile import check_text, optimized
from pipeline_dsl.ir_text import to_text
from pipeline_dsl.types import TensorType
from pipeline_dsl.verify import problems
from tests.control_programs import OPTIONS, random_module

from .checking import good, program_of

HEAD = """
stage f(x: f32[*, 4]) -> (y: f32[*, 4]) using python("m:f")
stage detect(x: f32[4]) -> (boxes: f32[N, 4], scores: f32[N]) where N <= 100 using python("m:detect")
stage other(x: f32[4]) -> (boxes: f32[M, 4], scores: f32[M]) where M <= 50 using python("m:other")
stage spell(x: f32[*, 4]) -> (r: f32[*, ~L]) using python("m:spell")
stage spell_two(x: f32[*, 4]) -> (r: f32[*, ~K]) using python("m:spell_two")
stage twice(r: f32[*, ~L]) -> (s: f32[*, ~L]) using python("m:twice")
stage pair(a: f32[*, ~L], b: f32[*, ~L]) -> (y: f32[*, 4]) using python("m:pair")
stage perhaps(x: f32[4]) -> (w: f32[4]?, sure: bool) using python("m:perhaps")
stage label(x: f32[*, 4]) -> (name: string[*], number: i64[*]) using python("m:label")
stage audit(x: f32[4]) -> (done: bool) using python("m:audit") { effects = once }
"""
PORTS = "v: f32[4], x: f32[B, 4], rows: f32[*, 4], w: f32[4]?, flag: bool, k: string, n: i64, words: string[W]"


def graph(body: str, ports: str = PORTS, name: str = "p") -> ir.Graph:
    """The graph of a pipeline with this body, which returns nothing; proved."""
    program = good(f"{HEAD}\npipeline {name}({ports}) -> () {{\n{body}\n}}")
    assert problems(program.pipelines[name], program.stages) == []
    return program.pipelines[name]


def shown(kind: TensorType) -> str:
    """A type without the lines of its sizes."""
    return re.sub(r", line \d+(, column \d+)?", "", str(kind))


def kinds(body: str) -> dict[str, str]:
    """The results of all constructs of a body, by name."""
    nodes = ir.walk(graph(body).nodes)
    return {port: shown(kind) for node in nodes if isinstance(node, ir.Control) for port, kind in node.results}


def errors(body: str, ports: str = PORTS) -> list[str]:
    return [c for c in program_of(f"{HEAD}\npipeline p({ports}) -> () {{\n{body}\n}}")[1] if c[0] == "E"]


def either(a: str, b: str) -> str:
    return f"y = if flag {{\n{a}\n}} else {{\n{b}\n}}"


# ---- one type for several arms


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("yield v", "yield f(v)", "f32[4]"),
        ("yield v", "yield w", "f32[4]?"),
        ("yield v", "yield null", "f32[4]?"),
        ("yield null", "yield null", "json?"),
        ("yield 1", "yield n", "i64"),
        ("yield 1", "yield 2.5", "f64"),
        ("yield 2", "yield v[0]", "f32"),
        ("yield x", "yield f(x)", "f32[B, 4]"),
        ("yield rows", "yield f(rows)", "f32[*, 4]"),
        ("yield empty(string)", "yield words", "string[W of y]"),
        ("yield x[0:2]", "yield x", "f32[?, 4]"),
        ("yield spell(x)", "yield spell_two(x)", "f32[B, ~L of y]"),
    ],
)
def test_arms_meet_in_one_type(a: str, b: str, expected: str) -> None:
    assert kinds(either(a, b)) == {"y": expected}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("yield v", "yield k"),
        ("yield v", "yield x"),
        ("yield 1.5", "yield n"),
        ("yield rows", "yield x"),
        ("yield x", "yield spell(x)"),
        ('yield "a"', "yield 1"),
    ],
)
def test_arms_without_a_common_type_are_a_mistake(a: str, b: str) -> None:
    assert errors(either(a, b)) == ["E0501"]


def test_a_constant_has_the_dtype_of_the_other_arm() -> None:
    found = graph(either("yield 2", "yield v[0]")).node("p.y")
    assert isinstance(found, ir.Branch)
    assert found.arms[0].region.yields == (ir.Constant(2.0, found.results[0][1]),)


def test_sizes_that_differ_in_the_same_way_stay_equal() -> None:
    body = """
    boxes, scores, more = if flag {
      a = detect(v)
      yield a.boxes, a.scores, other(v).scores
    } else {
      b = other(v)
      yield b.boxes, b.scores, b.scores
    }
    _ = map (max = 100) box in boxes, s in scores { yield box[0] + s }
    """
    found = kinds(body)
    assert found["boxes"] == "f32[N of boxes, 4]"
    assert found["scores"] == "f32[N of boxes]"
    assert found["more"] == "f32[M of boxes]"
    assert errors(body.replace("s in scores", "s in more")) == ["E0303"]


def test_a_joined_size_has_the_larger_bound_of_its_arms() -> None:
    body = either("yield detect(v).boxes", "yield other(v).boxes") + "\n_ = map (max = {}) b in y { yield b }"
    assert errors(body.replace("{}", "100")) == []
    assert errors(body.replace("{}", "99")) == ["E0307"]


def test_without_else_the_results_are_optional() -> None:
    assert kinds("y, z = if flag { yield v, n }") == {"y": "f32[4]?", "z": "i64?"}


def test_a_chain_of_conditions_gives_one_result() -> None:
    body = "y = if flag { yield 1 } else if n > 3 { yield n } else { yield 3 }"
    nodes = {node.id: node for node in ir.walk(graph(body).nodes)}
    assert kinds(body)["y"] == "i64"
    assert kinds("y = if flag { yield 1 } else if n > 3 { yield n }")["y"] == "i64?"
    assert isinstance(nodes["p.y.else"], ir.Branch)
    assert nodes["p.y.else"].subject == ir.Ref("p.y.else.if", "value")


def test_match_needs_no_else_where_both_values_of_a_bool_are_listed() -> None:
    assert kinds("y = match flag {\n case true { yield 1 }\n case false { yield 2 }\n}") == {"y": "i64"}


def test_values_of_a_match_have_the_dtype_of_its_subject() -> None:
    text = f"""{HEAD}
const A = "a"
pipeline p(k: string, m: u8) -> () {{
  y = match k {{
    case A, "b" {{ yield 1 }}
    else {{ yield 2 }}
  }}
  z = match m {{
    case 1, 2 {{ yield 1 }}
    else {{ yield 2 }}
  }}
}}"""
    branches = [n for n in good(text).pipelines["p"].nodes if isinstance(n, ir.Branch)]
    assert [arm.values for b in branches for arm in b.arms] == [("a", "b"), None, (1, 2), None]


def test_a_call_that_is_yielded_alone_yields_all_of_its_outputs() -> None:
    assert kinds("a, b = if flag { yield label(v) } else { yield k, n }") == {"a": "string", "b": "i64"}


def test_values_go_to_the_names_they_are_given() -> None:
    assert kinds("a, b = if flag { yield b = n, a = k } else { yield k, n }") == {"a": "string", "b": "i64"}


# ---- map


@pytest.mark.parametrize(
    ("source", "item", "yields", "expected"),
    [
        ("x", "f32[4]", "f(i)", "f32[B, 4]"),
        ("rows", "f32[4]", "f(i)", "f32[*, 4]"),
        ("words", "string", "len(i)", "i64[W]"),
        ('["a", "b"]', "string", "i", "string[2]"),
        ("spell(x)", "f32[L of an item]", "i", "f32[B, ~L of spell]"),
        ("spell(x)", "f32[L of an item]", "twice(i)", "f32[B, ~L of spell]"),
        ("x", "f32[4]", "spell(i)", "f32[B, ~L of spell]"),
        ("x", "f32[4]", "detect(i).scores", "f32[B, ~N of detect]"),
        ("x", "f32[4]", "x", "f32[B, B, 4]"),
        ("x", "f32[4]", "words", "string[B, W]"),
        ("x[0:2]", "f32[4]", "i", "f32[?, 4]"),
    ],
)
def test_items_and_results_of_a_map(source: str, item: str, yields: str, expected: str) -> None:
    found = graph(f"y = map i in {source} {{ yield {yields} }}").node("p.y")
    assert isinstance(found, ir.Map)
    assert shown(found.body.given[0].type) == item
    assert shown(found.results[0][1]) == expected


def test_ragged_items_of_one_call_have_one_size_and_of_two_have_not() -> None:
    body = "r = spell(x)\ny = map a in r, b in twice(r) { yield pair(a, b) }"
    assert kinds(body) == {"y": "f32[B, 4]"}
    assert errors("y = map a in spell(x), b in spell(x) { yield pair(a, b) }") == ["E0303"]
    assert errors("r = spell(x)\ny = map a in r { z = map b in r { yield pair(a, b) }\nyield z }") == ["E0303"]


def test_maps_in_maps_give_back_each_size() -> None:
    body = "y = map (max = 9) a in x { z = map b in x { yield a[0] + b[0] }\n yield z }"
    assert kinds(body)["y"] == "f32[B, B]"
    assert errors("y = map (max = 9) a in x { z = map b in detect(a) { yield 1 }\n yield z }") == ["E0406"]
    assert kinds("y = map a in x { z = map b in detect(a).boxes { yield f(b) }\n yield z }")["y"] == (
        "f32[B, ~N of detect, 4]"
    )
    nested = "y = map a in x { z = map b in detect(a).boxes { yield spell(b) }\n yield z }"
    assert errors(nested) == ["E0312"]


def test_a_decision_in_a_map_gives_items_sizes_of_their_own() -> None:
    decision = "z = if i[0] > 0.0 { yield a.scores } else { yield b.scores }"
    body = f"a = detect(v)\nb = other(v)\ny = map i in x {{ {decision}\nyield z }}"
    assert kinds(body)["y"] == "f32[B, ~N of z]"


def test_marked_items_bring_one_more_result() -> None:
    found = graph("y, good = map (on_error = mark) i in x { yield f(i) }").node("p.y")
    assert isinstance(found, ir.Map)
    assert [(port, str(kind)) for port, kind in found.results] == [("y", "f32[B, 4]"), ("good", "bool[B]")]
    assert len(found.body.yields) == 1


def test_dropped_items_leave_a_size_of_their_own() -> None:
    body = "y, z = map (on_error = drop) i in x { yield f(i), i[0] }\n_ = map a in y, b in z { yield a }"
    assert kinds(body) | {"_1": ""} == {"y": "f32[B of y, 4]", "z": "f32[B of y]", "_1": ""}
    assert errors(body.replace("b in z", "b in x")) == ["E0303"]


def test_options_of_a_map() -> None:
    text = "y = map (max = 2 * 50, order = any, on_error = fail, in_flight = 8) i in detect(v).boxes { yield i }"
    found = graph(text).node("p.y")
    assert isinstance(found, ir.Map)
    assert (found.maximum, found.order, found.on_error, found.in_flight) == (100, "any", "fail", 8)


# ---- narrowing


@pytest.mark.parametrize(
    "condition",
    ["present(w)", "flag and present(w)", "present(w) and n > 3", "not not present(w)", "not (not present(w) or flag)"],
)
def test_in_its_arm_an_optional_value_is_there(condition: str) -> None:
    assert kinds(f"y = if {condition} {{ yield f(w) }} else {{ yield v }}") == {"y": "f32[4]"}


@pytest.mark.parametrize("condition", ["not present(w)", "flag or not present(w)", "not (present(w) and flag)"])
def test_or_in_the_other_one(condition: str) -> None:
    if "and flag" in condition:
        assert errors(f"y = if {condition} {{ yield v }} else {{ yield f(w) }}") == []
    assert kinds(f"y = if {condition} {{ yield v }} else {{ yield f(w) }}") == {"y": "f32[4]"}


@pytest.mark.parametrize("condition", ["flag or present(w)", "not present(w)", "flag", "present(w) == flag"])
def test_where_nothing_is_said_it_may_be_absent(condition: str) -> None:
    assert errors(f"y = if {condition} {{ yield f(w) }} else {{ yield v }}") == ["E0309"]


def test_outputs_of_a_call_are_narrowed_one_by_one() -> None:
    assert kinds("r = perhaps(v)\ny = if present(r.w) { yield r.w } else { yield v }")["y"] == "f32[4]"


def test_narrowing_holds_in_constructs_inside_and_ends_with_the_arm() -> None:
    body = "y = if present(w) { z = map i in x { yield f(w)[0] + i[0] }\n yield z[0] } else { yield 0.0 }"
    assert kinds(body)["y"] == "f32"
    assert errors(body + "\nq = f(w)") == ["E0309"]


# ---- names and ids


def test_ids_of_names_that_stand_in_one_place_and_in_several() -> None:
    body = """
    y = if flag {
      a = f(v)
      b = f(a)
      yield b
    } else {
      c = f(v)
      b = f(c)
      z = match n {
        case 1 { b2 = f(b)
          yield b2 }
        else { c2 = f(b)
          yield c2 }
      }
      yield z
    }
    _ = map b3 in x { c2 = f(b3)
      yield c2 }
    c2 = f(v)
    """
    assert {call.id for call in graph(body).calls} == {
        *("p.a", "p.y.then.b", "p.c", "p.y.else.b", "p.b2", "p.z.else.c2", "p.c2", "p.map_1.body.c2")
    }


def test_ids_are_unique_whatever_names_are_given() -> None:
    for seed in range(40):
        found = check_text(random_module(random.Random(seed)).text, OPTIONS)[0]
        assert found is not None
        for one in found.pipelines.values():
            assert len({node.id for node in ir.walk(one.nodes)}) == one.size


def test_an_arm_may_not_define_an_outer_name_again() -> None:
    assert errors("a = f(v)\ny = if flag { a = f(v)\n yield a } else { yield v }") == ["E0203"]
    assert errors("y = map x in x { yield x }") == ["E0203"]
    assert errors("y = if flag { a = f(v)\n yield a } else { a = f(v)\n yield a }\na = f(v)") == []


def test_a_construct_may_not_read_itself_or_what_is_defined_below() -> None:
    assert errors("y = if flag { yield y } else { yield v }") == ["E0201"]
    assert errors("y = if flag { yield z } else { yield v }\nz = f(v)") == ["E0201"]


def test_mistakes_in_one_arm_do_not_hide_those_of_another_or_below() -> None:
    body = """
    y = match n {
      case 1 { yield f(words) }
      case 2 { yield nobody(v) }
      else { yield f(missing) }
    }
    z = f(y)
    q = f(words)
    """
    assert errors(body) == ["E0302", "E0103", "E0103", "E0302"]


def test_what_only_arms_read_is_used() -> None:
    body = f"a = f(v)\n{either('yield a', 'yield f(v)')}\nreturn y"
    text = f"{HEAD}\npipeline p(v: f32[4], flag: bool) -> (y: f32[4]) {{\n{body}\n}}"
    program, sink = check_text("pipe 1\n" + text, OPTIONS)
    assert program is not None
    assert not [d.message for d in sink.sorted() if "variable" in d.message or "input" in d.message]


# ---- sub-pipelines


SUB = """
private pipeline sub(v: f32[4], w: f32[4]?, b: bool = false) -> (y: f32[4], many: f32[?]) {
  y = if present(w) and b {
    z = f(w)
    yield z
  } else {
    z = f(v)
    yield z
  }
  many = map i in detect(v).boxes { yield i[0] }
  return y, many
}

private pipeline each(rows: f32[*, 4]) -> (out: f32[*, 4], sums: f32[*]) {
  out, sums = map r in rows { yield f(r), r[0] }
  return out, sums
}
"""


def inlined(body: str, ports: str = PORTS) -> ir.Program:
    program = good(f"{HEAD}{SUB}\npipeline p({ports}) -> () {{\n{body}\n}}")
    assert problems(program.pipelines["p"], program.stages) == []
    return program


def test_a_pipeline_with_constructs_is_inlined_in_an_arm_and_in_a_map() -> None:
    body = (
        "y = if flag { s = sub(v, w, flag)\n yield s.y } else { yield v }\nz = map i in x { yield sub(i, b = true).y }"
    )
    found = inlined(body).pipelines["p"]
    assert {"p.s.y", "p.s.y.then.z", "p.s.y.else.z", "p.sub_1.y.then.z"} <= {node.id for node in ir.walk(found.nodes)}


def test_a_map_over_one_row_of_a_lifted_call_goes_over_a_list_of_it() -> None:
    found = inlined("o = each(v)\nall = each(x)").pipelines["p"]
    text = to_text(found)
    assert "o.r.row: f32[1, 4] = stack(v)" in text
    assert "o.out.out.row: f32[4] = index(o.out, 0: i64)" in text
    assert "all.out = map x" in text


def test_an_arm_that_is_never_taken_is_gone_after_the_passes() -> None:
    body = "s = sub(v, b = flag)\n_ = audit(s.y)"
    found = optimized(inlined(body), verify=True).pipelines["p"]
    assert [call.id for call in found.calls] == ["p.s.y.else.z", "p.audit_1"]


def test_a_param_is_a_switch() -> None:
    text = f"""{HEAD}
param LARGE: bool = true
pipeline p(v: f32[4]) -> (y: f32[4], z: f32[4]?) {{
  y = if LARGE {{ yield f(v) }} else {{ a = audit(v)
    yield v }}
  z = if not LARGE {{ yield f(v) }}
  return y, z
}}"""
    found = optimized(good(text), verify=True).pipelines["p"]
    assert [call.stage for call in found.calls] == ["f"]
    values = [node.value for node in found.nodes if isinstance(node, ir.Output)]
    assert isinstance(values[1], ir.Constant)
    assert values[1].value is None


@pytest.mark.parametrize("seed", range(60))
def test_random_modules_are_checked_and_hold_together(seed: int) -> None:
    program, sink = check_text(random_module(random.Random(seed)).text, OPTIONS)
    assert program is not None, sink.errors
    for one in program.pipelines.values():
        assert problems(one, program.stages) == []
    optimized(program, verify=True)
