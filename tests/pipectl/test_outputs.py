import io
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from backends.values import Ragged
from pipectl.answer import Answer, Failure
from pipectl.encode import to_cell, to_json, to_line
from pipectl.errors import OptionError, OutputError
from pipectl.outputs import JsonLines, Table, opener
from tests.pipectl.ports import output

FAILED = Answer(1, "b", failure=Failure("it broke", "INTERNAL", "p.n", retryable=True))


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (np.float32([0.3, 1e-7]), [0.3, 1e-7]),
        (np.float64([0.1]), [0.1]),
        (np.array([1.5], ml_dtypes.bfloat16), [1.5]),
        (np.int64([[1, 2]]), [[1, 2]]),
        (np.zeros((0, 3), np.float32), []),
        (np.array(["a", b"\0"], object), ["a", {"b64": "AA=="}]),
        (np.array([[{"k": 1}]], object), [[{"k": 1}]]),
        (np.float32(0.3), 0.3),
        (Ragged([np.int64([1]), np.int64([2, 3])]), [[1], [2, 3]]),
        (b"\0", {"b64": "AA=="}),
        ("é", "é"),
        (None, None),
    ],
)
def test_json_data(value, data):
    assert to_json(value) == data
    assert json.loads(to_line(to_json(value))) == data


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (np.float32([np.nan, np.inf, 1]), "[null,null,1.0]"),
        ({"a": [float("nan"), np.float64(1.5)]}, '{"a":[null,1.5]}'),
        ("é日", '"é日"'),
        ("half a pair: \udc80", '"half a pair: \\udc80"'),
        ("\x1b[2J", r'"\u001b[2J"'),
    ],
)
def test_lines_are_json_whatever_they_hold(value, line):
    assert to_line(to_json(value)) == line


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (3, "3"),
        (0.123456789, "0.12346"),
        (np.float32(2), "2"),
        (np.int64([3, 4]), "[3, 4]"),
        (np.zeros((2, 384), np.float32), "float32[2, 384] 0, 0, 0, 0, .."),
        (np.zeros((0, 3), np.float32), "float32[0, 3]"),
        (b"abc", "3 bytes"),
        ("two\nlines\r\tof text", "two lines  of text"),
        ("\x1b[2Jgone\0\u202e\udc80", r"\x1b[2Jgone\x00\u202e\udc80"),
        (np.float32([[1, 2]]), "float32[1, 2] 1, 2"),
        ("x" * 100, "x" * 58 + ".."),
        ({"a": 1}, '{"a":1}'),
        (True, "true"),
        (None, "-"),
        (Ragged([np.int64([1])]), "ragged int64, 1 rows"),
    ],
)
def test_cells(value, cell):
    assert to_cell(value) == cell


def test_json_lines():
    stream = io.StringIO()
    writer = JsonLines(stream)
    writer.write(Answer(0, "a", {"x": np.int64(3)}))
    writer.write(FAILED)
    writer.close()
    good, bad = map(json.loads, stream.getvalue().splitlines())
    assert good == {"index": 0, "id": "a", "outputs": {"x": 3}}
    error = {"code": "INTERNAL", "message": "it broke", "node": "p.n", "retryable": True}
    assert bad == {"index": 1, "id": "b", "error": error}


def test_table_aligns_columns_and_shows_failures_in_place():
    stream = io.StringIO()
    writer = Table(stream, "image", ["label", "votes"])
    writer.write(Answer(0, "scan.png", {"label": 3, "votes": np.int64([3, 3])}))
    writer.write(FAILED)
    writer.close()
    writer.close()
    assert stream.getvalue() == (
        "image     label  votes\n"  #
        "scan.png  3      [3, 3]\n"
        "b         error INTERNAL: p.n: it broke\n"
    )


def test_table_counts_places_on_the_terminal_and_leaves_failures_out():
    stream = io.StringIO()
    writer = Table(stream, "request", ["text", "n"])
    writer.write(Answer(0, "a", {"text": "日本", "n": 1}))
    writer.write(Answer(1, "\x1b[2J", {"text": "abc", "n": 2}))
    writer.write(Answer(2, "a failure's long name", failure=Failure("it\nbroke", "INTERNAL")))
    writer.close()
    assert stream.getvalue() == (
        "request                text  n\n"
        "a                      日本  1\n"
        "\\x1b[2J                abc   2\n"
        "a failure's long name  error INTERNAL: it broke\n"
    )


def test_table_shows_slow_answers_as_they_come():
    now, stream = 0.0, io.StringIO()
    writer = Table(stream, "request", ["x"], clock=lambda: now)
    writer.write(Answer(0, "0", {"x": 0}))
    assert not stream.getvalue()
    now = Table.HELD_SECONDS
    writer.write(Answer(1, "1", {"x": 1}))
    writer.write(Answer(2, "2", {"x": 2}))
    assert stream.getvalue() == "request  x\n0        0\n1        1\n2        2\n"


def test_table_streams_after_its_first_answers():
    stream = io.StringIO()
    writer = Table(stream, "request", ["x"], clock=lambda: 0.0)
    for n in range(Table.HELD):
        writer.write(Answer(n, str(n), {"x": n}))
    assert len(stream.getvalue().splitlines()) == Table.HELD + 1
    writer.write(Answer(99, "a wide name", {"x": "last"}))
    assert stream.getvalue().splitlines()[-1] == "a wide name  last"


def saved(path: Path, answers: list[Answer], *outputs: tuple[str, str]) -> Path:
    writer = opener(path, [output(*o) for o in outputs])()
    for answer in answers:
        writer.write(answer)
    writer.close()
    writer.close()
    return path


def numbered(*outputs: dict) -> list[Answer]:
    return [Answer(n, str(n), o) for n, o in enumerate(outputs)]


def test_npz_stacks_equal_shapes(tmp_path):
    rows = numbered({"x": np.float32([1, 2]), "n": 3, "s": "é"}, {"x": np.float32([3, 4]), "n": 4, "s": "long"})
    file = saved(tmp_path / "a.npz", [*rows, FAILED], ("x", "f32[2]"), ("n", "i64"), ("s", "string"))
    with np.load(file, allow_pickle=False) as data:
        assert sorted(data.files) == ["id", "n", "s", "x"]
        assert data["x"].tolist() == [[1, 2], [3, 4]]
        assert data["x"].dtype == np.float32
        assert data["n"].tolist() == [3, 4]
        assert data["s"].tolist() == ["é", "long"]
        assert data["id"].tolist() == ["0", "1"]


def test_npz_joins_unequal_first_sizes(tmp_path):
    rows = numbered({"x": np.ones((2, 3))}, {"x": np.zeros((0, 3))}, {"x": np.ones((1, 3))})
    with np.load(saved(tmp_path / "a.npz", rows, ("x", "f64[*, 3]"))) as data:
        assert data["x"].shape == (3, 3)
        assert data["x.offsets"].tolist() == [0, 2, 2, 3]


def test_npz_ragged(tmp_path):
    rows = numbered({"x": Ragged([np.int64([1, 2]), np.int64([3])])}, {"x": Ragged([np.int64([4])])})
    with np.load(saved(tmp_path / "a.npz", rows, ("x", "i64[*, ~L]"))) as data:
        assert data["x"].tolist() == [1, 2, 3, 4]
        assert data["x.lengths"].tolist() == [2, 1, 1]
        assert data["x.offsets"].tolist() == [0, 3, 4]


def test_npz_without_answers(tmp_path):
    with np.load(saved(tmp_path / "a.npz", [FAILED], ("x", "f32"))) as data:
        assert data["id"].shape == (0,)


@pytest.mark.parametrize(
    "rows",
    [
        numbered({"x": np.ones((2, 2))}, {"x": np.ones((2, 3))}),
        numbered({"x": {"a": 1}}),
        numbered({"x": b"raw"}),
        numbered({"x": np.int64(1)}, {"x": None}),
    ],
)
def test_npz_says_what_does_not_fit(tmp_path, rows):
    with pytest.raises(OutputError, match="output `x` does not fit") as error:
        saved(tmp_path / "a.npz", rows, ("x", "f64[*, W]"))
    assert ".jsonl" in error.value.hint
    assert not (tmp_path / "a.npz").exists()


def test_parquet(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="the parquet extra is not installed")
    first = {"x": np.float32([[1, 2]]), "s": "é", "b": b"\0", "j": {"k": [1]}}
    second = {"x": np.zeros((0, 2), np.float32), "s": None, "b": b"", "j": "text"}
    rows = [*numbered(first, second), Answer(2, "c", failure=FAILED.failure)]
    ports = (("x", "f32[*, 2]"), ("s", "string?"), ("b", "bytes"), ("j", "json"))
    table = pq.read_table(saved(tmp_path / "a.parquet", rows, *ports)).to_pylist()
    assert table[0] == {
        "index": 0, "id": "0", "x": [[1, 2]], "s": "é", "b": b"\0", "j": '{"k":[1]}', "error": None
    }  # fmt: skip
    assert (table[1]["x"], table[1]["s"]) == ([], None)
    assert (table[2]["x"], table[2]["error"]) == (None, "INTERNAL: p.n: it broke")


def test_parquet_writes_a_group_at_a_time(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="the parquet extra is not installed")
    rows = numbered(*({"n": n} for n in range(1500)))
    file = pq.ParquetFile(saved(tmp_path / "a.parquet", rows, ("n", "i64")))
    assert file.num_row_groups == 2
    assert file.read().column("n").to_pylist() == list(range(1500))


def test_endings_and_folders_that_do_not_do(tmp_path):
    with pytest.raises(OptionError, match="no ending") as error:
        opener(tmp_path / "a.csv", [])
    assert ".parquet" in error.value.hint
    for name in ("a.jsonl", "a.npz", "a.parquet"):
        with pytest.raises(OptionError, match="can not write"):
            opener(tmp_path / "none" / name, [])


def test_a_file_keeps_its_answers_until_it_is_opened(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text("answers of yesterday")
    open_it = opener(file, [])
    assert file.read_text() == "answers of yesterday"
    open_it().close()
    assert file.read_text() == ""
