"""One checked stage as a `.pipe` file of its own, with a pipeline around it: what the exported python model runs.

Names of consts, params and aliases are gone; everything is written as it was evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipectl.interop import trees
from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.parse import parse
from pipeline_dsl.settings import BACKENDS
from pipeline_dsl.sizes import Size
from pipeline_dsl.source import Source
from pipeline_dsl.types import Ragged, Rest, Rows, Sized, TensorType, Unknown


def module_of(stage: ir.Stage) -> syntax.Module:
    """`stage` and a pipeline that hands its ports through."""
    short = stage.name.rpartition(".")[2]
    names = trees.Names(short)
    signature = stage.signature
    ports = tuple(_port(p) for p in signature.inputs if p.name not in _filled(stage))
    outputs = tuple(_port(p) for p in signature.outputs)
    made = syntax.Stage(
        trees.ident(short),
        syntax.Signature(tuple(_port(p) for p in signature.inputs), outputs, span=trees.NOWHERE),
        None,
        tuple(_bound(b) for b in signature.bounds),
        _using(stage),
        _contract(stage),
        span=trees.NOWHERE,
    )
    result = names.fresh("result")
    given = {p.name.text: trees.name(p.name.text) for p in ports}
    single = len(outputs) == 1
    value = trees.name(result)
    outs = (trees.out(value if single else trees.member(value, p.name.text), p.name.text) for p in outputs)
    pipeline = syntax.Pipeline(
        False,
        trees.ident(names.fresh("run")),
        syntax.Signature(ports, outputs, span=trees.NOWHERE),
        (),
        trees.body(trees.assign([result], trees.call(short, **given)), trees.returns(*outs)),
        span=trees.NOWHERE,
    )
    return trees.module([made, pipeline])


def _filled(stage: ir.Stage) -> set[str]:
    return {port for r in stage.contract.ragged for port in (r.mask, r.lengths, r.offsets)}


def _port(port: ir.Port) -> syntax.Port:
    default = trees.data(port.default) if port.has_default else None
    return syntax.Port(trees.ident(port.name), _type(port.type), default, span=trees.NOWHERE)


def _type(kind: TensorType) -> syntax.TypeExpr:
    name = syntax.QName((trees.ident(kind.dtype.name),), span=trees.NOWHERE)
    dims = tuple(_dim(d) for d in kind.dims)
    return syntax.TypeExpr(name, dims, kind.optional, kind.stream, span=trees.NOWHERE)


def _dim(dim: Rows | Sized | Ragged | Unknown | Rest) -> syntax.DimExpr:
    match dim:
        case Rows():
            return syntax.RowsDim(span=trees.NOWHERE)
        case Unknown():
            return syntax.AnyDim(span=trees.NOWHERE)
        case Rest():
            return syntax.RestDims(span=trees.NOWHERE)
        case Ragged(size=size):
            return syntax.RaggedDim(_size(size), span=trees.NOWHERE)
        case Sized(size=size):
            return syntax.SizedDim(_size(size), span=trees.NOWHERE)


def _size(size: Size) -> syntax.DimSize:
    """A size as the grammar reads the text that it prints."""
    sink = Sink()
    module = parse(Source("<size>", f"type T = bool[{_spelled(size)}]\n"), sink)
    (alias,) = module.decls
    assert isinstance(alias, syntax.TypeAlias), f"{size} reads as a size"
    (dim,) = alias.type.dims
    assert isinstance(dim, syntax.SizedDim), f"{size} reads as a size"
    return dim.size


def _spelled(size: Size) -> str:
    """A size of an alias is called `port.H`, which is no name."""
    return str(size).replace(".", "_")


def _bound(bound: ir.Bound) -> syntax.Expr:
    sink = Sink()
    text = f"const C = {_spelled(bound.left)} {bound.op} {_spelled(bound.right)}\n"
    (const,) = parse(Source("<bound>", text), sink).decls
    assert isinstance(const, syntax.Const), f"{bound} reads as an expression"
    return const.value


def _using(stage: ir.Stage) -> syntax.Call:
    spec = BACKENDS.get(stage.backend)
    durations = {a.name for a in spec.arguments if a.kind == "duration"} if spec else set()
    arguments = dict(stage.arguments)
    artifact = arguments.pop("artifact", None)
    given = [] if artifact is None else [trees.text(str(artifact))]
    keys = {k: trees.duration(round(v * 1e9)) if k in durations else trees.data(v) for k, v in arguments.items()}
    callee: syntax.Expr = trees.name(stage.backend)
    if stage.backend == "null":
        callee = syntax.Literal("null", None, span=trees.NOWHERE)
    return trees.call(callee, *given, **keys)


def _contract(stage: ir.Stage) -> syntax.Block:
    flat: dict[str, syntax.Expr] = {"effects": trees.name(stage.contract.effects)}
    if stage.contract.rows:
        flat["rows"] = trees.number(stage.contract.rows)
    items: list[Any] = [*trees.settings(flat), *_ragged(stage.contract.ragged)]
    return trees.block(*items)


def _ragged(rules: tuple[ir.RaggedRule, ...]) -> Iterator[syntax.Nested]:
    made: Mapping[str, syntax.Expr] = {
        r.dim: trees.call("pack", **({"offsets": trees.name(r.offsets)} if r.offsets else {}))
        for r in rules
        if r.how == "pack"
    }
    if made:
        yield trees.nested("ragged", *trees.settings(made))
