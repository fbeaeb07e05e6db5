"""Parameters: who wins, how text is read, what is refused."""

from __future__ import annotations

import pytest

from pipeline_dsl.check import Options

from .checking import codes_of, good, options, program_of, value

PROGRAM = """
param N: i32 = 1
stage s(x: f32[*]) -> (y: f32[*]) using python("m:s", n = N)
pipeline p(x: f32[*]) -> (y: f32[*]) {
  return y = s(x)
}
profile base { N = 2 }
profile prod extends base { s { instances = 3 } }
"""


@pytest.mark.parametrize(
    ("given", "number", "origin"),
    [
        (options(), 1, "default"),
        (options(profile="prod"), 2, "profile base"),
        (options(profile="prod", environ={"PIPE_N": "3"}), 3, "env PIPE_N"),
        (options(profile="prod", environ={"PIPE_N": "3"}, params={"N": "4"}), 4, "--set"),
    ],
)
def test_the_first_giver_wins(given: Options, number: int, origin: str) -> None:
    program = good(PROGRAM, given)
    found = program.params["N"]
    assert (found.value, found.origin) == (number, origin)
    assert program.stages["s"].arguments["n"] == number


def test_a_default_may_name_its_own_variable() -> None:
    text = 'param X: i32 = env("COUNT", 4)'
    assert value(text) == 4
    assert value(text, given=options(environ={"COUNT": "5"})) == 5
    assert value(text, given=options(environ={"COUNT": "5", "PIPE_X": "6"})) == 6


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("string", " a b ", " a b "),
        ("bool", "true", True),
        ("i32", "-3", -3),
        ("f32", "0.5", 0.5),
        ("duration", "5ms", 5_000_000),
        ("size", "1KiB", 1024),
        ("percent", "25%", 0.25),
        ("json", '{"a": 1}', {"a": 1}),
        ("i32[?]", "[1, 2]", [1, 2]),
        ("string[2]", '["a", "b"]', ["a", "b"]),
    ],
)
def test_text_is_read_as_the_type(kind: str, text: str, expected: object) -> None:
    assert value(f"param X: {kind}", given=options(params={"X": text})) == expected


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("bool", "yes!"),
        ("i32", "3.5"),
        ("u8", "300"),
        ("duration", "5"),
        ("size", "5ms"),
        ("percent", "0.5"),
        ("i32[2]", "[1]"),
    ],
)
def test_bad_text_is_refused(kind: str, text: str) -> None:
    assert codes_of(f"param X: {kind}", options(params={"X": text})) == ["E0106"]


@pytest.mark.parametrize("text", ["9", "0", "3"])
def test_constraints(text: str) -> None:
    declared = "param X: i32 = 2 {\n min = 1\n max = 4\n oneof = [1, 2, 4]\n}"
    assert codes_of(declared) == []
    assert "E0106" in codes_of(declared, options(params={"X": text}))


def test_a_default_must_meet_them_too() -> None:
    assert codes_of("param X: percent = 75% { max = 50% }") == ["E0106"]


def test_unknown_and_missing_params() -> None:
    assert codes_of("param X: i32 = 1", options(params={"Y": "1"})) == ["E0106"]
    assert codes_of("param X: i32") == ["E0106"]
    assert value("param X: i32?") is None


def test_params_of_a_module_go_by_their_full_name() -> None:
    files = {"m.pipe": "pipe 1\nparam N: i32 = 1\n"}
    text = 'import "m.pipe" as m\nconst X = m.N'
    assert value(text, given=options(files, params={"m.N": "5"})) == 5
    assert value(text, given=options(files, environ={"PIPE_m_N": "6"})) == 6


def test_a_profile_sets_params_of_modules_from_consts_of_its_own() -> None:
    files = {"m.pipe": "pipe 1\nparam N: i32 = 1\n"}
    text = 'import "m.pipe" as m\nconst K = 7\nconst X = m.N\nprofile a { m.N = K }'
    assert value(text, given=options(files, profile="a")) == 7


def test_profiles_that_are_not_selected_are_checked() -> None:
    _, codes = program_of(PROGRAM.replace("N = 2", 'N = "two"'))
    assert "E0302" in codes
