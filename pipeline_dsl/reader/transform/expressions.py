"""Rules of expressions, and of brackets around anything."""

from __future__ import annotations

from dataclasses import replace

from pipeline_dsl import syntax
from pipeline_dsl.reader.leaves import Leaf

from .rules import Children, Group, after, ident, items, names, nodes, over, rule


@rule("dim_atom", "atom")
def _parenthesised(c: Children) -> syntax.Node:
    """Brackets make no node; its span takes them in, so that spans of what is around stay whole."""
    node: syntax.Node = c[1]
    return replace(node, span=over(c))


@rule("coalesce", "or_", "and_", "cmp", "add", "sub", "mul", "div", "mod")
def _binary(c: Children) -> syntax.Binary:
    return syntax.Binary(c[1].text, c[0], c[2], span=over(c))


@rule("not_", "neg")
def _unary(c: Children) -> syntax.Unary:
    return syntax.Unary(c[0].text, c[1], span=over(c))


@rule("call")
def _call(c: Children) -> syntax.Call:
    arguments = [
        x if isinstance(x, syntax.Argument) else syntax.Argument(None, x, span=x.span)
        for x in (c[2].items if isinstance(c[2], Group) else ())
    ]
    options = after(c, "WITH")
    return syntax.Call(c[0], tuple(arguments), items(options), span=over(c))


@rule("member")
def _member(c: Children) -> syntax.Member:
    return syntax.Member(c[0], ident(c[2]), span=over(c))


@rule("index")
def _index(c: Children) -> syntax.Index:
    return syntax.Index(c[0], nodes(c[1:]), span=over(c))


@rule("slice")
def _slice(c: Children) -> syntax.Slice:
    start = c[0] if not isinstance(c[0], Leaf) else None
    stop = c[-1] if not isinstance(c[-1], Leaf) else None
    return syntax.Slice(start, stop, span=over(c))


@rule("arg")
def _argument(c: Children) -> syntax.Argument:
    return syntax.Argument(ident(c[0]), c[2], span=over(c))


@rule("name")
def _name(c: Children) -> syntax.Name:
    return syntax.Name(c[0].text, span=c[0].span)


@rule("versioned")
def _versioned(c: Children) -> syntax.Versioned:
    return syntax.Versioned(c[0].text, c[2].items[0], span=over(c))


@rule("version")
def _version(c: Children) -> Group:
    return Group((c[0].text if c[0].type == "NAME" else c[0].value,), c[0].span)


@rule("list")
def _list(c: Children) -> syntax.ListExpr:
    return syntax.ListExpr(nodes(c), span=over(c))


@rule("object")
def _object(c: Children) -> syntax.ObjectExpr:
    return syntax.ObjectExpr(tuple(pair.items for pair in nodes(c)), span=over(c))


@rule("pair")
def _pair(c: Children) -> Group:
    return Group((c[0].value, c[2]), over(c))


_KINDS: dict[str, syntax.LiteralKind] = {
    "INT": "int",
    "FLOAT": "float",
    "STRING": "string",
    "TEXT": "string",
    "DURATION": "duration",
    "BYTES": "bytes",
    "PERCENT": "percent",
    "NULL": "null",
}
_KEEP_SPELLING = {"FLOAT", "DURATION", "BYTES", "PERCENT"}


@rule("literal")
def _literal(c: Children) -> syntax.Literal:
    leaf: Leaf = c[0]
    if leaf.type in ("TRUE", "FALSE"):
        return syntax.Literal("bool", leaf.type == "TRUE", span=leaf.span)
    raw = leaf.text if leaf.type in _KEEP_SPELLING else ""
    return syntax.Literal(_KINDS[leaf.type], leaf.value, raw, span=leaf.span)


@rule("qname")
def _qname(c: Children) -> syntax.QName:
    return syntax.QName(names(c), span=over(c))
