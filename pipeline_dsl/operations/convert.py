"""Bringing values to a dtype: `to_dtype` at run time, `fit` where a constant meets a declared type.

`common` is the one rule for operands of different dtypes: numbers written without a type take the other
operand's dtype; two whole-number dtypes, or two float dtypes, meet in the smaller one that holds both;
anything else needs `cast`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipeline_dsl.dtypes import DTYPES, DType
from pipeline_dsl.types import Sized, TensorType

from .base import JSON, OperationError, Problem, Typed


def limits(dtype: DType) -> tuple[int, int]:
    """Smallest and largest value of a whole-number dtype."""
    bits = 8 * dtype.itemsize
    return (0, 2**bits - 1) if dtype.kind == "uint" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def common(operands: Sequence[Typed]) -> DType | None:
    """The dtype in which operands meet; None if they do not."""
    strong = [o.type.dtype for o in operands if not o.weak]
    weak = [o.type.dtype for o in operands if o.weak]
    found: DType | None = None
    for dtype in strong or weak:
        found = dtype if found is None else _wider(found, dtype, weak=not strong)
        if found is None:
            return None
    for dtype in weak if strong else ():
        found = None if found is None else _with_weak(found, dtype)
    return found


def _with_weak(found: DType, dtype: DType) -> DType | None:
    """The dtype of `found` beside a number that has none."""
    if dtype.kind == "float" and found.kind in ("int", "uint"):
        return DTYPES["f64"]
    return found if found.kind in ("int", "uint", "float") else None


def _wider(a: DType, b: DType, *, weak: bool) -> DType | None:
    if a is b:
        return a
    if a.kind == "float" and b.kind == "float":
        if {a.name, b.name} == {"f16", "bf16"}:
            return DTYPES["f32"]
        return a if a.itemsize >= b.itemsize else b
    if {a.kind, b.kind} <= {"int", "uint"}:
        return _whole(a, b)
    return DTYPES["f64"] if weak and a.kind in ("int", "float") and b.kind in ("int", "float") else None


def _whole(a: DType, b: DType) -> DType | None:
    """The smallest whole-number dtype that holds both; None for u64 beside a signed one."""
    if a.kind == b.kind:
        return a if a.itemsize >= b.itemsize else b
    signed, unsigned = (a, b) if a.kind == "int" else (b, a)
    size = max(signed.itemsize, 2 * unsigned.itemsize)
    return DTYPES[f"i{8 * size}"] if size <= 8 else None


# ---- one value


def to_dtype(value: Any, type: TensorType) -> Any:
    """A computed value as a value of `type`: a Python scalar, or an array where the type has dims.

    OperationError if a whole number does not fit the dtype; a float that is too large becomes infinite."""
    if value is None:
        return None
    if type.dims:
        return _array(value, type)
    return item(value, type.dtype)


def item(value: Any, dtype: DType) -> Any:
    """One single value in a dtype."""
    if dtype.kind in ("int", "uint"):
        low, high = limits(dtype)
        whole = int(value)
        if not low <= whole <= high:
            raise OperationError(f"{whole} does not fit {dtype}: {low} to {high}")
        return whole
    if dtype.kind == "float":
        return rounded(float(value), dtype)
    if dtype.kind == "bool":
        return bool(value)
    if dtype.kind == "setting":
        return float(value) if dtype.name == "percent" else round(value)
    return value


def rounded(value: float, dtype: DType) -> float:
    """A float as its dtype stores it; infinite if it is too large."""
    if dtype.name == "f64" or math.isinf(value) or math.isnan(value):
        return value
    if dtype.name == "bf16":
        return _bf16(value)
    code = "<e" if dtype.name == "f16" else "<f"
    try:
        result: float = struct.unpack(code, struct.pack(code, value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return result


def _bf16(value: float) -> float:
    """Round half to even at the upper 16 bits of an f32."""
    single = rounded(value, DTYPES["f32"])
    if math.isinf(single):
        return single
    (bits,) = struct.unpack("<I", struct.pack("<f", single))
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    result: float = struct.unpack("<f", struct.pack("<I", bits))[0]
    return result


def _array(value: Any, type: TensorType) -> Any:
    """An array, or lists in lists, as an array of `type`."""
    import numpy as np

    dtype = type.dtype
    if dtype.numeric:
        array = np.asarray(value, dtype.numpy)
        return array if array.size else array.reshape(_shape(value, type))
    if isinstance(value, np.ndarray) and value.dtype == object:
        return value
    if value and all(isinstance(one, np.ndarray) for one in value):
        return np.stack(value)
    items = [value]
    for _ in type.dims:
        items = [one for part in items for one in part]
    array = np.empty(len(items), object)
    for i, one in enumerate(items):  # numpy would take lists, which JSON data may be, apart
        array[i] = one
    return array.reshape(_shape(value, type))


def _shape(value: Any, type: TensorType) -> tuple[int, ...]:
    """Sizes of an array or of lists in lists; behind a size of 0 those that the type says."""
    if hasattr(value, "shape"):
        found: tuple[int, ...] = value.shape
        return found
    shape: list[int] = []
    for size in _concrete(type):
        shape.append(len(value) if value is not None else size or 0)
        value = value[0] if value else None
    return tuple(shape)


# ---- constants that meet a declared type


def fit(given: Typed, target: TensorType) -> Typed | Problem:
    """A constant as a value of a declared type: const, param, port default, operand beside a typed one.

    Numbers without a type take any dtype that holds them; other dtypes must be equal or wider. A list must
    have the declared number of items."""
    if given.value is None:
        if target.optional or target.dtype.name == "json":
            return Typed(target, None)
        return Problem(f"needs {target}, found null", kind="optional")
    if not given.known:
        return Problem("the value is not known at compile time", kind="value")
    if given.type.stream:
        return Typed(target, given.value) if target.stream else Problem(f"needs {target}, found a stream")
    if target.stream:
        return Problem(f"needs {target}, found one value", help="`stream_of(..)` makes it a stream")
    value = _fit_dims(given, target, given.value, tuple(_concrete(target)))
    return value if isinstance(value, Problem) else Typed(target, value)


def _concrete(target: TensorType) -> list[int | None]:
    return [d.size.value if isinstance(d, Sized) else None for d in target.dims]


def _fit_dims(given: Typed, target: TensorType, value: Any, sizes: tuple[int | None, ...]) -> Any:
    if target.dtype.name == "json" and not sizes:
        return value if _is_json(value) else Problem(f"{given.type} is not a JSON value")
    if isinstance(value, list | tuple):
        if not sizes:
            return Problem(f"needs {target}, found a list of {len(value)}", kind="tensor")
        if sizes[0] is not None and sizes[0] != len(value):
            return Problem(f"needs {sizes[0]} items, found {len(value)}", kind="value")
        items = [_fit_dims(given, target, v, sizes[1:]) for v in value]
        return next((i for i in items if isinstance(i, Problem)), items)
    if sizes:
        return Problem(f"needs {target}, found one single value", kind="tensor")
    return _fit_item(given, value, target.dtype)


def _fit_item(given: Typed, value: Any, dtype: DType) -> Any:
    source = given.type.dtype
    if given.weak or (source is JSON.dtype and _plain_number(value)):
        return _fit_number(value, dtype)
    if source is JSON.dtype and isinstance(value, bool | str):
        source = DTYPES["bool" if isinstance(value, bool) else "string"]
    if source is dtype:
        return value
    if (
        source.kind in ("int", "uint", "float")
        and common([Typed(TensorType(source)), Typed(TensorType(dtype))]) is dtype
    ):
        return item(value, dtype)
    return Problem(f"needs {dtype}, found {source}", help=_cast_help(source, dtype))


def _plain_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cast_help(source: DType, dtype: DType) -> str:
    if source.numeric and dtype.numeric and "bool" not in (source.kind, dtype.kind):
        return f"`cast(.., {dtype})`"
    return ""


def _fit_number(value: Any, dtype: DType) -> Any:
    """A number that was written without a type, in a dtype."""
    if dtype.kind in ("int", "uint"):
        if isinstance(value, float):
            return Problem(f"needs {dtype}, found {value!r}")
        low, high = limits(dtype)
        if not low <= value <= high:
            return Problem(f"{value} does not fit {dtype}: {low} to {high}", kind="value")
        return value
    if dtype.kind == "float":
        result = rounded(float(value), dtype)
        if math.isinf(result):
            return Problem(f"{value!r} does not fit {dtype}", kind="value")
        return result
    found = "f64" if isinstance(value, float) else "i64"
    return Problem(f"needs {dtype}, found a number ({found})")


def _is_json(value: Any) -> bool:
    if value is None or isinstance(value, bool | int | float | str):
        return True
    if isinstance(value, list | tuple):
        return all(_is_json(v) for v in value)
    return isinstance(value, dict) and all(isinstance(k, str) and _is_json(v) for k, v in value.items())


def adapt(operands: Sequence[Typed]) -> list[Typed] | Problem:
    """Operands with the weak ones brought to the dtype of the others."""
    if all(o.weak for o in operands) or not any(o.weak for o in operands):
        return list(operands)
    dtype = common([o for o in operands if not o.weak])
    if dtype is None or dtype.kind not in ("int", "uint", "float"):
        return list(operands)
    result = []
    for index, operand in enumerate(operands):
        if operand.weak and (dtype.kind == "float" or operand.type.dtype.kind == "int"):
            fitted = fit(operand, replace(operand.type, dtype=dtype))
            if isinstance(fitted, Problem):
                return replace(fitted, operand=index)
            operand = fitted
        result.append(operand)
    return result
