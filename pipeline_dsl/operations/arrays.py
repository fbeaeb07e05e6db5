"""Small host values with dims, and what makes or measures them: lists, objects, `len stack concat cast` and
friends.

At compile time such a value is a list (of lists), at run time a numpy array. numpy is loaded by the functions
that need it, so that checking a file does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.sizes import Size
from pipeline_dsl.types import Dim, Ragged, Rest, Rows, Sized, TensorType, Unknown

from .base import BOOL, I64, JSON, Operation, OperationError, Problem, Typed
from .convert import common, item
from .subscripts import required

# ---- making

_MOST = 2**20
"""Items that `zeros` and `ones` make: they are known at compile time, and part of the plan."""


def _list_typing(operands: Sequence[Typed]) -> TensorType | Problem:
    """A list of constants that have no type in common is JSON."""
    wrong = _unlike(operands)
    if wrong is not None:
        return JSON if all(o.known for o in operands) else wrong
    if not operands:
        return JSON
    first = operands[0].type
    dtype = _together(operands) or first.dtype
    return TensorType(dtype, (Sized(Size.of(len(operands))), *first.dims))


def _unlike(operands: Sequence[Typed]) -> Problem | None:
    """The problem of the first item that does not fit those before it."""
    for at, operand in enumerate(operands):
        wrong = required(operand, at)
        if wrong is not None:
            return wrong
        first = operands[0].type
        if operand.type.dims != first.dims or _together(operands[: at + 1]) is None:
            return Problem(f"items of a list have one type, found {first} and {operand.type}", at)
    return None


def _together(operands: Sequence[Typed]) -> Any:
    dtypes = {o.type.dtype for o in operands}
    if len(dtypes) == 1:
        return operands[0].type.dtype
    return common(operands) if all(d.kind in ("int", "uint", "float") for d in dtypes) else None


def _object_typing(operands: Sequence[Typed]) -> TensorType | Problem:
    *values, _ = operands
    for at, operand in enumerate(values):
        if operand.type.stream or (operand.type.dims and not operand.known):
            return Problem(f"an object holds single values, found {operand.type}", at, "tensor")
        if operand.type.dtype.name == "bytes" or operand.type.dtype.kind == "setting":
            return Problem(f"an object can not hold {operand.type}", at)
    return JSON


def _object(*values: Any) -> dict[str, Any]:
    *given, names = values
    return dict(zip(names, given, strict=True))


def _stack_typing(operands: Sequence[Typed]) -> TensorType | Problem:
    first = operands[0].type
    for at, operand in enumerate(operands):
        wrong = required(operand, at)
        if wrong is not None:
            return wrong
        if operand.type.dims != first.dims or operand.type.dtype is not first.dtype:
            return Problem(f"`stack` takes values of one type, found {first} and {operand.type}", at)
    if any(isinstance(d, Rows | Ragged | Rest) for d in first.dims):
        return Problem(f"`stack` of {first}: only plain sizes", 0, "tensor")
    return first.with_dims((Sized(Size.of(len(operands))), *first.dims))


def _stack(*values: Any) -> Any:
    import numpy as np

    if all(isinstance(v, np.ndarray) for v in values):
        return np.stack(values)
    return list(values)


def _concat_typing(operands: Sequence[Typed]) -> TensorType | Problem:
    first = operands[0].type
    total: Size | None = Size.of(0)
    for at, operand in enumerate(operands):
        wrong = required(operand, at)
        if wrong is not None:
            return wrong
        dims = operand.type.dims
        if not dims or not isinstance(dims[0], Sized | Unknown):
            return Problem(f"`concat` joins along a plain first dim, found {operand.type}", at, "tensor")
        if dims[1:] != first.dims[1:] or operand.type.dtype is not first.dtype:
            return Problem(f"`concat` does not take {first} and {operand.type} together", at)
        total = total + dims[0].size if total is not None and isinstance(dims[0], Sized) else None
    return first.with_dims((Unknown() if total is None else Sized(total), *first.dims[1:]))


def _concat(*values: Any) -> Any:
    import numpy as np

    if all(isinstance(v, np.ndarray) for v in values):
        return np.concatenate(values)
    return [one for value in values for one in value]


def _filled_typing(name: str) -> Any:
    def typing(operands: Sequence[Typed]) -> TensorType | Problem:
        dtype = DTYPES.get(str(operands[0].value))
        if dtype is None or not dtype.numeric:
            return Problem(f"`{name}` takes a numeric dtype first", 0)
        dims: list[Dim] = []
        for at, size in enumerate(operands[1:], 1):
            if not size.known or not isinstance(size.value, int) or size.value < 0:
                return Problem(f"`{name}` takes sizes that are known now", at, "value")
            dims.append(Sized(Size.of(size.value)))
        if math.prod(size.value for size in operands[1:]) > _MOST:
            return Problem(f"`{name}` makes small values, {_MOST:,} items at most", 0, "value", "let a stage make it")
        return TensorType(dtype, tuple(dims))

    return typing


def _filled(value: int) -> Any:
    def compute(dtype: str, *sizes: int) -> Any:
        if not sizes:
            return item(value, DTYPES[dtype])
        import numpy as np

        return np.full(sizes, value, DTYPES[dtype].numpy)

    return compute


def _empty_typing(operands: Sequence[Typed]) -> TensorType | Problem:
    dtype = DTYPES.get(str(operands[0].value))
    if dtype is None or dtype.kind == "setting":
        return Problem("`empty` takes a dtype", 0)
    return TensorType(dtype, (Sized(Size.of(0)),))


# ---- changing


def _cast_typing(operands: Sequence[Typed]) -> TensorType | Problem:
    value, word = operands
    dtype = DTYPES.get(str(word.value))
    if dtype is None or dtype.kind == "setting":
        return Problem("`cast` takes a dtype second", 1, help="`cast(x, f32)`")
    wrong = required(value)
    if wrong is not None:
        return wrong
    source = value.type.dtype
    single = not value.type.dims
    if (source.numeric and dtype.numeric) or (single and source.name == "json" and dtype.name != "bytes"):
        return TensorType(dtype, value.type.dims, stream=value.type.stream)
    if single and source.name == "string" and dtype.numeric:
        return TensorType(dtype)
    return Problem(f"{value.type} can not become {dtype}", 0, help="`format(..)` writes text" if single else "")


def _cast(value: Any, word: str) -> Any:
    dtype = DTYPES[word]
    if hasattr(value, "astype"):
        return value.astype(dtype.numpy)
    if isinstance(value, list):
        return [_cast(v, word) for v in value]
    try:
        return item(_number(value) if dtype.kind in ("int", "uint", "float") else _checked(value, dtype.name), dtype)
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, OperationError):
            raise
        raise OperationError(f"{value!r} can not become {dtype}") from None


def _number(value: Any) -> Any:
    if isinstance(value, str):
        return float(value) if any(c in value for c in ".eEnN") else int(value)
    if isinstance(value, bool | int | float):
        return value
    raise OperationError(f"{value!r} is not a number")


def _checked(value: Any, name: str) -> Any:
    """JSON values and numbers as bool, string or json."""
    if name == "bool":
        if value in ("true", "false"):
            return value == "true"
        if isinstance(value, bool | int | float):
            return bool(value)
    if name == "json" or (name == "string" and isinstance(value, str)):
        return value
    raise OperationError(f"{value!r} is not {name}")


def _reshape_typing(operands: Sequence[Typed]) -> TensorType | Problem:
    value, *sizes = operands
    wrong = required(value)
    if wrong is not None:
        return wrong
    if any(isinstance(d, Rows | Ragged) for d in value.type.dims):
        return Problem(f"`reshape` takes plain sizes, found {value.type}", 0, "tensor")
    if not all(s.known and isinstance(s.value, int) and s.value >= 0 for s in sizes):
        return Problem("`reshape` takes sizes that are known now", 1, "value")
    wanted, found = 1, Size.of(1)
    for size in sizes:
        wanted *= size.value
    for dim in value.type.dims:
        if not isinstance(dim, Sized):
            return value.type.with_dims(tuple(Sized(Size.of(s.value)) for s in sizes))
        found = found * dim.size
    if found.value is not None and found.value != wanted:
        return Problem(f"{found.value} items can not be reshaped to {wanted}", 0, "value")
    return value.type.with_dims(tuple(Sized(Size.of(s.value)) for s in sizes))


def _reshape(value: Any, *sizes: int) -> Any:
    import numpy as np

    try:
        return np.asarray(value).reshape(sizes)
    except ValueError as error:
        raise OperationError(str(error)) from None


# ---- measuring


def _len_typing(operands: Sequence[Typed]) -> TensorType | Problem:
    value = operands[0]
    wrong = required(value)
    if wrong is not None:
        return wrong
    if not value.type.dims and value.type.dtype.kind != "text":
        return Problem(f"`len` takes a value with a first dim, found {value.type}", 0, "tensor")
    if value.type.has_rows:
        return Problem(f"`len` of rows: {value.type}", 0, "tensor", "give the port a size name instead of `*`")
    return I64


def _present_typing(operands: Sequence[Typed]) -> TensorType | Problem:
    return BOOL


ARRAYS = (
    Operation(
        "list",
        0,
        None,
        _list_typing,
        lambda *v: list(v),
        "[a, b]: items of one type",
        symbol=True,
        adapts=True,
    ),
    Operation("object", 1, None, _object_typing, _object, '{"a": x}: a JSON object', symbol=True),
    Operation(
        "stack",
        1,
        None,
        _stack_typing,
        _stack,
        "stack(a, b): equal values along a new first dim",
        adapts=True,
    ),
    Operation("concat", 1, None, _concat_typing, _concat, "concat(a, b): items of both along the first dim"),
    Operation("zeros", 1, None, _filled_typing("zeros"), _filled(0), "zeros(f32, 2, 3): an array of 0"),
    Operation("ones", 1, None, _filled_typing("ones"), _filled(1), "ones(f32, 2, 3): an array of 1"),
    Operation("empty", 1, 1, _empty_typing, lambda dtype: [], "empty(string): no items"),
    Operation("cast", 2, 2, _cast_typing, _cast, "cast(x, f32): the value in another dtype"),
    Operation("reshape", 2, None, _reshape_typing, _reshape, "reshape(x, 2, 3): the same items in other dims"),
    Operation("len", 1, 1, _len_typing, len, "len(x): number of items along the first dim"),
    Operation("present", 1, 1, _present_typing, lambda v: v is not None, "present(x): whether an optional is given"),
)
