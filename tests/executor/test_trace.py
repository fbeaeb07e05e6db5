import json
from collections import Counter
from typing import Any

from executor.trace import BatchRecord, Recorder, RequestRecord, arrows, chrome
from pipeline_dsl.compile import compile_text
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.plan import Hardware, PipelinePlan, Plan, Slot, Step
from pipeline_dsl.planning import build
from pipeline_dsl.types import TensorType
from tests.pipeline_dsl.graphs import HOST, number, stage

from .nesting import Nest

SOURCES = {"p.b": ("p.a",), "p.c": ("p.a",), "p.d": ("p.b", "p.c")}
Events = list[dict[str, Any]]


def batch(node: str, start: int, end: int, *requests: str, instance: int = 0) -> BatchRecord:
    return BatchRecord(node, node[-1], instance, start, end, len(requests), requests)


def diamond() -> list[BatchRecord]:
    return [
        batch("p.a", 1000, 2000, "r1", "r2"),
        batch("p.b", 3000, 5000, "r1", "r2"),
        batch("p.c", 3000, 4000, "r1"),
        batch("p.c", 4000, 6000, "r2", instance=1),
        batch("p.d", 7000, 8000, "r1", "r2"),
    ]


def events(batches: list[BatchRecord], requests: tuple[RequestRecord, ...] = ()) -> Events:
    found: Events = json.loads(json.dumps(chrome(batches, list(requests), SOURCES)))["traceEvents"]
    return found


REQUESTS = (RequestRecord("r1", "p", 500, 9000), RequestRecord("r2", "p", 700, 9500, "REJECTED"))


def test_one_named_track_for_each_instance():
    trace = events(diamond())
    names = {e["tid"]: e["args"]["name"] for e in trace if e["name"] == "thread_name"}
    assert sorted(names.values()) == ["a #0", "b #0", "c #0", "c #1", "d #0"]
    slices = [e for e in trace if e["ph"] == "X"]
    assert {e["tid"] for e in slices} == names.keys()
    assert [e["name"] for e in slices if names[e["tid"]] == "c #1"] == ["p.c"]


def test_slices_are_microseconds_from_the_first_record():
    slices = [e for e in events(diamond(), REQUESTS) if e["ph"] == "X"]
    assert [(e["name"], e["ts"], e["dur"]) for e in slices] == [
        ("p.a", 0.5, 1.0),
        ("p.c", 2.5, 1.0),
        ("p.b", 2.5, 2.0),
        ("p.c", 3.5, 2.0),
        ("p.d", 6.5, 1.0),
    ]
    assert slices[0]["args"] == {"rows": 2, "requests": ["r1", "r2"]}


def test_arrows_follow_the_edges_of_each_request():
    trace = events(diamond())
    starts = {e["id"]: e for e in trace if e["ph"] == "s"}
    ends = {e["id"]: e for e in trace if e["ph"] == "f"}
    assert starts.keys() == ends.keys()
    assert len(starts) == len([e for e in trace if e["ph"] == "s"]), "an id is used once"
    crossed: Counter[tuple[str, str, str]] = Counter()
    for flow, start in starts.items():
        assert start["name"] == ends[flow]["name"]
        assert start["ts"] <= ends[flow]["ts"]
        crossed[start["name"], enclosing(trace, start), enclosing(trace, ends[flow])] += 1
    edges = [("p.a", "p.b"), ("p.a", "p.c"), ("p.b", "p.d"), ("p.c", "p.d")]
    assert crossed == Counter({(r, a, b): 1 for r in ("r1", "r2") for a, b in edges})


def enclosing(trace: Events, event: dict[str, Any]) -> str:
    found = {
        e["name"]
        for e in trace
        if e["ph"] == "X"
        and (e["pid"], e["tid"]) == (event["pid"], event["tid"])
        and e["ts"] <= event["ts"] <= e["ts"] + e["dur"]
    }
    assert len(found) == 1
    name: str = found.pop()
    return name


def test_requests_are_async_slices_in_pairs():
    trace = events(diamond(), REQUESTS)
    begins = {(e["cat"], e["id"]): e for e in trace if e["ph"] == "b"}
    ends = {(e["cat"], e["id"]): e for e in trace if e["ph"] == "e"}
    assert begins.keys() == ends.keys()
    assert [e["name"] for e in begins.values()] == ["r1", "r2"]
    assert [e["args"]["outcome"] for e in begins.values()] == ["success", "REJECTED"]
    assert begins["p", 1]["ts"] == 0.0
    assert ends["p", 2]["ts"] == 9.0


def test_only_known_phases_and_times_never_negative():
    trace = events(diamond()[::-1], REQUESTS)
    assert {e["ph"] for e in trace} == {"M", "X", "s", "f", "b", "e"}
    assert all(e.get("ts", 0) >= 0 and e.get("dur", 0) >= 0 for e in trace)


def test_nothing_recorded_is_a_valid_trace():
    assert [e["ph"] for e in events([])] == ["M"] * 4


def test_the_recorder_keeps_the_last():
    recorder = Recorder(limit=2)
    for record in diamond():
        recorder.batches.append(record)
    trace = recorder.chrome(Plan((), {}, Hardware()))
    assert [e["name"] for e in trace["traceEvents"] if e["ph"] == "X"] == ["p.c", "p.d"]


def test_arrows_pass_through_scalar_expressions():
    def step(index: int, node: str, stage: int, *producers: int) -> Step:
        return Step(
            index=index,
            node=node,
            stage=stage,
            binding="each",
            args=tuple(Slot(p) for p in producers if p >= 0),
            outputs=(index,),
            types=(TensorType(DTYPES["f32"]),),
            producers=producers,
            consumers=(),
            level=index,
            run=index,
            expression=None if stage >= 0 else Slot(0),
        )

    steps = (step(0, "p.a", 0, -1), step(1, "p.x", -1, -1, 0), step(2, "p.y", -1, 0, 1), step(3, "p.b", 1, 1, 2))
    plan = Plan((), {"p": PipelinePlan("p", (), (), steps, 4)}, Hardware())
    assert arrows(plan) == {"p.a": (), "p.b": ("p.a",)}


def test_arrows_pass_through_constructs():
    """What an arm's calls wait for, and what is behind the construct, by the calls inside."""
    plan = compile_text(
        """pipe 1
stage look(x: f32[*]) -> (p: f32[*]) using null()
stage big(x: f32[*]) -> (y: f32[*]) using null()
stage last(y: f32[*]) -> (z: f32[*]) using null()
pipeline p(xs: f32[N]) -> (z: f32[N]) where N <= 9 {
  ys = map x in xs {
    s = look(x)
    y = if s > 0.5 {
      b = big(x)
      yield b
    } else {
      yield s
    }
    yield y
  }
  return z = last(ys)
}
"""
    )
    assert arrows(plan) == {"p.s": (), "p.b": ("p.s",), "p.z": ("p.b", "p.s")}


def test_arrows_pass_into_regions_and_out_again():
    made = Nest()
    x = made.input("x", "f32[N, 4]")
    rows = {"x": "f32[*, 4]"}, {"y": "f32[*, 4]"}
    a, b, c = (stage(name, *rows) for name in "abc")
    before = made.call("a", a, x)

    def body(item):
        arms = {True: lambda: [made.call("b", b, item, binding="lift")], None: lambda: [item]}
        return made.branch("pick", number(True, "bool"), arms, {"y": "f32[4]"})

    (y,) = made.map("m", {"i": (before, "f32[4]")}, body, {"y": "f32[N, 4]"})
    made.output("out", made.call("c", c, y), "f32[N, 4]")
    found = arrows(build(made.program(), HOST))
    assert found == {"p.a": (), "p.b": ("p.a",), "p.c": ("p.b", "p.a")}
