"""Expressions to text, with the brackets they need and no others."""

from __future__ import annotations

from pipeline_dsl import syntax
from pipeline_dsl.literals import is_name, quoted, text_block
from pipeline_dsl.syntax import Expr

_LEVELS = {"??": 1, "or": 2, "and": 3, "not": 4, "+": 6, "-": 6, "*": 7, "/": 7, "%": 7}
_COMPARISON, _NEGATION, _POSTFIX, _ATOM = 5, 8, 9, 10


def expression(value: Expr) -> str:
    """An expression with the brackets it needs and no others."""
    return _expression(value, 0)


def _expression(value: Expr, level: int) -> str:
    """In a place that takes expressions of at least a level without brackets."""
    own, text = _spelled(value)
    return f"({text})" if own < level else text


def _spelled(value: Expr) -> tuple[int, str]:
    """An expression and how tightly it holds together."""
    match value:
        case syntax.Binary(op=op, left=left, right=right):
            return _binary(op, left, right)
        case syntax.Unary(op="not", operand=operand):
            return _LEVELS["not"], f"not {_expression(operand, _LEVELS['not'])}"
        case syntax.Unary(operand=operand):
            return _NEGATION, f"-{_expression(operand, _NEGATION)}"
        case syntax.Call():
            return _POSTFIX, _call(value)
        case syntax.Member(value=owner, name=name):
            return _POSTFIX, f"{_expression(owner, _POSTFIX)}.{name}"
        case syntax.Index(value=owner, subscripts=subscripts):
            return _POSTFIX, f"{_expression(owner, _POSTFIX)}[{', '.join(map(_subscript, subscripts))}]"
        case _:
            return _ATOM, _atom(value)


def _binary(op: str, left: Expr, right: Expr) -> tuple[int, str]:
    own = _LEVELS.get(op, _COMPARISON)
    tight_left = own + (op == "??" or own == _COMPARISON)
    tight_right = own + (op != "??")
    return own, f"{_expression(left, tight_left)} {op} {_expression(right, tight_right)}"


def _call(call: syntax.Call) -> str:
    options = f" with {options_text(call.options).rstrip()}" if call.options else ""
    return f"{_expression(call.callee, _POSTFIX)}({', '.join(map(_argument, call.args))}){options}"


def _argument(argument: syntax.Argument) -> str:
    value = expression(argument.value)
    return f"{argument.name} = {value}" if argument.name else value


def _subscript(subscript: Expr | syntax.Slice) -> str:
    if not isinstance(subscript, syntax.Slice):
        return expression(subscript)
    start, stop = (expression(x) if x is not None else "" for x in (subscript.start, subscript.stop))
    return f"{start}:{stop}"


def _atom(value: syntax.Name | syntax.Versioned | syntax.Literal | syntax.ListExpr | syntax.ObjectExpr) -> str:
    match value:
        case syntax.Name(text=text):
            return text
        case syntax.Versioned(name=name, version=version):
            return f"{name}@{version_text(version)}"
        case syntax.Literal():
            return literal(value)
        case syntax.ListExpr(items=items):
            return f"[{', '.join(map(expression, items))}]"
        case syntax.ObjectExpr(items=pairs):
            inside = ", ".join(f"{quoted(key)}: {expression(item)}" for key, item in pairs)
            return f"{{ {inside} }}" if pairs else "{}"


def literal(value: syntax.Literal) -> str:
    """A literal as written, or as its value is spelled."""
    match value.value:
        case str(text):
            return text_block(text) or quoted(text)
        case True | False:
            return "true" if value.value else "false"
        case None:
            return "null"
        case number:
            return value.raw or str(number)


def version_text(version: int | str) -> str:
    """What stands behind `@`."""
    return str(version) if isinstance(version, int) or is_name(version) else quoted(version)


def options_text(options: tuple[syntax.Argument, ...]) -> str:
    """`(timeout = 5ms) ` with the blank behind it; nothing without options."""
    return f"({', '.join(map(_argument, options))}) " if options else ""
