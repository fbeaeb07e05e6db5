"""Random programs and settings for the executor, from a seed.

Values have a kind: `rows` (f32[B, 4]), `vector` (f32[4]), `single` (f32), `ragged` (f32[B, ~L]). Each stage in
`CALLS` takes and gives such kinds, so that every program is well typed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline_dsl import ir
from pipeline_dsl.ir import Apply, Contract, RaggedRule, Ref
from tests.pipeline_dsl.graphs import Build, number, signature

from .functions import POISON, ROW_POISON

TYPES = {"rows": "f32[B, 4]", "vector": "f32[4]", "single": "f32", "ragged": "f32[B, ~L]"}


@dataclass(frozen=True)
class Kind:
    """How a function looks as a stage, and what it takes and gives."""

    inputs: dict[str, str]
    outputs: dict[str, str]
    takes: tuple[str, ...]
    gives: str
    binding: ir.Binding
    ragged: tuple[RaggedRule, ...] = ()


PAD = RaggedRule("L", "pad", 7, buckets=(2, 4), mask="mask")
CALLS: dict[str, Kind] = {
    "scale": Kind({"x": "f32[*, 4]"}, {"y": "f32[*, 4]"}, ("rows",), "rows", "rows"),
    "add": Kind({"a": "f32[*, 4]", "b": "f32[*, 4]"}, {"y": "f32[*, 4]"}, ("rows", "rows"), "rows", "rows"),
    "total": Kind({"x": "f32[N, 4]"}, {"v": "f32[4]"}, ("rows",), "vector", "each"),
    "first": Kind({"v": "f32[4]"}, {"s": "f32"}, ("vector",), "single", "each"),
    "shift": Kind({"v": "f32[*, 4]"}, {"w": "f32[*, 4]"}, ("vector",), "vector", "lift"),
    "weigh": Kind({"v": "f32[*, 4]", "s": "f32[*]"}, {"w": "f32[*, 4]"}, ("vector", "single"), "vector", "lift"),
    "spell": Kind({"x": "f32[*, 4]"}, {"r": "f32[*, ~L]"}, ("rows",), "ragged", "rows"),
    "count": Kind({"r": "f32[*, ~L]", "mask": "bool[*, ~L]"}, {"y": "f32[*, 4]"}, ("ragged",), "rows", "rows", (PAD,)),
}


@dataclass
class RandomProgram:
    program: ir.Program
    functions: dict[str, str] = field(default_factory=dict)
    """Stage name -> function name."""

    @property
    def graph(self) -> ir.Graph:
        return self.program.pipelines["p"]


def random_program(rng: random.Random) -> RandomProgram:
    """A DAG of 1 to 10 calls and compute steps over every kind, with random settings for each stage."""
    build = Build()
    values: dict[str, list[Ref]] = {
        "rows": [build.input("x"), build.input("z")],
        "vector": [],
        "single": [],
        "ragged": [],
    }
    functions: dict[str, str] = {}
    for i in range(rng.randint(1, 10)):
        if values["single"] and rng.random() < 0.2:
            step = Apply(rng.choice("+*"), (rng.choice(values["single"]), number(float(rng.randint(1, 3)))))
            values["single"].append(build.alias(f"c{i}", step))
            continue
        name = rng.choice([n for n, k in CALLS.items() if all(values[t] for t in k.takes)])
        kind = CALLS[name]
        stage = _stage(f"s{i}_{name}", name, kind, rng)
        shared = [s for s, f in functions.items() if f == name]
        if shared and rng.random() < 0.3:
            stage = build.stages[rng.choice(shared)]
        functions[stage.name] = name
        args = [rng.choice(values[t]) for t in kind.takes]
        values[kind.gives].append(build.call(f"n{i}", stage, *args, binding=kind.binding))
    _outputs(build, values, rng)
    program = build.program(stages={name: _settings(rng) for name in functions}, pipelines={"p": _door(rng)})
    return RandomProgram(program, functions)


def _stage(id: str, name: str, kind: Kind, rng: random.Random) -> ir.Stage:
    effects: Any = rng.choice(["none", "repeatable", "repeatable"])
    arguments = {"function": name, **({"fails": "rows"} if kind.takes[0] == "rows" and kind.binding == "rows" else {})}
    types = signature(kind.inputs, kind.outputs)
    return ir.Stage(id, types, "function", arguments, Contract(effects=effects, ragged=kind.ragged), ".")


def _outputs(build: Build, values: dict[str, list[Ref]], rng: random.Random) -> None:
    candidates = [(kind, ref) for kind, refs in values.items() for ref in refs if kind != "ragged"]
    for i, (kind, ref) in enumerate(rng.sample(candidates, min(len(candidates), rng.randint(1, 4)))):
        build.output(f"out{i}", ref, TYPES[kind])


def _settings(rng: random.Random) -> dict[str, Any]:
    settings: dict[str, Any] = {"instances": rng.choice([1, 1, 2, 3])}
    if rng.random() < 0.7:
        settings["batching.max"] = rng.choice([1, 2, 5, 16])
    if rng.random() < 0.4:
        settings["batching.delay"] = rng.choice([100_000, 500_000, "auto"])
    if rng.random() < 0.2:
        settings["queue.levels"] = 2
    return settings


def _door(rng: random.Random) -> dict[str, Any]:
    return {"max_inflight": rng.choice([2, 8, 64])} if rng.random() < 0.5 else {}


def random_inputs(rng: random.Random, index: int) -> dict[str, Any]:
    """One request: 1 to 4 rows that no other request has, one in ten poisoned."""
    rows = rng.randint(1, 4)
    x = (np.arange(rows * 4).reshape(rows, 4) + index * 5).astype(np.float32) % 900
    z = (x * 3 + 1) % 900
    if rng.random() < 0.1:
        x[rng.randrange(rows), 0] = rng.choice([POISON, ROW_POISON]) + rng.randint(0, 400)
    return {"x": x, "z": z}
