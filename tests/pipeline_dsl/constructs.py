"""A graph with every kind of construct, made by hand: for tests of what draws and prints graphs."""

from __future__ import annotations

from pipeline_dsl.ir import (
    Apply,
    Arm,
    Branch,
    Call,
    Compute,
    Constant,
    Given,
    Graph,
    Input,
    Map,
    Output,
    Port,
    Ref,
    Region,
    Route,
    RouteArm,
    ShadowArm,
    Signature,
    Try,
)

from .graphs import ports, type_of

STRING, F32, I64, BOOL = (type_of(text) for text in ("string", "f32", "i64", "bool"))
ROW = type_of("f32[4]")


def call(id: str, stage: str, arg: Ref, version: int | None = None) -> Call:
    results = (("label", I64), ("conf", F32))
    return Call(id=id, stage=stage, binding="lift", args=(("x", arg),), results=results, version=version)


def cascade() -> Graph:
    """`map` with an `if` inside, in whose arm a `try` is; beside it a `route` with a shadow."""
    rows = Input(id="p.rows", port=Port("rows", type_of("f32[B, 4]")))
    user = Input(id="p.user", port=Port("user", STRING))
    item = Given(id="p.label.row", type=ROW)
    small = call("p.s", "small", Ref(item.id, "value"))
    sure = Compute(id="p.l_if", expression=Apply(">=", (Ref("p.s", "conf"), Constant(0.9, F32))), type=BOOL)
    big = call("p.big_1", "big", Ref(item.id, "value"))
    careful = Try(
        id="p.b",
        results=(("b", I64),),
        body=Region("body", (), (big,), (Ref(big.id, "label"),)),
        fallback=Region("fallback", (Given(id="p.b.err", type=type_of("json")),), (), (Ref("p.s", "label"),)),
        timeout_ns=80_000_000,
        retries=1,
    )
    easy = Region("then", (), (), (Ref("p.s", "label"), Constant("small", STRING)))
    hard = Region("else", (), (careful,), (Ref("p.b", "b"), Constant("big", STRING)))
    branch = Branch(
        id="p.l",
        results=(("l", I64), ("t", STRING)),
        subject=Ref(sure.id, "value"),
        arms=(Arm((True,), easy), Arm(None, hard)),
    )
    body = Region("body", (item,), (small, sure, branch), (Ref("p.l", "l"), Ref("p.l", "t")))
    results = (("label", type_of("i64[B]")), ("tier", type_of("string[B]")))
    mapped = Map(id="p.label", results=results, sources=(Ref(rows.id, "rows"),), body=body, maximum=100)
    outputs = [
        Output(id="p.return.label", port=Port("label", type_of("i64[B]")), value=Ref("p.label", "label")),
        Output(id="p.return.tier", port=Port("tier", type_of("string[B]")), value=Ref("p.label", "tier")),
        Output(id="p.return.score", port=Port("score", I64), value=Ref("p.score", "score")),
    ]
    shape = Signature(ports({"rows": "f32[B, 4]", "user": "string"}), tuple(o.port for o in outputs))
    return Graph.of("p", shape, [rows, user, mapped, routed(user, rows), *outputs])


def routed(user: Input, rows: Input) -> Route:
    """`route by user` over two versions, with a third in the shadow."""

    def arm(name: str, version: int, yields: bool = True) -> Region:
        node = call(f"p.score.{name}", "ranker", Ref(rows.id, "rows"), version)
        return Region(name, (), (node,), (Ref(node.id, "label"),) if yields else ())

    return Route(
        id="p.score",
        results=(("score", I64),),
        key=Ref(user.id, "user"),
        arms=(RouteArm("stable", 0.9, arm("stable", 3)), RouteArm("canary", 0.1, arm("canary", 4))),
        shadows=(ShadowArm("next", 0.05, arm("next", 5, yields=False)),),
    )
