"""Output and input checks: what passes untouched, and what each mistake says."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.base import BatchResult
from backends.checks import OutputCheck, OutputError
from backends.inputs import check_input, check_inputs
from backends.values import InvalidInput, Ragged
from pipeline_dsl.plan import InputPlan
from tests.backends.stages import Copies, batch, bound, port, stage, tensor

F32 = np.float32


def checked(plan, inputs, *outputs, failed=None, rows=None, on_copy=None):
    return OutputCheck(plan, on_copy)(batch(*inputs, rows=rows), BatchResult(outputs, failed))


def ones(*shape, dtype=F32):
    return np.ones(shape, dtype)


def texts(*items):
    return np.array(items, object)


def packed(lengths, dtype=F32):
    return Ragged(values=np.ones(sum(lengths), dtype), offsets=np.array([0, *np.cumsum(lengths)], np.int64))


# ---- outputs


@pytest.mark.parametrize(
    ("inputs", "outputs", "given", "found"),
    [
        ("x: f32[*, 4]", "y: f32[*, 4]", [ones(2, 4)], [ones(2, 4)]),
        ("x: f32[*, 4]", "y: f32[*], z: i64[*]", [ones(2, 4)], [ones(2), ones(2, dtype=np.int64)]),
        ("x: f32[*, S]", "y: f32[*, 2*S]", [ones(2, 3)], [ones(2, 6)]),
        ("x: f32[*, S]", "y: f32[S, S]", [ones(2, 3)], [ones(3, 3)]),
        ("x: f32[*, 4]", "y: bf16[*, ?]", [ones(2, 4)], [ones(2, 9, dtype=ml_dtypes.bfloat16)]),
        ("x: f32[*, 4]", "y: f32[*, ...]", [ones(2, 4)], [ones(2, 9, 1)]),
        ("x: f32[*, 4]", "y: f32[*, ..., 3]", [ones(2, 4)], [ones(2, 9, 3)]),
        ("x: f32[*, 4]", "y: string[*]", [ones(2, 4)], [texts("a", "b")]),
        ("x: f32[*, 4]", "y: json[*]", [ones(2, 4)], [texts({"a": 1}, None)]),
        ("x: f32[4]", "y: i64", [ones(4)], [7]),
        ("x: f32[4]", "y: string?", [ones(4)], [None]),
        ("x: f32[4]", "y: f32[N, 2], z: string[N]", [ones(4)], [ones(3, 2), texts("a", "b", "c")]),
        ("x: f32[*, ~L]", "y: f32[*, ~L]", [packed([1, 3])], [Ragged([ones(1), ones(3)])]),
        ("x: f32[*, ~L]", "y: f32[*, ~2*L]", [packed([1, 3])], [packed([2, 6])]),
        ("x: f32[*, 4]", "y: string[*, ~K]", [ones(2, 4)], [Ragged([texts("a"), texts()])]),
    ],
)
def test_what_the_signature_says_passes_as_it_is(inputs, outputs, given, found):
    result = BatchResult(tuple(found))
    assert OutputCheck(stage("null", inputs, outputs))(batch(*given), result) is result


@pytest.mark.parametrize(
    ("inputs", "outputs", "given", "found", "message"),
    [
        ("x: f32[*, 4]", "y: f32[*, 4]", [ones(2, 4)], [ones(3, 4)], "dim 0 must be 2, the number of rows, found 3"),
        ("x: f32[*, 4]", "y: f32[*, 4]", [ones(2, 4)], [ones(2, 5)], "dim 1 must be 4, found 5"),
        ("x: f32[*, 4]", "y: f32[*, 4]", [ones(2, 4)], [ones(2)], r"\[\*, 4\] has 2 dims, found 1"),
        ("x: f32[*, 4]", "y: f32[*, 4]", [ones(2, 4)], [ones(2, 4, dtype=float)], "found float64"),
        ("x: f32[*, 4]", "y: f32[*, 4]", [ones(2, 4)], [None], "found None"),
        ("x: f32[*, 4]", "y: f32[*, 4]", [ones(2, 4)], [[1.0]], "an ndarray, found list of 1"),
        ("x: f32[*, 4]", "y: f32[*, 4]", [ones(2, 4)], [], r"1 outputs are expected \(y\), found 0"),
        ("x: f32[*, 4]", "y: f32[*, ..., 3]", [ones(2, 4)], [ones(2, 3, 2)], "dim 2 must be 3, found 2"),
        ("x: f32[*, S]", "y: f32[*, S]", [ones(2, 4)], [ones(2, 5)], "dim 1 must be 4 .`S`., found 5"),
        ("x: f32[*, S]", "y: f32[*, 2*S]", [ones(2, 4)], [ones(2, 5)], r"dim 1 must be 8 .`2\*S`., found 5"),
        ("x: f32[4]", "y: f32[2*N], z: f32[N]", [ones(4)], [ones(5), ones(2)], "dim 0 must be 4"),
        ("x: f32[4]", "y: f32[N], z: f32[N]", [ones(4)], [ones(5), ones(2)], "output `z`.* must be 5"),
        ("x: f32[*, 4]", "y: string[*]", [ones(2, 4)], [texts("a", b"b")], "str is expected, found bytes at item 1"),
        ("x: f32[*, 4]", "y: string[*]", [ones(2, 4)], [np.array(["a", "b"])], "found <U1"),
        ("x: f32[4]", "y: u8", [ones(4)], [300], "300 does not fit u8"),
        ("x: f32[4]", "y: json", [ones(4)], [{"a": F32(1)}], r"found float32; .tolist\(\) makes it JSON"),
        (
            "x: f32[*, 4]",
            "y: json[*]",
            [ones(2, 4)],
            [texts(1, {"a": [ones(2)]})],
            r"item 1: JSON data is expected, found float32 \[2\]",
        ),
        ("x: f32[*, 4]", "y: json[*]", [ones(1, 4)], [texts(b"a")], "JSON data is expected, found bytes"),
        ("x: f32[4]", "y: u8", [ones(4)], [np.uint8(3)], "as a Python value"),
        ("x: f32[4]", "y: bool", [ones(4)], [1], "bool is expected, found int 1"),
        ("x: f32[*, 4]", "y: f32[*, ~L]", [ones(2, 4)], [ones(2, 4)], "as a Ragged"),
        ("x: f32[*, ~L]", "y: f32[*, ~L]", [packed([1, 3])], [packed([1, 2])], "row 1 must be 3 .`L`., found 2"),
        ("x: f32[*, ~L]", "y: f32[*, ~L]", [packed([1, 3])], [packed([1])], "must be 2, the number of rows"),
        ("x: f32[*, 4]", "y: f32[*, ~L]", [ones(1, 4)], [packed([1], int)], "rows of int64"),
        ("x: f32[*, 4]", "y: f32[*, ~L, 2]", [ones(1, 4)], [packed([1])], "each row must have 2 dims"),
        ("x: f32[*, 4]", "y: f32[*, ~L, 2]", [ones(1, 4)], [Ragged([ones(3, 4)])], "of a row must be 2, found 4"),
    ],
)
def test_what_it_does_not_say_is_named_with_both_sides(inputs, outputs, given, found, message):
    plan = stage("null", inputs, outputs, name="small")
    with pytest.raises(OutputError, match=message) as error:
        checked(plan, given, *found)
    assert str(error.value).startswith("stage `small`")


def test_padded_and_packed_ports_are_checked_in_their_form():
    padded = stage("null", (port("x: f32[*, ~L]", form="padded"),), (port("y: f32[*, ~L, 2]", form="padded"),))
    checked(padded, [ones(2, 8)], ones(2, 8, 2))
    with pytest.raises(OutputError, match="dim 1 must be 8"):
        checked(padded, [ones(2, 8)], ones(2, 7, 2))
    checked(padded, [ones(2, 8)], Ragged([ones(3, 2), ones(8, 2)]))
    packs = stage("null", (port("x: f32[*, ~L]", form="packed"),), (port("y: f32[*, ~L, 2]", form="packed"),))
    checked(packs, [ones(5)], ones(5, 2), rows=2)
    with pytest.raises(OutputError, match="dim 1 must be 2, found 3"):
        checked(packs, [ones(5)], ones(5, 3), rows=2)


def test_bounds_hold_for_every_row():
    plan = stage("null", "x: f32[*, 4]", "y: f32[*, ~N], n: i64[*]", where=["N <= 3"])
    checked(plan, [ones(2, 4)], packed([3, 0]), ones(2, dtype=np.int64))
    with pytest.raises(OutputError, match="stage `s`: `N <= 3` does not hold: N = up to 4"):
        checked(plan, [ones(2, 4)], packed([1, 4]), ones(2, dtype=np.int64))


def test_a_failed_row_may_hold_anything_but_the_others_may_not():
    plan = stage("null", "x: f32[*, 4]", "y: string[*]")
    failed = {1: ValueError("bad")}
    checked(plan, [ones(3, 4)], texts("a", None, "b"), failed=failed)
    with pytest.raises(OutputError, match="item 2"):
        checked(plan, [ones(3, 4)], texts("a", None, None), failed=failed)
    with pytest.raises(OutputError, match="must be 3"):
        checked(plan, [ones(3, 4)], texts("a", None), failed=failed)
    plan = stage("null", "x: f32[*, 4]", "y: json[*]")
    checked(plan, [ones(3, 4)], texts({"a": 1}, b"", None), failed=failed)


def test_when_every_row_failed_nothing_is_looked_at():
    plan = stage("null", "x: f32[4]", "y: f32")
    assert checked(plan, [ones(4)], None, failed={0: ValueError()}, rows=1).failed


def test_non_contiguous_arrays_are_copied_and_counted():
    plan, copies = stage("null", "x: f32[*, 4]", "y: f32[*, 4], z: f32[*]"), Copies()
    wide = np.arange(16, dtype=F32).reshape(2, 8)
    result = checked(plan, [ones(2, 4)], wide[:, ::2], ones(2), on_copy=copies)
    assert result.outputs[0].flags.c_contiguous
    assert np.array_equal(result.outputs[0], wide[:, ::2])
    assert copies == [(2 * 4 * 4, "contiguous")]


# ---- inputs of callers


def given_as(declared, value, sizes=None):
    return check_input("x", tensor(declared), value, {} if sizes is None else sizes)


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        ("f32[*, 2]", [[1, 2.5]], ones(1, 2) * [1, 2.5]),
        ("f32[*]", [], np.zeros(0)),
        ("f32[*]", [float("nan"), float("inf")], np.array([np.nan, np.inf])),
        ("f16[*]", [1, 2], np.array([1, 2])),
        ("bf16[*]", [1, 2], np.array([1, 2])),
        ("u64[N]", [2**64 - 1], np.array([2**64 - 1], np.uint64)),
        ("bool[*]", [True, False], np.array([True, False])),
        ("i64[...]", [[[1]], [[2]]], np.array([[[1]], [[2]]])),
        ("f32[*, 2]", [np.ones(2, F32), np.ones(2, F32)], ones(2, 2)),
    ],
)
def test_lists_become_arrays_of_the_declared_dtype(declared, value, expected):
    found = given_as(declared, value)
    assert found.dtype == tensor(declared).dtype.numpy
    assert np.array_equal(found.astype(expected.dtype), expected, equal_nan=True)
    assert not found.flags.writeable


def test_arrays_of_the_dtype_pass_as_read_only_views():
    array = ones(2, 3)
    found = given_as("f32[*, 3]", array)
    assert np.shares_memory(found, array)
    assert not found.flags.writeable
    assert array.flags.writeable
    assert given_as("f32[3, *]".replace("*", "2"), array.T).flags.c_contiguous


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        ("string[*]", ["a", "ü"], ["a", "ü"]),
        ("string[*]", np.array(["a", "b"]), ["a", "b"]),
        ("string[*]", ("a",), ["a"]),
        ("string[N, 2]", [["a", "b"]], [["a", "b"]]),
        ("bytes[*]", [b"a"], [b"a"]),
        ("json[N]", [{"a": [1]}, [2, 3], None], [{"a": [1]}, [2, 3], None]),
        ("json[N]", [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ("string[*]", [], []),
    ],
)
def test_text_becomes_an_object_array(declared, value, expected):
    found = given_as(declared, value)
    assert found.dtype == object
    assert found.tolist() == expected
    assert found.ndim == len(tensor(declared).dims)


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        ("i32", 5, 5),
        ("i32", np.int64(5), 5),
        ("f32", 5, 5.0),
        ("f32", np.float32(0.5), 0.5),
        ("bool", np.bool_(True), True),
        ("string", "a", "a"),
        ("bytes", b"a", b"a"),
        ("json", {"a": [None, 1.5]}, {"a": [None, 1.5]}),
        ("json", None, None),
        ("u8", np.array(3, np.uint8), 3),
    ],
)
def test_rank_0_is_a_python_value(declared, value, expected):
    found = given_as(declared, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("value", [[[1, 2], [], [3]], [np.array([1, 2]), np.array([], int), np.array([3])]])
def test_nested_lists_become_ragged_rows(value):
    found = given_as("i64[*, ~L]", value)
    assert [row.tolist() for row in found] == [[1, 2], [], [3]]
    assert found.dtype == np.int64


def test_rows_may_be_ragged_in_more_ways():
    assert given_as("i64[*, ~L]", []).dtype == np.int64
    assert given_as("i64[*, ~L]", np.ones((2, 3), np.int64)).lengths().tolist() == [3, 3]
    assert given_as("f32[N, ~L, 2]", [ones(1, 2), ones(3, 2)]).shape_of(1) == (3, 2)
    assert given_as("u8[*, ~H, ~W, 3]", [ones(2, 4, 3, dtype=np.uint8)]).shape_of(0) == (2, 4, 3)
    assert given_as("string[*, ~K]", [["a"], []]).lengths().tolist() == [1, 0]
    passed = packed([1, 2])
    assert given_as("f32[*, ~L]", passed) is passed


@pytest.mark.parametrize(
    ("declared", "value", "message"),
    [
        ("u8[*]", [300], "300 does not fit u8"),
        ("u8[*]", [-1], "-1 does not fit u8"),
        ("i64[*]", [2**70], "does not fit i64"),
        ("i64", 2**70, "does not fit i64"),
        ("i32[*]", [1.5], "found float 1.5"),
        ("i32[*]", [True], "found bool"),
        ("bool[*]", [1], "found int 1"),
        ("f32[*]", [1e300], "does not fit f32"),
        ("f16", 7e4, "does not fit f16"),
        ("f32[*]", ["1"], "found str '1'"),
        ("f32[*]", [None, 1.0], "found None"),
        ("f32[*]", [1, [2]], "not of equal length"),
        ("f32[*]", np.array([1, None], object), "found None"),
        ("f32[*, 2]", [[1, 2], [3]], "not of equal length"),
        ("f32[*, 2]", ones(1, 2, dtype=float), r"astype\('float32'\)"),
        ("f32[*, 2]", [np.ones(2), np.ones(2)], r"astype\('float32'\)"),
        ("f32[*, 2]", ones(2), "2 dims"),
        ("f32[*, 2]", ones(1, 3), "dim 1 must be 2, found 3"),
        ("f32[*]", 1.0, "a single float; give a list"),
        ("f32[*]", {"a": 1}, "found dict"),
        ("string[*]", "abc", "a single str; give a list"),
        ("string[*]", ["a", b"b"], "item 1: .*decode them first"),
        ("string[*]", ["\ud800"], "not valid Unicode at position 0"),
        ("string", b"a", "decode them first"),
        ("bytes", "a", "encode it first"),
        ("string[*]", [["a"]], "found list"),
        ("string[N, 2]", [["a", "b"], ["c"]], "not of equal length"),
        ("json", {1: 2}, "a key of type int"),
        ("json", {"a": {1, 2}}, "found set"),
        ("json[N]", [object()], "JSON data is expected"),
        ("i64[*, ~L]", [1, 2], "row 0"),
        ("i64[*, ~L]", [[1], ["a"]], "found str 'a'"),
        ("i64[*, ~L]", 3, "a list of rows"),
        ("f32[*, ~L, 2]", [ones(1, 3)], "must be 2, found 3"),
        ("f32[*, ~L]", Ragged([np.ones(2)]), "rows of f32 are expected"),
        ("f32[N]", None, "found None"),
        ("i32", ones(2), "one single i32"),
        ("i32", "5", "found str '5'"),
    ],
)
def test_a_wrong_value_is_the_callers_mistake(declared, value, message):
    with pytest.raises(InvalidInput, match=message) as error:
        given_as(declared, value)
    assert str(error.value).startswith("input `x`: ")


def test_deep_json_is_refused_before_python_gives_up():
    value = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidInput, match="nested deeper"):
        given_as("json", value)


def inputs_of(*texts):
    ports = [port(text) for text in texts]
    return tuple(InputPlan(p.name, p.type, i) for i, p in enumerate(ports))


def test_sizes_agree_across_inputs():
    inputs = inputs_of("a: f32[2*N]", "b: f32[N]", "c: string[*]")
    values, sizes = check_inputs(inputs, (), {"a": [1, 2, 3, 4], "b": [1, 2], "c": ["x"]})
    assert sizes == {"N": 2, "*": 1}
    assert len(values) == 3
    with pytest.raises(InvalidInput, match=r"input `a`: .*dim 0 must be 4 .`2\*N`., found 3"):
        check_inputs(inputs, (), {"a": [1, 2, 3], "b": [1, 2], "c": ["x"]})
    with pytest.raises(InvalidInput, match=r"input `b`: .*must be 2, the number of rows, found 1"):
        check_inputs(inputs_of("a: f32[*]", "b: f32[*]"), (), {"a": [1, 2], "b": [1]})


def test_names_are_checked_and_defaults_filled_in():
    inputs = (*inputs_of("text: string[*]", "said: f32[S]?"), InputPlan("k", tensor("i32"), 2, True, 5))
    values, _ = check_inputs(inputs, (), {"text": ["a"]})
    assert values[1:] == (None, 5)
    with pytest.raises(InvalidInput, match="missing input `text`: string"):
        check_inputs(inputs, (), {})
    with pytest.raises(InvalidInput, match="no input `txt`; did you mean `text`"):
        check_inputs(inputs, (), {"txt": ["a"]})


def test_bounds_of_a_pipeline_are_checked_at_its_door():
    inputs = inputs_of("x: f32[*, ~L]")
    with pytest.raises(InvalidInput, match="`L <= 2` does not hold: L = up to 3"):
        check_inputs(inputs, [bound("L <= 2")], {"x": [[1.0], [1.0, 2.0, 3.0]]})


@given(st.lists(st.lists(st.integers(-128, 127), max_size=4), max_size=5))
def test_ragged_lists_keep_their_rows(rows):
    found = given_as("i8[*, ~L]", rows)
    assert [row.tolist() for row in found] == rows
