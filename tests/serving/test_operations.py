"""Operations as every protocol calls them: answers, errors with their codes, and the guard before each."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from executor.errors import RequestError
from serving.access import ANYONE, GROUPS, STRANGER, Caller
from serving.errors import PermissionDenied, Unauthenticated, text
from serving.operations import Operations
from serving.tensors import InferAnswer, InferCall, TensorIn, TensorOut, Wanted

from .attacks import ATTACKS, ROW, Attack, item, lengths, rows, x
from .live import Live, live
from .programs import PIPE, running

Server = Live[Operations]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path: Path = tmp_path_factory.mktemp("serving") / "null.pipe"
    path.write_text(PIPE)
    with live(running(path)) as found:
        yield found


def ask(server: Server, call: InferCall) -> InferAnswer:
    return server.run(server.value.inference.infer(ANYONE, call))


def output(answer: InferAnswer, name: str) -> TensorOut:
    return next(t for t in answer.outputs if t.name == name)


def test_raw_bytes_come_back(server: Server) -> None:
    answer = ask(server, rows(x()))
    assert [t.name for t in answer.outputs] == ["y", "z"]
    assert output(answer, "y").data.tobytes() == ROW
    assert (answer.model, answer.version, answer.final) == ("rows", "1", True)


def test_only_wanted_outputs_run(server: Server) -> None:
    before = _executions(server, "rows.z")
    answer = ask(server, rows(x(), outputs=(Wanted("y"),)))
    assert [t.name for t in answer.outputs] == ["y"]
    assert _executions(server, "rows.z") == before


def _executions(server: Server, step: str) -> int:
    return server.value.statistics.statistics(ANYONE, step)[0].executions


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_rows_without_dims_take_a_column_too(server: Server, shape: tuple[int, ...]) -> None:
    data = item(b"one") + item("zwö".encode())
    answer = ask(server, InferCall("texts", inputs=[TensorIn("text", "BYTES", shape, data)]))
    assert answer.outputs[0].data == [b"one", "zwö".encode()]
    assert answer.outputs[0].shape == (2,)


@pytest.mark.parametrize("shape", [(1,), ()])
def test_single_values_and_defaults(server: Server, shape: tuple[int, ...]) -> None:
    inputs = [TensorIn("n", "INT64", shape, [7]), TensorIn("j", "BYTES", (1,), [b'{"a": [1]}'])]
    answer = ask(server, InferCall("single", inputs=inputs))
    assert {t.name: list(t.data) for t in answer.outputs} == {
        "n": [7],
        "s": [b"none"],
        "b": [True],
        "j": [b'{"a":[1]}'],
        "p": [0.5],
    }
    assert all(t.shape == (1,) for t in answer.outputs)


def test_ragged_rows_come_padded_with_their_lengths(server: Server) -> None:
    ids = np.array([[1, 2, 3], [4, 9, 9]], np.int64)
    inputs = [TensorIn("ids", "INT64", (2, 3), ids.tobytes()), lengths((2, 1), [3, 1])]
    answer = ask(server, InferCall("ragged", inputs=inputs))
    assert output(answer, "ids").data.tolist() == [[1, 2, 3], [4, 0, 0]]
    assert output(answer, "ids.lengths").data.tolist() == [[3], [1]]


def test_half_precision_travels_raw(server: Server) -> None:
    a, b = np.array([[1, 2]], np.float16), np.array([[3, 4]], ml_dtypes.bfloat16)
    inputs = [TensorIn("a", "FP16", (1, 2), a.tobytes()), TensorIn("b", "BF16", (1, 2), b.tobytes())]
    answer = ask(server, InferCall("halves", inputs=inputs))
    assert output(answer, "a").data.tobytes() == a.tobytes()
    assert output(answer, "b").data.tobytes() == b.tobytes()


def test_nested_lists_are_taken_as_the_shape_says(server: Server) -> None:
    answer = ask(server, rows(x((2, 4), [[0, 1, 2, 3], [4, 5, 6, 7.5]])))
    assert output(answer, "y").data.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7.5]]


def test_no_rows_give_no_rows(server: Server) -> None:
    assert output(ask(server, rows(x((0, 4), b""))), "z").shape == (0, 4)


def test_unaligned_bytes_are_taken(server: Server) -> None:
    view = memoryview(b"!" + ROW)[1:]
    assert output(ask(server, rows(x(data=view))), "y").data.tobytes() == ROW


def test_classes_are_sorted_by_value(server: Server) -> None:
    data = np.array([[1, 4, 3, 2], [9, 8, 7, 6]], np.float32).tobytes()
    answer = ask(server, rows(x((2, 4), data), outputs=(Wanted("y", {"classification": 2}), Wanted("z"))))
    assert output(answer, "y").data == [b"4.000000:1", b"3.000000:2", b"9.000000:0", b"8.000000:1"]
    assert output(answer, "y").shape == (2, 2)
    assert output(answer, "z").datatype == "FP32"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_bad_requests_get_their_code(server: Server, attack: Attack) -> None:
    with pytest.raises(RequestError) as caught:
        ask(server, attack.call)
    message = text(caught.value)
    assert caught.value.grpc_code == attack.code, message
    assert all(word in message for word in attack.words), message
    assert len(message) < 1000
    assert message.isprintable()


def test_a_stage_that_fails_is_named(server: Server) -> None:
    data = np.array([[13, 0, 0, 0]], np.float32).tobytes()
    with pytest.raises(RequestError, match=r"fails\.broken") as caught:
        ask(server, InferCall("fails", inputs=[x(data=data)]))
    assert caught.value.grpc_code == "INTERNAL"


def test_a_deadline_that_passed_starts_nothing(server: Server) -> None:
    before = _executions(server, "rows.y")
    with pytest.raises(RequestError) as caught:
        ask(server, InferCall("rows", inputs=[x()], timeout=-0.1))
    assert caught.value.grpc_code == "DEADLINE_EXCEEDED"
    assert _executions(server, "rows.y") == before


def test_a_stream_of_a_pipeline_without_streams_is_its_one_answer(server: Server) -> None:
    async def collect() -> list[InferAnswer]:
        return [answer async for answer in server.value.inference.stream(ANYONE, rows(x()))]

    (answer,) = server.run(collect())
    assert answer.final
    assert answer.parameters == {"triton_final_response": True}


# ---- descriptions


def test_metadata_of_a_pipeline_and_of_a_step(server: Server) -> None:
    models = server.value.models
    pipeline = models.metadata(ANYONE, "rows")
    assert pipeline.platform == "ensemble"
    assert [(t.name, t.datatype, t.shape) for t in pipeline.inputs] == [("x", "FP32", (-1, 4))]
    assert [(t.name, t.shape) for t in models.metadata(ANYONE, "ragged").outputs] == [
        ("ids", (-1, -1)),
        ("ids.lengths", (-1, 1)),
    ]
    assert models.metadata(ANYONE, "rows.y").platform == "null"
    assert models.metadata(ANYONE, "single").inputs[0].shape == (1,)


def test_config_of_a_pipeline_names_its_steps(server: Server) -> None:
    config = server.value.models.config(ANYONE, "rows")
    assert config.platform == "ensemble"
    assert [s.model_name for s in config.ensemble_scheduling.step] == ["rows.y", "rows.z"]
    assert dict(config.ensemble_scheduling.step[1].input_map) == {"x": "y"}
    assert list(config.input[0].dims) == [4]
    assert config.max_batch_size > 0
    single = server.value.models.config(ANYONE, "single")
    assert single.max_batch_size == 0
    assert [(p.name, p.optional) for p in single.input][:2] == [("n", False), ("s", True)]
    assert server.value.models.config(ANYONE, "rows.y").backend == "null"


CONTROL = """pipe 1
stage small(x: f32[*, 4]) -> (y: f32[*, 4]) using null()
stage large(x: f32[*, 4]) -> (y: f32[*, 4]) using null(value = 9)
stage each(item: f32[4]) -> (y: f32[4]) using null()
pipeline pick(x: f32[*, 4], big: bool = false) -> (y: f32[*, 4]) {
  y = if big { a = large(x)
    yield large(a) } else { yield small(x) }
  return y
}
pipeline apart(x: f32[N, 4]) -> (y: f32[N, 4]) {
  y = map row in x { yield each(row) }
  return y
}
"""


def test_steps_inside_of_constructs_are_steps_too(tmp_path: Path) -> None:
    path = tmp_path / "control.pipe"
    path.write_text(CONTROL)
    with live(running(path)) as server:
        models = server.value.models
        steps = [s.model_name for s in models.config(ANYONE, "pick").ensemble_scheduling.step]
        assert steps == ["pick.a", "pick.large_1", "pick.small_1"]
        assert all(models.config(ANYONE, name).backend == "null" for name in steps)
        assert models.config(ANYONE, "apart").ensemble_scheduling.step[0].model_name.startswith("apart.")
        big = TensorIn("big", "BOOL", (1,), [True])
        answer = ask(server, InferCall("pick", inputs=[x(), big]))
        assert output(answer, "y").data.tolist() == [[9, 9, 9, 9]]
        assert output(ask(server, InferCall("pick", inputs=[x()])), "y").data.tobytes() == ROW
        assert output(ask(server, InferCall("apart", inputs=[x()])), "y").data.tobytes() == ROW
        counts = {s.name: s.executions for s in server.value.statistics.statistics(ANYONE)}
        assert [counts[name] for name in steps] == [1, 1, 1]


def test_statistics_count_rows_and_batches(server: Server) -> None:
    before = {s.name: s for s in server.value.statistics.statistics(ANYONE)}
    ask(server, rows(x((2, 4), ROW + ROW)))
    after = {s.name: s for s in server.value.statistics.statistics(ANYONE)}
    assert after["rows"].inferences - before["rows"].inferences == 2
    assert after["rows"].success.count - before["rows"].success.count == 1
    assert after["rows.z"].executions - before["rows.z"].executions == 1
    assert after["rows.z"].compute.ns > before["rows.z"].compute.ns
    assert after["rows"].last_ms > 1_700_000_000_000


def test_the_index_lists_steps_on_request(server: Server) -> None:
    control = server.value.control
    assert "rows.y" not in [e.name for e in control.index(ANYONE)]
    assert ("rows.y", "1", "READY") in [(e.name, e.version, e.state) for e in control.index(ANYONE, "steps")]
    with pytest.raises(RequestError, match="no repository"):
        control.index(ANYONE, "others")


def test_health_is_that_of_the_engines(server: Server) -> None:
    health = server.value.health
    assert health.live(ANYONE)
    assert health.ready(ANYONE)
    assert health.model_ready(ANYONE, "rows")
    assert health.model_ready(ANYONE, "rows.y")
    assert not health.model_ready(ANYONE, "rows", "2")
    with pytest.raises(RequestError, match="no pipeline"):
        health.model_ready(ANYONE, "row")


# ---- the guard


NO_SUBJECTS = ("options", "access", "repository", "shared")


def guarded() -> Iterator[tuple[str, str, str]]:
    """(subject, operation, group) of everything a protocol can call."""
    for subject, kind in inspect.get_annotations(Operations, eval_str=True).items():
        if subject in NO_SUBJECTS:
            continue
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_") and "caller" in inspect.signature(method).parameters:
                yield subject, name, getattr(method, "group", "")


def test_every_operation_has_a_group() -> None:
    found = list(guarded())
    assert len(found) > 15
    assert {group for _, _, group in found} <= set(GROUPS)
    open_to_all = {
        (subject, name)
        for subject, kind in inspect.get_annotations(Operations, eval_str=True).items()
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if subject not in NO_SUBJECTS and not name.startswith("_") and not hasattr(method, "group")
    }
    assert open_to_all == {("inference", "streams"), ("settings", "close"), ("settings", "trace")}


@pytest.mark.parametrize(("subject", "name", "group"), list(guarded()))
def test_nobody_comes_in_without_the_group(server: Server, subject: str, name: str, group: str) -> None:
    operation = getattr(getattr(server.value, subject), name)
    others = Caller("other", frozenset(GROUPS) - {group})
    with pytest.raises(PermissionDenied, match=group):
        operation(others)
    if group != "health":
        with pytest.raises(Unauthenticated):
            operation(STRANGER)
