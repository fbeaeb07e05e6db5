"""Lists that a file holds: what stages, `map`, arms, streams and answers get of them."""

import numpy as np
import pytest

import pipectl

STAGES = """
import numpy as np


def shout(*, text):
    return [one.upper() for one in text]


def double(*, x):
    return x * 2


def words(*, text):
    return [np.array(one.split(), object) for one in text]


def flip(*, table):
    return table.T
"""

TEXT = """pipe 1

const NAMES = ["ada", "bob"]

stage shout(text: string[*]) -> (loud: string[*]) using python("{module}:shout")
stage double(x: f64[*]) -> (y: f64[*]) using python("{module}:double")
stage whole(x: f32[N]) -> (y: f32[N]) using python("{module}:double")
stage scaled(x: f64[*, 2]) -> (y: f64[*, 2]) using python("{module}:double")
stage words(text: string[*]) -> (word: string[*, ~L]) using python("{module}:words")
stage flip(table: string[N, M]) -> (table: string[M, N]) using python("{module}:flip")

pipeline rows(z: i64) -> (loud: string[N], y: f64[M], word: string[K, ~L]) {{
  return loud = shout(NAMES), y = double(stack(1.0, 4.0)), word = words(["a b", "c"])
}}

pipeline values(z: i64) -> (one: f64[2], whole: f32[N], table: string[M, K], none: f64[0, 3]) {{
  table = flip([["a", "b"], ["c", "d"]])
  return one = scaled([1.0, 2.0]), whole = whole(ones(f32, 3)), table, none = zeros(f64, 0, 3)
}}

pipeline inside(z: i64) -> (x: f64[2, 2], y: i64[3], items: stream f64[2]) {{
  x = if z > 1 {{
    yield [[1.0, 2.0], [3.0, 4.0]]
  }} else {{
    yield zeros(f64, 2, 2)
  }}
  y = map (max = 3) one in [1, 2, 3] {{
    yield one + z
  }}
  return x, y, items = stream_of([1.0, 2.0], reshape([3.0, 4.0], 2))
}}
"""


@pytest.fixture
def app(write, folder):
    file = write(TEXT, "constants.pipe")
    for module in folder.glob("stages_*.py"):
        module.write_text(STAGES)
    with pipectl.load(file) as running:
        yield running


def test_a_list_is_the_rows_of_a_stage(app):
    answer = app["rows"](z=1)
    assert answer["loud"].tolist() == ["ADA", "BOB"]
    assert answer["y"].tolist() == [2.0, 8.0]
    assert [row.tolist() for row in answer["word"]] == [["a", "b"], ["c"]]


def test_requests_share_a_batch_of_lists(app):
    jobs = [app["rows"].submit(z=z) for z in range(20)]
    assert all(job.result()["loud"].tolist() == ["ADA", "BOB"] for job in jobs)


def test_a_list_is_one_row_or_one_value(app):
    answer = app["values"](z=1)
    assert answer["one"].tolist() == [2.0, 4.0]
    assert answer["whole"].tolist() == [2.0, 2.0, 2.0]
    assert answer["whole"].dtype == np.float32
    assert answer["table"].tolist() == [["a", "c"], ["b", "d"]]
    assert answer["none"].shape == (0, 3)


@pytest.mark.parametrize(("z", "x"), [(2, [[1.0, 2.0], [3.0, 4.0]]), (1, [[0.0, 0.0], [0.0, 0.0]])])
def test_lists_in_constructs_and_streams(app, z, x):
    pieces = list(app["inside"].stream(z=z))
    found = {name: value for piece in pieces for name, value in piece.items() if name != "items"}
    assert found["x"].tolist() == x
    assert found["y"].tolist() == [1 + z, 2 + z, 3 + z]
    assert [piece["items"].tolist() for piece in pieces if "items" in piece] == [[1.0, 2.0], [3.0, 4.0]]
