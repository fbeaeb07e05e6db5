"""Pieces of the language written as strings inside of Python: bounds, sizes, types.

They go through the one parser there is, so they mean the same as in a file; what they say wrong is told at the
string. Names in them that are consts or params where the string is written are found like those in `${NAME}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, TypeVar

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import CompileError, Sink
from pipeline_dsl.parse import parse
from pipeline_dsl.source import Source, Span

from .declared import Uses
from .parts import Part, declared

T = TypeVar("T", bound=syntax.Node)


def parsed_expression(text: str, span: Span) -> Part:
    """The expression a text spells. CompileError if it spells none."""
    decl = _only(f"const A = {text}\n", span)
    assert isinstance(decl, syntax.Const)
    expr = _moved(decl.value, span)
    return Part(expr, declared(n.text for n in _walk(expr) if isinstance(n, syntax.Name)))


def parsed_type(text: str, span: Span) -> tuple[syntax.TypeExpr, Uses]:
    """The type a text spells. CompileError if it spells none."""
    decl = _only(f"type A = {text}\n", span)
    assert isinstance(decl, syntax.TypeAlias)
    tree = _moved(decl.type, span)
    return tree, declared(n.name for n in _walk(tree) if isinstance(n, syntax.DimVar))


def _only(text: str, span: Span) -> syntax.Decl:
    sink = Sink()
    module = parse(Source("<text>", f"pipe 1\n{text}"), sink)
    if sink.has_errors:
        raise CompileError([replace(d, span=span, labels=()) for d in sink.errors])
    if len(module.decls) != 1:
        raise ValueError("one type or expression is needed, on one line")
    return module.decls[0]


def _moved(node: T, span: Span) -> T:
    """The same tree, all of it at one place."""
    found: dict[str, Any] = {f.name: _moved_field(getattr(node, f.name), span) for f in fields(node)}
    return replace(node, **{**found, "span": span})


def _moved_field(value: object, span: Span) -> object:
    if isinstance(value, syntax.Node):
        return _moved(value, span)
    if isinstance(value, tuple):
        return tuple(_moved_field(item, span) for item in value)
    return value


def _walk(value: object) -> Iterator[syntax.Node]:
    if isinstance(value, syntax.Node):
        yield value
        for field in fields(value):
            yield from _walk(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _walk(item)
