"""Small trees without a place in a text: what a conversion builds a `syntax.Module` from.

setting("max", 8)   block(setting(..), nested("queue", ..))   call("onnx", text("m.onnx"), version=number(3))
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline_dsl import literals, syntax
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.reader.reserved import RESERVED
from pipeline_dsl.source import Source, Span

SOURCE = Source("<import>", "")
NOWHERE = Span(SOURCE, 0, 0)


def ident(name: str) -> syntax.Ident:
    """A name where it is declared or called by."""
    return syntax.Ident(name, span=NOWHERE)


def name(text_: str) -> syntax.Name:
    """A name that is read."""
    return syntax.Name(text_, span=NOWHERE)


def text(value: str) -> syntax.Expr:
    """A string. `${` would be filled in: such a text is put together from two."""
    head, mark, rest = value.partition("${")
    literal = syntax.Literal("string", head + "$" if mark else value, span=NOWHERE)
    return syntax.Binary("+", literal, text("{" + rest), span=NOWHERE) if mark else literal


def number(value: int | float) -> syntax.Expr:
    """A number; one below zero is a negation."""
    if value < 0:
        return syntax.Unary("-", number(-value), span=NOWHERE)
    if isinstance(value, int):
        return syntax.Literal("int", value, span=NOWHERE)
    spelled = repr(value)
    return syntax.Literal("float", value, spelled if set(spelled) & set(".e") else f"{spelled}.0", span=NOWHERE)


def duration(nanoseconds: int) -> syntax.Expr:
    """`5ms`"""
    return syntax.Literal("duration", nanoseconds, literals.duration(nanoseconds), span=NOWHERE)


def size(count: int) -> syntax.Expr:
    """`64MiB`"""
    return syntax.Literal("bytes", count, literals.size(count), span=NOWHERE)


def percent(whole: int) -> syntax.Expr:
    """`10%`"""
    return syntax.Literal("percent", whole / 100, f"{whole}%", span=NOWHERE)


def binary(op: str, left: syntax.Expr, right: syntax.Expr) -> syntax.Expr:
    """`left op right`"""
    return syntax.Binary(op, left, right, span=NOWHERE)


def data(value: Any) -> syntax.Expr:
    """JSON data as an expression."""
    match value:
        case None:
            return syntax.Literal("null", None, span=NOWHERE)
        case bool():
            return syntax.Literal("bool", value, span=NOWHERE)
        case str():
            return text(value)
        case int() | float():
            return number(value)
        case Mapping():
            return syntax.ObjectExpr(tuple((str(k), data(v)) for k, v in value.items()), span=NOWHERE)
        case _:
            return syntax.ListExpr(tuple(data(v) for v in value), span=NOWHERE)


def argument(value: syntax.Expr, key: str | None = None) -> syntax.Argument:
    """`x`, or `key = x`."""
    return syntax.Argument(None if key is None else ident(key), value, span=NOWHERE)


def call(callee: str | syntax.Expr, *args: syntax.Expr, **keys: syntax.Expr) -> syntax.Call:
    """`f(a, key = b)`"""
    made = (*(argument(a) for a in args), *(argument(v, k) for k, v in keys.items()))
    target = name(callee) if isinstance(callee, str) else callee
    return syntax.Call(target, made, span=NOWHERE)


# ---- settings


def key(dotted: str) -> syntax.Key:
    """A key; one that is no name prints in quotes."""
    return syntax.Key((dotted,), span=NOWHERE)


def setting(name_: str, value: syntax.Expr) -> syntax.Setting:
    """`name = value`"""
    return syntax.Setting(key(name_), value, span=NOWHERE)


def block(*items: syntax.Setting | syntax.Nested | syntax.State) -> syntax.Block:
    """`{ .. }`"""
    return syntax.Block(tuple(items), span=NOWHERE)


def nested(name_: str, *items: syntax.Setting | syntax.Nested | syntax.State) -> syntax.Nested:
    """`name { .. }`; of a profile, `a.b { .. }` addresses a member."""
    return syntax.Nested(key(name_), None, block(*items), span=NOWHERE)


def parts(dotted: str) -> tuple[str, ...]:
    """The parts of a key; the name of a resource may have dots of its own."""
    return tuple(dotted.split(".", 2 if dotted.startswith("limit.resource.") else -1))


Tree = dict[str, Any]
"""Settings by the parts of their keys; leaves are expressions."""


def settings(flat: Mapping[str, syntax.Expr]) -> list[syntax.Setting | syntax.Nested]:
    """Dotted keys as nested blocks, in the order given; plain settings first."""
    root: Tree = {}
    for dotted, value in flat.items():
        *above, leaf = parts(dotted)
        node = root
        for part in above:
            node = node.setdefault(part, {})
        node[leaf] = value
    return _items(root)


def _items(tree: Tree) -> list[syntax.Setting | syntax.Nested]:
    plain = [setting(k, v) for k, v in tree.items() if not isinstance(v, dict)]
    blocks = [made for k, v in tree.items() if isinstance(v, dict) for made in _blocks(k, v)]
    return [*plain, *blocks]


def _blocks(name_: str, tree: Tree) -> list[syntax.Nested]:
    """`name { .. }`, or `level@1 { .. }` for each of some numbers."""
    if tree and all(k.isdecimal() and isinstance(v, dict) for k, v in tree.items()):
        return [syntax.Nested(key(name_), int(k), block(*_items(v)), span=NOWHERE) for k, v in tree.items()]
    return [nested(name_, *_items(tree))]


# ---- types


def dim(value: int | str) -> syntax.DimExpr:
    """`3`, `N`, `~L`, `*` or `?`."""
    match value:
        case int():
            return syntax.SizedDim(syntax.DimInt(value, span=NOWHERE), span=NOWHERE)
        case "*":
            return syntax.RowsDim(span=NOWHERE)
        case "?":
            return syntax.AnyDim(span=NOWHERE)
    if value.startswith("~"):
        return syntax.RaggedDim(syntax.DimVar(value[1:], span=NOWHERE), span=NOWHERE)
    return syntax.SizedDim(syntax.DimVar(value, span=NOWHERE), span=NOWHERE)


def type_(
    dtype: str, dims: Iterable[int | str] = (), *, optional: bool = False, stream: bool = False
) -> syntax.TypeExpr:
    """`stream f32[*, D1]?`"""
    made = syntax.QName((ident(dtype),), span=NOWHERE)
    return syntax.TypeExpr(made, tuple(map(dim, dims)), optional, stream, span=NOWHERE)


def port(name_: str, type__: syntax.TypeExpr) -> syntax.Port:
    """`x: f32[*]`"""
    return syntax.Port(ident(name_), type__, span=NOWHERE)


# ---- dataflow


def assign(targets: Iterable[str], value: syntax.Rhs) -> syntax.Assign:
    """`a, b = f(x)`"""
    made = tuple(syntax.Target(ident(t), span=NOWHERE) for t in targets)
    return syntax.Assign(made, value, span=NOWHERE)


def out(value: syntax.Expr, name_: str | None = None) -> syntax.Out:
    """`x`, or `name = x`; a variable of that name needs no name."""
    same = isinstance(value, syntax.Name) and value.text == name_
    return syntax.Out(None if name_ is None or same else ident(name_), value, span=NOWHERE)


def body(*statements: syntax.Statement) -> syntax.Body:
    """`{ .. }` with statements"""
    return syntax.Body(tuple(statements), span=NOWHERE)


def returns(*outs: syntax.Out) -> syntax.Return:
    """`return a, b = x`"""
    return syntax.Return(tuple(outs), span=NOWHERE)


def yields(*outs: syntax.Out) -> syntax.Yield:
    """`yield a`"""
    return syntax.Yield(tuple(outs), span=NOWHERE)


def member(value: syntax.Expr, name_: str) -> syntax.Member:
    """`x.name`"""
    return syntax.Member(value, ident(name_), span=NOWHERE)


def module(decls: Iterable[syntax.Decl]) -> syntax.Module:
    """A file of edition 1."""
    return syntax.Module(SOURCE, 1, tuple(decls), span=NOWHERE)


# ---- names


class Names:
    """Gives each foreign name one of the language: letters, digits and `_`, no reserved word, none twice."""

    def __init__(self, *taken: str) -> None:
        self._taken = {*RESERVED, *DTYPES, *taken}
        self._given: dict[str, str] = {}

    def of(self, foreign: str) -> str:
        """The same name for the same foreign one."""
        if foreign not in self._given:
            self._given[foreign] = self.fresh(foreign)
        return self._given[foreign]

    def fresh(self, wish: str) -> str:
        """A name that nobody has."""
        base = re.sub(r"[^A-Za-z0-9_]", "_", wish)
        base = base if base.strip("_") else "x"
        base = f"_{base}" if base[0].isdigit() else base
        found, number_ = base, 1
        while found in self._taken:
            number_ += 1
            found = f"{base}_{number_}"
        self._taken.add(found)
        return found
