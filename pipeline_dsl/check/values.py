"""Compile-time values: literals, consts, params and the pure operations on them.

`evaluate` gives a typed value or reports why there is none; errors in a name's own declaration stay silent here.
Values are Python data: durations in nanoseconds, sizes in bytes, percent as a fraction, lists, decoded JSON.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Diagnostic, Sink
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.errors.names import (
    NotComputable,
    TemplateMismatch,
    UnknownInString,
    UnknownName,
    WrongKind,
)
from pipeline_dsl.errors.signatures import DeclaredMismatch
from pipeline_dsl.operations import (
    DTYPE_ARGUMENT,
    FUNCTIONS,
    Applied,
    Problem,
    Typed,
    apply,
    fit,
    limits,
    scalar,
    shown,
)
from pipeline_dsl.source import Span
from pipeline_dsl.types import TensorType

from .lookup import kind_of, member
from .outside import environment, lines_of
from .scope import Binding, ErrorBinding, ModuleBinding, Scope, ValueBinding
from .walk import PLACE, path_of

_CONSTANT_ONLY = ("env", "lines")
_LITERALS = {
    "int": "i64",
    "float": "f64",
    "string": "string",
    "duration": "duration",
    "bytes": "size",
    "percent": "percent",
    "bool": "bool",
}


def evaluate(expr: syntax.Expr, scope: Scope, sink: Sink) -> Typed | None:
    """The value of an expression whose names are all consts and params; None after reporting what is wrong."""
    match expr:
        case syntax.Literal():
            return literal(expr, scope, sink)
        case syntax.Name() | syntax.Member():
            return _named(expr, scope, sink)
        case syntax.Unary(op=op, operand=operand):
            return _apply("neg" if op == "-" else op, [operand], expr.span, scope, sink)
        case syntax.Binary(op=op, left=left, right=right):
            return _apply(op, [left, right], expr.span, scope, sink)
        case syntax.ListExpr(items=items):
            return _apply("list", list(items), expr.span, scope, sink)
        case syntax.ObjectExpr():
            return _object(expr, scope, sink)
        case syntax.Index():
            return _index(expr, scope, sink)
        case syntax.Call():
            return _call(expr, scope, sink)
        case syntax.Versioned(name=name):
            sink.add(WrongKind(expr.span, name, "a version of a stage", "a value").diagnostic())
            return None


def evaluate_as(
    expr: syntax.Expr, target: TensorType, scope: Scope, sink: Sink, declared: Span | None = None
) -> Typed | None:
    """The value of an expression as a declared type; E0302 or E0109 where it does not fit."""
    given = evaluate(expr, scope, sink)
    if given is None:
        return None
    fitted = fit(given, target)
    if isinstance(fitted, Problem):
        sink.add(told(fitted, expr.span, (), declared))
        return None
    return fitted


def told(problem: Problem, whole: Span, operands: Sequence[Span], declared: Span | None = None) -> Diagnostic:
    """A problem of a compile-time operation as a diagnostic, at the operand at fault."""
    at = operands[problem.operand] if 0 <= problem.operand < len(operands) else whole
    if problem.kind == "template":
        return TemplateMismatch(at, problem.text, problem.help).diagnostic()
    if problem.kind in ("value", "count"):
        return NotComputable(at, problem.text, problem.help).diagnostic()
    return DeclaredMismatch(at, problem.text, declared, problem.help).diagnostic()


# ---- leaves


def literal(expr: syntax.Literal, scope: Scope, sink: Sink) -> Typed | None:
    """The value of a literal; `${NAME}` in a string is filled in."""
    if expr.kind == "null":
        return Typed(scalar("json", optional=True), None)
    if expr.kind == "string":
        text = interpolated(expr, scope, sink)
        return None if text is None else Typed(scalar("string"), text)
    dtype = _LITERALS[expr.kind]
    if isinstance(expr.value, int) and expr.kind == "int" and expr.value > limits(DTYPES["i64"])[1]:
        dtype = "u64"
    return Typed(scalar(dtype), expr.value, weak=expr.kind in ("int", "float"))


def interpolated(expr: syntax.Literal, scope: Scope, sink: Sink) -> str | None:
    """A string with its `${NAME}` filled in; None after E0105."""
    text = str(expr.value)
    if "${" not in text:
        return text
    parts: list[str] = []
    end, good = 0, True
    for match in PLACE.finditer(text):
        value = _in_string(match.group(1), expr, scope, sink)
        good = good and value is not None
        parts += [text[end : match.start()], value or ""]
        end = match.end()
    return "".join([*parts, text[end:]]) if good else None


def _in_string(name: str, expr: syntax.Literal, scope: Scope, sink: Sink) -> str | None:
    first, *rest = name.split(".")
    found = scope.use(first)
    for part in rest:
        found = found.scope.lookup(part) if isinstance(found, ModuleBinding) else None
    if isinstance(found, ValueBinding) and _printable(found.type):
        return shown(found.value)
    _not_in_string(name, found, _inside(expr.span, name), scope, sink)
    return None


def _printable(kind: TensorType) -> bool:
    return not kind.dims and kind.dtype.kind != "setting" and kind.dtype.name != "bytes"


def _not_in_string(name: str, found: Binding | None, span: Span, scope: Scope, sink: Sink) -> None:
    if found is None:
        sink.add(UnknownInString(span, name, _value_names(scope)).diagnostic())
    elif isinstance(found, ValueBinding):
        text = f"only strings and numbers can be put in a string, `{name}` is {found.type}"
        sink.add(DeclaredMismatch(span, text, found.decl.name.span).diagnostic())
    elif not isinstance(found, ErrorBinding):
        sink.add(WrongKind(span, name, kind_of(found), "a const or param").diagnostic())


def _inside(span: Span, name: str) -> Span:
    """Where `${name}` stands in the text of a literal; the whole literal if it is written with escapes."""
    match = re.search(r"\$\{\s*" + re.escape(name) + r"\s*\}", span.text)
    if match is None:
        return span
    return Span(span.source, span.start + match.start(), span.start + match.end())


def _value_names(scope: Scope) -> tuple[str, ...]:
    return tuple(n for n in scope.visible_names() if isinstance(scope.lookup(n), ValueBinding))


def _named(expr: syntax.Name | syntax.Member, scope: Scope, sink: Sink) -> Typed | None:
    parts = _idents(expr)
    if not parts:
        sink.add(NotComputable(expr.span, "only modules have members here").diagnostic())
        return None
    found = member(parts, scope, sink)
    if isinstance(found, ValueBinding):
        return found.typed
    if found is not None and not isinstance(found, ErrorBinding):
        sink.add(WrongKind(expr.span, str(parts[-1]), kind_of(found), "a value that is known now").diagnostic())
    return None


def _idents(expr: syntax.Expr) -> tuple[syntax.Ident, ...]:
    if not path_of(expr):
        return ()
    parts: list[syntax.Ident] = []
    while isinstance(expr, syntax.Member):
        parts.append(expr.name)
        expr = expr.value
    assert isinstance(expr, syntax.Name)
    return (syntax.Ident(expr.text, span=expr.span), *reversed(parts))


# ---- operations


def _apply(
    name: str, args: Sequence[syntax.Expr], span: Span, scope: Scope, sink: Sink, last: Typed | None = None
) -> Typed | None:
    operands = [evaluate(a, scope, sink) for a in args]
    given = [o for o in operands if o is not None]
    if len(given) < len(operands):
        return None
    return _applied(name, [*given, *([last] if last else [])], [a.span for a in args], span, sink)


def _applied(name: str, operands: list[Typed], spans: Sequence[Span], whole: Span, sink: Sink) -> Typed | None:
    result = apply(name, operands)
    if isinstance(result, Applied):
        return result.result
    sink.add(told(result, whole, spans))
    return None


def _object(expr: syntax.ObjectExpr, scope: Scope, sink: Sink) -> Typed | None:
    if not expr.items:
        return Typed(scalar("json"), {})
    names = Typed(scalar("json"), [key for key, _ in expr.items])
    return _apply("object", [value for _, value in expr.items], expr.span, scope, sink, names)


def _index(expr: syntax.Index, scope: Scope, sink: Sink) -> Typed | None:
    first = expr.subscripts[0]
    sliced = next((s for s in expr.subscripts if isinstance(s, syntax.Slice)), None)
    if sliced is not None and len(expr.subscripts) > 1:
        advice = "slice first, then index: `x[a:b][i]`"
        sink.add(NotComputable(sliced.span, "a slice stands alone", advice).diagnostic())
        return None
    if isinstance(first, syntax.Slice):
        ends = [_end(e, scope, sink) for e in (first.start, first.stop)]
        value = evaluate(expr.value, scope, sink)
        if value is None or ends[0] is None or ends[1] is None:
            return None
        return _applied("slice", [value, ends[0], ends[1]], [expr.value.span] * 3, expr.span, sink)
    subscripts = [s for s in expr.subscripts if not isinstance(s, syntax.Slice)]
    return _apply("index", [expr.value, *subscripts], expr.span, scope, sink)


def _end(expr: syntax.Expr | None, scope: Scope, sink: Sink) -> Typed | None:
    return Typed(scalar("i64"), None) if expr is None else evaluate(expr, scope, sink)


def _call(expr: syntax.Call, scope: Scope, sink: Sink) -> Typed | None:
    name = expr.callee.text if isinstance(expr.callee, syntax.Name) else ""
    args = [a.value for a in expr.args]
    if name == "env":
        return environment(expr, [evaluate(a, scope, sink) for a in args], scope, sink)
    if name == "lines":
        return lines_of(expr, [evaluate(a, scope, sink) for a in args], scope, sink)
    if name not in FUNCTIONS:
        _no_function(expr, name, scope, sink)
        return None
    if expr.options:
        sink.add(NotComputable(expr.options[0].span, "`with` is for calls of stages", "remove it").diagnostic())
        return None
    misnamed = next((a for a in expr.args[1:] if (a.name is None) == (name == "format")), None)
    if misnamed is not None:
        how = "by name" if name == "format" else "by position"
        sink.add(NotComputable(misnamed.span, f"`{name}` takes its arguments {how}").diagnostic())
        return None
    if name == "format":
        names = Typed(scalar("json"), [a.name.text for a in expr.args if a.name])
        return _apply(name, args, expr.span, scope, sink, names)
    return _with_dtype(name, expr, scope, sink)


def _with_dtype(name: str, expr: syntax.Call, scope: Scope, sink: Sink) -> Typed | None:
    """A function of values, one of which may be the name of a dtype."""
    at = DTYPE_ARGUMENT.get(name)
    operands: list[Typed] = []
    for index, arg in enumerate(expr.args):
        if index == at and isinstance(arg.value, syntax.Name):
            operands.append(Typed(scalar("string"), arg.value.text))
            continue
        value = evaluate(arg.value, scope, sink)
        if value is None:
            return None
        operands.append(value)
    return _applied(name, operands, [a.span for a in expr.args], expr.span, sink)


def _no_function(expr: syntax.Call, name: str, scope: Scope, sink: Sink) -> None:
    found = scope.use(name) if name else None
    if found is not None:
        sink.add(WrongKind(expr.callee.span, name, kind_of(found), "a function of values known now").diagnostic())
    elif name:
        known = (*FUNCTIONS, *_CONSTANT_ONLY)
        note = f"functions: {', '.join(known)}"
        sink.add(UnknownName(expr.callee.span, name, known, "function", note).diagnostic())
    else:
        sink.add(NotComputable(expr.callee.span, "this can not be called").diagnostic())


def python_value(given: Typed) -> Any:
    """A value as Python code gets it: durations as float seconds, the rest as it is."""
    return given.value / 1e9 if given.type.dtype.name == "duration" and given.value is not None else given.value
