"""A step's condition -> an expression of the language.

KServe takes GJSON and asks whether it finds anything. Two forms of it can be said here: a plain path, and one
comparison of a field of the request, `[@this].#(user.tier=="gold")`. Searches in lists have no equal.
"""

from __future__ import annotations

import json
import re

from pipectl.interop import trees
from pipeline_dsl import syntax

_PATH = re.compile(r"[\w-]+(\.[\w-]+)*")
_COMPARED = re.compile(r'\[@this\]\.#\(\s*([\w.-]+)\s*(==|=|!=|<=|>=|<|>)\s*("(?:[^"\\]|\\.)*"|[^\s()"]+)\s*\)')


def condition_of(text: str, value: str) -> syntax.Expr | None:
    """Whether a condition holds for the variable `value`; None where it can not be said."""
    text = text.strip()
    if _PATH.fullmatch(text):
        return _present(value, text)
    found = _COMPARED.fullmatch(text)
    if found is None:
        return None
    path, op, literal = found.groups()
    return _comparison(value, path, "==" if op == "=" else op, literal)


def _get(value: str, path: str) -> syntax.Expr:
    return trees.call("json_get", trees.name(value), trees.text(path))


def _present(value: str, path: str) -> syntax.Expr:
    return trees.call("present", _get(value, path))


def _comparison(value: str, path: str, op: str, literal: str) -> syntax.Expr | None:
    """Numbers are compared as numbers, everything else by its text."""
    number = _number(literal)
    if number is not None:
        found = trees.binary("??", _get(value, path), trees.number(0))
        compared = trees.binary(op, trees.call("cast", found, trees.name("f64")), trees.number(number))
        return trees.binary("and", _present(value, path), compared)
    text = json.loads(literal) if literal.startswith('"') else literal
    if not literal.startswith('"') and text not in ("true", "false"):
        return None
    shown = trees.call("format", trees.text("{value}"), value=_get(value, path))
    return trees.binary(op, shown, trees.text(text))


def _number(literal: str) -> float | None:
    try:
        number = float(literal)
    except ValueError:
        return None
    return number if number == number and abs(number) != float("inf") else None
