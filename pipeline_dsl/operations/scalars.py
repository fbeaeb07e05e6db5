"""Arithmetic, comparison and logic on single values.

`/` is true division: whole numbers give f64, floats their own dtype, and IEEE rules hold (`1.0 / 0` is
infinite). `%` has the sign of the divisor, as in Python; `x % 0` of whole numbers is an error. `percent`,
`duration` and `size` are added to their own kind and scaled by numbers. `bool` is no number. `+` joins
strings.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from pipeline_dsl.dtypes import DType
from pipeline_dsl.types import TensorType

from .base import BOOL, F64, I64, JSON, Operation, OperationError, Problem, Typed, Typing
from .convert import common, fit

_NUMBERS = ("int", "uint", "float")


def single(operands: Sequence[Typed], what: str) -> Problem | None:
    """The problem if an operand is a tensor, a stream, or may be absent."""
    for index, operand in enumerate(operands):
        if operand.type.stream:
            return Problem(f"{what} works on single values, found {operand.type}", index, "tensor", "use `collect(..)`")
        if operand.type.dims:
            return Problem(f"{what} works on single values, found {operand.type}", index, "tensor", "use a stage")
        if operand.type.optional or operand.value is None:
            return Problem(f"this may be absent ({operand.type})", index, "optional", "give a default: `.. ?? 0`")
    return None


def _arithmetic(name: str) -> Typing:
    def typing(operands: Sequence[Typed]) -> TensorType | Problem:
        wrong = single(operands, f"`{name}`")
        if wrong is not None:
            return wrong
        a, b = (o.type.dtype for o in operands)
        if "setting" in (a.kind, b.kind):
            return _with_units(name, operands)
        if name == "+" and a.name == b.name == "string":
            return operands[0].type
        for index, dtype in enumerate((a, b)):
            if dtype.kind not in _NUMBERS:
                return Problem(f"`{name}` takes numbers, found {dtype}", index)
        found = common(operands)
        if found is None:
            return Problem(f"`{name}` does not take {a} and {b} together", help=f"convert one: `cast(.., {b})`")
        return F64 if name == "/" and found.kind != "float" else TensorType(found)

    return typing


def _with_units(name: str, operands: Sequence[Typed]) -> TensorType | Problem:
    a, b = (o.type.dtype for o in operands)
    if a is b and name in ("+", "-"):
        return operands[0].type
    if a is b and name == "/":
        return F64
    if name in ("*", "/") and a.kind == "setting" and b.kind in _NUMBERS:
        return operands[0].type
    if name == "*" and b.kind == "setting" and a.kind in _NUMBERS:
        return operands[1].type
    return Problem(f"`{name}` of {a} and {b} has no meaning")


def _equality(name: str) -> Typing:
    def typing(operands: Sequence[Typed]) -> TensorType | Problem:
        wrong = single(operands, f"`{name}`")
        if wrong is not None:
            return wrong
        return _comparable(name, operands)

    return typing


def _comparable(name: str, operands: Sequence[Typed]) -> TensorType | Problem:
    a, b = (o.type.dtype for o in operands)
    if a is b or (a.kind in _NUMBERS and b.kind in _NUMBERS and common(operands) is not None):
        return BOOL
    return Problem(f"`{name}` does not compare {a} and {b}", help=_cast_advice(a, b))


def _cast_advice(a: DType, b: DType) -> str:
    numbers = a.kind in _NUMBERS and b.kind in _NUMBERS
    return f"convert one: `cast(.., {b})`" if numbers else ""


def _order(name: str) -> Typing:
    def typing(operands: Sequence[Typed]) -> TensorType | Problem:
        wrong = single(operands, f"`{name}`")
        if wrong is not None:
            return wrong
        for index, operand in enumerate(operands):
            if operand.type.dtype.kind == "bool" or operand.type.dtype.name in ("bytes", "json"):
                return Problem(f"`{name}` takes numbers or strings, found {operand.type}", index)
        return _comparable(name, operands)

    return typing


def _logic(name: str) -> Typing:
    def typing(operands: Sequence[Typed]) -> TensorType | Problem:
        wrong = single(operands, f"`{name}`")
        if wrong is not None:
            return wrong
        for index, operand in enumerate(operands):
            if operand.type.dtype.kind != "bool":
                return Problem(f"`{name}` takes bool, found {operand.type}", index)
        return BOOL

    return typing


def _negative(operands: Sequence[Typed]) -> TensorType | Problem:
    wrong = single(operands, "`-`")
    if wrong is not None:
        return wrong
    if operands[0].weak and operands[0].type.dtype.name == "u64" and operands[0].value == 2**63:
        return I64  # the smallest one: its digits alone are more than i64 holds
    if operands[0].type.dtype.kind not in ("int", "float"):
        return Problem(f"`-` takes signed numbers, found {operands[0].type}", 0)
    return operands[0].type


def _coalesce(operands: Sequence[Typed]) -> TensorType | Problem:
    first, second = operands
    if first.value is None and first.known:
        return second.type
    joined = meet(first, second)
    if joined is None:
        return Problem(f"`??` does not take {first.type} and {second.type} together", 1)
    return TensorType(joined.dtype, joined.dims, second.type.optional)


def _select(operands: Sequence[Typed]) -> TensorType | Problem:
    condition, yes, no = operands
    wrong = single([condition], "`select`")
    if wrong is not None:
        return wrong
    if condition.type.dtype.kind != "bool":
        return Problem(f"`select` takes a bool first, found {condition.type}", 0)
    for index, operand in ((1, yes), (2, no)):
        if operand.type.dims or operand.type.stream:
            return Problem(f"`select` chooses single values, found {operand.type}", index, "tensor", "use `if`")
    joined = meet(yes, no)
    if joined is None:
        return Problem(f"`select` does not take {yes.type} and {no.type} together", 2)
    return TensorType(joined.dtype, (), yes.type.optional or no.type.optional)


def meet(a: Typed, b: Typed) -> TensorType | None:
    """The type of a value that is either of two, without its `?`; None if there is none."""
    if a.type.dims != b.type.dims or a.type.stream or b.type.stream:
        return None
    if a.value is None or b.value is None:
        return (b if a.value is None else a).type.required()
    if a.type.dtype is b.type.dtype:
        return a.type.required()
    if JSON in (a.type.required(), b.type.required()) and (_is_json(a) and _is_json(b)):
        return JSON
    dtype = common([a, b]) if a.type.dtype.kind in _NUMBERS and b.type.dtype.kind in _NUMBERS else None
    return None if dtype is None else TensorType(dtype, a.type.dims)


def _is_json(operand: Typed) -> bool:
    """JSON, or a constant that can be part of it."""
    return operand.type.dtype is JSON.dtype or (operand.known and isinstance(fit(operand, JSON), Typed))


# ---- values


def _divide(a: Any, b: Any) -> Any:
    if b == 0:
        if isinstance(a, int) and isinstance(b, int):
            raise OperationError("division by zero")
        if a == 0 or math.isnan(a):
            return math.nan
        return math.copysign(math.inf, a) * math.copysign(1.0, b)
    return a / b


def _modulo(a: Any, b: Any) -> Any:
    if b == 0:
        if isinstance(a, int) and isinstance(b, int):
            raise OperationError("division by zero")
        return math.nan
    return a % b


def _symbol(name: str, typing: Typing, compute: Any, doc: str, *, adapts: bool = True, least: int = 2) -> Operation:
    return Operation(name, least, least, typing, compute, doc, symbol=True, adapts=adapts)


SCALARS = (
    _symbol("+", _arithmetic("+"), operator.add, "sum; joins strings"),
    _symbol("-", _arithmetic("-"), operator.sub, "difference"),
    _symbol("*", _arithmetic("*"), operator.mul, "product"),
    _symbol("/", _arithmetic("/"), _divide, "quotient; f64 of whole numbers"),
    _symbol("%", _arithmetic("%"), _modulo, "rest of a division, with the sign of the divisor"),
    _symbol("==", _equality("=="), operator.eq, "equal"),
    _symbol("!=", _equality("!="), operator.ne, "not equal"),
    _symbol("<", _order("<"), operator.lt, "less"),
    _symbol("<=", _order("<="), operator.le, "less or equal"),
    _symbol(">", _order(">"), operator.gt, "greater"),
    _symbol(">=", _order(">="), operator.ge, "greater or equal"),
    _symbol("and", _logic("and"), lambda a, b: bool(a and b), "both", adapts=False),
    _symbol("or", _logic("or"), lambda a, b: bool(a or b), "at least one", adapts=False),
    _symbol("not", _logic("not"), operator.not_, "the opposite", adapts=False, least=1),
    _symbol("neg", _negative, operator.neg, "the negative", adapts=False, least=1),
    _symbol("??", _coalesce, lambda a, b: b if a is None else a, "the first, or the second if it is absent"),
    Operation(
        "select",
        3,
        3,
        _select,
        lambda c, a, b: a if c else b,
        "select(c, a, b): a if c is true, else b",
    ),
)
