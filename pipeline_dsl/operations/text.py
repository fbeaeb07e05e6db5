"""Functions on strings and JSON: `format join json_get`.

A template holds `{name}`; `{{` and `}}` stand for the braces themselves. Numbers are shown as the language
writes them (`true`, `0.5`), JSON as JSON, an absent value as nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from pipeline_dsl.spell import nearest
from pipeline_dsl.types import TensorType

from .base import STRING, Operation, Problem, Typed, scalar
from .scalars import single

_PLACE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")


def placeholders(template: str) -> list[str]:
    """Names between braces, in order, each once."""
    return list(dict.fromkeys(m.group(1) for m in _PLACE.finditer(template) if m.group(1)))


def shown(value: Any) -> str:
    """A single value as text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return json.dumps(value, ensure_ascii=False)


def _format(template: str, *values: Any) -> str:
    *given, names = values
    known = dict(zip(names, given, strict=True))
    return _PLACE.sub(lambda m: shown(known[m.group(1)]) if m.group(1) else m.group(0)[0], template)


def _format_typing(operands: Sequence[Typed]) -> TensorType | Problem:
    template, *values, names = operands
    if template.type != STRING:
        return Problem(f"`format` takes a template string first, found {template.type}", 0)
    for index, operand in enumerate(values, 1):
        if operand.type.dims or operand.type.stream:
            return Problem(f"`format` fills in single values, found {operand.type}", index, "tensor", "`join(..)`")
    return _template_problem(template, list(names.value)) or STRING


def _template_problem(template: Typed, names: list[str]) -> Problem | None:
    if not template.known:
        return None
    wanted = placeholders(template.value)
    for name in wanted:
        if name not in names:
            guess = nearest(name, names)
            hint = f"did you mean `{{{guess}}}`?" if guess else f"arguments: {', '.join(names) or 'none'}"
            return Problem(f"the template uses `{{{name}}}`, and there is no such argument", 0, "template", hint)
    for index, name in enumerate(names, 1):
        if name not in wanted:
            hint = f"the template uses: {', '.join(wanted) or 'no names'}"
            return Problem(f"the template does not use the argument `{name}`", index, "template", hint)
    return None


def _join_typing(operands: Sequence[Typed]) -> TensorType | Problem:
    items = operands[0]
    if items.type.dtype.name != "string" or len(items.type.dims) != 1 or items.type.stream:
        return Problem(f"`join` takes strings along one dim, found {items.type}", 0, "tensor")
    if items.type.optional:
        return Problem(f"this may be absent ({items.type})", 0, "optional", "`.. ?? empty(string)`")
    if len(operands) == 2 and operands[1].type != STRING:
        return Problem(f"`join` takes a string between, found {operands[1].type}", 1)
    return STRING


def _join(items: Any, between: str = "") -> str:
    return between.join(shown(i) for i in items)


def _json_get_typing(operands: Sequence[Typed]) -> TensorType | Problem:
    wrong = single(operands, "`json_get`")
    if wrong is not None:
        return wrong
    if operands[0].type.dtype.name != "json":
        return Problem(f"`json_get` takes json first, found {operands[0].type}", 0)
    if operands[1].type != STRING:
        return Problem(f"`json_get` takes a path, found {operands[1].type}", 1, help='`"user.name"`')
    return scalar("json", optional=True)


def _json_get(value: Any, path: str) -> Any:
    """The value at `a.0.b`; None if there is nothing."""
    for part in path.split(".") if path else ():
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            return None
    return value


TEXT = (
    Operation(
        "format",
        2,
        None,
        _format_typing,
        _format,
        "format(template, name = x): the template with `{name}` filled in",
    ),
    Operation("join", 1, 2, _join_typing, _join, "join(strings, between): one string"),
    Operation(
        "json_get",
        2,
        2,
        _json_get_typing,
        _json_get,
        'json_get(x, "a.0.b"): the value at a path, absent if there is none',
    ),
)
