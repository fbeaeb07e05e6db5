"""Programs made by hand, for tests of what comes after the checker.

`stage` declares one from port types in the language's spelling (`image="f32[*, 3]"`), `Build` adds nodes to a graph in
definition order, and `chain`, `diamond` and `random_dag` are the shapes most tests want.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipeline_dsl import ir
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.ir import Apply, Call, Compute, Constant, Contract, Graph, Input, Operand, Output, Port, Ref
from pipeline_dsl.plan import Hardware
from pipeline_dsl.sizes import Size
from pipeline_dsl.types import Dim, Ragged, Rest, Rows, Sized, TensorType, Unknown

HOST = Hardware(cores=2)


def type_of(text: str) -> TensorType:
    """`f32[*, ~L, 3]?`; sizes are whole numbers or names."""
    found = re.fullmatch(r"(\w+)(?:\[(.*)\])?(\?)?", text)
    assert found, text
    dims = tuple(_dim(d.strip()) for d in found[2].split(",")) if found[2] else ()
    return TensorType(DTYPES[found[1]], dims, optional=bool(found[3]))


def _dim(text: str) -> Dim:
    if text in ("*", "?", "..."):
        return {"*": Rows(), "?": Unknown(), "...": Rest()}[text]
    size = Size.of(int(text)) if text.lstrip("~").isdigit() else Size.of(text.lstrip("~"))
    return Ragged(size) if text.startswith("~") else Sized(size)


def ports(types: dict[str, str]) -> tuple[Port, ...]:
    return tuple(Port(name, type_of(text)) for name, text in types.items())


def signature(inputs: dict[str, str], outputs: dict[str, str]) -> ir.Signature:
    return ir.Signature(ports(inputs), ports(outputs))


def stage(
    name: str,
    inputs: dict[str, str] | None = None,
    outputs: dict[str, str] | None = None,
    *,
    backend: str = "null",
    **contract: Any,
) -> ir.Stage:
    """Without ports: one row-wise f32 in (`x`) and out (`y`)."""
    types = signature(inputs or {"x": "f32[*, 4]"}, outputs or {"y": "f32[*, 4]"})
    return ir.Stage(name, types, backend, {}, Contract(**contract), "models")


@dataclass
class Build:
    """One pipeline under construction; every value is a `Ref`."""

    name: str = "p"
    stages: dict[str, ir.Stage] = field(default_factory=dict)
    nodes: list[ir.AnyNode] = field(default_factory=list)
    sequence: bool = False

    def input(self, name: str, type_: str = "f32[B, 4]") -> Ref:
        self.nodes.append(Input(id=f"{self.name}.{name}", port=Port(name, type_of(type_))))
        return Ref(f"{self.name}.{name}", name)

    def call(
        self, name: str, called: ir.Stage, *args: Operand | None, binding: ir.Binding = "rows", **options: Any
    ) -> Ref:
        """A call site; the first output. Results have the stage's types with `B` for `*`."""
        self.stages[called.name] = called
        given = dict(zip((p.name for p in called.signature.inputs), args, strict=False))
        taken = tuple((p.name, given.get(p.name)) for p in called.signature.inputs)
        results = tuple((p.name, _at_call(p.type, binding)) for p in called.signature.outputs)
        node = f"{self.name}.{name}"
        self.nodes.append(Call(id=node, stage=called.name, binding=binding, args=taken, results=results, **options))
        return Ref(node, results[0][0])

    def compute(self, name: str, op: str, *args: ir.Expression, type_: str = "f32") -> Ref:
        return self.alias(name, Apply(op, args), type_)

    def alias(self, name: str, expression: ir.Expression, type_: str = "f32") -> Ref:
        self.nodes.append(Compute(id=f"{self.name}.{name}", expression=expression, type=type_of(type_)))
        return Ref(f"{self.name}.{name}", "value")

    def output(self, name: str, value: Operand, type_: str = "f32[B, 4]") -> None:
        port = Port(name, type_of(type_))
        self.nodes.append(Output(id=f"{self.name}.return.{name}", port=port, value=value))

    def graph(self) -> Graph:
        inputs = tuple(n.port for n in self.nodes if isinstance(n, Input))
        outputs = tuple(n.port for n in self.nodes if isinstance(n, Output))
        return Graph.of(self.name, ir.Signature(inputs, outputs), self.nodes, sequence=self.sequence)

    def program(self, *others: Build, **settings: dict[str, dict[str, Any]]) -> ir.Program:
        builds = (self, *others)
        stages = {name: s for b in builds for name, s in b.stages.items()}
        return ir.Program("p.pipe", stages, {b.name: b.graph() for b in builds}, {}, schedule(**settings))


def _at_call(type_: TensorType, binding: ir.Binding) -> TensorType:
    if not type_.has_rows or binding == "each":
        return type_
    if binding == "lift":
        return type_.with_dims(tuple(Sized(d.size) if isinstance(d, Ragged) else d for d in type_.dims[1:]))
    return type_.with_dims((Sized(Size.of("B")), *type_.dims[1:]))


def schedule(profile: str = "test", **parts: dict[str, dict[str, Any]]) -> ir.Schedule:
    """`schedule(stages={"s": {"instances": 2}})`; every value comes from line 1 of that profile."""

    def values(settings: dict[str, Any]) -> ir.Settings:
        return {k: v if isinstance(v, ir.SettingValue) else ir.SettingValue(v, f"profile {profile}, p.pipe:1")
                for k, v in settings.items()}  # fmt: skip

    merged = {part: {place: values(s) for place, s in places.items()} for part, places in parts.items()}
    return ir.Schedule(profile, **merged)  # type: ignore[arg-type]  # parts are checked by Schedule itself


def number(value: Any, type_: str = "f32") -> Constant:
    return Constant(value, type_of(type_))


def chain(length: int, called: ir.Stage | None = None, *, backend: str = "null") -> Build:
    """x -> s0 -> s1 -> ... -> out; each node a stage of its own unless one is given."""
    build = Build()
    value = build.input("x")
    for i in range(length):
        value = build.call(f"n{i}", called or stage(f"s{i}", backend=backend), value)
    build.output("out", value)
    return build


def diamond(*, backend: str = "null") -> Build:
    """x -> a -> (b, c) -> d -> out."""
    build = Build()
    a = build.call("a", stage("a", backend=backend), build.input("x"))
    b = build.call("b", stage("b", backend=backend), a)
    c = build.call("c", stage("c", backend=backend), a)
    d = build.call("d", stage("d", {"l": "f32[*, 4]", "r": "f32[*, 4]"}, backend=backend), b, c)
    build.output("out", d)
    return build


def random_dag(seed: int, size: int) -> Build:
    """Calls of one to three values made before; some never used, some of stages that run once."""
    rng = random.Random(seed)
    build = Build()
    values = [build.input("x"), build.input("y")]
    for i in range(size):
        count = rng.randint(1, 3)
        takes = {f"x{k}": "f32[*, 4]" for k in range(count)}
        effects = rng.choice(["none", "repeatable", "repeatable", "once"])
        called = stage(f"s{i}", takes, {"y": "f32[*, 4]"}, effects=effects)
        values.append(build.call(f"n{i}", called, *rng.choices(values, k=count)))
    for i, value in enumerate(rng.sample(values[2:], min(3, size))):
        build.output(f"out{i}", value)
    return build


def function_calls(work: Callable[[], object]) -> int:
    """How many calls of functions, C functions included, `work` makes: time without a clock."""
    count = 0

    def on_event(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(on_event)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def embed() -> ir.Program:
    """Tokenise, encode on a GPU in buckets, pool with a scale: ragged values, an expression, a profile."""
    build = Build("embed")
    text, scale = build.input("text", "string[B]"), build.input("scale", "f32")
    tokens = {"ids": "i64[*, ~L]", "mask": "i64[*, ~L]"}
    ids = build.call("ids", stage("tokenize", {"text": "string[*]"}, tokens, backend="python"), text)
    buckets = ir.RaggedRule("L", "pad", 0, (32, 64, 128))
    hidden = {"hidden": "f32[*, ~L, 384]"}
    encoder = stage("encoder", tokens, hidden, backend="onnx", ragged=(buckets,))
    h = build.call("h", encoder, ids, Ref("embed.ids", "mask"), timeout_ns=50_000_000)
    factor = build.compute("factor", "+", scale, Apply("*", (number(2), number(3))))
    takes = {**hidden, "mask": "i64[*, ~L]", "factor": "f32"}
    pool = stage("pool", takes, {"vec": "f32[*, 384]"}, backend="python", ragged=(ir.RaggedRule("L", "pad"),))
    vector = build.call("vector", pool, h, Ref("embed.ids", "mask"), factor)
    build.output("embedding", vector, "f32[B, 384]")
    settings = {"device": "cuda:0", "instances": 2, "batching.max": 64, "batching.delay": 2_000_000}
    return build.program(stages={"encoder": settings}, pipelines={"embed": {"timeout": 200_000_000}})
