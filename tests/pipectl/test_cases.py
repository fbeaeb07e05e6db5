"""`pipectl test`: golden cases beside a pipeline."""

import json

import numpy as np
import pytest

from .conftest import PIPE

CASES = """
[[case]]
name = "greets"
inputs = {{ name = "Ada" }}
expect = {{ greeting = "Hello, Ada!", length = 11 }}
nodes.strict_1 = {{ same = "Ada" }}

[[case]]
inputs = {{ name = "bad" }}
error = {{ code = "INVALID_ARGUMENT", message = "bad is no name", node = "strict_1" }}
"""

NUMBERS = """pipe 1

stage half(x: f32[*, N]) -> (y: f32[*, N])
  using python("halves:half")

stage tell(x: f32[N]) -> (text: string, raw: bytes)
  using python("halves:tell")

pipeline halves(x: f32[B, N]) -> (y: f32[B, N]) {
  return y = half(x)
}

pipeline told(x: f32[N]) -> (text: string, raw: bytes) {
  text, raw = tell(half(x))
  return text, raw
}
"""

MODULE = """
def half(*, x):
    return x / 2

def tell(*, x):
    return str(x.tolist()), x.astype('u1').tobytes()
"""


@pytest.fixture
def halves(folder):
    (folder / "halves.py").write_text(MODULE)
    path = folder / "halves.pipe"
    path.write_text(NUMBERS)
    return path


@pytest.fixture
def cases(folder):
    def write(text, name="halves.test.toml"):
        (folder / name).write_text(text)
        return folder / name

    return write


def test_cases_beside_the_file_pass(hello, cases, call):
    cases(CASES.format(), "hello.test.toml")
    done = call("test", hello)
    assert done.code == 0
    assert "hello.pipe: greets" in done.out
    assert "hello.pipe: case 2" in done.out
    assert done.out.endswith("2 passed\n")


def test_mistakes_are_told_by_place(hello, cases, call):
    cases(
        CASES.format()
        .replace('"Hello, Ada!", length = 11', '"Bye, Ada!", length = { value = 12 }')
        .replace('same = "Ada"', 'same = "Eve"')
        .replace("bad is no name", "no such text"),
        "hello.test.toml",
    )
    done = call("test", hello)
    assert done.code == 1
    assert "output `greeting`: expected 'Bye, Ada!', found 'Hello, Ada!'" in done.out
    assert "output `length`: expected 12, found 11" in done.out
    assert "node `strict_1`: `same`: expected 'Eve', found 'Ada'" in done.out
    assert "error message: expected 'no such text' in it, found 'bad is no name'" in done.out
    assert done.out.endswith("0 passed, 2 failed\n")


def test_arrays_files_shapes_and_tolerances(halves, cases, call, folder):
    np.save(folder / "x.npy", np.float32([[1, 2], [3, 4]]))
    np.save(folder / "y.npy", np.float32([[0.5, 1], [1.5, 2]]))
    cases("""
[[case]]
pipeline = "halves"
inputs = { x = "@x.npy" }
expect.y = "@y.npy"

[[case]]
pipeline = "halves"
inputs = { x = [[1.0, 2.0]] }
expect.y = { value = [[0.51, 1.0]], atol = 0.02, shape = [1, 2], dtype = "float32" }

[[case]]
pipeline = "told"
inputs = { x = [2, 4] }
expect = { text = "[1.0, 2.0]", raw = { value = { b64 = "AQI=" } } }
""")
    assert call("test", halves).out.endswith("3 passed\n")


def test_shape_dtype_and_absence_are_mistakes_too(halves, cases, call):
    cases("""
[[case]]
pipeline = "halves"
inputs = { x = [[1.0, 2.0]] }
expect.y = { shape = [2], dtype = "float16" }

[[case]]
pipeline = "halves"
inputs = { x = [[1.0]] }
expect.y = { absent = true }

[[case]]
pipeline = "halves"
inputs = { x = [[1.0]] }
error = { code = "INTERNAL" }

[[case]]
pipeline = "halves"
inputs = { x = [1.0] }
expect.y = []
""")
    done = call("test", halves)
    assert "output `y`: expected shape [2], found [1, 2]" in done.out
    assert "output `y`: expected dtype float16, found float32" in done.out
    assert "output `y`: expected to be absent" in done.out
    assert "expected an error INTERNAL, found an answer" in done.out
    assert "failed: INVALID_ARGUMENT" in done.out
    assert done.out.endswith("0 passed, 4 failed\n")


def test_json_and_a_choice_of_cases(hello, cases, call):
    cases(CASES.format(), "hello.test.toml")
    done = call("test", hello, "--format", "json", "-k", "greets")
    (line,) = map(json.loads, done.out.splitlines())
    assert (line["case"], line["passed"], line["mistakes"]) == ("greets", True, [])


def test_profile_and_params_of_the_file(folder, cases, call):
    (folder / "scaled.py").write_text("def scale(*, x, by):\n    return x * by\n")
    (folder / "scaled.pipe").write_text("""pipe 1
param BY: i64 = 2
stage scale(x: i64[*]) -> (y: i64[*]) using python("scaled:scale", by = BY)
pipeline scaled(x: i64[*]) -> (y: i64[*]) {
  return y = scale(x)
}
profile many { BY = 5 }
""")
    case = "[[case]]\ninputs.x = [1]\nexpect.y = [%d]\n"
    cases(case % 2, "scaled.test.toml")
    assert call("test", folder / "scaled.pipe").code == 0
    cases('profile = "many"\n' + case % 5, "scaled.test.toml")
    assert call("test", folder / "scaled.pipe").code == 0
    cases('profile = "many"\nparams.BY = 7\n' + case % 7, "scaled.test.toml")
    assert call("test", folder / "scaled.pipe").code == 0
    assert call("test", folder / "scaled.pipe", "--set", "BY=1").code == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[case]]\ninputs = 3\n", "Expected `object`, got `int` - at `$.case[0].inputs`"),
        ("[[case]]\nexpct = {}\n", "Object contains unknown field `expct`"),
        ("[[case]", "Expected ']]'"),
        ("[[case]]\ninputs.name = 'a'\n", "it expects nothing"),
        ("[[case]]\ninputs.nam = 'a'\nexpect.length = 1\n", "has no input `nam`"),
        ("[[case]]\nexpect.lenth = 1\n", "has no output `lenth`"),
        ("[[case]]\nnodes.count.x = 1\n", "has no call `count`"),
        ("[[case]]\nexpect.length = 1\nerror = {}\n", "both outputs and an error"),
        ("[[case]]\npipeline = 'bye'\nexpect.length = 1\n", "no pipeline `bye`"),
        ("[[case]]\ninputs.name = '@no.txt'\nexpect.length = 1\n", "can not read"),
        ("[[case]]\ninputs.name = 'a'\nexpect.length = { valu = 1 }\n", "case 1: output `length`: Object contains"),
        ("[[case]]\nnodes.length.length = { valu = 1 }\n", "case 1: node `length`: `length`: Object contains"),
        ("case = []\n", "there are no cases"),
    ],
)
def test_a_file_that_says_what_is_not_known(hello, cases, call, text, message):
    cases(text, "hello.test.toml")
    done = call("test", hello)
    assert done.code == 2
    assert message in done.err


def test_a_case_names_its_pipeline_where_there_are_several(write, cases, call):
    file = write(PIPE + "\npipeline bye(name: string) -> (name: string) {{\n  return name\n}}\n")
    cases("[[case]]\ninputs.name = 'a'\nexpect.length = 9\n", "hello.test.toml")
    done = call("test", file)
    assert done.code == 2
    assert "hello.test.toml: case 1: it names no pipeline" in done.err
    assert 'write pipeline = "' in done.err


def test_no_file_of_cases(hello, call):
    done = call("test", hello)
    assert (done.code, "hello.test.toml" in done.err) == (2, True)
