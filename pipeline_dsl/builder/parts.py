"""Python values as expressions: `part(value, place)` gives the tree, and what it depends on.

Numbers, strings, None, lists and dicts become literals; handles and symbolic values know their own part. A string
with `${NAME}` needs the const or param that `NAME` means where the string is written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from pipeline_dsl import literals, syntax
from pipeline_dsl.diagnostics import CompileError
from pipeline_dsl.errors.syntax import Limit
from pipeline_dsl.source import Span
from pipeline_dsl.unparse import expression

from .declared import Declared, Uses, merged
from .frames import Frame
from .places import Place, visible

MAX_DEPTH = 60
"""Expressions inside of one another; what text can nest."""
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "<none>"})()
"""Stands where None is a value: `null`."""
_SHOWN = 60
_IN_STRING = re.compile(r"\$\{\s*([A-Za-z_]\w*)\s*\}")


@dataclass(slots=True, eq=False)
class Part:
    """An expression and what stands behind it."""

    expr: syntax.Expr
    uses: Uses = ()
    frame: Frame | None = None
    """The innermost body it depends on; None: known without a request."""
    calls: bool = False
    """It holds a call of a stage or pipeline that has no name yet, so it may be used once."""
    depth: int = 1
    spent: Span | None = None
    """Where it was used."""

    @property
    def span(self) -> Span:
        return self.expr.span

    def shown(self) -> str:
        """Its spelling in messages."""
        text = expression(self.expr)
        return text if len(text) <= _SHOWN and "\n" not in text else f"{text[:_SHOWN].splitlines()[0]}.."


@runtime_checkable
class Expressible(Protocol):
    """A handle or symbolic value that can stand in an expression."""

    def __part__(self, place: Place | None) -> Part:
        """Its part, used at a place; None: where it was made. CompileError if it can not be used here."""


def part(value: Any, place: Place) -> Part:
    """The expression a Python value stands for. TypeError for a value that has none."""
    if isinstance(value, Expressible):
        return value.__part__(place)
    if isinstance(value, Mapping):
        items = [(str(key), part(item, place.entry(str(key))[1])) for key, item in value.items()]
        pairs = tuple((key, item.expr) for key, item in items)
        return over(syntax.ObjectExpr(pairs, span=place.span), [item for _, item in items])
    if isinstance(value, list | tuple):
        parts = [part(item, place.argument(i)) for i, item in enumerate(value)]
        return over(syntax.ListExpr(tuple(p.expr for p in parts), span=place.span), parts)
    if isinstance(value, str):
        return Part(syntax.Literal("string", value, span=place.span), named_in(value))
    return Part(_literal(value, place.span))


def over(expr: syntax.Expr, parts: Iterable[Part]) -> Part:
    """The part of an expression made of others."""
    parts = list(parts)
    frames = [p.frame for p in parts if p.frame is not None]
    depth = 1 + max((p.depth for p in parts), default=0)
    if depth > MAX_DEPTH:
        limit = Limit(expr.span, "this expression nests too deep", str(MAX_DEPTH), "name a part of it: `p.x = ..`")
        raise CompileError([limit.diagnostic()])
    return Part(
        expr,
        merged(p.uses for p in parts),
        max(frames, key=lambda f: f.depth, default=None),
        any(p.calls for p in parts),
        depth,
    )


def named_in(text: str) -> Uses:
    """The consts and params that `${NAME}` in a string means."""
    if "${" not in text:
        return ()
    return declared(_IN_STRING.findall(text))


def declared(names: Iterable[str]) -> Uses:
    """The consts and params that names mean where the caller stands; other names mean nothing here."""
    return merged(_behind(visible(name), name) for name in names)


def _behind(found: object, name: str) -> Uses:
    """The declaration behind a const or param of this very name."""
    owner = getattr(type(found), "__declared__", None)
    declaration = found.__declared__() if owner is not None else None  # type: ignore[attr-defined]  # just looked up
    if not isinstance(declaration, Declared):
        return ()
    tree = declaration.tree()
    fits = isinstance(tree, syntax.Const | syntax.Param) and tree.name.text == name
    return (declaration,) if fits else ()


def bare(text: str, span: Span) -> syntax.Expr:
    """A word as text reads it: `null`, `true` and `false` are literals wherever they stand."""
    if text == "null":
        return syntax.Literal("null", None, span=span)
    if text in ("true", "false"):
        return syntax.Literal("bool", text == "true", span=span)
    return syntax.Name(text, span=span)


def respanned(expr: syntax.Expr, span: Span) -> syntax.Expr:
    """A name or literal where it is used, rather than where it was made."""
    return replace(expr, span=span) if isinstance(expr, syntax.Name | syntax.Literal) else expr


def _literal(value: Any, span: Span) -> syntax.Expr:
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()
    if value is None:
        return syntax.Literal("null", None, span=span)
    if isinstance(value, bool):
        return syntax.Literal("bool", value, span=span)
    if isinstance(value, int):
        return _number("int", value, str(abs(value)), span)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} can not be written in a pipeline")
        return _number("float", value, repr(abs(value)), span)
    raise TypeError(f"{type(value).__name__} is no value of a pipeline: {value!r:.60}")


def _number(kind: syntax.LiteralKind, value: float, spelled: str, span: Span) -> syntax.Expr:
    if not literals.fits(kind.upper(), spelled):
        raise CompileError([Limit(span, "this number is too large", "64 bits").diagnostic()])
    literal = syntax.Literal(kind, abs(value), spelled if kind == "float" else "", span=span)
    return syntax.Unary("-", literal, span=span) if math.copysign(1, value) < 0 else literal
