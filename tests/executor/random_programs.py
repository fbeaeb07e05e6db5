"""Random programs and settings for the executor, from a seed.

Values have a kind, the keys of `TYPES`. Each stage in `CALLS` takes and gives such kinds, so that every program is well
typed. One or two pipelines share stages; stages differ in instances, batching, queues, effects and threads.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline_dsl import ir
from pipeline_dsl.ir import Apply, Contract, RaggedRule, Ref
from tests.pipeline_dsl.graphs import Build, number, signature

from .functions import POISON, ROW_POISON

TYPES = {
    "rows": "f32[B, 4]",
    "rows?": "f32[B, 4]?",
    "vector": "f32[4]",
    "vector?": "f32[4]?",
    "single": "f32",
    "ragged": "f32[B, ~L]",
    "twins": "f32[B, ~L]",
    "text": "string[B]",
    "strip": "f32[S]",
}


@dataclass(frozen=True)
class Kind:
    """How a function looks as a stage, and what it takes and gives. `twins`: two ragged values of equal lengths."""

    inputs: dict[str, str]
    outputs: dict[str, str]
    takes: tuple[str, ...]
    gives: str
    binding: ir.Binding
    ragged: tuple[RaggedRule, ...] = ()


ROWS = "f32[*, 4]"
PAD = RaggedRule("L", "pad", 7, buckets=(2, 4), mask="mask")
ZEROS = RaggedRule("L", "pad", 0)
PACK = RaggedRule("L", "pack", offsets="ends")
CALLS: dict[str, Kind] = {
    "scale": Kind({"x": ROWS}, {"y": ROWS}, ("rows",), "rows", "rows"),
    "add": Kind({"a": ROWS, "b": ROWS}, {"y": ROWS}, ("rows", "rows"), "rows", "rows"),
    "lean": Kind({"x": ROWS, "w": ROWS + "?"}, {"y": ROWS}, ("rows", "rows?"), "rows", "rows"),
    "plus": Kind({"x": ROWS, "k": "f32[*]"}, {"y": ROWS}, ("rows", "constant"), "rows", "rows"),
    "move": Kind({"x": ROWS, "v": "f32[4]"}, {"y": ROWS}, ("rows", "vector"), "rows", "rows"),
    "tag": Kind({"x": ROWS}, {"t": "string[*]"}, ("rows",), "text", "rows"),
    "size": Kind({"t": "string[*]"}, {"y": ROWS}, ("text",), "rows", "rows"),
    "total": Kind({"x": "f32[N, 4]"}, {"v": "f32[4]"}, ("rows",), "vector", "each"),
    "first": Kind({"v": "f32[4]"}, {"s": "f32"}, ("vector",), "single", "each"),
    "perhaps": Kind({"v": "f32[4]"}, {"w": "f32[4]?"}, ("vector",), "vector?", "each"),
    "shift": Kind({"v": ROWS}, {"w": ROWS}, ("vector",), "vector", "lift"),
    "either": Kind({"v": ROWS, "w": ROWS + "?"}, {"y": ROWS}, ("vector", "vector?"), "vector", "lift"),
    "weigh": Kind({"v": ROWS, "s": "f32[*]"}, {"w": ROWS}, ("vector", "single"), "vector", "lift"),
    "spell": Kind({"x": ROWS}, {"r": "f32[*, ~L]"}, ("rows",), "ragged", "rows"),
    "twice": Kind({"r": "f32[*, ~L]"}, {"s": "f32[*, ~L]"}, ("ragged",), "twins", "rows"),
    "pair": Kind({"a": "f32[*, ~L]", "b": "f32[*, ~L]"}, {"y": ROWS}, ("twins", "twins"), "rows", "rows", (ZEROS,)),
    "count": Kind({"r": "f32[*, ~L]", "mask": "bool[*, ~L]"}, {"y": ROWS}, ("ragged",), "rows", "rows", (PAD,)),
    "join": Kind({"r": "f32[*, ~L]", "ends": "i64[?]"}, {"s": "f32[*, ~L]"}, ("ragged",), "ragged", "rows", (PACK,)),
    "stretch": Kind({"v": ROWS}, {"r": "f32[*, ~L]"}, ("vector",), "strip", "lift"),
    "height": Kind({"r": "f32[*, ~L]"}, {"s": "f32[*]"}, ("strip",), "single", "lift"),
}


@dataclass
class RandomProgram:
    program: ir.Program
    functions: dict[str, str] = field(default_factory=dict)
    """Stage name -> function name."""

    @property
    def once(self) -> set[str]:
        """Stages that run whoever reads them, and never twice."""
        return {n for n, s in self.program.stages.items() if s.contract.effects == "once"}

    @property
    def sites(self) -> Counter[tuple[str, str]]:
        """Calls of each (stage, pipeline)."""
        calls = (
            (n.stage, name) for name, g in self.program.pipelines.items() for n in g.nodes if isinstance(n, ir.Call)
        )
        return Counter(calls)

    @property
    def may_refuse(self) -> bool:
        """Some queue or door is so short that requests may be refused, or their time run out."""
        return bool(self.program.schedule.stages) and any(
            "queue.max" in keys or "queue.timeout" in keys
            for part in (self.program.schedule.stages, self.program.schedule.pipelines)
            for keys in part.values()
        )


def random_program(rng: random.Random) -> RandomProgram:
    """One or two DAGs of 1 to 10 calls and compute steps over every kind, with random settings for each stage."""
    made = RandomProgram(None)  # type: ignore[arg-type]  # it follows
    stages: dict[str, ir.Stage] = {}
    builds = [_pipeline(name, stages, made.functions, rng) for name in ("p", "q")[: rng.choice([1, 1, 2])]]
    settings = {name: _settings(stages[name], rng) for name in made.functions}
    made.program = builds[0].program(*builds[1:], stages=settings, pipelines={b.name: _door(rng) for b in builds})
    return made


def _pipeline(name: str, stages: dict[str, ir.Stage], functions: dict[str, str], rng: random.Random) -> Build:
    build = Build(name)
    values: dict[str, list[Any]] = {kind: [] for kind in TYPES}
    values["rows"] = [build.input("x"), build.input("z")]
    values["rows?"] = [build.input("w", "f32[B, 4]?"), None]
    values["vector?"] = [None]
    values["constant"] = [number(float(n)) for n in (1, 2)]
    for i in range(rng.randint(1, 10)):
        if values["single"] and rng.random() < 0.2:
            step = Apply(rng.choice("+*"), (rng.choice(values["single"]), number(float(rng.randint(1, 3)))))
            values["single"].append(build.alias(f"c{i}", step))
        else:
            _call(build, f"n{i}", values, stages, functions, rng)
    _outputs(build, values, rng)
    return build


def _call(
    build: Build,
    node: str,
    values: dict[str, list[Any]],
    stages: dict[str, ir.Stage],
    functions: dict[str, str],
    rng: random.Random,
) -> None:
    name = rng.choice([n for n, k in CALLS.items() if all(values[t] for t in k.takes)])
    kind = CALLS[name]
    shared = [s for s, f in functions.items() if f == name]
    if shared and rng.random() < 0.4:
        stage = stages[rng.choice(shared)]
    else:
        stage = _stage(f"s{len(stages)}_{name}", name, kind, rng)
    stages[stage.name] = stage
    functions[stage.name] = name
    args = (
        list(rng.choice(values["twins"])) if kind.takes[0] == "twins" else [rng.choice(values[t]) for t in kind.takes]
    )
    timeout = rng.choice([200_000, 20_000_000_000]) if rng.random() < 0.1 else None
    made = build.call(node, stage, *args, binding=kind.binding, timeout_ns=timeout)
    if kind.gives == "twins":
        values["ragged"].append(made)
        values["twins"].append((args[0], made))
    else:
        values[kind.gives].append(made)


def _stage(id: str, name: str, kind: Kind, rng: random.Random) -> ir.Stage:
    effects: Any = rng.choice(["none", "repeatable", "repeatable", "repeatable", "once"])
    arguments: dict[str, Any] = {"function": name}
    if kind.takes[0] == "rows" and kind.binding == "rows":
        arguments["fails"] = "rows"
    if rng.random() < 0.15:
        arguments["affine"] = True
    types = signature(kind.inputs, kind.outputs)
    return ir.Stage(id, types, "function", arguments, Contract(effects=effects, ragged=kind.ragged), ".")


def _outputs(build: Build, values: dict[str, list[Any]], rng: random.Random) -> None:
    skipped = ("constant", "twins")
    candidates = [(k, ref) for k, refs in values.items() if k not in skipped for ref in refs if isinstance(ref, Ref)]
    for i, (kind, ref) in enumerate(rng.sample(candidates, min(len(candidates), rng.randint(1, 4)))):
        build.output(f"out{i}", ref, TYPES[kind])
    if rng.random() < 0.1:
        build.output("constant", number(3.0), "f32")


def _settings(stage: ir.Stage, rng: random.Random) -> dict[str, Any]:
    settings: dict[str, Any] = {"instances": rng.choice([1, 1, 2, 3])}
    if rng.random() < 0.7:
        settings["batching.max"] = rng.choice([1, 2, 5, 16])
    if rng.random() < 0.4:
        settings["batching.delay"] = rng.choice([100_000, 500_000, "auto"])
    if rng.random() < 0.2:
        settings["batching.preferred"] = rng.choice([[2], [3, 4]]) if settings.get("batching.max", 16) >= 4 else [1]
    if rng.random() < 0.2:
        settings["queue.levels"] = 2
    if rng.random() < 0.1:
        settings["queue.max"] = rng.choice([1, 4, 8])
    if rng.random() < 0.1:
        settings["queue.timeout"] = rng.choice([100_000, 10_000_000_000])
        settings["queue.on_timeout"] = rng.choice(["reject", "delay"])
        settings["queue.override"] = rng.choice([True, False])
    return settings


def _door(rng: random.Random) -> dict[str, Any]:
    door: dict[str, Any] = {"max_inflight": rng.choice([2, 8, 64])} if rng.random() < 0.5 else {}
    if rng.random() < 0.1:
        door["queue.max"] = rng.choice([1, 4])
    if rng.random() < 0.1:
        door["queue.timeout"] = rng.choice([200_000, 10_000_000_000])
    return door


def random_inputs(rng: random.Random, index: int) -> dict[str, Any]:
    """One request: up to 4 rows that no other request has, one in ten poisoned; `w` for every second."""
    rows = rng.choice([0, 1, 1, 2, 3, 4])
    x = (np.arange(rows * 4).reshape(rows, 4) + index * 5).astype(np.float32) % 900
    z = (x * 3 + 1) % 900
    if rows and rng.random() < 0.1:
        x[rng.randrange(rows), 0] = rng.choice([POISON, ROW_POISON]) + rng.randint(0, 400)
    return {"x": x, "z": z, **({"w": (x * 7 + 2) % 900} if rng.random() < 0.5 else {})}


def random_wanted(graph: ir.Graph, rng: random.Random) -> list[str] | None:
    """The outputs a request asks for: mostly all of them, else some in any order, some of them twice."""
    if rng.random() < 0.7:
        return None
    names = [port.name for port in graph.signature.outputs]
    return rng.choices(names, k=rng.randint(0, len(names) + 1))
