"""The cascade: only hard rows reach the large model, and what that costs in accuracy."""

import re

import numpy as np
import pytest

import pipectl
from tests.examples.counters import counted


def data(folder):
    return np.load(folder / "data" / "scans.npy"), np.load(folder / "data" / "digits.npy")


def test_it_is_nearly_as_right_as_the_large_model_and_asks_it_for_less_than_half(cascade, python):
    printed = python(cascade / "compare.py")
    table = {
        float(threshold): (int(rows), float(accuracy))
        for threshold, rows, accuracy in re.findall(r"^ +(\d\.\d+) +(\d+) of 600 +(\d\.\d+)$", printed, re.MULTILINE)
    }
    assert len(table) == 6
    (no_rows, small), (rows, cascaded), (all_rows, large) = table[0.0], table[0.9], table[1.0]
    assert no_rows == 0
    assert all_rows == 600
    assert rows < 300
    assert small < cascaded - 0.02
    assert cascaded > large - 0.02


def test_rows_that_leave_early_never_touch_the_large_model(cascade):
    """Which rows are hard is told by calling the small one by hand."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    scans, _ = data(cascade)
    small, large = (onnxruntime.InferenceSession(cascade / "models" / f"{name}.onnx") for name in ("small", "large"))
    (p,) = small.run(None, {"scan": scans})
    hard = p.max(axis=1) < np.float32(0.9)
    expected = p.argmax(axis=1)
    (expected[hard],) = large.run(None, {"scan": scans[hard]})
    with pipectl.load(cascade / "cascade.pipe") as app:
        answers = list(app["cascade"].map({"scan": part} for part in np.array_split(scans, 50)))
        reached = counted(app.metrics(), "pipe_node_rows_total", "cascade.large_1")
        arms = [counted(app.metrics(), "pipe_arm_elements_total", "cascade.final", arm=arm) for arm in ("then", "else")]
    np.testing.assert_array_equal(np.concatenate([answer["label"] for answer in answers]), expected)
    assert np.concatenate([answer["by"] for answer in answers]).tolist() == np.where(hard, "large", "small").tolist()
    assert reached == hard.sum() == arms[1]
    assert arms[0] == (~hard).sum()


def test_no_rows_ask_nobody(cascade):
    with pipectl.load(cascade / "cascade.pipe") as app:
        answer = app["cascade"](scan=np.zeros((0, 64), np.float32))
    assert answer["label"].shape == answer["by"].shape == (0,)


def test_command(cascade, python):
    scans = f"scan=@{cascade / 'data' / 'scans.npy'}"
    printed = python("-m", "pipectl", "run", cascade / "cascade.pipe", "--input", scans)
    assert re.search(r"^cascade.small_1 +600 ", printed, re.MULTILINE)
    (rows,) = re.findall(r"^cascade.large_1 +(\d+) ", printed, re.MULTILINE)
    assert 0 < int(rows) < 300
