"""Streams at compile time: types of what reads and makes them, nodes and steps, rules of whole graphs."""

from __future__ import annotations

import pytest

import pipeline_dsl.builder as pp
from pipeline_dsl import ir
from pipeline_dsl.builder import types as t
from pipeline_dsl.compile import compile_text, optimized
from pipeline_dsl.plan import AheadPolicy, CollectPlan, ContextPlan, Hardware, MapPlan, StreamOfPlan, TryPlan
from pipeline_dsl.verify import verify

from .checking import good, program_of

STAGES = """
stage write(prompt: string) -> (text: stream string, words: i64) using null()
stage frames(name: string, x: f32[K]) -> (frame: stream f32[S, 3], fixed: stream f32[K]) using null()
stage shout(text: stream string) -> (loud: stream string) using null()
stage score(x: string[*]) -> (y: f32[*]) using null()
"""


def graph(body: str, outputs: str, inputs: str = "prompt: string", more: str = "") -> ir.Graph:
    program = good(f"{STAGES}{more}pipeline p({inputs}) -> ({outputs}) {{\n{body}\n}}\n")
    for found in program.pipelines.values():
        verify(found, program.stages)
    return optimized(program, verify=True).pipelines["p"]


def types(found: ir.Graph, node: str) -> list[str]:
    return [str(kind) for _, kind in ir.results(found.node(node))]


# ---- types


def test_collect_puts_the_number_of_elements_in_front() -> None:
    found = graph("  a = collect(write(prompt).text)\n  return a", "a: string[N]")
    assert types(found, "p.a") == ["string[N of collect, line 8]"]


def test_sizes_that_each_element_has_of_its_own_become_ragged() -> None:
    body = "  f = frames(prompt, x)\n  a = collect(f.frame)\n  b = collect(f.fixed)\n  return a, b"
    found = graph(body, "a: f32[N, ~S, 3], b: f32[M, L]", "prompt: string, x: f32[L]")
    assert types(found, "p.a") == ["f32[N of collect, line 9, ~S of frames, line 8, 3]"]
    assert types(found, "p.b") == ["f32[N of collect, line 10, L]"]


@pytest.mark.parametrize(
    ("elements", "kind"),
    [("1, 2", "stream i64"), ("1, 2.5", "stream f64"), ("prompt", "stream string"), ('"a", prompt', "stream string")],
)
def test_stream_of_gives_its_elements_one_type(elements: str, kind: str) -> None:
    assert types(graph(f"  a = stream_of({elements})\n  return a", f"a: {kind}"), "p.a") == [kind]


def test_a_stream_of_nothing_takes_any_type() -> None:
    body = """
  a: stream f32[3] = stream_of()
  b = if yes {
    yield write(prompt).text
  } else {
    yield stream_of()
  }
  return a, b, c = stream_of(), d = shout(stream_of())
"""
    outputs = "a: stream f32[3], b: stream string, c: stream i64, d: stream string"
    found = graph(body, outputs, "prompt: string, yes: bool")
    made = [str(n.type) for n in ir.walk(found.nodes) if isinstance(n, ir.StreamOf)]
    assert sorted(made) == ["stream f32[3]", "stream i64", "stream string", "stream string"]


def test_what_a_request_brings() -> None:
    found = graph('  a = header("X-User")\n  return a, b = request_id()', "a: string?, b: string")
    header, request = found.node("p.a"), found.node("p.b")
    assert isinstance(header, ir.Context)
    assert (header.what, header.argument, str(header.type)) == ("header", "x-user", "string?")
    assert isinstance(request, ir.Context)
    assert (request.what, str(request.type)) == ("request_id", "string")


# ---- map, try


def test_map_over_a_stream() -> None:
    body = """
  w = write(prompt)
  a, ok = map (on_error = mark, in_flight = 4) x in w.text {
    yield score(x)
  }
  return a, ok
"""
    node = graph(body, "a: stream f32, ok: stream bool").node("p.a")
    assert isinstance(node, ir.Map)
    assert node.over_stream
    assert [str(g.type) for g in node.body.given] == ["string"]
    assert [str(kind) for _, kind in node.results] == ["stream f32", "stream bool"]


def test_a_try_may_wait_for_the_first_element() -> None:
    body = """
  a = try (first = 50ms) {
    yield write(prompt).text
  } fallback {
    yield stream_of("sorry")
  }
  return a
"""
    node = graph(body, "a: stream string").node("p.a")
    assert isinstance(node, ir.Try)
    assert node.first_ns == 50_000_000


def test_private_pipelines_take_streams_and_are_inlined() -> None:
    inner = """
private pipeline loud(text: stream string) -> (out: stream string, all: string[N]) {
  return out = shout(text), all = collect(text)
}
"""
    body = "  w = write(prompt)\n  r = loud(w.text)\n  return out = r.out, all = r.all"
    found = graph(body, "out: stream string, all: string[N]", more=inner)
    assert [n.id for n in found.nodes if isinstance(n, ir.Call)] == ["p.w", "p.r.out"]
    assert isinstance(found.node("p.r.all"), ir.Collect)


# ---- rules


@pytest.mark.parametrize(
    ("body", "outputs", "code"),
    [
        ("  return a = score(write(prompt).text)", "a: f32", "E0701"),
        ("  return a = shout(prompt)", "a: stream string", "E0702"),
        ("  return a = collect(prompt)", "a: string[N]", "E0702"),
        ("  return a = stream_of(write(prompt).text)", "a: stream string", "E0302"),
        ("  return a = stream_of(prompt, 1)", "a: stream string", "E0302"),
        ("  return a = collect(stream_of(stream_of(1)))", "a: i64[N]", "E0302"),
        ("  return a = request_id(1)", "a: string", "E0402"),
        ("  return a = header(prompt)", "a: string?", "E0109"),
        ("  return a = collect(x = write(prompt).text)", "a: string[N]", "E0401"),
        ('  a = write(prompt).text == "x"\n  return a', "a: bool", "E0408"),
    ],
)
def test_mistakes(body: str, outputs: str, code: str) -> None:
    program, codes = program_of(f"{STAGES}pipeline p(prompt: string) -> ({outputs}) {{\n{body}\n}}\n")
    errors = [c for c in codes if c.startswith("E")]
    assert program is None
    assert errors == [code]


# ---- plans


def test_steps() -> None:
    text = f"""pipe 1
{STAGES}
pipeline p(prompt: string) -> (a: stream f32, n: i64, all: string[N], id: string, user: string?, s: stream string) {{
  w = write(prompt)
  a = map x in w.text {{
    yield score(x)
  }}
  s = try (first = 1s) {{
    yield write(prompt).text
  }} fallback {{
    yield stream_of("no")
  }}
  return a, n = w.words, all = collect(w.text), id = request_id(), user = header("A"), s
}}
profile t {{
  write {{ ahead {{ max = 8, bytes = 2KiB }} }}
}}
"""
    from pipeline_dsl.check.options import Options

    plan = compile_text(text, Options(profile="t"), Hardware(cores=2))
    controls = {s.node: s.control for s in plan.pipelines["p"].every_step if s.control is not None}
    assert controls["p.all"] == CollectPlan()
    assert controls["p.id"] == ContextPlan("request_id")
    assert controls["p.user"] == ContextPlan("header", "a")
    found = controls["p.a"], controls["p.s"]
    assert isinstance(found[0], MapPlan)
    assert found[0].over_stream
    assert isinstance(found[1], TryPlan)
    assert found[1].first_ns == 10**9
    assert StreamOfPlan() in controls.values()
    assert {s.name: s.ahead for s in plan.stages} == {"write": AheadPolicy(8, 2048), "score": AheadPolicy()}


def test_programs_built_in_python_are_those_of_the_text() -> None:
    write = pp.stage("write", pp.sig(prompt=t.string).to(text=t.stream(t.string)), pp.null())

    @pp.pipeline(out=dict(text=t.stream(t.string), all=t.string["N"], none=t.stream(t.i64), who=t.string))
    def chat(p, prompt: t.string):  # type: ignore[no-untyped-def]  # as users write it
        p.text = write(prompt)
        return dict(text=p.text, all=pp.collect(p.text), none=pp.stream_of(), who=pp.request_id())

    built = pp.module(chat)
    text = built.to_text()
    assert "collect(text)" in text
    program = good(text.removeprefix("pipe 1\n"))
    kinds = [type(n).__name__ for n in program.pipelines["chat"].nodes]
    assert kinds == ["Input", "Call", "Collect", "StreamOf", "Context", "Output", "Output", "Output", "Output"]
