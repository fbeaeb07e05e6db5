"""The value of one setting, as its kind says: words, numbers, units, devices, lists (E0604).

Words of the table win over names of consts: `device = cpu` means the device, whatever `cpu` is in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.settings import WrongSetting
from pipeline_dsl.literals import spelled
from pipeline_dsl.operations import Typed
from pipeline_dsl.settings import KeySpec, Kind
from pipeline_dsl.spell import nearest

from .scope import Scope
from .values import evaluate

_NEEDS: Mapping[Kind, str] = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "duration": "a duration",
    "size": "a size in bytes",
    "percent": "a percentage",
    "share": "a size in bytes or a percentage",
    "string": "a string",
    "header": "a header",
    "path": "a path",
    "function": "a function",
    "device": "a device",
    "ints": "whole numbers",
    "names": "names",
}
_EXAMPLES: Mapping[Kind, str] = {
    "bool": "`true`",
    "duration": "a number with a unit: `5ms`",
    "size": "a number with a unit: `256MiB`",
    "percent": "`10%`",
    "share": "`2GiB` or `85%`",
    "function": '`"pkg.mod:name"`',
    "header": '`header("x-user")`',
    "device": "`cpu`, `cuda(0)`, `cuda([0, 1])`, `any` or `sim`",
    "ints": "`[8, 16]`",
    "names": "`[a, b]`",
}
_NUMBERED = ("cuda", "sim")
"""Kinds of devices of which there are several: `cuda(1)`."""
FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
"""`pkg.mod:name`"""


class _Unfit(Exception):
    """What was found instead; "" if it has been reported."""


def read_setting(spec: KeySpec, key: str, expr: syntax.Expr, scope: Scope, sink: Sink) -> tuple[Any] | None:
    """The value in a tuple of one; None after reporting what is wrong with it."""
    try:
        return (_read(spec, key, expr, scope, sink),)
    except _Unfit as unfit:
        if str(unfit):
            needs, hint = _expected(spec, expr)
            sink.add(WrongSetting(expr.span, key, needs, str(unfit), hint).diagnostic())
        return None


def _read(spec: KeySpec, key: str, expr: syntax.Expr, scope: Scope, sink: Sink) -> Any:
    word = word_of(expr)
    if word in spec.words:
        return "sim:0" if spec.kind == "device" and word == "sim" else word
    if spec.kind == "word" or (spec.words and word and scope.lookup(word) is None):
        raise _Unfit(_shown(expr))
    if spec.kind == "device":
        return _device(expr, scope, sink)
    if spec.kind == "header":
        return _header(expr, scope, sink)
    if spec.kind == "names":
        return _names(expr)
    if spec.kind == "ints":
        return _ints(expr, spec, scope, sink)
    given = evaluate(expr, scope, sink)
    if given is None:
        raise _Unfit
    return _READERS[spec.kind](given, expr, spec)


def word_of(expr: syntax.Expr) -> str:
    """A bare word, `null`, `true` and `false` included; "" for anything else."""
    if isinstance(expr, syntax.Name):
        return expr.text
    if isinstance(expr, syntax.Literal) and expr.kind == "bool":
        return str(expr.value).lower()
    return "null" if isinstance(expr, syntax.Literal) and expr.kind == "null" else ""


def _shown(expr: syntax.Expr, given: Typed | None = None) -> str:
    if given is not None and given.known and not given.type.dims and given.type.dtype.name != "json":
        return spelled(given.value, given.type)
    text = expr.span.text
    return f"`{text}`" if 0 < len(text) <= 40 and "\n" not in text else "something else"


def _expected(spec: KeySpec, expr: syntax.Expr) -> tuple[str, str]:
    """What a key needs, and an edit."""
    words = _either([f"`{w}`" for w in spec.words])
    guess = nearest(word_of(expr), spec.words) if word_of(expr) else None
    if spec.kind == "word":
        return words, f"did you mean `{guess}`?" if guess else ""
    needs = _NEEDS.get(spec.kind, "a value")
    if spec.kind in ("int", "ints") and spec.minimum:
        needs += f" from {spec.minimum} up"
    if spec.kind in ("duration", "size", "share") and spec.minimum:
        needs += " above 0"
    hint = f"write {_EXAMPLES[spec.kind]}" if spec.kind in _EXAMPLES else ""
    if spec.kind == "duration" and isinstance(expr, syntax.Literal) and expr.kind == "int":
        hint = f"did you mean `{expr.value}ms`?"
    if spec.kind != "device" and words:
        needs = f"{needs} or {words}"
    return needs, hint


def _either(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


# ---- kinds


def _whole(given: Typed, expr: syntax.Expr, spec: KeySpec) -> int:
    value = given.value
    if given.type.dtype.kind not in ("int", "uint") or given.type.dims or value < spec.minimum:
        raise _Unfit(_shown(expr, given))
    return int(value)


def _of(*dtypes: str) -> Callable[[Typed, syntax.Expr, KeySpec], Any]:
    def read(given: Typed, expr: syntax.Expr, spec: KeySpec) -> Any:
        if given.type.dtype.name not in dtypes or given.type.dims or given.value is None:
            raise _Unfit(_shown(expr, given))
        if given.type.dtype.kind == "setting" and spec.minimum and not given.value:
            raise _Unfit(_shown(expr, given))
        return given.value

    return read


def _number(given: Typed, expr: syntax.Expr, spec: KeySpec) -> float:
    if given.type.dtype.kind not in ("int", "uint", "float") or given.type.dims or given.value < spec.minimum:
        raise _Unfit(_shown(expr, given))
    return float(given.value)


def _function(given: Typed, expr: syntax.Expr, spec: KeySpec) -> str:
    if not isinstance(given.value, str) or not FUNCTION.fullmatch(given.value):
        raise _Unfit(_shown(expr, given))
    return given.value


def _any(given: Typed, expr: syntax.Expr, spec: KeySpec) -> Any:
    return given.value


_READERS: Mapping[Kind, Callable[[Typed, syntax.Expr, KeySpec], Any]] = {
    "bool": _of("bool"),
    "int": _whole,
    "float": _number,
    "duration": _of("duration"),
    "size": _of("size"),
    "percent": _of("percent"),
    "share": _of("size", "percent"),
    "string": _of("string"),
    "path": _of("string"),
    "function": _function,
    "value": _any,
}


def _ints(expr: syntax.Expr, spec: KeySpec, scope: Scope, sink: Sink) -> tuple[int, ...]:
    """A list of whole numbers; one number is a list of one."""
    if isinstance(expr, syntax.ListExpr):
        return tuple(number for e in expr.items for number in _ints(e, spec, scope, sink))
    given = evaluate(expr, scope, sink)
    if given is None:
        raise _Unfit
    if isinstance(given.value, list) and all(type(v) is int and v >= spec.minimum for v in given.value):
        return tuple(given.value)
    return (_whole(given, expr, spec),)


def _names(expr: syntax.Expr) -> tuple[str, ...]:
    items = expr.items if isinstance(expr, syntax.ListExpr) else (expr,)
    found = [name_in(item) for item in items]
    if not all(found):
        raise _Unfit(_shown(expr))
    return tuple(found)


def name_in(expr: syntax.Expr) -> str:
    """A name written as a word or a string: `x`, `emb.x`, `"x"`; "" for anything else."""
    if isinstance(expr, syntax.Literal) and expr.kind == "string":
        return str(expr.value)
    if isinstance(expr, syntax.Member):
        before = name_in(expr.value)
        return f"{before}.{expr.name}" if before else ""
    return word_of(expr)


def _header(expr: syntax.Expr, scope: Scope, sink: Sink) -> str:
    """`header("x-user")`; names have no case."""
    called = isinstance(expr, syntax.Call) and word_of(expr.callee) == "header" and len(expr.args) == 1
    if not called:
        raise _Unfit(_shown(expr))
    assert isinstance(expr, syntax.Call)
    given = evaluate(expr.args[0].value, scope, sink)
    if given is None:
        raise _Unfit
    if not isinstance(given.value, str) or not given.value:
        raise _Unfit(_shown(expr))
    return given.value.lower()


def _device(expr: syntax.Expr, scope: Scope, sink: Sink) -> str:
    """`cuda(0)`, `cuda([0, 1])`, `sim(0)`; a string from a param is read the same way."""
    if isinstance(expr, syntax.Call) and word_of(expr.callee) in _NUMBERED and len(expr.args) == 1:
        spec = KeySpec("device", "ints", None, "stage", "")
        numbers = _ints(expr.args[0].value, spec, scope, sink)
        if not numbers or len(set(numbers)) < len(numbers):
            raise _Unfit(_shown(expr))
        return f"{word_of(expr.callee)}:{','.join(map(str, numbers))}"
    if word_of(expr) == "cuda" or isinstance(expr, syntax.Call):
        raise _Unfit(_shown(expr))
    given = evaluate(expr, scope, sink)
    if given is None:
        raise _Unfit
    if not isinstance(given.value, str) or not re.fullmatch(r"cpu|any|sim|(cuda|sim):\d+(,\d+)*", given.value):
        raise _Unfit(_shown(expr, given))
    return "sim:0" if given.value == "sim" else given.value
