"""Streams in plans: regions, what runs on the host, measured times, copies."""

from __future__ import annotations

from pipeline_dsl.check import Options
from pipeline_dsl.compile import compile_text
from pipeline_dsl.plan import OUTPUT, Hardware, PipelinePlan, Plan, Step, regions
from pipeline_dsl.planning.streams import with_streams

HEAD = """pipe 1
stage f(x: f32[*, 4]) -> (y: f32[*, 4]) using onnx("f.onnx")
stage g(x: f32[*, 4], z: f32[*, 4]) -> (y: f32[*, 4]) using onnx("g.onnx")
stage name(x: f32[*, 4]) -> (said: string[*]) using python("m:name")
stage read(said: string[*]) -> (y: f32[*, 4]) using onnx("r.onnx")
"""


def planned(body: str, profile: str = "", output: str = "y: f32[B, 4]") -> Plan:
    text = f"{HEAD}pipeline p(x: f32[B, 4], flag: bool) -> ({output}) {{\n{body}\n}}\n{profile}"
    options = Options(profile="t" if profile else None, environ={}, device="" if profile else "sim")
    return compile_text(text, options, Hardware(2))


def steps(pipeline: PipelinePlan) -> dict[str, Step]:
    return {step.node.removeprefix("p."): step for step in pipeline.every_step}


def test_the_arms_of_a_construct_have_streams_of_their_own() -> None:
    body = "a = f(x)\ny = if flag {\n b = f(a)\n c = f(a)\n yield g(b, c)\n} else { yield f(a) }\nreturn y"
    pipeline = planned(body).pipelines["p"]
    found = steps(pipeline)
    then, otherwise = regions(found["y"].control)
    assert found["y"].stream == -1
    assert [(d.device, d.streams, d.edges) for d in pipeline.device_streams] == [("sim:0", 1, 0)]
    assert [(d.streams, d.waits, d.edges) for d in then.device_streams] == [(2, 1, 2)]
    assert [(d.streams, d.waits, d.edges) for d in otherwise.device_streams] == [(1, 0, 0)]
    assert [step.waits for step in then.steps][-1] == (found["c"].index,)
    assert found["c"].signals


def test_a_plan_for_the_host_has_none() -> None:
    pipeline = planned("return y = f(f(x))", "profile t { f { instances = 1 } }").pipelines["p"]
    assert (pipeline.device_streams, pipeline.transfers) == ((), ())
    assert {step.stream for step in pipeline.steps} == {-1}


def test_a_stage_in_processes_of_its_own_is_on_none_of_our_streams() -> None:
    profile = "profile t { * { device = sim }, g { isolate = process } }"
    found = steps(planned("a = f(x)\nreturn y = g(a, a)", profile).pipelines["p"])
    assert (found["a"].stream, found["y"].stream) == (0, -1)


def test_measured_times_change_the_streams() -> None:
    plan = planned("a = f(x)\nb = f(a)\nc = f(a)\nreturn y = g(b, c)")
    pipeline = plan.pipelines["p"]
    at = {name: step.index for name, step in steps(pipeline).items()}
    assert pipeline.device_streams[0].streams == 2
    short = with_streams(pipeline, plan.stages, {at["c"]: 1e-6, at["a"]: 1e-3, at["b"]: 1e-3, at["y"]: 1e-3})
    assert [(d.streams, d.events, d.waits) for d in short.device_streams] == [(1, 0, 0)]
    assert not any(step.waits or step.signals for step in short.steps)
    assert with_streams(short, plan.stages) == pipeline


def test_copies_are_of_what_a_device_can_hold() -> None:
    """Text stays on the host, wherever it is made and read; `x` goes to the device, and `y` comes back."""
    pipeline = planned("said = name(x)\nreturn y = read(said)").pipelines["p"]
    found = steps(pipeline)
    x, y = pipeline.inputs[0].slot, found["y"].outputs[0]
    assert [(t.slot, t.reader, t.source, t.target) for t in pipeline.transfers] == [
        (x, found["said"].index, "cpu", "sim:0"),
        (y, OUTPUT, "sim:0", "cpu"),
    ]
