"""Expressions and values of a plan as the language writes them, for people who read the plan.

Apply("+", (Slot(0), Apply("*", (Slot(1), 2))))      (x + (y * 2))
Apply("format", ("{a}!", Slot(0), ["a"]))            format("{a}!", a = x)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .ir import Apply, Constant
from .literals import quoted, spelled
from .plan import Slot
from .types import TensorType

_LONGEST = 40
"""Characters of a value that are shown."""


def expression_text(expression: object, names: Sequence[str]) -> str:
    """An expression of a compute step; `names` are those of the slots."""
    if not isinstance(expression, Apply):
        assert expression is None or isinstance(expression, Slot | Constant)
        return source_text(expression, names)
    args = [expression_text(arg, names) for arg in expression.args]
    match expression.op:
        case "list":
            return f"[{', '.join(args)}]"
        case "object":
            return "{" + ", ".join(f'"{key}": {arg}' for key, arg in zip(_words(expression), args)) + "}"
        case "format":
            named = (f"{name} = {arg}" for name, arg in zip(_words(expression), args[1:]))
            return f"format({', '.join([args[0], *named])})"
        case "index":
            return f"{args[0]}[{', '.join(args[1:])}]"
        case "slice":
            start, stop = ("" if end == "null" else end for end in args[1:])
            return f"{args[0]}[{start}:{stop}]"
        case "neg":
            return f"-{args[0]}"
        case "not":
            return f"not {args[0]}"
        case name if name.isidentifier() and name not in ("and", "or"):
            return f"{name}({', '.join(args)})"
        case symbol:
            return f"({f' {symbol} '.join(args)})"


def _words(expression: Apply) -> list[str]:
    """The names that `format` and objects carry as their last operand."""
    last = expression.args[-1]
    return list(last.value) if isinstance(last, Constant) else []


def source_text(source: Slot | Constant | None, names: Sequence[str]) -> str:
    """A slot by name, a constant by value."""
    if isinstance(source, Slot):
        return names[source.index]
    return "absent" if source is None else value_text(source.value, source.type)


def value_text(value: Any, kind: TensorType | None) -> str:
    """A value as the language writes it; one that is long, or has no type, near enough to be read."""
    if kind is None:
        return quoted(value) if isinstance(value, str) else str(value)
    text = spelled(value, kind)
    if len(text) <= _LONGEST:
        return text
    if isinstance(value, list):
        return f"[{len(value)} items]"
    return f"{{{len(value)} keys}}" if isinstance(value, dict) else quoted(str(value)[: _LONGEST - 4] + "..")
