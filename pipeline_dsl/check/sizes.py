"""Sizes and bounds as written -> `sizes.Size` and `ir.Bound`; whole-number consts and params are filled in."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.names import NotComputable, UnknownName
from pipeline_dsl.sizes import Size
from pipeline_dsl.source import Span

from .scope import ErrorBinding, Scope, ValueBinding
from .values import evaluate

_BOUND = "a bound compares sizes: `where L <= 512`"
_COMPARISONS = ("<=", "<", "==", ">=", ">")


def size_of(size: syntax.DimSize, scope: Scope, sink: Sink) -> Size | None:
    """A size in a dim: a number, a whole-number const or param, a size name, or an expression of these."""
    match size:
        case syntax.DimInt(value=value):
            return Size.of(value)
        case syntax.DimVar(name=name):
            return _name(name, size.span, scope, sink)
        case syntax.DimOp(op=op, left=left, right=right):
            return _combined(op, size_of(left, scope, sink), size_of(right, scope, sink), size.span, sink)


def _name(name: str, span: Span, scope: Scope, sink: Sink) -> Size | None:
    """Stages and types have names of their own; only a value takes the place of a size."""
    found = scope.lookup(name)
    if isinstance(found, ErrorBinding) and isinstance(found.decl, syntax.Const | syntax.Param):
        return None
    if not isinstance(found, ValueBinding):
        return Size.of(name)
    scope.mark_used(name)
    if isinstance(found.value, int) and found.type.dtype.kind in ("int", "uint") and found.value >= 0:
        return Size.of(found.value)
    text = f"a size is a whole number from 0 up, `{name}` is {found.type}"
    sink.add(NotComputable(span, text, "name the size differently, or change the const").diagnostic())
    return None


def _combined(op: str, left: Size | None, right: Size | None, span: Span, sink: Sink) -> Size | None:
    if left is None or right is None:
        return None
    if op == "/" and right.value == 0:
        sink.add(NotComputable(span, "division by zero in a size").diagnostic())
        return None
    total = {"+": left.__add__, "-": left.__sub__, "*": left.__mul__, "/": left.__floordiv__}[op](right)
    if total.value is not None and total.value < 0:
        sink.add(NotComputable(span, f"this size is {total.value}: sizes are not negative").diagnostic())
        return None
    return total


# ---- where


def bounds_of(
    where: tuple[syntax.Expr, ...], known: Mapping[str, Size], scope: Scope, sink: Sink
) -> tuple[ir.Bound, ...]:
    """The bounds of a signature whose size names are `known`; clauses with mistakes are left out."""
    found = [_bound(part, known, scope, sink) for clause in where for part in _clauses(clause)]
    return tuple(b for b in found if b is not None)


def _clauses(clause: syntax.Expr) -> list[syntax.Expr]:
    """`a and b` is two clauses."""
    if isinstance(clause, syntax.Binary) and clause.op == "and":
        return [*_clauses(clause.left), *_clauses(clause.right)]
    return [clause]


def _bound(clause: syntax.Expr, known: Mapping[str, Size], scope: Scope, sink: Sink) -> ir.Bound | None:
    if not isinstance(clause, syntax.Binary) or clause.op not in _COMPARISONS:
        sink.add(NotComputable(clause.span, _BOUND).diagnostic())
        return None
    left = _side(clause.left, known, scope, sink)
    right = _side(clause.right, known, scope, sink)
    return None if left is None or right is None else ir.Bound(left, clause.op, right)


def _side(expr: syntax.Expr, known: Mapping[str, Size], scope: Scope, sink: Sink) -> Size | None:
    if isinstance(expr, syntax.Name):
        return _known_name(expr, known, scope, sink)
    if isinstance(expr, syntax.Binary) and expr.op in ("+", "-", "*", "/"):
        left, right = (_side(e, known, scope, sink) for e in (expr.left, expr.right))
        return _combined(expr.op, left, right, expr.span, sink)
    value = evaluate(expr, scope, sink)
    if value is None:
        return None
    if isinstance(value.value, int) and not isinstance(value.value, bool) and value.type.dtype.kind != "setting":
        return Size.of(value.value)
    sink.add(NotComputable(expr.span, f"a size is a whole number, found {value.type}", _BOUND).diagnostic())
    return None


def _known_name(expr: syntax.Name, known: Mapping[str, Size], scope: Scope, sink: Sink) -> Size | None:
    if expr.text in known:
        return known[expr.text]
    found = scope.lookup(expr.text)
    if isinstance(found, ErrorBinding):
        return None
    if isinstance(found, ValueBinding):
        return _name(expr.text, expr.span, scope, sink)
    note = f"sizes of this signature: {', '.join(known) or 'none'}"
    sink.add(UnknownName(expr.span, expr.text, tuple(known), "size", note).diagnostic())
    return None
