"""Taking items out of small host values: `x[i]` and `x[a:b]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline_dsl.sizes import Size, Symbol
from pipeline_dsl.types import Dim, Ragged, Rest, Rows, Sized, TensorType, Unknown

from .base import JSON, Operation, OperationError, Problem, Typed


def required(operand: Typed, at: int = 0) -> Problem | None:
    """The problem of a stream or of a value that may be absent."""
    if operand.type.stream:
        return Problem(f"this is a stream ({operand.type})", at, "tensor", "`collect(..)`")
    if operand.type.optional or operand.value is None:
        return Problem(f"this may be absent ({operand.type})", at, "optional", "`.. ?? default`")
    return None


def _index_typing(operands: Sequence[Typed]) -> TensorType | Problem:
    value, *subscripts = operands
    wrong = required(value)
    if wrong is not None:
        return wrong
    if value.type == JSON:
        return JSON
    kind = value.type
    for at, subscript in enumerate(subscripts, 1):
        inner = _one_dim_less(kind, subscript, at)
        if isinstance(inner, Problem):
            return inner
        kind = inner
    return kind


def _one_dim_less(kind: TensorType, subscript: Typed, at: int) -> TensorType | Problem:
    if not kind.dims or isinstance(kind.dims[0], Rows | Rest):
        why = "its rows belong to several requests" if kind.has_rows else "it has no first dim"
        hint = "give the port a size name instead of `*`" if kind.has_rows else ""
        return Problem(f"{kind} can not be indexed: {why}", 0, "tensor", hint)
    if subscript.type.dims or subscript.type.dtype.kind not in ("int", "uint"):
        return Problem(f"an index is a whole number, found {subscript.type}", at)
    first = kind.dims[0]
    size = first.size.value if isinstance(first, Sized) else None
    if size is not None and subscript.known and not -size <= subscript.value < size:
        return Problem(f"index {subscript.value} is outside the {size} items", at, "value")
    return kind.with_dims(tuple(_of_one_element(d) for d in kind.dims[1:]))


def _of_one_element(dim: Dim) -> Dim:
    """A ragged size of one element is a plain size, and no longer that of the others."""
    if not isinstance(dim, Ragged):
        return dim
    renamed = {s: Size.of(Symbol(s.name, f"one item of {s.origin or 'the value'}")) for s in dim.size.symbols}
    return Sized(dim.size.substitute(renamed))


def _index(value: Any, *subscripts: Any) -> Any:
    for subscript in subscripts:
        try:
            value = value[subscript]
        except (IndexError, KeyError, TypeError):
            raise OperationError(f"there is no item {subscript!r}") from None
    return _plain(value)


def _plain(value: Any) -> Any:
    """numpy's scalars as Python's; anything else as it is."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def _slice_typing(operands: Sequence[Typed]) -> TensorType | Problem:
    value, start, stop = operands
    wrong = required(value)
    if wrong is not None:
        return wrong
    if not value.type.dims or isinstance(value.type.dims[0], Rows | Rest):
        return Problem(f"{value.type} can not be sliced", 0, "tensor")
    for at, end in ((1, start), (2, stop)):
        if end.value is not None and (end.type.dims or end.type.dtype.kind not in ("int", "uint")):
            return Problem(f"an end of a slice is a whole number, found {end.type}", at)
    return value.type.with_dims((_sliced(value.type.dims[0], start, stop), *value.type.dims[1:]))


def _sliced(dim: Dim, start: Typed, stop: Typed) -> Dim:
    if isinstance(dim, Sized) and dim.size.value is not None and start.known and stop.known:
        return Sized(Size.of(len(range(dim.size.value)[start.value : stop.value])))
    return Unknown()


def _slice(value: Any, start: int | None, stop: int | None) -> Any:
    return value[start:stop]


SUBSCRIPTS = (
    Operation("index", 2, None, _index_typing, _index, "x[i]: one item", symbol=True),
    Operation("slice", 3, 3, _slice_typing, _slice, "x[a:b]: items a to b of the first dim", symbol=True),
)
