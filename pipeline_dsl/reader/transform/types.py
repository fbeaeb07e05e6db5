"""Rules of signatures and types."""

from __future__ import annotations

from pipeline_dsl import syntax
from pipeline_dsl.reader.leaves import Leaf

from .rules import SHAPE, Children, Group, first, ident, items, nodes, over, rule


@rule("like")
def _like(c: Children) -> syntax.QName:
    return c[1]  # type: ignore[no-any-return]  # children have no static types


@rule("signature")
def _signature(c: Children) -> syntax.Signature:
    inputs = c[1].items if isinstance(c[1], Group) else ()
    outputs = c[-2].items if isinstance(c[-2], Group) else ()
    return syntax.Signature(inputs, outputs, span=over(c))


@rule("shape")
def _shape(c: Children) -> Group:
    c[0].value = SHAPE
    return Group(nodes(c), over(c))


@rule("port")
def _port(c: Children) -> syntax.Port:
    return syntax.Port(ident(c[0]), c[2], c[4] if len(c) > 3 else None, c[0].doc, span=over(c))


@rule("type")
def _type(c: Children) -> syntax.TypeExpr:
    stream = isinstance(c[0], Leaf)
    optional = isinstance(c[-1], Leaf)
    dims = items(first(c, Group))
    return syntax.TypeExpr(c[1] if stream else c[0], dims, optional, stream, span=over(c))


@rule("batch_dim")
def _rows_dim(c: Children) -> syntax.RowsDim:
    return syntax.RowsDim(span=c[0].span)


@rule("any_dim")
def _any_dim(c: Children) -> syntax.AnyDim:
    return syntax.AnyDim(span=c[0].span)


@rule("rest_dims")
def _rest_dims(c: Children) -> syntax.RestDims:
    return syntax.RestDims(span=c[0].span)


@rule("ragged_dim")
def _ragged_dim(c: Children) -> syntax.RaggedDim:
    return syntax.RaggedDim(c[1], span=over(c))


@rule("sized_dim")
def _sized_dim(c: Children) -> syntax.SizedDim:
    return syntax.SizedDim(c[0], span=c[0].span)


@rule("dim_add", "dim_sub", "dim_times", "dim_div")
def _dim_op(c: Children) -> syntax.DimOp:
    return syntax.DimOp(c[1].text, c[0], c[2], span=over(c))


@rule("dim_int")
def _dim_int(c: Children) -> syntax.DimInt:
    return syntax.DimInt(c[0].value, span=c[0].span)


@rule("dim_var")
def _dim_var(c: Children) -> syntax.DimVar:
    return syntax.DimVar(c[0].text, span=c[0].span)
