"""The table of operations: how operands are typed, what is computed, what is refused."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.operations import (
    FUNCTIONS,
    OPERATIONS,
    Applied,
    OperationError,
    Problem,
    Typed,
    apply,
    fit,
    placeholders,
    scalar,
    to_dtype,
)
from pipeline_dsl.sizes import Size
from pipeline_dsl.types import Dim, Ragged, Rows, Sized, TensorType, Unknown


def of(dtype: str, *dims: Dim, optional: bool = False) -> Typed:
    return Typed(TensorType(DTYPES[dtype], dims, optional))


def number(value: int | float) -> Typed:
    return Typed(scalar("f64" if isinstance(value, float) else "i64"), value, weak=True)


def constant(value: Any, dtype: str) -> Typed:
    return Typed(scalar(dtype), value)


def result(name: str, *operands: Typed) -> Typed:
    applied = apply(name, operands)
    assert isinstance(applied, Applied), applied
    return applied.result


def problem(name: str, *operands: Typed) -> Problem:
    found = apply(name, operands)
    assert isinstance(found, Problem), found
    return found


N4 = Sized(Size.of(4))
L = Ragged(Size.of("L"))


@pytest.mark.parametrize(
    ("name", "left", "right", "expected"),
    [
        ("+", of("f32"), of("f32"), "f32"),
        ("+", of("i32"), of("i64"), "i64"),
        ("+", of("u8"), of("i8"), "i16"),
        ("*", of("f16"), of("bf16"), "f32"),
        ("+", of("f32"), number(1), "f32"),
        ("*", of("f32"), number(0.5), "f32"),
        ("*", of("i32"), number(0.5), "f64"),
        ("-", number(3), of("u8"), "u8"),
        ("/", of("i32"), of("i32"), "f64"),
        ("/", of("f32"), of("f32"), "f32"),
        ("%", of("i32"), number(2), "i32"),
        ("+", of("string"), of("string"), "string"),
        ("-", of("percent"), of("percent"), "percent"),
        ("*", of("duration"), number(2), "duration"),
        ("/", of("size"), of("size"), "f64"),
        ("<", of("f32"), number(0.5), "bool"),
        ("==", of("string"), of("string"), "bool"),
        ("and", of("bool"), of("bool"), "bool"),
    ],
)
def test_result_dtype(name: str, left: Typed, right: Typed, expected: str) -> None:
    assert result(name, left, right).type == scalar(expected)


@pytest.mark.parametrize(
    ("name", "operands", "kind", "at"),
    [
        ("+", (of("f32"), of("i32")), "dtype", -1),
        ("+", (of("u64"), of("i64")), "dtype", -1),
        ("+", (of("bool"), number(1)), "dtype", 0),
        ("*", (of("string"), number(2)), "dtype", 0),
        ("*", (of("f32", Rows(), N4), number(2)), "tensor", 0),
        ("+", (of("f32"), of("f32", optional=True)), "optional", 1),
        ("<", (of("bool"), of("bool")), "dtype", 0),
        ("and", (of("bool"), number(1)), "dtype", 1),
        ("neg", (of("u8"),), "dtype", 0),
        ("%", (number(1), number(0)), "value", -1),
        ("/", (number(1), number(0)), "value", -1),
        ("+", (of("u8"), number(300)), "value", 1),
        ("index", (of("f32", N4), number(4)), "value", 1),
        ("index", (of("f32", Rows(), N4), number(0)), "tensor", 0),
        ("len", (of("f32"),), "tensor", 0),
        ("len", (of("f32", Rows()),), "tensor", 0),
        ("join", (of("string"),), "tensor", 0),
        ("reshape", (of("f32", N4), number(3)), "value", 0),
        ("cast", (of("string", N4), constant("f32", "string")), "dtype", 0),
        ("select", (of("i32"), of("f32"), of("f32")), "dtype", 0),
        ("len", (), "count", -1),
    ],
)
def test_refused(name: str, operands: tuple[Typed, ...], kind: str, at: int) -> None:
    found = problem(name, *operands)
    assert (found.kind, found.operand) == (kind, at)


def test_a_plain_number_becomes_a_value_of_the_other_dtype() -> None:
    applied = apply(">=", (of("f32"), number(0.9)))
    assert isinstance(applied, Applied)
    assert applied.operands[1] == Typed(scalar("f32"), float(np.float32(0.9)))


def test_known_operands_are_folded() -> None:
    assert result("+", number(2), number(3)) == Typed(scalar("i64"), 5, weak=True)
    assert result("/", number(7), number(2)).value == 3.5
    assert result("%", number(-7), number(3)).value == 2
    assert not result("+", of("i64"), number(3)).known


def test_ieee_division_of_floats() -> None:
    divide = OPERATIONS["/"].compute
    assert divide(1.0, 0) == math.inf
    assert divide(-1.0, 0) == -math.inf
    assert math.isnan(divide(0.0, 0.0))


@pytest.mark.parametrize(
    ("operands", "dims"),
    [
        ((of("f32", N4), number(1)), ()),
        ((of("f32", N4, Sized(Size.of("M"))), number(1)), (Sized(Size.of("M")),)),
        ((of("f32", Unknown()), of("i32")), ()),
    ],
)
def test_index_takes_a_dim_away(operands: tuple[Typed, ...], dims: tuple[Dim, ...]) -> None:
    assert result("index", *operands).type.dims == dims


def test_a_ragged_size_of_one_element_is_a_size_of_its_own() -> None:
    (dim,) = result("index", of("string", N4, L), number(0)).type.dims
    assert isinstance(dim, Sized)
    assert dim.size != L.size


def test_slice_counts_what_it_can() -> None:
    assert result("slice", of("f32", N4), number(1), constant(None, "i64")).type.dims == (Sized(Size.of(3)),)
    assert result("slice", of("f32", N4), number(1), of("i64")).type.dims == (Unknown(),)


def test_lists_have_one_type_or_are_json() -> None:
    assert str(result("list", number(1), number(2)).type) == "i64[2]"
    assert str(result("list", number(1), number(0.5)).type) == "f64[2]"
    assert str(result("list", number(1), constant("a", "string")).type) == "json"
    assert problem("list", of("f32"), of("string")).operand == 1


def test_coalesce_and_select() -> None:
    assert result("??", of("f32", optional=True), number(0)).type == scalar("f32")
    assert result("??", of("f32", optional=True), of("f32", optional=True)).type.optional
    assert OPERATIONS["??"].compute(None, 3) == 3
    assert OPERATIONS["??"].compute(0, 3) == 0
    assert result("select", of("bool"), of("f32"), number(1)).type == scalar("f32")
    assert OPERATIONS["select"].compute(False, 1, 2) == 2


def test_format_and_its_names() -> None:
    names = Typed(scalar("json"), ["who", "n"])
    template = constant("{who}: {n} {{x}}", "string")
    assert result("format", template, constant("a", "string"), number(2), names).value == "a: 2 {x}"
    assert placeholders("{a} {b} {a} {{c}}") == ["a", "b"]
    missing = problem("format", template, constant("a", "string"), Typed(scalar("json"), ["who"]))
    assert missing.kind == "template"
    extra = Typed(scalar("json"), ["who", "n", "m"])
    assert problem("format", template, number(1), number(2), number(3), extra).operand == 3


def test_json_get() -> None:
    get = OPERATIONS["json_get"].compute
    assert get({"a": [{"b": 1}]}, "a.0.b") == 1
    assert get({"a": 1}, "b") is None
    assert get([1], "3") is None
    assert result("json_get", of("json"), constant("a", "string")).type.optional


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ("3", "i32", 3),
        ("2.5", "f32", 2.5),
        (2.9, "i32", 2),
        (1, "bool", True),
        ("false", "bool", False),
        (3, "f32", 3.0),
    ],
)
def test_cast(value: Any, dtype: str, expected: Any) -> None:
    assert OPERATIONS["cast"].compute(value, dtype) == expected


@pytest.mark.parametrize(
    ("value", "dtype"), [("x", "i32"), (300, "u8"), ({}, "f32"), ("maybe", "bool"), (math.nan, "i64")]
)
def test_cast_refused(value: Any, dtype: str) -> None:
    with pytest.raises(OperationError):
        OPERATIONS["cast"].compute(value, dtype)


def test_cast_of_an_array_keeps_its_dims() -> None:
    assert str(result("cast", of("u8", N4), constant("f32", "string")).type) == "f32[4]"
    assert OPERATIONS["cast"].compute(np.ones(4, np.uint8), "f32").dtype == np.float32


def test_arrays_at_run_time() -> None:
    a, b = np.arange(3), np.arange(3) + 3
    assert OPERATIONS["stack"].compute(a, b).shape == (2, 3)
    assert OPERATIONS["concat"].compute(a, b).tolist() == [0, 1, 2, 3, 4, 5]
    assert OPERATIONS["index"].compute(np.arange(3.0), 1) == 1.0
    assert type(OPERATIONS["index"].compute(np.arange(3), 1)) is int
    assert OPERATIONS["reshape"].compute(np.arange(6), 2, 3).shape == (2, 3)
    assert OPERATIONS["zeros"].compute("f32", 2, 3).dtype == np.float32
    with pytest.raises(OperationError):
        OPERATIONS["index"].compute([1], 5)


def test_to_dtype() -> None:
    assert to_dtype(3, scalar("u8")) == 3
    with pytest.raises(OperationError, match="300 does not fit u8"):
        to_dtype(300, scalar("u8"))
    assert to_dtype(1e39, scalar("f32")) == math.inf
    assert to_dtype(None, scalar("f32", optional=True)) is None
    assert to_dtype([1, 2], TensorType(DTYPES["i32"], (N4,))).dtype == np.int32
    assert to_dtype(["a"], TensorType(DTYPES["string"], (N4,))).dtype == object


@pytest.mark.parametrize(
    ("value", "dims", "expected"),
    [
        ([["a", "b"], ["c", "d"]], (2, 2), [["a", "b"], ["c", "d"]]),
        ([[1, 2], {"a": [3]}], (2,), [[1, 2], {"a": [3]}]),
        ([np.array(["a"], object), np.array(["b"], object)], (2, 1), [["a"], ["b"]]),
        ([[], []], (2, 0), [[], []]),
    ],
)
def test_lists_in_lists_become_arrays_of_objects(value: Any, dims: tuple[int, ...], expected: Any) -> None:
    found = to_dtype(value, TensorType(DTYPES["json"], tuple(Sized(Size.of(n)) for n in dims)))
    assert found.shape == dims
    assert found.dtype == object
    assert found.tolist() == expected


@pytest.mark.parametrize("name", ["f32", "string"])
def test_a_list_without_items_has_the_sizes_of_its_type(name: str) -> None:
    assert to_dtype([], TensorType(DTYPES[name], (Sized(Size.of(0)), Sized(Size.of(3))))).shape == (0, 3)


def test_arrays_that_are_known_are_lists_at_compile_time() -> None:
    sizes = (constant(2, "i64"), constant(2, "i64"))
    assert result("zeros", constant("f32", "string"), *sizes).value == [[0.0, 0.0], [0.0, 0.0]]
    many = Typed(TensorType(DTYPES["i64"], (Sized(Size.of(4)),)), [1, 2, 3, 4])
    assert result("reshape", many, *sizes).value == [[1, 2], [3, 4]]


def test_zeros_are_not_for_what_fills_the_memory() -> None:
    found = apply("zeros", [constant("f64", "string"), constant(100_000, "i64"), constant(100_000, "i64")])
    assert isinstance(found, Problem)
    assert "1,048,576 items at most" in found.text


@given(st.floats(allow_nan=False), st.sampled_from(["f16", "f32", "bf16"]))
def test_floats_are_rounded_as_numpy_does(value: float, name: str) -> None:
    kinds = {"f16": np.float16, "f32": np.float32, "bf16": ml_dtypes.bfloat16}
    with np.errstate(over="ignore"):
        single = np.float32(value) if name == "bf16" else value
        expected = float(np.asarray(single).astype(kinds[name]))
    assert to_dtype(value, scalar(name)) == expected


@pytest.mark.parametrize(
    ("given_", "target", "fits"),
    [
        (number(3), "f32", True),
        (number(0.5), "i32", False),
        (number(300), "u8", False),
        (constant(3, "i32"), "i64", True),
        (constant(3, "i64"), "i32", False),
        (constant("a", "string"), "string", True),
        (constant("a", "string"), "bytes", False),
        (number(3), "bool", False),
        (number(3), "percent", False),
        (constant([1, "a"], "json"), "json", True),
    ],
)
def test_fit(given_: Typed, target: str, fits: bool) -> None:
    assert isinstance(fit(given_, scalar(target)), Typed) is fits


def test_fit_of_lists_and_null() -> None:
    listed = Typed(TensorType(DTYPES["i64"], (Sized(Size.of(2)),)), [1, 2], weak=True)
    fitted = fit(listed, TensorType(DTYPES["f32"], (Sized(Size.of(2)),)))
    assert isinstance(fitted, Typed)
    assert fitted.value == [1.0, 2.0]
    assert isinstance(fit(listed, TensorType(DTYPES["f32"], (N4,))), Problem)
    null = Typed(scalar("json", optional=True), None)
    assert isinstance(fit(null, scalar("f32", optional=True)), Typed)
    assert isinstance(fit(null, scalar("f32")), Problem)


def test_every_operation_says_what_it_does() -> None:
    assert all(o.doc and o.name == name for name, o in OPERATIONS.items())
    assert "format" in FUNCTIONS
    assert "+" not in FUNCTIONS
