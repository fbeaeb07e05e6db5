"""The operations of scalar expressions and the built-in functions: one table for folding, checking and
running.

`apply(name, operands)` types one use and folds it where all values are known; the executor calls
`OPERATIONS[name].compute(*values)` and brings the result of the whole expression to its type with `to_dtype`.
Anything bigger than these is a stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pipeline_dsl.types import TensorType

from .arrays import ARRAYS
from .base import NO_ELEMENTS, UNKNOWN, Operation, OperationError, Problem, Typed, scalar
from .convert import adapt, common, fit, limits, to_dtype
from .scalars import SCALARS, meet
from .subscripts import SUBSCRIPTS
from .text import TEXT, placeholders, shown

OPERATIONS: Mapping[str, Operation] = MappingProxyType({o.name: o for o in (*SCALARS, *TEXT, *SUBSCRIPTS, *ARRAYS)})

FUNCTIONS: tuple[str, ...] = tuple(o.name for o in OPERATIONS.values() if not o.symbol)
"""Names that a call may use."""

DTYPE_ARGUMENT: Mapping[str, int] = MappingProxyType({"cast": 1, "zeros": 0, "ones": 0, "empty": 0})
"""Which argument of a function is the name of a dtype; it is passed as a constant string."""


@dataclass(frozen=True, slots=True)
class Applied:
    """One use of an operation that fits."""

    operands: tuple[Typed, ...]
    """As given, plain numbers brought to the dtype of the others."""
    result: Typed
    """With its value, if all operands are known."""


def apply(name: str, operands: Sequence[Typed]) -> Applied | Problem:
    """Type one use of an operation and fold it. KeyError if there is no such operation."""
    operation = OPERATIONS[name]
    if not operation.least <= len(operands) <= (operation.most or len(operands)):
        return Problem(f"`{name}` takes {_count(operation)}, found {len(operands)}", kind="count", help=operation.doc)
    adapted = adapt(operands) if operation.adapts else list(operands)
    if isinstance(adapted, Problem):
        return adapted
    found = operation.typing(adapted)
    if isinstance(found, Problem):
        return found
    weak = operation.adapts and all(o.weak for o in operands) and found.dtype.kind in ("int", "float")
    value = _fold(operation, adapted, found)
    if isinstance(value, Problem):
        return value
    return Applied(tuple(adapted), Typed(found, value, weak or _weak_sign(name, operands)))


def _weak_sign(name: str, operands: Sequence[Typed]) -> bool:
    return name == "neg" and operands[0].weak


def _fold(operation: Operation, operands: Sequence[Typed], kind: TensorType) -> Any:
    if not all(o.known for o in operands):
        return UNKNOWN
    try:
        value = operation.compute(*(o.value for o in operands))
        if kind.dims and hasattr(value, "tolist"):
            return value.tolist()  # what is known at compile time is Python data
        return value if kind.dims or value is None else to_dtype(value, kind)
    except OperationError as error:
        return Problem(str(error), kind="value")
    except OverflowError:
        return Problem("the result is too large", kind="value")


def _count(operation: Operation) -> str:
    if operation.most is None:
        return f"at least {operation.least} operands"
    if operation.most == operation.least:
        return f"{operation.least} operand{'s' if operation.least != 1 else ''}"
    return f"{operation.least} to {operation.most} operands"


__all__ = [
    "DTYPE_ARGUMENT",
    "FUNCTIONS",
    "NO_ELEMENTS",
    "OPERATIONS",
    "UNKNOWN",
    "Applied",
    "Operation",
    "OperationError",
    "Problem",
    "Typed",
    "apply",
    "common",
    "fit",
    "limits",
    "meet",
    "placeholders",
    "scalar",
    "shown",
    "to_dtype",
]
