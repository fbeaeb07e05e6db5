"""Types in Python: `f32["*", "~L", 384]`, `opt(string)`, `stream(string)`.

The brackets take what text takes: numbers, names, `"*"`, `"?"`, `"~L"`, `"2*H"`, `...`, and consts. Every dtype of
the language is an attribute of this module, and of `pipectl.types`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline_dsl import literals, syntax
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.source import Span
from pipeline_dsl.unparse import type_text

from .declared import Uses, merged
from .parts import Part, declared, part
from .places import NOWHERE, Place, caller
from .texts import parsed_type

_PLAIN = re.compile(r"(~?)\s*(?:([0-9]+)|([A-Za-z_]\w*))", re.ASCII)
_SIGNS: dict[str, type[syntax.RowsDim | syntax.AnyDim | syntax.RestDims]] = {
    "*": syntax.RowsDim,
    "?": syntax.AnyDim,
    "...": syntax.RestDims,
}


@dataclass(frozen=True, slots=True)
class Type:
    """A type of the language. `f32` is one single value, `f32["*", 3]` rows of three."""

    tree: syntax.TypeExpr
    uses: Uses = field(default=(), compare=False)

    def __getitem__(self, dims: Any) -> Type:
        """The type with dims: `f32["*", 224, 224]`."""
        if self.tree.dims or self.tree.optional or self.tree.stream:
            raise TypeError(f"`{type_text(self.tree)}` has its dims; `opt` and `stream` go around them")
        place = caller()
        every = [_dim(d, place) for d in (dims if isinstance(dims, tuple) else (dims,))]
        tree = replace(self.tree, dims=tuple(dim for dim, _ in every), span=place.span)
        return Type(tree, merged([self.uses, *(uses for _, uses in every)]))

    def __part__(self, place: Place | None) -> Part:
        if self.tree.dims or self.tree.optional or self.tree.stream:
            raise TypeError(f"`{type_text(self.tree)}` is no value; a dtype alone can be an argument")
        span = self.tree.span if place is None else place.span
        first, *rest = self.tree.name.parts
        expr: syntax.Expr = syntax.Name(first.text, span=span)
        for one in rest:
            expr = syntax.Member(expr, syntax.Ident(one.text, span=span), span=span)
        return Part(expr, self.uses)

    def at(self, span: Span) -> syntax.TypeExpr:
        """The tree, placed where it is used if it was not written out."""
        return self.tree if self.tree.span != NOWHERE else replace(self.tree, span=span)

    def __repr__(self) -> str:
        return type_text(self.tree)


def named(parts: tuple[str, ...], span: Span = NOWHERE, uses: Uses = ()) -> Type:
    """The type of a name: a dtype, an alias, `vision.Image`."""
    name = syntax.QName(tuple(syntax.Ident(p, span=span) for p in parts), span=span)
    return Type(syntax.TypeExpr(name, span=span), uses)


def opt(type_: Any) -> Type:
    """A value that may be absent: `opt(f32["S"])` is `f32[S]?`."""
    base = type_of(type_)
    return Type(replace(base.tree, optional=True, span=caller().span), base.uses)


def stream(type_: Any) -> Type:
    """A value that comes in elements: `stream(string)` is `stream string`."""
    base = type_of(type_)
    return Type(replace(base.tree, stream=True, span=caller().span), base.uses)


def type_of(value: Any) -> Type:
    """What stands for a type as one: a `Type`, an imported name, or the text of a type. TypeError otherwise."""
    if isinstance(value, Type):
        return value
    if isinstance(value, str):
        return Type(*parsed_type(value, caller().span))
    named_type = getattr(type(value), "__type__", None)
    if named_type is not None:
        found = named_type(value)
        assert isinstance(found, Type)
        return found
    raise TypeError(f'a type like f32["*"] is needed here, found {value!r:.60}')


def _dim(value: Any, place: Place) -> tuple[syntax.DimExpr, Uses]:
    span = place.span
    if value is ...:
        return syntax.RestDims(span=span), ()
    if isinstance(value, str):
        return _dim_text(value, span)
    made = part(value, place)
    return syntax.SizedDim(_size(made.expr), span=span), made.uses


def _dim_text(text: str, span: Span) -> tuple[syntax.DimExpr, Uses]:
    """The plain forms are read here, all others by the parser."""
    if text in _SIGNS:
        return _SIGNS[text](span=span), ()
    found = _PLAIN.fullmatch(text.strip())
    if found is None or not literals.fits("INT", found.group(2) or "0"):
        tree, uses = parsed_type(f"f32[{text}]", span)
        if len(tree.dims) != 1:
            raise TypeError(f'one dim is needed, found {text!r}; several are f32["*", "N"]')
        return tree.dims[0], uses
    ragged, number, name = found.groups()
    size = syntax.DimInt(int(number), span=span) if number else syntax.DimVar(name, span=span)
    uses = declared([name]) if name else ()
    return (syntax.RaggedDim(size, span=span) if ragged else syntax.SizedDim(size, span=span)), uses


def _size(expr: syntax.Expr) -> syntax.DimSize:
    """A whole number, a const, or arithmetic on them."""
    match expr:
        case syntax.Literal(kind="int", value=int(value)):
            return syntax.DimInt(value, span=expr.span)
        case syntax.Name(text=text):
            return syntax.DimVar(text, span=expr.span)
        case syntax.Binary(op="+" | "-" | "*" | "/" as op, left=left, right=right):
            return syntax.DimOp(op, _size(left), _size(right), span=expr.span)
    raise TypeError(f"a size is a whole number, a name or a const, found {expr.span.text or type(expr).__name__!r}")


def __getattr__(name: str) -> Type:
    if name not in DTYPES:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return named((name,))
