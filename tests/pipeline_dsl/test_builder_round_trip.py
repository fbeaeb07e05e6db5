"""Random programs through the builder: their text reads back as the same tree, and means the same program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pipeline_dsl.builder as pp
from pipeline_dsl import ir_text
from pipeline_dsl.builder import types as t
from pipeline_dsl.check import Options
from pipeline_dsl.compile import check_module, optimized
from pipeline_dsl.planning.digest import digest

FAST = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
WORDS = ("a", "b", "conf", "state", "weight", "x_1", "In", "to")
Draw = Callable[[st.SearchStrategy[Any]], Any]

names = st.sampled_from(WORDS)
dims = st.sampled_from(["*", "~L", "N", "?", ..., "2*H", "(W+1)/2", 384, 0, "L-1"])
dtypes = st.sampled_from([t.f32, t.i64, t.string, t.bool, t.json, t.bf16])
types = st.one_of(
    dtypes,
    st.builds(lambda d, s: d[tuple(s)], dtypes, st.lists(dims, min_size=1, max_size=3)),
    st.builds(t.opt, dtypes),
    st.builds(t.stream, dtypes),
)
literals = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64) + 1, 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="$"), max_size=8),
    st.integers(0, 10**6).map(pp.ms),
    st.floats(0, 1e6).map(pp.seconds),
    st.integers(0, 2**30).map(pp.MiB),
    st.floats(0, 100).map(pp.percent),
    st.just(pp.cpu),
)
values = st.recursive(
    literals,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text("ab. ", max_size=3), v, max_size=2),
    max_leaves=4,
)
blocks = st.recursive(
    st.dictionaries(st.sampled_from(["max", "delay", "batching", "a b", "resource.gpu", "device"]), values, max_size=3),
    lambda b: st.dictionaries(names, values | b, max_size=3),
    max_leaves=3,
)
contracts = blocks.map(lambda block: {name: value for name, value in block.items() if name != "state"})
BINARY: tuple[Callable[[Any, Any], Any], ...] = (
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: b * a,
    lambda a, b: a / b,
    lambda a, b: b % a,
    lambda a, b: a < b,
    lambda a, b: b >= a,
    lambda a, b: a == b,
    lambda a, b: a != b,
    lambda a, b: (a & b) | ~a,
    lambda a, b: pp.coalesce(a, b),
    lambda a, b: pp.select(a, b, -a),
    lambda a, b: pp.format("{k}", k=a, b=b),
    lambda a, b: a[b],
    lambda a, b: a[1:, :b],
    lambda a, b: pp.stack(a, [b], {"k": a}),
    lambda a, b: pp.member(a, "to") != b,
)


class Writer:
    """Writes the body of a pipeline by what it draws."""

    def __init__(self, draw: Draw, callees: list[Any], consts: list[Any]) -> None:
        self.draw = draw
        self.callees = callees
        self.consts = consts
        self.count = 0

    def value(self, known: list[Any], depth: int = 2) -> Any:
        """Something that can stand in an expression."""
        kind = self.draw(st.integers(0, 5 if depth else 2))
        if kind == 0:
            return self.draw(values)
        if kind <= 2:
            return self.draw(st.sampled_from([*known, *self.consts]))
        if kind == 3:
            return self.call(known, depth - 1)
        left = self.draw(st.sampled_from([*known, *self.consts]))
        return self.draw(st.sampled_from(BINARY))(left, self.value(known, depth - 1))

    def call(self, known: list[Any], depth: int) -> Any:
        """A call of a stage or pipeline, with or without options, or one of its outputs."""
        callee = self.draw(st.sampled_from(self.callees))
        if isinstance(callee, pp.Stage) and self.draw(st.booleans()):
            callee = callee.at(self.draw(st.sampled_from([3, "latest"])))
        args = [self.value(known, depth) for _ in range(self.draw(st.integers(0, 2)))]
        ports = {n: self.value(known, depth) for n in self.draw(st.lists(names, max_size=2, unique=True))}
        made = callee(*args, **ports)
        if self.draw(st.booleans()):
            made = made.with_(timeout=pp.ms(5), priority=1)
        return pp.member(made, self.draw(names)) if self.draw(st.booleans()) else made

    def body(self, p: pp.Scope, known: list[Any], depth: int) -> Any:
        """Statements, and what the body gives."""
        known = list(known)
        for _ in range(self.draw(st.integers(0, 3))):
            known += self.statement(p, known, depth)
        return tuple(self.value(known) for _ in range(self.draw(st.integers(1, 2))))

    def statement(self, p: pp.Scope, known: list[Any], depth: int) -> list[Any]:
        made = self.control(known, depth) if depth and self.draw(st.booleans()) else self.value(known)
        targets = [self.fresh() for _ in range(self.draw(st.integers(1, 2)))]
        if len(targets) == 1 and self.draw(st.booleans()):
            p[targets[0]] = made
            return [p[targets[0]]]
        annotated = {n: self.draw(types) for n in targets if self.draw(st.booleans())}
        found = p.let(", ".join(targets), made, **annotated)
        return list(found) if isinstance(found, tuple) else [found]

    def fresh(self) -> str:
        self.count += 1
        return f"{self.draw(names)}{self.count}"

    def control(self, known: list[Any], depth: int) -> Any:
        def inner(q: pp.Scope) -> Any:
            return self.body(q, known, depth - 1)

        def failed(q: pp.Scope, err: Any) -> Any:
            return self.body(q, [*known, err], depth - 1)

        def each(q: pp.Scope, row: Any, other: Any) -> Any:
            return self.body(q, [*known, row, other], depth - 1)

        kind = self.draw(st.integers(0, 4))
        if kind == 0:
            return pp.if_(self.value(known), inner, self.draw(st.sampled_from([None, inner])))
        if kind == 1:
            return pp.match_(
                self.value(known), {"a": inner, (1, None): inner}, self.draw(st.sampled_from([None, inner]))
            )
        if kind == 2:
            return pp.map_(each, row=self.value(known), max=3, order="keep", other=self.value(known))
        if kind == 3:
            return pp.try_(inner, timeout=pp.ms(1), fallback=self.draw(st.sampled_from([inner, failed])))
        arms = [pp.arm("one", inner, weight=pp.coalesce(self.value(known), 1)), pp.shadow("two", inner)]
        return pp.route_(*arms, by=self.draw(st.sampled_from([None, *known])))


@st.composite
def any_modules(draw: Draw) -> pp.Module:
    """Programs that the builder can write, whether they make sense or not."""
    consts: list[Any] = [pp.const("SIZE", draw(literals)), pp.param("LIMIT", draw(types), draw(literals), max=1)]
    stages = [_any_stage(draw, f"stage_{i}", consts) for i in range(draw(st.integers(1, 3)))]
    pipelines: list[Any] = []
    for i in range(draw(st.integers(1, 2))):
        writer = Writer(draw, [*stages, *pipelines, pp.import_("m.pipe", "m").f], consts)
        inputs = {n: draw(types) for n in draw(st.lists(names, min_size=1, max_size=2, unique=True))}
        made = pp.pipeline(out=dict(y=draw(types)), inputs=inputs, name=f"p{i}", private=draw(st.booleans()))

        def body(p: pp.Scope, writer: Writer = writer, **given: Any) -> Any:
            outs = writer.body(p, list(given.values()), 2)
            return {f"o{n}": out for n, out in enumerate(outs)}

        pipelines.append(made(body))
    return pp.module(*pipelines, profiles=[_profile(draw, stages, pipelines, consts)])


def _any_stage(draw: Draw, name: str, consts: list[Any]) -> pp.Stage:
    inputs = {n: draw(types) for n in draw(st.lists(names, max_size=2, unique=True))}
    default = pp.port(t.f32["*", consts[0]], default=draw(literals), doc="a size")
    signature = pp.sig(**inputs, extra=default).to(y=draw(types), z=draw(types))
    backend = draw(st.sampled_from([pp.onnx("a.onnx", version=3), pp.python("m:f", each=True, k=[1]), pp.null()]))
    where = draw(st.sampled_from([(), ["N <= 100", consts[1] > 2]]))
    return pp.stage(name, draw(st.sampled_from([signature, None])), backend, where=where, **draw(contracts))


def _profile(draw: Draw, stages: list[Any], pipelines: list[Any], consts: list[Any]) -> pp.Profile:
    made = pp.profile("gpu", extends=draw(st.sampled_from(["cpu", ()])))
    chosen = st.sampled_from([*stages, stages[0].at(2), pipelines[0], pipelines[0].node("a.b"), "m.f"])
    for selector in draw(st.lists(chosen, max_size=3)):
        made[selector].set(**draw(blocks))
    if draw(st.booleans()):
        made.everywhere.set(**draw(blocks))
        made[consts[1]] = draw(values)
    return made


@FAST
@given(any_modules())
def test_text_of_a_built_module_reads_back_as_the_same_tree(module: pp.Module) -> None:
    text = module.to_text()
    again = pp.parse(text)
    assert again.syntax.decls == module.syntax.decls, text
    assert again == module
    assert again.to_text() == text


# ---- programs that are right

WIDE = t.f32["*", 4]


@st.composite
def right_modules(draw: Draw) -> pp.Module:
    """Straight-line programs without mistakes: every value is rows of four numbers."""
    gain = pp.param("GAIN", t.f32, draw(st.floats(0.5, 8, width=16)), min=0)
    stages = [_right_stage(draw, i) for i in range(draw(st.integers(1, 3)))]
    pipelines: list[pp.Pipeline] = []
    for i in range(draw(st.integers(1, 3))):
        made = pp.pipeline(out=dict(y=WIDE), inputs=dict(a=WIDE, by=t.f32), name=f"p{i}")
        callees = [*stages, *pipelines]
        pipelines.append(made(lambda p, a, by, callees=callees: _right_body(draw, p, a, by, callees, gain)))
    return pp.module(*pipelines)


def _right_stage(draw: Draw, number: int) -> pp.Stage:
    ports = {f"x{i}": WIDE for i in range(draw(st.integers(1, 3)))}
    outs = {f"y{i}": WIDE for i in range(draw(st.integers(1, 2)))}
    effects = draw(st.sampled_from(["none", "repeatable", "once"]))
    signature = pp.sig(**ports, by=pp.port(t.f32, default=1.0)).to(**outs)
    return pp.stage(f"s{number}", signature, pp.null(latency=pp.us(5)), effects=effects)


def _right_body(draw: Draw, p: Any, a: Any, by: Any, callees: list[Any], gain: Any) -> Any:
    known = [a]
    scale = draw(st.sampled_from([by, by * 2 + 1, pp.select(by > gain, by, gain), gain - 1]))
    for i in range(draw(st.integers(1, 5))):
        callee = draw(st.sampled_from(callees))
        if isinstance(callee, pp.Pipeline):
            p[f"v{i}"] = callee(draw(st.sampled_from(known)), scale)
            known.append(p[f"v{i}"])
            continue
        tree = callee.signature.tree
        args = [draw(st.sampled_from(known)) for _ in tree.inputs[:-1]]
        named = {"by": scale} if draw(st.booleans()) else {}
        found = p.let(", ".join(f"v{i}_{o.name}" for o in tree.outputs), callee(*args, **named))
        known += found if isinstance(found, tuple) else [found]
    return dict(y=known[-1])


@FAST
@given(right_modules())
def test_a_built_program_and_its_text_are_one_program(module: pp.Module) -> None:
    again = pp.parse(module.to_text(), module.path)
    assert again == module
    built, written = (check_module(m.syntax, Options(environ={})) for m in (module, again))
    assert built[1].errors == []
    assert built[0] is not None
    assert written[0] is not None
    assert digest(built[0]) == digest(written[0])
    for program in (built[0], written[0]):
        assert digest(optimized(program, verify=True)) == digest(optimized(written[0]))
    for name, graph in built[0].pipelines.items():
        assert _facts(graph) == _facts(written[0].pipelines[name])


def _facts(graph: Any) -> list[str]:
    return [line.partition(", line ")[0] for line in ir_text.to_text(graph).splitlines()]
