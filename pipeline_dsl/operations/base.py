"""What an operation is: how its operands are typed, and what it computes on Python values.

    Operation.typing:  Typed operands -> TensorType | Problem     at compile time
    Operation.compute: Python values -> Python value              at compile time, and per element at run time

Values are those of the language's table: `bool int float str bytes`, decoded JSON, lists at compile time and
numpy arrays at run time for small values with dims, None for an absent optional. `compute` works on exact
whole numbers and 64-bit floats; only the result of a whole expression is brought to its dtype (`to_dtype`),
so an intermediate never overflows. `cast` rounds where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.types import TensorType


class _Unknown:
    """Marks a value that is known only at run time."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()


@dataclass(frozen=True, slots=True)
class Typed:
    """An operand: its type, and its value where that is known at compile time."""

    type: TensorType
    value: Any = UNKNOWN
    weak: bool = False
    """A number written without a type: it takes the dtype of the other operand."""

    @property
    def known(self) -> bool:
        """Whether the value is known at compile time."""
        return self.value is not UNKNOWN


ProblemKind = Literal["dtype", "tensor", "optional", "value", "count", "template"]
"""dtype: wrong dtype. tensor: rank is too high (or too low). optional: the operand may be absent. value: a
value known now can not be used (division by zero, out of range). count: wrong number of operands. template:
names in a `format` template and its arguments differ."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why operands do not fit. `operand` is the index of the one at fault, -1 for all."""

    text: str
    operand: int = -1
    kind: ProblemKind = "dtype"
    help: str = ""


class OperationError(ValueError):
    """A value that an operation can not take: division by zero, an index past the end, overflow."""


Typing = Callable[[Sequence[Typed]], TensorType | Problem]
Compute = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of `OPERATIONS`."""

    name: str
    least: int
    most: int | None
    """None: any number of operands."""
    typing: Typing
    compute: Compute
    doc: str
    """One line: `len(x): number of items along the first dim`."""
    symbol: bool = False
    """Written between or around its operands, never called by its name."""
    adapts: bool = False
    """Operands have one dtype, and weak numbers take it from the others."""


def scalar(dtype: str, optional: bool = False) -> TensorType:
    """The type of one single value."""
    return TensorType(DTYPES[dtype], (), optional)


BOOL = scalar("bool")
I64 = scalar("i64")
F64 = scalar("f64")
STRING = scalar("string")
NO_ELEMENTS = Typed(TensorType(DTYPES["json"], stream=True), ())
"""`stream_of()`: known now, and good for a stream of any type."""
JSON = scalar("json")
