"""Names in expressions and types -> occurrences."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline_dsl import syntax
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.operations import FUNCTIONS
from pipeline_dsl.settings import STAGE, KeySpec
from pipeline_dsl.source import Span

from .definitions import Definition, Topic
from .found import Found
from .names import Callee, Names, callee_of, definition_in, module_of, of_port, port_in
from .spans import placeholders, versioned_name

CALL_OPTIONS = {spec.name: spec for spec in STAGE if spec.scope == "call"}
"""What `with (..)` takes."""


def expression(expr: syntax.Expr, names: Names, found: Found) -> None:
    """Everything that an expression mentions."""
    match expr:
        case syntax.Name():
            _name(expr, names, found)
        case syntax.Versioned():
            found.refer(versioned_name(expr), names.definition(expr.name))
        case syntax.Literal():
            _literal(expr, names, found)
        case syntax.Call():
            _call(expr, names, found)
        case syntax.Member():
            _member(expr, names, found)
        case syntax.ObjectExpr(items=items):
            for _, value in items:
                expression(value, names, found)
        case _:
            for below in _operands(expr):
                expression(below, names, found)


def _operands(expr: syntax.Expr) -> list[syntax.Expr]:
    match expr:
        case syntax.Unary(operand=operand):
            return [operand]
        case syntax.Binary(left=left, right=right):
            return [left, right]
        case syntax.ListExpr(items=items):
            return list(items)
        case syntax.Index(value=value, subscripts=subscripts):
            ends = [[s.start, s.stop] if isinstance(s, syntax.Slice) else [s] for s in subscripts]
            return [value, *(e for pair in ends for e in pair if e is not None)]
    return []


def _name(expr: syntax.Name, names: Names, found: Found) -> None:
    definition = names.definition(expr.text)
    if definition is None and expr.text in DTYPES:
        found.explain(Topic(expr.span, "dtype", expr.text))
    found.refer(expr.span, definition)


def _literal(literal: syntax.Literal, names: Names, found: Found) -> None:
    for parts in placeholders(literal):
        scope = names.scope
        for part in parts[:-1]:
            found.refer(part, definition_in(scope, part.text))
            inner = module_of(scope, part.text)
            if inner is None:
                return
            scope = inner
        found.refer(parts[-1], definition_in(scope, parts[-1].text))


def _call(call: syntax.Call, names: Names, found: Found) -> None:
    callee = callee_of(call.callee, names)
    known = isinstance(call.callee, syntax.Name) and names.definition(call.callee.text) is not None
    if isinstance(call.callee, syntax.Name) and not known and call.callee.text in FUNCTIONS:
        found.explain(Topic(call.callee.span, "function", call.callee.text))
    else:
        expression(call.callee, names, found)
    for argument in call.args:
        if argument.name is not None and callee is not None:
            found.refer(argument.name.span, _input(callee, argument.name.text))
        expression(argument.value, names, found)
    options(call.options, CALL_OPTIONS, names, found)


def options(given: tuple[syntax.Argument, ...], known: Mapping[str, KeySpec], names: Names, found: Found) -> None:
    """Options of a call or a construct; their words are words."""
    for option in given:
        spec = known.get(option.name.text) if option.name is not None else None
        if option.name is not None and spec is not None:
            found.explain(Topic(option.name.span, "setting", spec.name, spec))
        word = isinstance(option.value, syntax.Name) and spec is not None and option.value.text in spec.words
        if not word:
            expression(option.value, names, found)


def _input(callee: Callee, text: str) -> Definition | None:
    port = port_in(callee.inputs, text)
    return of_port(port, "input", callee.shown) if port else None


def _member(expr: syntax.Member, names: Names, found: Found) -> None:
    value = expr.value
    if isinstance(value, syntax.Name) and names.local_definition(value.text) is None:
        module = module_of(names.scope, value.text)
        if module is not None:
            found.refer(value.span, definition_in(names.scope, value.text))
            found.refer(expr.name.span, definition_in(module, expr.name.text))
            return
    expression(value, names, found)
    callee = behind(value, names, found)
    port = port_in(callee.outputs, expr.name.text) if callee else None
    if callee is not None and port is not None:
        found.refer(expr.name.span, of_port(port, "output", callee.shown))


def behind(value: syntax.Expr, names: Names, found: Found) -> Callee | None:
    """What made the outputs that `value.port` takes one of: a call, or the call a variable was given."""
    made: syntax.Rhs | None = value
    if isinstance(value, syntax.Name):
        variable = names.local_definition(value.text)
        made = found.values.get(variable) if variable is not None else None
    return callee_of(made.callee, names) if isinstance(made, syntax.Call) else None


# ---- types


def type_(type_expr: syntax.TypeExpr, names: Names, found: Found) -> None:
    """The dtype or alias of a type, and its sizes: a const, or a size of the signature that is new or known."""
    scope = names.scope
    *modules, last = type_expr.name.parts
    for part in modules:
        found.refer(part.span, definition_in(scope, part.text))
        inner = module_of(scope, part.text)
        if inner is None:
            return
        scope = inner
    if last.text in DTYPES and not modules:
        found.explain(Topic(last.span, "dtype", last.text))
    else:
        found.refer(last.span, definition_in(scope, last.text))
    for dim in type_expr.dims:
        if isinstance(dim, syntax.RaggedDim | syntax.SizedDim):
            _size(dim.size, dim.span, names, found)


def _size(size: syntax.DimSize, whole: Span, names: Names, found: Found) -> None:
    if isinstance(size, syntax.DimOp):
        _size(size.left, whole, names, found)
        _size(size.right, whole, names, found)
    elif isinstance(size, syntax.DimVar):
        known = _value(names, size.name) or names.sizes.get(size.name)
        if known is None:
            known = Definition("size", size.name, size.span, whole, owner=names.owner)
            names.sizes[size.name] = found.define(known)
        else:
            found.refer(size.span, known)


def _value(names: Names, text: str) -> Definition | None:
    """Only a const or param takes the place of a size."""
    found = definition_in(names.scope, text)
    decl = names.scope.lookup(text)
    return found if isinstance(getattr(decl, "decl", None), syntax.Const | syntax.Param) else None
