"""Requests that do not fit: each is refused by itself, with the input's name, both sides and what to do."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import pipectl
from executor.errors import DeadlineExceeded, InvalidArgument, NotFound, RequestError

PIPE = """pipe 1

stage pair(a: f32[*, N], b: f32[*, N]) -> (sum: f32[*, N])
  using python("MODULE:pair")
stage same8(x: u8[*]) -> (y: u8[*])
  using python("MODULE:same")
stage words(x: string[*]) -> (y: i64[*])
  using python("MODULE:words")
stage long(x: i64[*, ~L]) -> (y: i64[*])
  using python("MODULE:lengths")
stage scalar(x: i32) -> (y: i32)
  using python("MODULE:same")

pipeline add(a: f32[*, N], b: f32[*, N], k: i64 = 3) -> (sum: f32[*, N], twice: f32[*, N]) {
  s = pair(a, b)
  return sum = s, twice = pair(s, s)
}
pipeline bytes8(x: u8[*]) -> (y: u8[*]) {
  return y = same8(x)
}
pipeline text(x: string[*]) -> (y: i64[*]) {
  return y = words(x)
}
pipeline ragged(x: i64[*, ~L]) -> (y: i64[*]) {
  return y = long(x)
}
pipeline one(x: i32) -> (y: i32) {
  return y = scalar(x)
}
pipeline fixed(x: f32[2, 3]) -> (y: f32[2, 3]) {
  return y = x
}
pipeline flag(x: bool) -> (y: bool) {
  return y = x
}
pipeline blob(x: bytes) -> (y: bytes) {
  return y = x
}
pipeline tree(x: json) -> (y: json) {
  return y = x
}
"""
PYTHON = """
import numpy
def pair(*, a, b): return a + b
def same(*, x): return x
def words(*, x): return [len(w) for w in x]
def lengths(*, x): return [len(row) for row in x]
"""
ROWS = np.zeros((2, 3), np.float32)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("requests")
    (folder / "e2e_requests.py").write_text(PYTHON)
    (folder / "e2e.pipe").write_text(PIPE.replace("MODULE", "e2e_requests"))
    with pipectl.load(folder / "e2e.pipe") as running:
        yield running
        assert running._engine.check_idle() == []
        good = running["add"](a=ROWS + 1, b=ROWS)
        np.testing.assert_array_equal(good["twice"], ROWS + 2)


def deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


WRONG: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "missing": ("add", {"a": ROWS}, ("`b`", "f32[*, N]")),
    "all missing": ("add", {}, ("`a`",)),
    "extra": ("add", {"a": ROWS, "b": ROWS, "c": 1}, ("`c`",)),
    "misspelt": ("add", {"a": ROWS, "B": ROWS}, ("`B`", "`b`")),
    "None": ("add", {"a": ROWS, "b": None}, ("`b`", "None")),
    "another dtype": ("add", {"a": ROWS, "b": ROWS.astype("f8")}, ("`b`", "f32", "float64")),
    "whole numbers": ("add", {"a": ROWS, "b": ROWS.astype("i4")}, ("`b`", "f32", "int32")),
    "another byte order": ("fixed", {"x": np.ones((2, 3), ">f4")}, ("`x`", "convert it with .astype('float32')")),
    "another rank": ("add", {"a": ROWS, "b": ROWS[0]}, ("`b`", "2 dims")),
    "no dims": ("add", {"a": ROWS, "b": 1.0}, ("`b`",)),
    "huge rank": ("add", {"a": ROWS, "b": np.zeros((1,) * 32, "f4")}, ("`b`", "2 dims", "32")),
    "another size": ("fixed", {"x": np.zeros((2, 4), "f4")}, ("`x`", "3", "4")),
    "sizes that disagree": ("add", {"a": ROWS, "b": ROWS[:, :2]}, ("`b`", "N", "3", "2")),
    "rows that disagree": ("add", {"a": ROWS, "b": ROWS[:1]}, ("`b`", "2", "1")),
    "300 in u8": ("bytes8", {"x": [1, 300]}, ("`x`", "u8", "300")),
    "-1 in u8": ("bytes8", {"x": [-1]}, ("`x`", "u8", "-1")),
    "2**40 in i32": ("one", {"x": 2**40}, ("`x`", "i32")),
    "10**400 in f32": ("add", {"a": ROWS, "b": [[10**400] * 3] * 2}, ("`b`",)),
    "1.5 in i32": ("one", {"x": 1.5}, ("`x`", "i32")),
    "lists of unequal length": ("add", {"a": ROWS, "b": [[1.0], [1.0, 2.0]]}, ("`b`", "equal length")),
    "text for numbers": ("add", {"a": ROWS, "b": "hello"}, ("`b`", "str")),
    "lists of text for numbers": ("add", {"a": ROWS, "b": [["1", "2", "3"]] * 2}, ("`b`", "f32")),
    "objects for numbers": ("add", {"a": ROWS, "b": np.array([[object()] * 3] * 2)}, ("`b`", "object")),
    "an object": ("add", {"a": ROWS, "b": object()}, ("`b`", "object")),
    "a dict": ("add", {"a": ROWS, "b": {}}, ("`b`", "dict")),
    "a generator": ("add", {"a": ROWS, "b": (i for i in [1])}, ("`b`", "generator")),
    "deep lists": ("add", {"a": ROWS, "b": deep(3000)}, ("`b`",)),
    "text without rows": ("text", {"x": "hello"}, ("`x`", "string[*]")),
    "numbers for text": ("text", {"x": [1, 2]}, ("`x`", "str")),
    "bytes for text": ("text", {"x": [b"ok", b"\xff\xfe"]}, ("`x`", "bytes")),
    "half a character": ("text", {"x": ["ok", "\ud800"]}, ("`x`",)),
    "None in a list of text": ("text", {"x": ["a", None]}, ("`x`", "None")),
    "fixed text array": ("text", {"x": np.array(["a", 1], object)}, ("`x`",)),
    "ragged without rows": ("ragged", {"x": [1, 2]}, ("`x`",)),
    "ragged with text": ("ragged", {"x": [[1], ["a"]]}, ("`x`",)),
    "ragged too deep": ("ragged", {"x": [[[1]], [[2]]]}, ("`x`",)),
    "ragged of None": ("ragged", {"x": [[1], None]}, ("`x`",)),
    "an array for one number": ("one", {"x": np.zeros(2, "i4")}, ("`x`", "i32")),
    "text for a truth": ("flag", {"x": "true"}, ("`x`", "bool")),
    "a number for a truth": ("flag", {"x": 2}, ("`x`", "bool")),
    "text for bytes": ("blob", {"x": "a"}, ("`x`", "bytes")),
    "no JSON": ("tree", {"x": object()}, ("`x`",)),
    "JSON with a set": ("tree", {"x": {"a": {1}}}, ("`x`",)),
    "JSON with numbers as keys": ("tree", {"x": {1: 2}}, ("`x`",)),
    "JSON too deep": ("tree", {"x": deep(3000)}, ("`x`",)),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_request_that_does_not_fit(app, what):
    pipeline, inputs, told = WRONG[what]
    with pytest.raises(InvalidArgument) as caught:
        app[pipeline].submit(inputs, id="mine").result(10)
    error = caught.value
    for text in told:
        assert text in error.message
    assert (error.pipeline, error.request_id, error.http_status, error.retryable) == (pipeline, "mine", 400, False)
    assert len(error.message) < 1000


FINE: dict[str, tuple[str, dict[str, Any], str, Any]] = {
    "NaN and infinity": ("fixed", {"x": [[np.nan, np.inf, -np.inf]] * 2}, "y", [[np.nan, np.inf, -np.inf]] * 2),
    "no rows": ("add", {"a": ROWS[:0], "b": ROWS[:0]}, "twice", ROWS[:0]),
    "rows of no size": ("add", {"a": ROWS[:, :0], "b": ROWS[:, :0]}, "sum", ROWS[:, :0]),
    "no rows of text": ("text", {"x": []}, "y", np.zeros(0, "i8")),
    "no rows of ragged": ("ragged", {"x": []}, "y", np.zeros(0, "i8")),
    "ragged rows of no length": ("ragged", {"x": [[], [1], []]}, "y", [0, 1, 0]),
    "the largest of a dtype": ("bytes8", {"x": [0, 255]}, "y", [0, 255]),
    "a column of an array": ("bytes8", {"x": np.arange(10, dtype="u1")[::2]}, "y", [0, 2, 4, 6, 8]),
    "text of all kinds": ("text", {"x": ["", "é", "日本", "\0"]}, "y", [0, 1, 2, 1]),
}


@pytest.mark.parametrize("what", FINE)
def test_a_request_that_is_unusual_but_fine(app, what):
    pipeline, inputs, output, expected = FINE[what]
    np.testing.assert_array_equal(app[pipeline].submit(inputs).result(10)[output], expected)


# ---- options


def test_unknown_names_are_told_with_what_there_is(app):
    with pytest.raises(NotFound, match="there is no output `summ`; did you mean `sum`"):
        app["add"](a=ROWS, b=ROWS, outputs=["summ"])
    with pytest.raises(KeyError, match="no pipeline `ad`; did you mean `add`"):
        app["ad"]
    with pytest.raises(NotFound, match="did you mean `add`"):
        app._engine.submit("ad", {})


def test_any_subset_of_outputs(app):
    assert list(app["add"](a=ROWS, b=ROWS, outputs=["twice"])) == ["twice"]
    assert list(app["add"](a=ROWS, b=ROWS, outputs=[])) == []


@pytest.mark.parametrize("timeout", [0, -1, -1e9])
def test_no_time_is_a_deadline_that_has_passed(app, timeout):
    with pytest.raises(DeadlineExceeded):
        app["add"].submit(a=ROWS, b=ROWS, timeout=timeout).result(10)


@pytest.mark.parametrize("options", [{"timeout": float("nan")}, {"timeout": "1"}])
def test_options_that_mean_nothing_are_refused(app, options):
    with pytest.raises((InvalidArgument, TypeError, ValueError)):
        app["add"].submit(a=ROWS, b=ROWS, **options).result(10)


def test_a_timeout_without_end_is_none(app):
    assert app["add"].submit(a=ROWS, b=ROWS, timeout=float("inf")).result(10)


def test_a_name_may_repeat(app):
    jobs = [app["add"].submit(a=ROWS + i, b=ROWS, id="same") for i in range(20)]
    for i, job in enumerate(jobs):
        np.testing.assert_array_equal(job.result(10)["sum"], ROWS + i)


def test_bad_requests_do_not_slow_or_spoil_good_ones(app):
    """R22, small: the same error each time, and no good request among them fails."""
    names = list(WRONG)
    messages: dict[str, set[str]] = {}
    for i in range(300):
        what = names[i % len(names)]
        if what == "a generator":
            continue
        pipeline, inputs, _ = WRONG[what]
        good = app["add"].submit(a=ROWS + i, b=ROWS)
        with pytest.raises(RequestError) as caught:
            app[pipeline].submit(inputs).result(10)
        messages.setdefault(what, set()).add(caught.value.message)
        np.testing.assert_array_equal(good.result(10)["sum"], ROWS + i)
    assert all(len(found) == 1 for found in messages.values())


# ---- the command


@pytest.fixture
def pipe(program):
    return program(PYTHON, PIPE)


USAGE = {
    "no such file": (("add", "a=@none.npy", "b=[[1]]"), "there is no file `none.npy`"),
    "no file matches": (("add", "a=@*.npy", "b=[[1]]"), "no file matches `*.npy`"),
    "not JSON": (("add", "a=[[1", "b=[[1]]"), "input `a`: not JSON"),
    "JSON too deep": (("tree", "x=" + "[" * 100_000), "input `x`: "),
    "no value": (("add", "a"), "`--input a` has no value"),
    "uneven numbers": (("add", "a=[[1]]", "a=[[2]]", "b=[[1]]", "b=[[2]]", "b=[[3]]"), "has 2 values and `b` has 3"),
    "no such input": (("add", "aa=1"), "no input `aa`"),
    "missing": (("add", "a=[[1]]"), "needs b: f32[*, N]"),
}


@pytest.mark.parametrize("what", USAGE)
def test_2_an_option_that_is_wrong(pipe, call, what):
    (pipeline, *inputs), told = USAGE[what]
    done = call("run", pipe, "-p", pipeline, *(o for i in inputs for o in ("--input", i)))
    assert done.code == 2, done.said
    assert told in done.err
    assert "help: " in done.err or "JSON is nested too deeply" in done.err
    assert len(done.err) < 1000


def test_files_that_do_not_hold_the_input_fail_their_own_request(pipe, call, folder):
    np.save("good.npy", ROWS)
    np.save("object.npy", np.array([{}], object), allow_pickle=True)
    np.save("wide.npy", ROWS.astype("f8"))
    np.savez("other.npz", u=ROWS, v=ROWS)
    np.savez("named.npz", a=ROWS, v=ROWS)
    (folder / "text.npy").write_text("no array")
    (folder / "cut.npz").write_bytes((folder / "other.npz").read_bytes()[:100])
    (folder / "latin.json").write_bytes(b'["\xe9"]')
    (folder / "x.weights").write_bytes(b"1")
    files = ["good", "object", "wide", "text"]
    names = [*(f"{f}.npy" for f in files), "other.npz", "named.npz", "cut.npz", "latin.json", "x.weights"]
    inputs = [o for name in names for o in ("--input", f"a=@{name}")]
    done = call("run", pipe, "-p", "add", *inputs, "--input", "b=[[1, 1, 1], [1, 1, 1]]", "--format", "json")
    assert done.code == 4
    found = {one["id"]: one for one in map(json.loads, done.out.splitlines())}
    assert [name for name in names if "outputs" in found[name]] == ["good.npy", "named.npz"]
    told = {
        "object.npy": "`object.npy` is not an .npy file of numbers",
        "wide.npy": "float64",
        "text.npy": "`text.npy` is not an .npy file of numbers",
        "other.npz": "`other.npz` has no array `a`, but u, v",
        "cut.npz": "`cut.npz` is not an .npz file of numbers",
        "latin.json": "`latin.json` is not UTF-8 text",
        "x.weights": "can not read f32[*, N] from `x.weights`",
    }
    for name, text in told.items():
        message = found[name]["error"]["message"]
        assert text in message
        assert "input `a`" in message
        assert found[name]["error"]["code"] == "INVALID_ARGUMENT"


LINES = {
    "{": "line 1: not JSON",
    "[1]": "line 1: not a JSON object of inputs by name",
    "3": "line 1: not a JSON object",
    "null": "line 1: not a JSON object",
    "[" * 100_000: "line 1: nested too deeply",
    '{"x": ' + "[" * 100_000: "line 1: nested too deeply",
    '{"y": 1}': "line 1: no input `y`",
    "{}": "`x`",
    '{"x": 1e999}': "`x`",
    '{"x": "1"}': "`x`",
    '{"x": 99999999999999999999}': "`x`",
    '{"x": ' + "9" * 10_000 + "}": "line 1: not JSON",
    "\ud800".encode("utf-8", "surrogatepass"): "line 1: not JSON",
    b"\xff\xfe\x00": "line 1: ",
    b'{"x": 1}\x00': "line 1: not JSON",
}


@pytest.mark.parametrize("line", LINES, ids=lambda line: repr(line[:16]))
def test_a_line_that_is_no_request_fails_alone(pipe, call, folder, line):
    raw = line.encode() if isinstance(line, str) else line
    (folder / "in.jsonl").write_bytes(raw + b'\n\n{"x": 7}\n')
    done = call("run", pipe, "-p", "one", "--jsonl", "in.jsonl", "--format", "json")
    assert done.code == 4
    bad, good = map(json.loads, done.out.splitlines())
    assert LINES[line] in bad["error"]["message"]
    assert len(bad["error"]["message"]) < 1000
    assert good["outputs"] == {"y": 7}


def test_lines_of_a_file_that_is_none(pipe, call, folder):
    assert call("run", pipe, "-p", "one", "--jsonl", "none.jsonl").code == 2
    (folder / "empty.jsonl").write_bytes(b"")
    assert call("run", pipe, "-p", "one", "--jsonl", "empty.jsonl").code == 0


@pytest.mark.parametrize("timeout", ["0", "-1s", "nan", "x", "1e999s", "", "5 s"])
def test_2_a_timeout_that_is_none(pipe, call, timeout):
    done = call("run", pipe, "-p", "one", "--input", "x=1", f"--timeout={timeout}")
    assert done.code == 2
    assert f"`{timeout}` is no duration; write 0.2, 200ms or 2min" in done.err


def test_2_an_output_that_is_none(pipe, call):
    done = call("run", pipe, "-p", "one", "--input", "x=1", "--outputs", "z")
    assert done.code == 2
    assert "no output `z`, but y" in done.err or "No such option" in done.err
