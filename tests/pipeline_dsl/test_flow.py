"""Pipeline bodies as graphs: ids, types, folding, inlining, and what is said only once."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings

from pipeline_dsl import check_module, check_text, ir, syntax
from pipeline_dsl.check import Options, TextLoader
from pipeline_dsl.diagnostics import Diagnostic
from pipeline_dsl.errors import codes, page
from pipeline_dsl.ir_text import to_text
from pipeline_dsl.verify import problems
from tests.goldens import GOLDEN, compare
from tests.strategies import modules

HEAD = """pipe 1
stage encode(text: string[*]) -> (ids: i64[*, ~L], mask: i64[*, ~L]) using python("m:encode")
stage pool(ids: i64[*, ~L], mask: i64[*, ~L]) -> (vec: f32[*, 4]) using python("m:pool")
stage score(vec: f32[*, 4], bias: f32[*] = 0.5) -> (s: f32[*], name: string[*]) using python("m:score")
stage detect(image: u8[H, W, 3]) -> (boxes: f32[N, 4], n: i64) where N <= 100 using python("m:detect")
stage note(n: i64, tag: string?, weight: f32 = 1.0) -> (ok: bool) using python("m:note") { effects = once }
"""


def check(body: str) -> tuple[ir.Program | None, list[Diagnostic]]:
    program, sink = check_text(HEAD + body, Options(environ={}))
    return program, sink.sorted()


def graph(body: str, name: str = "p") -> ir.Graph:
    program, said = check(body)
    assert program is not None, [f"{d.code} {d.message}" for d in said]
    found = program.pipelines[name]
    assert problems(found, program.stages) == []
    return found


def errors(body: str) -> list[str]:
    return [d.code for d in check(body)[1] if d.code.startswith("E")]


def calls(body: str) -> dict[str, ir.Call]:
    return {c.id: c for c in graph(body).calls}


# ---- ids


def test_a_node_is_called_like_its_first_target() -> None:
    found = calls("pipeline p(t: string[*]) -> (v: f32[*, 4]) {\n a, b = encode(t)\n return v = pool(a, b)\n}")
    assert list(found) == ["p.a", "p.v"]


def test_a_discarded_target_gives_no_name() -> None:
    body = """pipeline p(t: string[*], n: i64) -> (v: f32[*, 4]) {
  _, b = encode(t)
  _ = note(n)
  a, _ = encode(t)
  return v = one(encode(t).ids)
}"""
    one = 'stage one(ids: i64[*, ~L]) -> (vec: f32[*, 4]) using python("m:one")\n'
    ids = [c.id for c in graph(one + body).calls]
    assert ids == ["p.b", "p.note_1", "p.a", "p.encode_1", "p.v"]


def test_numbered_names_avoid_variables() -> None:
    body = """pipeline p(v: f32[*, 4], score_1: f32[*]) -> (w: f32[*], n: f32[*]) {
  return w = score(v, score(v, score(v).s).s).s, n = score_1
}"""
    assert [c.id for c in graph(body).calls] == ["p.score_2", "p.score_3", "p.w"]


def test_a_returned_call_whose_output_is_a_variable_is_numbered() -> None:
    body = """pipeline p(t: string[*]) -> (v: f32[*, 4]) {
  v = encode(t)
  return v = pool(v.ids, v.mask)
}"""
    assert list(calls(body)) == ["p.v", "p.pool_1"]


def test_a_member_of_a_call_keeps_the_name_for_the_call() -> None:
    body = "pipeline p(v: f32[*, 4]) -> (s: f32[*]) {\n s = score(v).s\n return s\n}"
    assert list(calls(body)) == ["p.s"]


def test_an_alias_is_no_node() -> None:
    body = "pipeline p(v: f32[*, 4]) -> (s: f32[*]) {\n w = v\n a = score(w)\n b = a\n return s = b.s\n}"
    assert [n.id for n in graph(body).nodes] == ["p.v", "p.a", "p.return.s"]


# ---- types at the call


def test_rows_sizes_and_lifting() -> None:
    body = """pipeline p(one: string, many: string[K], rows: string[*]) -> (v: f32[4]) {
  a = encode(one)
  b = encode(many)
  c = encode(rows)
  _b = pool(b.ids, b.mask)
  _c = pool(c.ids, c.mask)
  return v = pool(a.ids, a.mask)
}"""
    found = calls(body)
    assert [found[f"p.{n}"].binding for n in "abc"] == ["lift", "rows", "rows"]
    assert [str(found[f"p.{n}"].results[0][1]) for n in "abc"] == [
        "i64[L of encode, line 8]",
        "i64[K, ~L of encode, line 9]",
        "i64[*, ~L of encode, line 10]",
    ]


def test_calls_on_one_line_have_sizes_of_their_own() -> None:
    body = """pipeline p(a: u8[2, 2, 3], b: u8[2, 2, 3]) -> (x: f32[M, 4], y: f32[K, 4]) {
  return x = detect(a).boxes, y = detect(b).boxes
}"""
    first, second = (c.results[0][1] for c in graph(body).calls)
    assert first != second


def test_an_annotation_names_a_size_for_the_rest_of_the_body() -> None:
    body = """pipeline p(a: u8[2, 2, 3], b: u8[2, 2, 3]) -> (x: f32[K, 4], y: f32[J, 4]) {
  first: f32[M, 4] = detect(a).boxes
  second: f32[M, 4] = detect(b).boxes
  return x = first, y = second
}"""
    assert errors(body) == ["E0303"]
    assert errors(body.replace("second: f32[M, 4]", "second: f32[O, 4]")) == []


def test_an_annotation_is_checked_and_not_trusted() -> None:
    body = "pipeline p(a: u8[2, 2, 3]) -> (b: f32[N, 4]) {\n b: f32[?, 4] = detect(a).boxes\n return b\n}"
    found = calls(body)["p.b"]
    assert str(found.results[0][1]) == "f32[N of detect, line 8, 4]"
    assert errors(body.replace("?, 4", "?, 5")) == ["E0301"]


def test_sizes_that_an_output_names_are_those_of_what_is_returned() -> None:
    body = "pipeline p(a: u8[2, 2, 3]) -> (x: f32[M, 4], y: f32[M, 4]) {\n x = detect(a).boxes\n return x, y = x\n}"
    assert errors(body) == []


# ---- arguments


def test_defaults_absent_ports_and_null() -> None:
    body = "pipeline p(n: i64) -> (a: bool, b: bool) {\n a = note(n)\n return a, b = note(n, tag = null)\n}"
    number = ir.Constant(1.0, graph(body).calls[0].args[2][1].type)  # type: ignore[union-attr]
    args = (("n", ir.Ref("p.n", "n")), ("tag", None), ("weight", number))
    assert [c.args for c in graph(body).calls] == [args, args]


def test_a_number_takes_the_dtype_of_its_port() -> None:
    body = (
        "pipeline p(v: f32[*, 4]) -> (s: f32[*], a: bool) {\n s = score(v, 2).s\n return s, a = note(3, weight = 1)\n}"
    )
    found = graph(body).calls
    assert [str(o.type) for c in found for _, o in c.args if isinstance(o, ir.Constant)] == ["f32", "i64", "f32"]
    assert errors(body.replace("note(3,", "note(3.5,")) == ["E0302"]


def test_a_list_is_rows() -> None:
    body = 'pipeline p(t: string) -> (v: f32[2, 4]) {\n e = encode([t, "b"])\n return v = pool(e.ids, e.mask)\n}'
    assert str(calls(body)["p.v"].results[0][1]) == "f32[2, 4]"


def test_options_of_a_call() -> None:
    body = "pipeline p(v: f32[*, 4]) -> (s: f32[*]) {\n return s = score(v).s\n}"
    timed = body.replace("score(v)", "score(v) with (timeout = 50ms, priority = 2)")
    found = graph(timed).calls[0]
    assert (found.timeout_ns, found.priority) == (50_000_000, 2)
    assert errors(body.replace("score(v)", "score(v) with (timeout = 5)")) == ["E0604"]
    assert errors(body.replace("score(v)", "score(v) with (priority = 0)")) == ["E0604"]
    assert errors(body.replace("score(v)", "score(v) with (prio = 1)")) == ["E0603"]


# ---- expressions


def test_known_values_are_folded_and_others_become_nodes() -> None:
    body = """const K = 3
pipeline p(a: f32, n: i64) -> (x: f32, y: i64, z: f32) {
  k = K * 2
  x = a * k + 1
  return x, y = n, z = 2.5
}"""
    nodes = graph(body).nodes
    assert [n.id for n in nodes if isinstance(n, ir.Compute)] == ["p.x"]
    text = to_text(graph(body))
    assert "x: f32 = `+`(`*`(a, 6.0: f32), 1.0: f32)" in text
    assert "return z = 2.5: f32" in text


def test_a_long_sum_is_cut_into_nodes() -> None:
    body = "pipeline p(a: f32) -> (x: f32) {\n return x = " + " + ".join(["a"] * 100) + "\n}"
    assert len([n for n in graph(body).nodes if isinstance(n, ir.Compute)]) == 2


# ---- sub-pipelines


SUB = """private pipeline embed(text: string[*], bias: f32[*] = 0.25, tag: string?, n: i64) -> (s: f32[*], ok: bool) {
  e = encode(text)
  v = pool(e.ids, e.mask)
  r = score(v, bias)
  return s = r.s, ok = note(n + 1, tag)
}
"""


def test_a_pipeline_is_inlined_with_the_types_of_the_call() -> None:
    body = (
        SUB
        + """pipeline p(one: string, many: string[M]) -> (a: f32, b: f32[M], ok: bool) {
  x = embed(one, n = 1)
  y = embed(many, 2.0, "t", 2)
  return a = x.s, b = y.s, ok = y.ok
}"""
    )
    compare(GOLDEN / "inlined.graph", to_text(graph(body)))


def test_an_unnamed_pipeline_call_has_numbered_ids() -> None:
    body = SUB + "pipeline p(t: string[*]) -> (s: f32[*]) {\n return s = embed(embed(t, n = 1).s, n = 2).s\n}"
    assert errors(body) == ["E0302"]
    nested = SUB + "pipeline p(t: string[*], b: bool) -> (b: bool) {\n _ = embed(t, n = 1)\n return b\n}"
    assert list(calls(nested)) == ["p.embed_1.e", "p.embed_1.v", "p.embed_1.r", "p.embed_1.ok"]


def test_mistakes_of_a_pipeline_are_told_once_however_often_it_is_called() -> None:
    broken = SUB.replace("score(v, bias)", "score(e)")
    body = broken + "pipeline p(t: string[*]) -> (s: f32[*]) {\n a = embed(t, n = 1)\n return s = embed(t, n = 2).s\n}"
    assert errors(body) == ["E0406"]


def test_a_call_of_a_broken_pipeline_is_still_checked() -> None:
    broken = SUB.replace("score(v, bias)", "score(e)")
    body = broken + "pipeline p(t: string[*]) -> (s: string[*]) {\n return s = embed(t, n = 1).s\n}"
    assert errors(body) == ["E0406", "E0302"]


def _calling_down(depth: int, last: str) -> str:
    """Pipelines that each call the next one, the outermost first."""
    body = "pipeline p{0}(t: string[*]) -> (e: i64[*, ~L]) {{\n return e = p{1}(t)\n}}\n"
    end = f"pipeline p{depth}(t: string[*]) -> (e: i64[*, ~L]) {{\n return e = {last}\n}}\n"
    return "".join(body.format(i, i + 1) for i in range(depth)) + end


def test_pipelines_may_call_each_other_as_deep_as_one_likes() -> None:
    found = graph(_calling_down(400, "encode(t).ids"), "p0")
    assert [c.id for c in found.calls] == ["p0" + ".e" * 401]


def test_a_long_way_round_is_recursion() -> None:
    assert errors(_calling_down(400, "p0(t)")) == ["E0207"]


def test_what_a_cycle_calls_besides_itself_is_done_before_its_bodies_are_checked() -> None:
    one = "pipeline {0}(t: string[*]) -> (e: i64[*, ~L]) {{\n x = {1}(t)\n return e = {2}(t)\n}}\n"
    plain = "pipeline leaf(t: string[*]) -> (e: i64[*, ~L]) {\n return e = encode(t).ids\n}\n"
    loops = one.format("a", "b", "leaf") + one.format("b", "a", "c") + one.format("c", "c", "leaf")
    said = errors(loops + plain)
    assert said.count("E0207") == 2
    assert set(said) == {"E0207"}


# ---- mistakes


def test_all_mistakes_of_a_body_are_told_in_one_run() -> None:
    body = """pipeline p(t: string[*], n: f32) -> (v: f32[*, 4]) {
  a = encode(n)
  b = pool(missing, a.mask)
  c = score(b, 1, 2)
  d = note(n = n)
  return v = c
}"""
    assert errors(body) == ["E0302", "E0103", "E0401", "E0302"]


def test_what_follows_from_a_mistake_stays_silent() -> None:
    body = """pipeline p(t: string[*]) -> (v: f32[*, 4], s: f32[*]) {
  a = encode(unknown)
  b: f32[*, 4] = pool(a.ids, a.mask)
  r = score(b + 1)
  return v = b, s = r.s
}"""
    assert errors(body) == ["E0103"]


def test_names_in_arms_count_as_used() -> None:
    body = """pipeline p(t: string[*], c: bool) -> (s: f32[*]) {
  e = encode(t)
  s = if c {
    yield score(pool(e.ids, e.mask)).s
  } else {
    f = encode(t)
    yield score(pool(f.ids, f.mask)).s
  }
  return s
}"""
    said = [d.message for d in check(body)[1]]
    assert not [m for m in said if "pool" in m or "score" in m or "encode" in m]


def test_unused_variables_are_told_unless_they_begin_with_an_underscore() -> None:
    body = """pipeline p(t: string[*], extra: i64) -> (v: f32[*, 4]) {
  ids, mask = encode(t)
  unused = encode(t)
  _meant = encode(t)
  return v = pool(ids, mask)
}"""
    said = [d.message for d in check(body)[1] if d.code == "W0201"]
    assert [m for m in said if "stage" not in m] == [
        "input `extra` is never used",
        "variable `unused` is never used",
    ]


@pytest.mark.parametrize("code", [c for c in codes() if codes()[c].where in ("flow", "calls", "types", "control")])
def test_pages_show_the_mistake_and_a_way_out(code: str) -> None:
    wrong, right = (re.findall(r"```pipe\n(.*?)```", t, re.S)[0] for t in page(code).split("Right:"))
    assert code in {d.code for d in check_text(wrong, Options(environ={}))[1].sorted()}
    assert not check_text(right, Options(environ={}))[1].found


# ---- anything that can be spelled


@settings(max_examples=150, deadline=None)
@given(modules())
def test_every_module_gets_an_answer(module: syntax.Module) -> None:
    program, sink = check_module(module, Options(environ={}, loader=TextLoader({})))
    assert (program is None) == sink.has_errors
    for found in program.pipelines.values() if program else ():
        assert problems(found, program.stages if program else {}) == []


# ---- cost


@pytest.mark.timeout(30)  # a third of a second; what is quadratic takes longer
def test_two_thousand_calls_are_typed() -> None:
    lines = [f"  x{i + 1} = score(x{i}).s\n  x{i + 1}v = wide(x{i + 1})" for i in range(1000)]
    stage = 'stage wide(s: f32[*]) -> (vec: f32[*, 4]) using python("m:wide")\n'
    body = stage + "pipeline p(x0: f32[*, 4]) -> (v: f32[*, 4]) {\n" + "\n".join(lines)
    body = re.sub(r"score\(x(\d+)\)", lambda m: f"score(x{m[1]}{'v' if m[1] != '0' else ''})", body)
    body += "\n  return v = x1000v\n}"
    found = graph(body)
    assert len(found.calls) == 2000
