"""A stage in its own process behaves as an Instance, and nothing of it stays behind."""

import os
import sys
import threading
import time

import numpy as np
import pytest

from backends.base import BackendError, Batch, Instance, InstanceConfig, StageDied
from backends.ipc.segments import SMALLEST
from backends.process import Limits, ProcessInstance, RestartPolicy, StageError, load_isolated
from backends.process.worker import Launch
from backends.values import InvalidInput, Ragged
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.ir import Contract
from pipeline_dsl.plan import PortPlan, StagePlan
from pipeline_dsl.types import TensorType


def run(instance, *inputs, **fields):
    return instance.execute(Batch(inputs, fields.pop("rows", 1), **fields)).outputs


def test_it_is_an_instance(isolated):
    instance = isolated()
    assert isinstance(instance, Instance)
    assert not instance.thread_affine
    assert instance.alive
    assert instance.restarts == 0


def test_values_cross_both_ways(isolated):
    instance = isolated("copy")
    values = (
        np.arange(3, dtype=np.int64),
        np.random.default_rng(1).random((32, 384)).astype(np.float32),
        np.zeros((0, 5), np.uint8),
        np.array(["a", "ü"], object),
        np.array([b"", b"\xff" * 9999], object),
        np.array([{"k": [1]}, None], object),
        "text",
        b"bytes" * 1000,
        3,
        2.5,
        True,
        None,
        {"json": [1, {"two": 2}]},
    )
    for back, value in zip(run(instance, *values), values, strict=True):
        assert type(back) is type(value)
        if isinstance(value, np.ndarray):
            assert back.dtype == value.dtype
            np.testing.assert_array_equal(back, value)
        else:
            assert back == value


def test_ragged_crosses_in_its_form(isolated):
    instance = isolated("copy")
    rows = Ragged([np.arange(n, dtype=np.int32) for n in (500, 0, 3)])
    values, offsets = rows.packed()
    packed = Ragged(values=values, offsets=offsets)
    padded = Ragged(padded=rows.padded(), lengths=rows.lengths())
    back = run(instance, rows, packed, padded, rows=3)
    for value in back:
        assert [row.tolist() for row in value] == [row.tolist() for row in rows]
    assert back[1].is_packed
    assert back[2].is_padded


def test_a_returned_input_is_the_very_object(isolated):
    inputs = (np.ones(1000), np.array(["a"], object), Ragged([np.ones(3)]))
    assert all(back is value for back, value in zip(run(isolated("same"), *inputs), inputs, strict=True))


def test_strided_results_arrive_contiguous(isolated):
    value = np.arange(10_000.0).reshape(100, 100)
    half, turned = run(isolated("strided"), value)
    np.testing.assert_array_equal(half, value[:, ::2])
    np.testing.assert_array_equal(turned, value.T)
    assert half.flags.c_contiguous


def test_the_stage_sees_batch_config_and_the_parents_paths(isolated):
    instance = isolated("facts", config=InstanceConfig(index=3, threads=2))
    batch = Batch((np.ones(9000),), 5, (2, 3), ("a", "b"), time.monotonic_ns() + 10**10, node="n.x")
    (seen,) = instance.execute(batch).outputs
    assert seen["pid"] == instance.pid != os.getpid()
    assert seen["group"] == seen["session"] == seen["pid"]  # Ctrl-C in the terminal passes it by
    assert (seen["rows"], seen["sizes"], seen["request_ids"]) == (5, [2, 3], ["a", "b"])
    assert (seen["deadline_ns"], seen["node"]) == (batch.deadline_ns, "n.x")
    assert (seen["index"], seen["device"]) == (3, "cpu")
    assert seen["threads"] == os.environ.get("OMP_NUM_THREADS", "2")
    assert seen["path"] == [path or os.getcwd() for path in sys.path]
    assert seen["python_path"] == os.environ.get("PYTHONPATH")
    assert seen["writeable"] is False


def test_inputs_can_not_be_written(isolated):
    with pytest.raises(StageError, match="read-only"):
        run(isolated("writes"), np.zeros(10_000))


# ---- what it costs


def test_copies_are_counted_on_both_sides(isolated):
    counted = []
    config = InstanceConfig(on_copy=lambda size, reason: counted.append((size, reason)))
    value = np.ones(1000, np.float32)
    run(isolated("double", config=config), value)
    assert counted == [(4000, "process"), (4000, "process")]


def test_copies_the_stage_makes_are_counted(isolated):
    counted = []
    config = InstanceConfig(on_copy=lambda size, reason: counted.append((size, reason)))
    run(isolated("counts_copies", config=config), Ragged([np.ones(1), np.ones(2)]), rows=2)
    assert (7, "mine") in counted
    assert (32, "ragged") in counted


def test_outputs_are_read_only_views_that_later_calls_leave_alone(isolated):
    instance = isolated("double")
    held = [run(instance, np.full(2000, i, np.float64))[0] for i in range(30)]
    for i, array in enumerate(held):
        assert not array.flags.owndata
        assert not array.flags.writeable
        assert (array == 2 * i).all()
    del array
    views = [array[3:5] for array in held]
    del held
    for _ in range(30):
        run(instance, np.full(2000, -1.0))
    assert [view.tolist() for view in views] == [[2.0 * i] * 2 for i in range(30)]


def test_memory_is_reused_over_many_large_batches(isolated):
    instance = isolated("double")
    value = np.ones(SMALLEST // 2, np.uint8)
    run(instance, value)
    run(instance, value)
    worker = instance._supervisor._worker
    maps = len(worker.outputs._maps)
    sizes = worker.inputs.size
    for _ in range(200):
        (result,) = run(instance, value)
    assert result[0] == 2
    assert worker.inputs.size == sizes == SMALLEST
    assert worker.inputs.taken == 0
    assert len(worker.outputs._maps) == maps
    assert max(worker.outputs._maps) < 3


def test_a_50_megabyte_array_there_and_back(isolated):
    value = np.arange(12_500_000, dtype=np.float32)
    (back,) = run(isolated("double"), value)
    assert (back == value * 2).all()


def test_arrays_stay_valid_after_close(isolated):
    instance = isolated("double")
    (array,) = run(instance, np.full(100_000, 4.0))
    instance.close()
    assert (array == 8.0).all()


# ---- what goes wrong inside


def test_exceptions_keep_their_name_text_and_traceback(isolated):
    instance = isolated("raises")
    with pytest.raises(StageError) as caught:
        run(instance, "own")
    assert type(caught.value).__name__ == "Unusual"
    assert str(caught.value) == "3 rows too many"
    assert "process_stages.py" in caught.value.trace
    assert f"stage `echo` ({instance.pid})" in caught.value.__notes__[0]
    with pytest.raises(StageError, match="on the surface") as caught:
        run(instance, "chained")
    assert "deep cause" in caught.value.trace


def test_invalid_input_stays_invalid_input(isolated):
    with pytest.raises(InvalidInput, match="the picture has no pixels"):
        run(isolated("raises"), "invalid")


@pytest.mark.parametrize(
    ("what", "text"), [("unprintable", "can not be shown"), ("long", r"x\n\.\.\.\n"), ("unsendable", "of type object")]
)
def test_awkward_exceptions_cross_and_the_stage_goes_on(isolated, what, text):
    instance = isolated("raises")
    with pytest.raises(StageError, match=text):
        run(instance, what)
    assert run(instance, "fine") == ("fine",)
    assert instance.restarts == 0


def test_an_input_that_can_not_cross_fails_its_batch_only(isolated):
    instance = isolated("copy")
    with pytest.raises(TypeError, match="can not be sent"):
        run(instance, np.ones(5000), object())
    assert instance._supervisor._worker.inputs.taken == 0
    assert run(instance, 1) == (1,)


def test_rows_fail_alone(isolated):
    result = isolated("fails_rows").execute(Batch((np.arange(3),), 3))
    assert result.outputs[1].tolist() == ["a", None, "c"]
    assert sorted(result.failed) == [1, 2]
    assert isinstance(result.failed[1], InvalidInput)
    assert type(result.failed[2]).__name__ == "ValueError"
    assert str(result.failed[2]) == "row two"


# ---- loading


@pytest.mark.parametrize(
    ("load", "text", "hint"),
    [
        ("backend_error", "model.bin is not a model", "Export it again."),
        ("error", "stage `echo` can not be loaded: ZeroDivisionError: in set-up", ""),
        ("import", "ModuleNotFoundError: No module named 'no_such_module_anywhere'", ""),
        ("exit", "ended with exit code 9 while it loaded the stage", "cannot go on"),
    ],
)
def test_a_stage_that_does_not_load_says_why(isolated, load, text, hint):
    with pytest.raises(BackendError, match=text) as caught:
        isolated(load=load)
    assert hint in caught.value.hint


def test_an_unknown_loader_is_a_backend_error(isolated):
    with pytest.raises(BackendError, match="no_such_loader"):
        isolated(loader="no_such_loader:load")


def test_close_while_loading_ends_the_process():
    launch = Launch("echo", b"", "backends:load", InstanceConfig(), lambda line: None)
    instance = ProcessInstance(launch, Limits(), RestartPolicy())
    instance.close()
    with pytest.raises(BackendError, match="while it loaded"):
        instance.wait_loaded()


def test_a_python_stage_runs_isolated(tmp_path):
    (tmp_path / "my_stage.py").write_text("def shout(*, text):\n    return text.upper()\n")
    instance = load_isolated(python_stage("my_stage:shout", tmp_path), InstanceConfig())
    try:
        assert run(instance, "hello") == ("HELLO",)
    finally:
        instance.close()


def test_a_python_stage_that_fails_to_import_shows_its_own_message(tmp_path):
    (tmp_path / "my_broken_stage.py").write_text("raise RuntimeError('the licence file is missing')\n")
    with pytest.raises(BackendError, match="the licence file is missing"):
        load_isolated(python_stage("my_broken_stage:shout", tmp_path), InstanceConfig())


def python_stage(artifact, folder):
    text = TensorType(DTYPES["string"])
    ports = (PortPlan("text", text, "scalar"),), (PortPlan("loud", text, "scalar"),)
    return StagePlan(0, "shout", None, "python", {"artifact": artifact}, Contract(), str(folder), *ports, (), False)


# ---- life


def test_warm_up_runs_in_the_child(isolated):
    instance = isolated("facts")
    instance.warmup()
    assert run(instance)[0]["warmed"] == 1


def test_what_the_stage_writes_is_passed_on_with_its_name(isolated):
    lines = []
    instance = isolated("talks", output=lines.append)
    run(instance)
    instance.close()
    assert lines == ["[echo] to stdout", "[echo] to stderr", "[echo] no end of line"]


def test_close_lets_the_stage_close_and_can_be_repeated(isolated, tmp_path):
    instance = isolated(closed=str(tmp_path / "closed"))
    instance.close()
    assert (tmp_path / "closed").read_text() == "closed"
    instance.close()
    assert not instance.alive
    assert instance.pid is None
    with pytest.raises(StageDied, match="is closed"):
        run(instance, 1)


def test_close_during_a_batch_ends_both(isolated):
    instance = isolated("ends", limits=Limits(stop_s=0.05))
    died = []

    def hang():
        with pytest.raises(StageDied) as caught:
            run(instance, "hang")
        died.append(caught.value)

    caller = threading.Thread(target=hang)
    caller.start()
    wait_until(lambda: instance._lock.locked())
    instance.close()
    caller.join(5)
    assert len(died) == 1


def test_two_instances_run_at_once_and_one_serves_threads_in_turn(isolated):
    instances = [isolated("double"), isolated("double")]
    wrong = []

    def work(n):
        for i in range(50):
            value = np.full(1000 * (n + 1), i, np.int64)
            (back,) = run(instances[n % 2], value)
            if not (back == 2 * i).all() or back.shape != value.shape:
                wrong.append((n, i))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_cancellation_reaches_a_running_batch(isolated):
    instance = isolated("waits")
    assert run(instance, cancelled=lambda: True) == (True,)


def wait_until(condition):
    """Poll for something that another thread is about to do."""
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.001)
