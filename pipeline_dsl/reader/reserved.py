"""Words that would read as something else where a value stands, and so name no variable, port or declaration.

The grammar takes keywords as names wherever they are unambiguous; `map = f(x)` parses, but `y = map` can not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline_dsl.errors.syntax import Reserved
from pipeline_dsl.syntax import (
    Assign,
    Body,
    Const,
    Decl,
    FromImport,
    Ident,
    If,
    Import,
    Map,
    Match,
    Param,
    Pipeline,
    Route,
    Signature,
    Stage,
    Statement,
    Try,
)

_CONTROL = frozenset(("if", "else", "match", "map", "route", "try", "fallback", "return", "yield"))
_VALUES = frozenset(("and", "or", "not", "true", "false", "null"))
RESERVED = _CONTROL | _VALUES


def reserved_names(decls: Iterable[Decl]) -> Iterator[Reserved]:
    """A mistake for each reserved word that is used as a name."""
    for decl in decls:
        for name, what in _names(decl):
            if name.text in RESERVED:
                yield Reserved(name.span, name.text, what)


_Named = Iterator[tuple[Ident, str]]


def _names(decl: Decl) -> _Named:
    match decl:
        case Const(name=name):
            yield name, "a const"
        case Param(name=name):
            yield name, "a param"
        case Import(name=name):
            yield name, "a module"
        case FromImport(items=items):
            for item in items:
                yield item.alias or item.name, "a declaration"
        case Stage(name=name, signature=signature):
            yield name, "a stage"
            yield from _ports(signature)
        case Pipeline(name=name, signature=signature, body=body):
            yield name, "a pipeline"
            yield from _ports(signature)
            yield from _variables(body)
        case _:
            pass


def _ports(signature: Signature | None) -> _Named:
    if signature is not None:
        for port in (*signature.inputs, *signature.outputs):
            yield port.name, "a port"


def _variables(body: Body | If | None) -> _Named:
    if isinstance(body, If):
        yield from _in_control(body)
    elif body is not None:
        for statement in body.statements:
            yield from _in_statement(statement)


def _in_statement(statement: Statement) -> _Named:
    if isinstance(statement, Assign):
        for target in statement.targets:
            yield target.name, "a variable"
        yield from _in_control(statement.value)


def _in_control(value: object) -> _Named:
    match value:
        case If(body=body, orelse=orelse):
            yield from _variables(body)
            yield from _variables(orelse)
        case Match(cases=cases, default=default):
            for case in cases:
                yield from _variables(case.body)
            yield from _variables(default)
        case Map(iters=iters, body=body):
            for item in iters:
                yield item.name, "a variable"
            yield from _variables(body)
        case Route(arms=arms):
            for arm in arms:
                yield from _variables(arm.body)
        case Try(body=body, error=error, fallback=fallback):
            yield from _variables(body)
            if error is not None:
                yield error, "a variable"
            yield from _variables(fallback)
        case _:
            pass
