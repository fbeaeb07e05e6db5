"""Backend `null`: every failure and delay that executor tests ask for."""

import numpy as np
import pytest

from backends import BackendError, Ragged, load
from backends.checks import OutputCheck
from backends.null import NullBackend, NullError
from tests.backends.stages import batch, config, stage

X, Y = "x: f32[*, 2]", "y: f32[*, 2]"


def run(given, inputs=X, outputs=Y, **arguments):
    plan = stage("null", inputs, outputs, **arguments)
    result = NullBackend().load(plan, config()).execute(given)
    return OutputCheck(plan)(given, result)


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def test_it_gives_back_what_it_gets():
    given = batch(ones(3, 2))
    assert run(given).outputs == given.inputs


def test_outputs_echo_by_name_then_place_then_type():
    x, z = ones(2, 2), ones(2, dtype=np.int64)
    outputs = "z: i64[*], a: f32[*, 2], x: f32[*, 2]"
    assert [id(v) for v in run(batch(x, z), f"{X}, z: i64[*]", outputs).outputs] == [id(z), id(x), id(x)]


def test_what_no_input_has_is_made_of_zeros():
    given = Ragged([ones(2), ones(1)])
    outputs = "s: string[*], n: i64, r: f32[*, ~K], d: bf16[*, S, 3]"
    found = run(batch(ones(2, 4), given), "x: f32[*, S], q: f32[*, ~L]", outputs).outputs
    assert found[0].tolist() == ["", ""]
    assert found[1] == 0
    assert len(found[2]) == 2
    assert found[3].shape == (2, 4, 3)


def test_values_can_be_set():
    assert run(batch(ones(2, 2)), value="zeros").outputs[0].tolist() == [[0, 0], [0, 0]]
    assert run(batch(ones(1, 2)), outputs="y: i64[*]", value=7).outputs[0].tolist() == [7]


def test_latency_is_slept_through():
    slept = []
    backend = NullBackend(sleep=slept.append)
    instance = backend.load(stage("null", X, Y, latency=0.002, per_row=0.001), config())
    instance.execute(batch(ones(3, 2)))
    assert slept == [pytest.approx(0.005)]


def test_every_nth_batch_raises():
    instance = load("null").load(stage("null", X, Y, fail="every 2"), config())
    instance.execute(batch(ones(1, 2)))
    with pytest.raises(NullError, match="stage `s`"):
        instance.execute(batch(ones(1, 2)))
    instance.execute(batch(ones(1, 2)))


def test_all_batches_raise():
    with pytest.raises(NullError):
        run(batch(ones(1, 2)), fail="all")


def test_rows_that_hold_a_value_fail_alone_or_with_their_batch():
    given = batch(np.array([[1, 0], [5, 0], [2, 5]], np.float32))
    assert list(run(given, fail="rows 5").failed) == [1]
    assert run(given, fail="rows 9").failed is None
    with pytest.raises(NullError, match="for 5"):
        run(given, fail="batch 5")
    text = batch(np.array(["ok", "bad"], object))
    assert list(run(text, "x: string[*]", "y: string[*]", fail="rows bad").failed) == [1]
    ragged = batch(Ragged([ones(1), ones(2) * 3]))
    assert list(run(ragged, "x: f32[*, ~L]", "y: f32[*, ~L]", fail="rows 3").failed) == [1]


def test_a_single_value_can_fail():
    assert list(run(batch("bad", rows=1), "x: string", "y: string", fail="rows bad").failed) == [0]


def test_tests_can_bring_their_own_predicate():
    backend = NullBackend(predicate=lambda row: ValueError("big") if row[0] > 1 else None)
    result = backend.load(stage("null", X, Y), config()).execute(batch(np.array([[1, 0], [2, 0]], np.float32)))
    assert {i: str(e) for i, e in result.failed.items()} == {1: "big"}


@pytest.mark.parametrize("arguments", [{"fail": "load"}, {"fail": "every 0"}, {"fail": "rows"}, {"value": "noise"}])
def test_settings_it_can_not_follow_fail_at_load(arguments):
    with pytest.raises(BackendError, match="stage `s`"):
        run(batch(ones(1, 2)), **arguments)
