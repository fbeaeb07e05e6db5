"""Plans with regions: slots, arguments and captures, producers, levels, runs, runtimes, notes."""

from __future__ import annotations

import random

import pytest

from pipeline_dsl import planning
from pipeline_dsl.check import Options
from pipeline_dsl.compile import check_text, optimized
from pipeline_dsl.plan import (
    INGRESS,
    BranchPlan,
    Hardware,
    MapPlan,
    PipelinePlan,
    Plan,
    RegionPlan,
    RoutePlan,
    Slot,
    Step,
    TryPlan,
    regions,
)
from pipeline_dsl.plan_text import plan_text
from tests.control_programs import OPTIONS, random_module

from .checking import good
from .graphs import HOST

HEAD = """
stage f(x: f32[*, 4]) -> (y: f32[*, 4]) using onnx("f.onnx")
stage g(x: f32[*, 4]) -> (y: f32[*, 4]) using onnx("g.onnx")
stage once(x: f32[4]) -> (y: f32[4]) using python("m:once")
"""
PORTS = "v: f32[4], x: f32[B, 4], z: f32[B, 4], flag: bool, k: string"


def planned(body: str, outputs: str, profile: str = "", hardware: Hardware = HOST) -> Plan:
    text = f"{HEAD}\npipeline p({PORTS}) -> ({outputs}) where B <= 9 {{\n{body}\n}}\n{profile}"
    options = Options(profile="test" if profile else None, environ={})
    return planning.build(optimized(good(text, options), verify=True), hardware)


def steps(plan: Plan) -> dict[str, Step]:
    return {step.node.removeprefix("p."): step for step in plan.pipelines["p"].every_step}


BRANCH = """
a = f(v)
b = g(v)
y, q = if flag {
  c = f(a)
  yield c, b
} else {
  d = g(a)
  e = f(d)
  yield e, v
}
return y, q
"""


def branch() -> dict[str, Step]:
    return steps(planned(BRANCH, "y: f32[4], q: f32[4]"))


def test_steps_are_numbered_a_construct_before_what_is_in_it() -> None:
    found = branch()
    assert [step.index for step in found.values()] == list(range(6))
    assert list(found) == ["a", "b", "y", "c", "d", "e"]


def test_a_construct_reads_its_subject_and_what_its_regions_capture() -> None:
    found = branch()
    y, a, b = found["y"], found["a"], found["b"]
    flag, v = 3, 0
    assert y.args == (Slot(flag), Slot(a.outputs[0]), Slot(b.outputs[0]), Slot(v))
    assert y.producers == (INGRESS, 0, 1)
    assert (a.consumers, b.consumers) == ((2,), (2,))
    assert isinstance(y.control, BranchPlan)
    then, otherwise = (arm.region for arm in y.control.arms)
    assert then.captured == (a.outputs[0], b.outputs[0])
    assert otherwise.captured == (a.outputs[0], v)
    assert then.yields == (Slot(found["c"].outputs[0]), Slot(b.outputs[0]))
    assert [arm.values for arm in y.control.arms] == [(True,), None]


def test_levels_and_producers_count_within_a_region() -> None:
    found = branch()
    assert [found[n].level for n in ("a", "b", "y", "c", "d", "e")] == [1, 1, 2, 1, 1, 2]
    assert (found["c"].producers, found["d"].producers, found["e"].producers) == ((INGRESS,), (INGRESS,), (4,))
    assert found["d"].consumers == (5,)


def test_runs_do_not_cross_the_border_of_a_construct() -> None:
    body = """
    a = once(v)
    s = a[0] + 1.0
    y = if s > 2.0 {
      b = s * 2.0
      c = b + 1.0
      yield c
    } else {
      yield s
    }
    t = y + 1.0
    return t
    """
    found = steps(planned(body, "t: f32"))
    assert found["a"].run == found["s"].run
    assert found["b"].run == found["c"].run
    assert len({found[n].run for n in ("a", "y", "b", "t")}) == 4


def test_every_slot_is_written_once() -> None:
    for seed in range(60):
        program, _ = check_text(random_module(random.Random(seed)).text, OPTIONS)
        assert program is not None
        pipeline = planning.build(optimized(program), HOST).pipelines["p"]
        made = [port.slot for port in pipeline.inputs]
        for step in pipeline.every_step:
            made += step.outputs
            made += [slot for region in regions(step.control) for slot in region.given]
        assert sorted(made) == list(range(pipeline.slots))
        assert [step.index for step in pipeline.every_step] == list(range(len(list(pipeline.every_step))))


@pytest.mark.parametrize("seed", range(60))
def test_a_region_reads_what_it_is_given_captures_and_makes(seed: int) -> None:
    program, _ = check_text(random_module(random.Random(seed)).text, OPTIONS)
    assert program is not None
    pipeline = planning.build(optimized(program), HOST).pipelines["p"]
    _hold(pipeline.steps, {port.slot for port in pipeline.inputs})
    assert plan_text(planning.build(optimized(program), HOST)).count("\n") > 5


def _hold(steps: tuple[Step, ...], there: set[int]) -> None:
    """Every slot that is read is there, and producers and levels say who made it."""
    made: dict[int, Step] = {}
    for step in steps:
        read = {source.index for source in step.args if isinstance(source, Slot)}
        assert read <= there | made.keys()
        assert step.producers == tuple(sorted({made[s].index if s in made else INGRESS for s in read}))
        assert step.level == 1 + max((made[s].level for s in read if s in made), default=0)
        for region in regions(step.control):
            _region(region, read)
        made.update((slot, step) for slot in step.outputs)
    for step in steps:
        assert step.consumers == tuple(other.index for other in steps if step.index in other.producers)


def _region(region: RegionPlan, read: set[int]) -> None:
    assert set(region.captured) <= read
    assert len(set(region.captured)) == len(region.captured)
    there = {*region.captured, *region.given}
    _hold(region.steps, there)
    yielded = {source.index for source in region.yields if isinstance(source, Slot)}
    assert yielded <= there | {slot for step in region.steps for slot in step.outputs}


def test_a_map_gives_its_items_slots() -> None:
    body = "y = map (max = 9, in_flight = 2) i in x, j in z, l in x { yield f(i)[0] + j[0] + l[0] }\nreturn y"
    found = steps(planned(body, "y: f32[B]"))["y"]
    assert isinstance(found.control, MapPlan)
    assert found.args == (Slot(1), Slot(2), Slot(1))
    assert (found.control.sources, found.control.maximum, found.control.in_flight) == (3, 9, 2)
    assert len(set(found.control.body.given)) == 3
    assert found.control.body.names == ("p.i", "p.j", "p.l")
    assert found.ports == ("y",)


def test_the_limits_of_a_try_and_the_shares_of_a_route() -> None:
    body = """
    y = try (timeout = 80ms, retries = 1, hedge = 20ms) { yield f(v) } fallback err { yield v }
    q = route by k {
      to a weight 1 { yield y }
      to b weight 3 { yield g(y) }
      shadow c sample 5% { yield f(y) }
    }
    return q
    """
    found = steps(planned(body, "q: f32[4]"))
    attempt, route = found["y"].control, found["q"].control
    assert isinstance(attempt, TryPlan)
    assert isinstance(route, RoutePlan)
    assert (attempt.timeout_ns, attempt.retries, attempt.hedge_ns) == (80_000_000, 1, 20_000_000)
    assert len(attempt.fallback.given) == 1
    assert [(arm.name, arm.share) for arm in (*route.arms, *route.shadows)] == [("a", 0.25), ("b", 0.75), ("c", 0.05)]
    assert route.keyed
    assert route.shadows[0].region.yields == ()


def test_calls_in_arms_share_their_stage_and_a_profile_reaches_one() -> None:
    profile = "profile test { p.y.else.c { instances = 2 }\n p.d { priority = 1, timeout = 5ms } }"
    body = """
    y = if flag { c = f(v)
      yield c } else { c = f(v)
      d = g(c)
      yield d }
    return y
    """
    plan = planned(body, "y: f32[4]", profile)
    assert [(stage.name, stage.instances) for stage in plan.stages] == [("f", 1), ("p.y.else.c", 2), ("g", 1)]
    found = steps(plan)
    assert (found["d"].priority, found["d"].timeout_ns) == (1, 5_000_000)


def test_arms_are_at_work_side_by_side() -> None:
    body = "y = if flag { yield f(v) } else { yield g(v) }\nreturn y"
    assert [stage.threads for stage in planned(body, "y: f32[4]", hardware=Hardware(cores=8)).stages] == [4, 4]
    body = "a = f(v)\ny = if flag { yield g(a) } else { yield a }\nreturn y"
    assert [stage.threads for stage in planned(body, "y: f32[4]", hardware=Hardware(cores=8)).stages] == [8, 8]


def notes(body: str, outputs: str) -> dict[str, str]:
    found = planned(body, outputs).notes
    return {note.place: note.text for note in found if note.kind == "control"}


def test_what_is_said_of_constructs() -> None:
    body = """
    y, ok = map (max = 9, on_error = mark, in_flight = 4) i in x {
      t = try (timeout = 1s, retries = 2) { yield f(i) } fallback { yield i }
      yield t
    }
    q = map (order = any) i in x { yield once(i) }
    r = map (on_error = drop) i in x { yield i[0] }
    s = route { to a weight 90% { yield v }
      to b weight 10% { yield f(v) }
      shadow c { yield g(v) } }
    return y, ok, q, r, s
    """
    assert notes(body, "y: f32[B, 4], ok: bool[B], q: f32[B, 4], r: f32[?], s: f32[4]") == {
        "p.y": "items of all requests share batches, at most 9 items, 4 of one request under way at a time, "
        "an item that fails is marked in `ok`",
        "p.t": "falls back on failure or after 1s, 2 retries",
        "p.q": "no stage of its body has `*`: each item is called by itself, results in any order, "
        "an item that fails ends its request",
        "p.r": "no stage is called for an item, an item that fails is left out",
        "p.s": "a 90%, b 10%, shadow c on 100%, at random for each request",
    }


def test_copies_are_told_inside_of_regions() -> None:
    profile = "profile test { g { device = cuda(0) } }"
    body = "a = g(x)\ny = map i in a { b = g(i)\n yield f(b) }\nreturn y"
    places = {note.place for note in planned(body, "y: f32[B, 4]", profile).notes if "goes from" in note.text}
    assert places == {"p.a", "p.f_1"}


def every_region(pipeline: PipelinePlan) -> list[RegionPlan]:
    return [region for step in pipeline.every_step for region in regions(step.control)]


def test_two_regions_have_runs_of_their_own() -> None:
    body = """
    y = if flag { a = v[0] + 1.0
      yield a } else { b = v[0] + 2.0
      yield b }
    return y
    """
    plan = planned(body, "y: f32")
    assert len({step.run for region in every_region(plan.pipelines["p"]) for step in region.steps}) == 2
