"""Random programs with constructs in constructs, from a seed.

Values have a kind, as in `random_programs`, and a scope: what is made in a region is known there only. Every kind of
construct may stand in every other one. Stages fail for single rows only, so that what fails is known beforehand.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_dsl import ir
from pipeline_dsl.ir import Apply, Contract, Operand
from tests.pipeline_dsl.graphs import number, signature

from .nesting import Nest
from .random_programs import CALLS, TYPES, Kind, RandomProgram, _door, _settings

KINDS = {**TYPES, "letter": "string", "loose": "f32[K, 4]", "loose ragged": "f32[K, ~S]", "marks": "bool[K]"}
ITEMS = {"rows": "vector", "ragged": "strip", "strip": "single", "vector": "single"}
"""What the items of each kind are."""
FOLDED = {"vector": "rows", "strip": "ragged", "single": "strip"}
"""What the items of a map with as many items as rows make."""
LOOSE = {"vector": "loose", "strip": "loose ragged", "single": "strip"}
"""And with any number of items."""
STAGES: dict[str, Kind] = {
    **{name: kind for name, kind in CALLS.items() if name not in ("twice", "pair")},
    "letter": Kind({"v": "f32[4]"}, {"g": "string"}, ("vector",), "letter", "each"),
    "sum": Kind({"x": "f32[N, 4]"}, {"v": "f32[4]"}, ("loose",), "vector", "each"),
}
YIELDS = ("rows", "vector", "single", "ragged", "strip")
"""Kinds that regions give."""
SAME = {"sum": "total"}
"""Functions under another name, for another kind."""

Scope = dict[str, list[Any]]
Grow = Callable[[Scope], None]


@dataclass
class Growing:
    """A program under construction."""

    rng: random.Random
    nest: Nest
    stages: dict[str, ir.Stage]
    functions: dict[str, str]
    names: int = 0
    budget: int = 14
    """Constructs and calls that may still be added."""
    calm: bool = True
    """Time never runs out by itself."""

    def name(self, of: str) -> str:
        self.names += 1
        return f"{of}{self.names}"

    def pick(self, scope: Scope, kind: str) -> Any:
        return self.rng.choice(scope[kind])

    def grow(self, scope: Scope, depth: int) -> None:
        """Add a few nodes that read what is in scope."""
        for _ in range(self.rng.randint(1, 3)):
            if self.budget <= 0:
                return
            self.budget -= 1
            construct = self.rng.random() < (0.6 if depth < 3 else 0.0)
            if construct:
                self.rng.choice([self._branch, self._match, self._route, self._map, self._map, self._try])(scope, depth)
            elif scope["single"] and self.rng.random() < 0.2:
                step = Apply(self.rng.choice("+*"), (self.pick(scope, "single"), number(float(self.rng.randint(1, 3)))))
                scope["single"].append(self.nest.alias(self.name("c"), step))
            else:
                self._call(scope)

    # ---- calls

    def _call(self, scope: Scope) -> None:
        name = self.rng.choice([n for n, k in STAGES.items() if all(scope[t] for t in k.takes)])
        kind = STAGES[name]
        scope[kind.gives].append(self._called(name, [self.pick(scope, t) for t in kind.takes]))

    def _called(self, name: str, args: Sequence[Any]) -> Any:
        kind = STAGES[name]
        shared = [s for s, f in self.functions.items() if f == SAME.get(name, name) and s.endswith(name)]
        if shared and self.rng.random() < 0.5:
            stage = self.stages[self.rng.choice(shared)]
        else:
            stage = self._stage(f"s{len(self.stages)}_{name}", name, kind)
        timeout = None if self.calm else self.rng.choice([None, None, None, 200_000])
        return self.nest.call(self.name("n"), stage, *args, binding=kind.binding, timeout_ns=timeout)

    def _stage(self, id: str, name: str, kind: Kind) -> ir.Stage:
        effects: Any = self.rng.choice(["none", "repeatable", "repeatable", "repeatable", "once"])
        arguments: dict[str, Any] = {"function": SAME.get(name, name)}
        if kind.takes[0] in ("rows", "vector") and kind.binding in ("rows", "lift"):
            arguments["fails"] = "rows"
        if self.rng.random() < 0.1:
            arguments["affine"] = True
        types = signature(kind.inputs, kind.outputs)
        made = ir.Stage(id, types, "function", arguments, Contract(effects=effects, ragged=kind.ragged), ".")
        self.stages[id] = made
        self.functions[id] = arguments["function"]
        return made

    # ---- constructs

    def _results(self, scope: Scope, kinds: Sequence[str]) -> list[str]:
        """Kinds of one or two results, of which something is in scope."""
        there = [k for k in kinds if scope[k]]
        return [self.rng.choice(there) for _ in range(self.rng.randint(1, 2))]

    def _region(self, scope: Scope, depth: int, results: Sequence[str], given: Sequence[str] = ()) -> Any:
        def body(*refs: Operand) -> list[Operand]:
            inside = {kind: list(values) for kind, values in scope.items()}
            for kind, ref in zip(given, refs):
                inside[kind].append(ref)
            self.grow(inside, depth + 1)
            return [self._late(inside[kind]) for kind in results]

        return body

    def _late(self, values: Sequence[Any]) -> Any:
        """One of them, mostly the last."""
        return values[-1] if self.rng.random() < 0.7 else self.rng.choice(values)

    def _add(self, scope: Scope, kinds: Sequence[str], refs: Sequence[Any]) -> None:
        for kind, ref in zip(kinds, refs):
            scope[kind].append(ref)

    def _typed(self, kinds: Sequence[str], optional: bool = False) -> dict[str, str]:
        return {f"r{i}": KINDS[kind] + ("?" if optional else "") for i, kind in enumerate(kinds)}

    def _branch(self, scope: Scope, depth: int) -> None:
        single = self.pick(scope, "single") if scope["single"] else self._single(scope)
        name = self.name("if")
        limit = float(self.rng.choice([0, 100, 400, 2000]))
        subject = self.nest.compute(f"{name}_c", "<", single, number(limit), type_="bool")
        self._arms(name, scope, depth, subject, [True])

    def _match(self, scope: Scope, depth: int) -> None:
        name = self.name("match")
        subject = self.pick(scope, "letter") if scope["letter"] else self._graded(scope)
        self._arms(name, scope, depth, subject, self.rng.choice([["a"], ["a", ("b", "c")], [("b", "a"), "c"]]))

    def _arms(self, name: str, scope: Scope, depth: int, subject: Any, values: Sequence[Any]) -> None:
        optional = self.rng.random() < 0.4
        kinds = self._results(scope, ("rows", "vector") if optional else YIELDS)
        cases = [*values, *([] if optional else [None])]
        arms = {case: self._region(scope, depth, kinds) for case in cases}
        refs = self.nest.branch(name, subject, arms, self._typed(kinds, optional))
        self._add(scope, [f"{k}?" if optional else k for k in kinds], refs)

    def _single(self, scope: Scope) -> Any:
        vector = self.pick(scope, "vector") if scope["vector"] else self._called("total", [self.pick(scope, "rows")])
        return self._called("first", [vector])

    def _graded(self, scope: Scope) -> Any:
        vector = self.pick(scope, "vector") if scope["vector"] else self._called("total", [self.pick(scope, "rows")])
        return self._called("letter", [vector])

    def _route(self, scope: Scope, depth: int) -> None:
        key = self.pick(scope, "single") if scope["single"] else self._single(scope)
        kinds = self._results(scope, YIELDS)
        share = self.rng.choice([0.0, 0.25, 0.5, 1.0])
        arms = {name: (s, self._region(scope, depth, kinds)) for name, s in (("a", share), ("b", 1 - share))}
        shadows = (
            {"c": (self.rng.choice([0.5, 1.0]), self._region(scope, depth, ()))} if self.rng.random() < 0.4 else {}
        )
        self._add(scope, kinds, self.nest.route(self.name("route"), key, arms, self._typed(kinds), shadows))

    def _map(self, scope: Scope, depth: int) -> None:
        source = self.rng.choice([k for k in ITEMS if scope[k]])
        item = ITEMS[source]
        on_error: Any = self.rng.choice(["fail", "fail", "mark", "drop"])
        inside = {**scope, item: [*scope[item], None]}  # an item will be there
        kinds = self._results(inside, ("vector", "single", "strip"))
        name = self.name("map")
        body = self._region(scope, depth, kinds, [item])
        counted = source in ("rows", "ragged") and on_error != "drop"
        made = [(FOLDED if counted else LOOSE)[k] for k in kinds]
        if on_error == "mark":
            made.append("marks")
        sources = {"i": (self.pick(scope, source), KINDS[item])}
        options = {"in_flight": self.rng.choice([None, None, 1, 2]), "on_error": on_error}
        self._add(scope, made, self.nest.map(name, sources, body, self._typed(made), **options))

    def _try(self, scope: Scope, depth: int) -> None:
        kinds = self._results(scope, YIELDS)
        body, other = self._region(scope, depth, kinds), self._region(scope, depth, kinds)
        name = self.name("try")
        options: dict[str, Any] = {
            "timeout_ns": self.rng.choice([None, 60_000_000_000] if self.calm else [None, 50_000, 300_000, 2_000_000]),
            "retries": self.rng.choice([0, 1, 2]),
            "hedge_ns": self.rng.choice([None, None, 100_000, 1_000_000]),
        }
        refs = self.nest.attempt(name, body, lambda *_: other(), self._typed(kinds), **options)
        self._add(scope, kinds, refs)


def nested_program(rng: random.Random, calm: bool = True) -> RandomProgram:
    """One pipeline of up to some twenty nodes, mostly in regions.

    If it is not `calm`, queues refuse and time runs out in the middle, so that nobody knows what comes out."""
    made = RandomProgram(None)  # type: ignore[arg-type]  # it follows
    stages: dict[str, ir.Stage] = {}
    nest = Nest("p")
    growing = Growing(rng, nest, stages, made.functions, budget=rng.randint(3, 20), calm=calm)
    scope: Scope = {kind: [] for kind in (*KINDS, "constant")}
    scope["rows"] = [nest.input("x"), nest.input("z")]
    scope["rows?"] = [nest.input("w", "f32[B, 4]?"), None]
    scope["vector?"] = [None]
    scope["constant"] = [number(float(n)) for n in (1, 2)]
    while growing.budget > 0:
        growing.grow(scope, 0)
    _outputs(nest, scope, rng)
    settings = {name: _settings(stages[name], rng) for name in made.functions if name in nest.stages}
    door = _door(rng)
    if calm:
        settings, door = {name: _calm(keys) for name, keys in settings.items()}, _calm(door)
    made.functions = {n: f for n, f in made.functions.items() if n in nest.stages}
    made.program = nest.program(stages=settings, pipelines={"p": door})
    return made


def _calm(settings: dict[str, Any]) -> dict[str, Any]:
    """Without what refuses: whether an item or an attempt is refused can not be known beforehand."""
    left = {
        k: v
        for k, v in settings.items()
        if k not in ("queue.max", "queue.timeout", "queue.on_timeout", "queue.override")
    }
    return {**left, "queue.max": 100_000}


def _outputs(nest: Nest, scope: Scope, rng: random.Random) -> None:
    skipped = ("constant", "twins")
    found = [(k, ref) for k, refs in scope.items() if k not in skipped for ref in refs if isinstance(ref, ir.Ref)]
    made = [(k, ref) for k, ref in found if ref.node not in ("p.x", "p.z", "p.w")]
    for i, (kind, ref) in enumerate(rng.sample(made, min(len(made), rng.randint(1, 5)))):
        nest.output(f"out{i}", ref, KINDS[kind])
