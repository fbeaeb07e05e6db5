"""Names that a compile-time construct reads: the edges along which declarations are put in order."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline_dsl import syntax

PLACE = re.compile(r"\$\{\s*([^}]*?)\s*\}")
"""`${NAME}` in a string; `${emb.NAME}` for a value of an imported module."""

Path = tuple[str, ...]
"""`("DIM",)` or `("emb", "DIM")`."""


def names_of(expr: syntax.Expr) -> Iterator[Path]:
    """All names and module members in an expression, those in strings included."""
    todo: list[syntax.Expr] = [expr]
    while todo:
        node = todo.pop()
        path = path_of(node)
        if path:
            yield path
        elif isinstance(node, syntax.Literal):
            if isinstance(node.value, str):
                yield from (tuple(name.split(".")) for name in PLACE.findall(node.value))
        else:
            todo += children(node)


def path_of(expr: syntax.Expr) -> Path:
    """The parts of `a` or `a.b.c`; () for anything else."""
    parts: list[str] = []
    while isinstance(expr, syntax.Member):
        parts.append(expr.name.text)
        expr = expr.value
    if not isinstance(expr, syntax.Name):
        return ()
    return (expr.text, *reversed(parts))


def children(expr: syntax.Expr) -> list[syntax.Expr]:
    """The expressions directly below one. The callee of a call is a word of the language, not a name."""
    match expr:
        case syntax.Unary(operand=operand):
            return [operand]
        case syntax.Binary(left=left, right=right):
            return [left, right]
        case syntax.Call(args=args):
            return [a.value for a in args]
        case syntax.Member(value=value):
            return [value]
        case syntax.Index(value=value, subscripts=subscripts):
            return [value, *(e for s in subscripts for e in _ends(s))]
        case syntax.ListExpr(items=items):
            return list(items)
        case syntax.ObjectExpr(items=pairs):
            return [value for _, value in pairs]
        case _:
            return []


def _ends(subscript: syntax.Expr | syntax.Slice) -> list[syntax.Expr]:
    if isinstance(subscript, syntax.Slice):
        return [e for e in (subscript.start, subscript.stop) if e is not None]
    return [subscript]


def type_names(type_: syntax.TypeExpr) -> Iterator[Path]:
    """The alias and the sizes that a type names."""
    yield tuple(p.text for p in type_.name.parts)
    for dim in type_.dims:
        if isinstance(dim, syntax.SizedDim | syntax.RaggedDim):
            yield from ((name,) for name in size_names(dim.size))


def size_names(size: syntax.DimSize) -> Iterator[str]:
    """Names in the size of a dim."""
    todo = [size]
    while todo:
        node = todo.pop()
        if isinstance(node, syntax.DimVar):
            yield node.name
        elif isinstance(node, syntax.DimOp):
            todo += [node.right, node.left]
