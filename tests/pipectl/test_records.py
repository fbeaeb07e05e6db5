"""`pipectl record` and `pipectl replay`: a request kept with its tensors, and run again."""

import zipfile

import ml_dtypes
import numpy as np
import pytest

from backends.values import Ragged
from pipectl.records.values import Packer, unpack

PIPE = """pipe 1

stage split(text: string[*]) -> (codes: i64[*, ~L])
  using python("words:split")

stage total(codes: i64[*, ~L]) -> (sum: i64[*])
  using python("words:total")

stage risky(sum: i64) -> (out: f32)
  using python("words:risky")

pipeline words(text: string) -> (out: f32) {
  s = total(split(text))
  return out = risky(s)
}
"""

MODULE = """
import numpy as np

def split(*, text):
    return [np.array([ord(c) for c in one], np.int64) for one in text]

def total(*, codes):
    return [int(row.sum()) for row in codes]

def risky(*, sum):
    if sum == 0:
        raise ZeroDivisionError("nothing to divide by")
    return 1.0 / sum
"""


@pytest.fixture
def words(folder):
    (folder / "words.py").write_text(MODULE)
    (folder / "words.pipe").write_text(PIPE)
    return folder / "words.pipe"


def test_a_request_runs_again_without_a_difference(words, call, folder):
    done = call("record", words, "-i", "text=ab", "-o", folder / "r.npz")
    assert (done.code, done.out) == (0, f"{folder}/r.npz: words, 3 values of 3 calls\n")
    assert call("replay", folder / "r.npz", words).out == "no difference in 3 calls\n"
    nodes = ("--node", "split_1", "--node", "words.s", "--node", "out")
    assert call("replay", folder / "r.npz", words, *nodes).out == "no difference in 3 calls\n"


def changed(folder, *edits):
    """The program with other stages: in a module of another name, because this process has imported the first."""
    module, pipe = MODULE, PIPE.replace('"words:', '"later:')
    for before, after in edits:
        assert before in module
        module = module.replace(before, after)
    (folder / "later.py").write_text(module)
    (folder / "later.pipe").write_text(pipe)
    return folder / "later.pipe"


def test_a_change_is_found_where_it_begins(words, call, folder):
    call("record", words, "-i", "text=ab", "-o", folder / "r.npz")
    later = changed(folder, ("int(row.sum())", "int(row.sum()) + 1"))
    done = call("replay", folder / "r.npz", later)
    assert done.code == 1
    assert done.out.splitlines()[0] == "words.s: sum: expected 195, found 196"
    assert "words.out: sum (input): expected 195, found 196" in done.out
    alone = call("replay", folder / "r.npz", later, "--node", "out")
    assert (alone.code, alone.out) == (0, "no difference in 1 call\n")


def test_a_tolerance(words, call, folder):
    call("record", words, "-i", "text=ab", "-o", folder / "r.npz")
    later = changed(folder, ("1.0 / sum", "1.001 / sum"))
    assert call("replay", folder / "r.npz", later).code == 1
    assert call("replay", folder / "r.npz", later, "--rtol", "0.01").code == 0


def test_a_failed_request_is_kept_up_to_the_call_at_fault(words, call, folder):
    done = call("record", words, "-i", "text=", "-o", folder / "r.npz")
    assert done.code == 4
    assert "nothing to divide by" in done.err
    assert call("replay", folder / "r.npz", words).code == 0
    later = changed(folder, ("if sum == 0", "if sum < 0"), ("1.0 / sum", "0.0"))
    done = call("replay", folder / "r.npz", later, "--node", "out")
    assert done.code == 1
    assert "found an answer" in done.out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--node", "nothing"), "the record has no call `nothing`, but words.split_1, words.s, words.out"),
        (("--profile", "no"), "no"),
    ],
)
def test_wrong_names(words, call, folder, args, message):
    call("record", words, "-i", "text=ab", "-o", folder / "r.npz")
    done = call("replay", folder / "r.npz", words, *args)
    assert done.code in (2, 3)
    assert message in done.err


def test_a_folder_that_is_not_there_is_told_before_anything_runs(words, call, folder):
    done = call("record", words, "-i", "text=", "-o", folder / "none" / "r.npz")  # would fail if it ran
    assert (done.code, "there is no folder" in done.err) == (2, True)
    assert "the request failed" not in done.err


def test_several_requests_are_refused(words, call, folder):
    done = call("record", words, "-i", "text=a", "-i", "text=b", "-o", folder / "r.npz")
    assert (done.code, "make 2 requests" in done.err) == (2, True)
    assert not list(folder.glob("*.npz"))


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_a_file_that_is_no_record(words, call, folder, content):
    path = folder / "r.npz"
    if content is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("record.json", '{"edition": 1}')
    else:
        path.write_bytes(content)
    done = call("replay", path, words)
    assert (done.code, "is no record" in done.err) == (2, True)


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        "a",
        b"\x00\xff",
        {"a": [1, None]},
        np.float32([[1, 2]]),
        np.array(2.5),
        np.array([1.5], ml_dtypes.bfloat16),
        np.array(["a", b"b", {"c": 1}], object),
        np.zeros((0, 3), np.float16),
        Ragged([np.array([1, 2]), np.array([], np.int64)]),
    ],
    ids=repr,
)
def test_values_survive(value):
    packer = Packer()
    found = unpack(packer.pack(value), packer.arrays)
    if isinstance(value, Ragged):
        assert [row.tolist() for row in found] == [row.tolist() for row in value]
    elif isinstance(value, np.ndarray):
        assert (found.dtype, found.shape, found.tolist()) == (value.dtype, value.shape, value.tolist())
    else:
        assert found == value
