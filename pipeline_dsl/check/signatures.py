"""Types and signatures as written -> `TensorType` and `ir.Signature`.

`*` comes first or not at all, a ragged size needs a dim before it, and what a stage promises must not depend on
which rows share its batch (E0308, E0312, E0313, E0314). Sizes of an alias are renamed at each use: with
`type Image = u8[H, W, 3]` the port `photo: Image` is `u8[photo.H, photo.W, 3]`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.errors.names import DuplicateName, UnknownName, WrongKind
from pipeline_dsl.errors.signatures import (
    DeclaredMismatch,
    DimMisplaced,
    RaggedFirst,
    RowsNotKept,
    SizeOfBatch,
)
from pipeline_dsl.sizes import Size, Symbol
from pipeline_dsl.types import Dim, Ragged, Rest, Rows, Sized, TensorType, Unknown

from .lookup import kind_of, member
from .scope import ErrorBinding, Scope, TypeBinding
from .sizes import bounds_of, size_of
from .values import evaluate_as

Place = Literal["port", "value"]
"""port: ports, aliases and annotations. value: consts and params, which may have settings' dtypes but no rows."""


def type_of(
    type_: syntax.TypeExpr, scope: Scope, sink: Sink, name: str = "", place: Place = "port"
) -> TensorType | None:
    """The type that is written, or None after reporting why there is none.

    `name` is the port or variable that has it: the sizes of an alias become `name.H`."""
    base = _base(type_, scope, sink, name)
    dims = _dims(type_, scope, sink)
    if base is None or dims is None:
        return None
    found = TensorType(base.dtype, (*dims, *base.dims), type_.optional or base.optional, type_.stream or base.stream)
    return found if _sound(found, type_, place, sink) else None


def _base(type_: syntax.TypeExpr, scope: Scope, sink: Sink, name: str) -> TensorType | None:
    parts = type_.name.parts
    if len(parts) == 1 and parts[0].text in DTYPES:
        return TensorType(DTYPES[parts[0].text])
    if len(parts) == 1 and scope.lookup(parts[0].text) is None:
        known = (*DTYPES, *(n for n in scope.visible_names() if isinstance(scope.lookup(n), TypeBinding)))
        sink.add(UnknownName(type_.name.span, parts[0].text, known, "type").diagnostic())
        return None
    found = member(parts, scope, sink, "type")
    if isinstance(found, TypeBinding):
        return _renamed(found, name)
    if found is not None and not isinstance(found, ErrorBinding):
        declared = None if not hasattr(found, "decl") else found.decl.span
        sink.add(WrongKind(type_.name.span, str(type_.name), kind_of(found), "a type", declared).diagnostic())
    return None


def _renamed(alias: TypeBinding, name: str) -> TensorType:
    """The alias with sizes of its own at this use."""
    symbols = {s for d in alias.type.dims if isinstance(d, Sized | Ragged) for s in d.size.symbols}
    owner = name or alias.name
    fresh = {s: Size.of(Symbol(f"{owner}.{s.name}")) for s in symbols}
    return alias.type.with_dims(tuple(_substituted(d, fresh) for d in alias.type.dims))


def _substituted(dim: Dim, sizes: dict[Symbol, Size]) -> Dim:
    if isinstance(dim, Sized):
        return Sized(dim.size.substitute(sizes))
    if isinstance(dim, Ragged):
        return Ragged(dim.size.substitute(sizes))
    return dim


def _dims(type_: syntax.TypeExpr, scope: Scope, sink: Sink) -> tuple[Dim, ...] | None:
    found = [_dim(d, scope, sink) for d in type_.dims]
    good = [d for d in found if d is not None]
    return tuple(good) if len(good) == len(found) else None


def _dim(dim: syntax.DimExpr, scope: Scope, sink: Sink) -> Dim | None:
    match dim:
        case syntax.RowsDim():
            return Rows()
        case syntax.AnyDim():
            return Unknown()
        case syntax.RestDims():
            return Rest()
        case syntax.RaggedDim(size=size):
            found = size_of(size, scope, sink)
            return None if found is None else Ragged(found)
        case syntax.SizedDim(size=size):
            found = size_of(size, scope, sink)
            return None if found is None else Sized(found)


def _sound(found: TensorType, type_: syntax.TypeExpr, place: Place, sink: Sink) -> bool:
    """Whether every dim stands where it may; reports the first that does not."""
    spans = [d.span for d in type_.dims] + [type_.name.span] * len(found.dims)
    if found.dtype.kind == "setting" and (place == "port" or found.dims):
        text = f"`{found.dtype}` is for consts and params, a port can not have it"
        sink.add(DeclaredMismatch(type_.name.span, text, help="give the number: `f32`, `i64`").diagnostic())
        return False
    if found.stream and found.has_rows:
        text = "an element of a stream is one value: it has no rows"
        sink.add(DimMisplaced(spans[0], text, "leave the `*` out, or give the number of items a name").diagnostic())
        return False
    for index, dim in enumerate(found.dims):
        if isinstance(dim, Rows) and place == "value":
            text = "a const or param has no rows"
            sink.add(DimMisplaced(spans[index], text, "write a number of items, or `?`").diagnostic())
            return False
        if isinstance(dim, Rows) and index > 0:
            sink.add(DimMisplaced(spans[index], "`*` must be the first dim", "move it to the front").diagnostic())
            return False
        if isinstance(dim, Ragged) and index == 0:
            sink.add(RaggedFirst(spans[index], str(dim)).diagnostic())
            return False
    if sum(isinstance(d, Rest) for d in found.dims) > 1:
        sink.add(DimMisplaced(type_.span, "`...` may stand once in a type").diagnostic())
        return False
    return True


# ---- signatures


def signature_of(
    signature: syntax.Signature,
    where: tuple[syntax.Expr, ...],
    scope: Scope,
    sink: Sink,
    *,
    stage: bool,
) -> ir.Signature | None:
    """The checked ports and bounds of a stage or pipeline, or None after reporting what is wrong."""
    before = len(sink.found)
    inputs = [_port(p, scope, sink, is_input=True) for p in signature.inputs]
    outputs = [_port(p, scope, sink, is_input=False) for p in signature.outputs]
    _unique(signature.inputs, sink)
    _unique(signature.outputs, sink)
    good = tuple(p for p in inputs if p), tuple(p for p in outputs if p)
    if len(good[0]) < len(inputs) or len(good[1]) < len(outputs):
        return None
    bounds = bounds_of(where, sizes_of((*good[0], *good[1])), scope, sink)
    result = ir.Signature(*good, bounds)
    if stage:
        _independent_rows(result, sink)
        _whole_streams(result, sink)
    return result if len(sink.found) == before else None


def sizes_of(ports: Iterable[ir.Port], kinds: tuple[type[Dim], ...] = (Sized, Ragged)) -> dict[str, Size]:
    """The size names of ports, in order; those in dims of some kinds only."""
    found: dict[str, Size] = {}
    for port in ports:
        for dim in port.type.dims:
            if isinstance(dim, kinds) and isinstance(dim, Sized | Ragged):
                for symbol in sorted(dim.size.symbols, key=str):
                    found.setdefault(symbol.name, Size.of(symbol))
    return found


def _port(port: syntax.Port, scope: Scope, sink: Sink, *, is_input: bool) -> ir.Port | None:
    found = type_of(port.type, scope, sink, port.name.text)
    if found is None:
        return None
    if port.default is None:
        return ir.Port(port.name.text, found, doc=port.doc, span=port.span)
    value = _default(port, port.default, found, scope, sink, is_input)
    return None if value is None else ir.Port(port.name.text, found, True, value[0], port.doc, port.span)


def _default(
    port: syntax.Port, default: syntax.Expr, type_: TensorType, scope: Scope, sink: Sink, is_input: bool
) -> tuple[object] | None:
    """The default in a tuple of one, because the default may be None; None after reporting."""
    if not is_input:
        sink.add(DeclaredMismatch(default.span, "an output has no default", port.span).diagnostic())
        return None
    if type_.dims not in ((), (Rows(),)) or type_.stream:
        text = f"only single values and `*` ports have defaults, `{port.name}` is {type_}"
        hint = "make it optional with `?`, and fill it in inside the pipeline"
        sink.add(DeclaredMismatch(default.span, text, port.type.span, hint).diagnostic())
        return None
    given = evaluate_as(default, type_.with_dims(()), scope, sink, port.type.span)
    return None if given is None else (given.value,)


def _unique(ports: tuple[syntax.Port, ...], sink: Sink) -> None:
    seen: dict[str, syntax.Ident] = {}
    for port in ports:
        first = seen.setdefault(port.name.text, port.name)
        if first is not port.name:
            sink.add(DuplicateName(port.name.span, port.name.text, first.span).diagnostic())


# ---- what a stage may promise


def _independent_rows(signature: ir.Signature, sink: Sink) -> None:
    """E0313 and E0314: an answer for a row must not depend on the rows beside it."""
    rows = next((p for p in signature.inputs if p.type.has_rows), None)
    inputs = sizes_of(signature.inputs, (Sized,))
    for port in signature.outputs:
        if rows is None:
            if port.type.has_rows:
                _no_rows_in(port, sink)
        elif port.type.stream:
            continue
        elif not port.type.has_rows and not _rest_first(port.type):
            _rows_lost(port, rows, sink)
        elif port.type.optional:
            _may_be_absent(port, rows, sink)
        else:
            _fixed_sizes(port, inputs, sink)


def _rest_first(type_: TensorType) -> bool:
    """With `...` first the row axis may be in it."""
    return bool(type_.dims) and isinstance(type_.dims[0], Rest)


def _no_rows_in(port: ir.Port, sink: Sink) -> None:
    assert port.span is not None
    text = f"output `{port.name}` has rows, and no input has: there is nothing they belong to"
    sink.add(RowsNotKept(port.span, text, None, "write a size name instead of `*`: `N`").diagnostic())


def _rows_lost(port: ir.Port, rows: ir.Port, sink: Sink) -> None:
    assert port.span is not None
    text = f"output `{port.name}` has no `*`, and input `{rows.name}` has: it would mix rows of several requests"
    hint = f"write `*` first in `{port.name}`, or a size name instead of `*` in the inputs"
    sink.add(RowsNotKept(port.span, text, rows.span, hint).diagnostic())


def _may_be_absent(port: ir.Port, rows: ir.Port, sink: Sink) -> None:
    assert port.span is not None
    text = f"output `{port.name}` may be absent (`?`), and its rows belong to several requests"
    sink.add(RowsNotKept(port.span, text, rows.span, "return a value for every row").diagnostic())


def _whole_streams(signature: ir.Signature, sink: Sink) -> None:
    """E0313: a stage that streams runs for one request at a time, and its streams are always there."""
    rows = next((p for p in signature.inputs if p.type.has_rows), None)
    for port in (*signature.inputs, *signature.outputs):
        if not port.type.stream or port.span is None:
            continue
        if rows is not None:
            text = f"`{port.name}` is a stream, and `{rows.name}` has rows: those of several requests share a call"
            hint = "leave the `*` out: the stage runs once for each request, or for each item inside `map`"
            sink.add(RowsNotKept(port.span, text, rows.span, hint).diagnostic())
        elif port.type.optional and port in signature.outputs:
            text = f"output `{port.name}` is a stream that may be absent"
            sink.add(RowsNotKept(port.span, text, None, "leave the `?` out: a stream may be empty").diagnostic())


def _fixed_sizes(port: ir.Port, inputs: dict[str, Size], sink: Sink) -> None:
    assert port.span is not None
    for dim in port.type.dims:
        unknown = [s for s in dim.size.symbols if s.name not in inputs] if isinstance(dim, Sized) else []
        if unknown:
            sink.add(SizeOfBatch(port.span, port.name, str(dim)).diagnostic())
            return
