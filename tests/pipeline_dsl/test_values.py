"""Compile-time values: literals, consts, functions, strings."""

from __future__ import annotations

import pytest

from .checking import codes_of, options, value


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("7 / 2", 3.5),
        ("-7 % 3", 2),
        ("-9223372036854775808", -(2**63)),
        ("-9223372036854775808.0", -(2.0**63)),
        ("2ms + 500us", 2_500_000),
        ("5ms * 2", 10_000_000),
        ("1KiB * 2", 2048),
        ("1 < 2 and not false", True),
        ('"a" + "b"', "ab"),
        ("null ?? 3", 3),
        ("[1, 2, 3][1:]", [2, 3]),
        ("[1, 2, 3][-1]", 3),
        ('{"a": [1, null]}', {"a": [1, None]}),
        ("{}", {}),
        ("len([4, 5])", 2),
        ('format("{a}-{b}", a = 1, b = true)', "1-true"),
        ('join(["a", "b"], "+")', "a+b"),
        ("cast(2.7, i32)", 2),
        ("select(true, 1, 2)", 1),
        ("present(null)", False),
        ('json_get({"a": 3}, "a")', 3),
        ("empty(string)", []),
    ],
)
def test_value(expr: str, expected: object) -> None:
    assert value(f"const X = {expr}") == expected


def test_percent_is_a_fraction() -> None:
    assert value("const X = 100% - 10%") == pytest.approx(0.9)


def test_a_declared_dtype_rounds() -> None:
    assert value("const X: f16 = 0.1") == 0.0999755859375


def test_the_smallest_number_fits_its_dtype() -> None:
    assert value("const X: i64 = -9223372036854775808") == -(2**63)
    assert codes_of("const X = -9223372036854775809") == ["E0302"]


def test_names_are_used_in_any_order() -> None:
    assert value("const X = Y + 1\nconst Y = 2") == 3


def test_strings_take_consts_and_params() -> None:
    text = 'const N = 3\nparam DIR: string = "models"\nconst X = "${DIR}/v${ N }.onnx"'
    assert value(text) == "models/v3.onnx"


def test_strings_take_values_of_modules() -> None:
    files = options({"m.pipe": 'pipe 1\nconst DIR = "d"\n'})
    assert value('import "m.pipe" as m\nconst X = "${m.DIR}/x"', given=files) == "d/x"


def test_lines_are_read_beside_the_file() -> None:
    assert value('const X = lines("labels.txt")', given=options({"labels.txt": "cat\ndog\n"})) == ["cat", "dog"]


def test_env_takes_the_type_of_its_default() -> None:
    text = 'const X = env("N", 4)'
    assert value(text) == 4
    assert value(text, given=options(environ={"N": "7"})) == 7
    assert codes_of(text, options(environ={"N": "seven"})) == ["E0106"]


@pytest.mark.parametrize(
    ("expr", "code"),
    [
        ("1 / 0", "E0109"),
        ("[1][2]", "E0109"),
        ("Y", "E0103"),
        ("s", "E0404"),
        ("s@3", "E0404"),
        ("s.y", "E0404"),
        ("sqrt(2)", "E0103"),
        ("s(1)", "E0404"),
        ('"a" * 2', "E0302"),
        ("5ms + 1", "E0302"),
        ('"${Y}"', "E0105"),
        ('"${1 + 1}"', "E0105"),
        ('"${s}"', "E0404"),
        ('"${T}"', "E0302"),
        ('format("{a}", b = 1)', "E0105"),
        ('env("NOPE")', "E0106"),
        ('lines("nope.txt")', "E0101"),
        ("len(1, 2)", "E0109"),
    ],
)
def test_refused(expr: str, code: str) -> None:
    stage = 'const T = 5ms\nstage s(x: f32[*]) -> (y: f32[*]) using python("m:s")'
    assert codes_of(f"{stage}\nconst X = {expr}") == [code]


def test_one_mistake_is_told_once() -> None:
    assert codes_of("const A = 1 / 0\nconst B = A + 1\nconst X = B * 2") == ["E0109"]


def test_long_chains_of_consts_are_no_problem() -> None:
    chain = "\n".join(f"const C{i} = C{i + 1} + 1" for i in range(2000))
    assert value(f"{chain}\nconst C2000 = 0", "C0") == 2000
