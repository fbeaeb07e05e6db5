"""The v2 service as its own client library sees it."""

from __future__ import annotations

import asyncio
import os
import queue
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as client
import tritonclient.grpc.aio as aio_client
from tritonclient.utils import InferenceServerException
from tritonclient.utils import shared_memory as shm

from serving.options import ServerOptions
from serving.protocol import message

from .attacks import ROW
from .grpc_server import Running, grpc_server
from .live import Live, live
from .programs import PIPE

Server = Live[Running]
PATIENCE = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path: Path = tmp_path_factory.mktemp("serving") / "null.pipe"
    path.write_text(PIPE)
    options = ServerOptions(model_control=True, shared_memory=True, version="1.2", trace_folder=path.parent)
    with live(grpc_server(path, options)) as found:
        yield found


@pytest.fixture
def triton(server: Server) -> Iterator[Any]:
    with client.InferenceServerClient(server.value.url) as found:
        yield found


def x(rows: int = 1, kind: Any = client) -> Any:
    data = np.arange(4 * rows, dtype=np.float32).reshape(rows, 4)
    found = kind.InferInput("x", [rows, 4], "FP32")
    found.set_data_from_numpy(data)
    return found


def test_health_and_metadata(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("rows")
    assert not triton.is_model_ready("rows", "2")
    found = triton.get_server_metadata(as_json=True)
    assert (found["name"], found["version"]) == ("pipectl", "1.2")
    assert "system_shared_memory" in found["extensions"]
    assert triton.get_model_metadata("rows.y", as_json=True)["platform"] == "null"


def test_the_config_has_the_steps(triton: Any) -> None:
    config = triton.get_model_config("rows").config
    assert [s.model_name for s in config.ensemble_scheduling.step] == ["rows.y", "rows.z"]
    for step in config.ensemble_scheduling.step:
        assert triton.get_model_config(step.model_name).config.backend == "null"


@pytest.mark.parametrize("rows", [1, 3, 20_000])
def test_numbers_come_back(triton: Any, rows: int) -> None:
    answer = triton.infer("rows", [x(rows)], request_id="mine")
    assert answer.get_response().id == "mine"
    assert answer.get_response().model_version == "1"
    assert answer.as_numpy("y").tolist() == np.arange(4 * rows).reshape(rows, 4).tolist()


def test_an_answer_is_read_to_its_last_byte(triton: Any) -> None:
    """What is put together by hand parses to the same message as protobuf would write."""
    answer = triton.infer("rows", [x(2)], outputs=[client.InferRequestedOutput("z")]).get_response()
    again = message("inference.ModelInferResponse")(
        model_name="rows",
        model_version="1",
        outputs=[{"name": "z", "datatype": "FP32", "shape": [2, 4]}],
        raw_output_contents=[np.arange(8, dtype=np.float32).tobytes()],
    )
    assert answer.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)


def test_strings_and_single_values(triton: Any) -> None:
    text = client.InferInput("text", [2, 1], "BYTES")
    text.set_data_from_numpy(np.array([["one"], ["zwö"]], object))
    assert triton.infer("texts", [text]).as_numpy("text").tolist() == [b"one", "zwö".encode()]
    n = client.InferInput("n", [1], "INT64")
    n.set_data_from_numpy(np.array([7]))
    answer = triton.infer("single", [n])
    assert answer.as_numpy("n").tolist() == [7]
    assert answer.as_numpy("b").tolist() == [True]


def test_half_precision(triton: Any) -> None:
    values = {"a": np.array([[1.5, 2]], np.float16), "b": np.array([[3.5, 4]], ml_dtypes.bfloat16)}
    inputs = [client.InferInput(name, [1, 2], kind) for name, kind in (("a", "FP16"), ("b", "BF16"))]
    for tensor in inputs:
        tensor.set_data_from_numpy(values[tensor.name()])
    answer = triton.infer("halves", inputs)
    assert answer.as_numpy("a").tolist() == [[1.5, 2]]
    assert answer.as_numpy("b").astype(np.float32).tolist() == [[3.5, 4]]


def test_typed_contents(server: Server) -> None:
    request = message("inference.ModelInferRequest")(model_name="small")
    for name, datatype, field, items in (
        ("a", "INT8", "int_contents", [-1, 2]),
        ("b", "UINT16", "uint_contents", [65535, 0]),
        ("c", "BOOL", "bool_contents", [True, False]),
    ):
        request.inputs.add(name=name, datatype=datatype, shape=[2], contents={field: items})
    answer = call(server, request)
    assert [np.frombuffer(raw, t).tolist() for raw, t in zip(answer.raw_output_contents, ("i1", "u2", "?"))] == [
        [-1, 2],
        [65535, 0],
        [True, False],
    ]


def test_classes(triton: Any) -> None:
    wanted = client.InferRequestedOutput("y", class_count=2)
    answer = triton.infer("rows", [x(2)], outputs=[wanted])
    assert answer.as_numpy("y").tolist() == [[b"3.000000:3", b"2.000000:2"], [b"7.000000:3", b"6.000000:2"]]


def test_repository_and_statistics(triton: Any) -> None:
    index = triton.get_model_repository_index(as_json=True)["models"]
    assert {"name": "rows", "version": "1", "state": "READY"} in index
    assert "rows.y" not in [entry["name"] for entry in index]
    triton.infer("rows", [x()])
    triton.load_model("rows")
    assert triton.is_model_ready("rows")
    assert triton.get_inference_statistics("rows").model_stats[0].inference_count == 0
    triton.infer("rows", [x(3)])
    stats = {s.name: s for s in triton.get_inference_statistics().model_stats}
    assert stats["rows"].inference_count == stats["rows.z"].inference_count == 3
    assert stats["rows"].inference_stats.success.count == 1


def test_settings(triton: Any, tmp_path: Path) -> None:
    assert triton.get_trace_settings(as_json=True)["settings"]["trace_level"]["value"] == ["OFF"]
    assert triton.get_log_settings(as_json=True)["settings"]["log_info"]["bool_param"]
    triton.update_log_settings({"log_verbose_level": 1})
    assert triton.get_log_settings(as_json=True)["settings"]["log_verbose_level"]["uint32_param"] == 1
    triton.update_log_settings({"log_verbose_level": 0})
    for wrong in ({"trace_rate": "0"}, {"trace_file": "../x"}, {"trace_colour": "red"}):
        with pytest.raises(InferenceServerException, match=next(iter(wrong))):
            triton.update_trace_settings(settings=wrong)


def test_traces_are_written_where_the_server_allows(triton: Any, server: Server) -> None:
    folder = server.value.operations.options.trace_folder
    assert folder is not None
    given = {"trace_file": "t.jsonl", "trace_level": ["TIMESTAMPS"], "trace_rate": "1", "trace_count": "1"}
    triton.update_trace_settings(settings=given)
    triton.infer("rows", [x()], request_id="seen")
    triton.infer("rows", [x()], request_id="unseen")
    (line,) = (folder / "t.jsonl").read_text().splitlines()
    assert '"request_id":"seen"' in line
    assert '"model_name":"rows.z"' in line
    triton.update_trace_settings(settings={"trace_level": ["OFF"]})


def test_asynchronous_clients(server: Server) -> None:
    async def scenario() -> list[list[list[float]]]:
        async with aio_client.InferenceServerClient(server.value.url) as triton:
            assert await triton.is_server_ready()
            answers = await asyncio.gather(*[triton.infer("rows", [x(n, aio_client)]) for n in (1, 2, 3)])
            return [a.as_numpy("z").tolist() for a in answers]

    assert [len(rows) for rows in asyncio.run(scenario())] == [1, 2, 3]


def test_shared_memory(triton: Any) -> None:
    key, data = f"/pipectl-test-{os.getpid()}", np.arange(8, dtype=np.float32).reshape(2, 4)
    region = shm.create_shared_memory_region("r", key, 64)
    try:
        shm.set_shared_memory_region(region, [data])
        triton.register_system_shared_memory("r", key, 64)
        assert "r" in triton.get_system_shared_memory_status().regions
        given = client.InferInput("x", [2, 4], "FP32")
        given.set_shared_memory("r", 32)
        wanted = [client.InferRequestedOutput("y"), client.InferRequestedOutput("z")]
        wanted[0].set_shared_memory("r", 32, 32)
        answer = triton.infer("rows", [given], outputs=wanted)
        assert answer.as_numpy("z").tolist() == data.tolist()
        assert answer.get_output("y").parameters["shared_memory_byte_size"].int64_param == 32
        assert shm.get_contents_as_numpy(region, np.float32, [2, 4], 32).tolist() == data.tolist()
        triton.unregister_system_shared_memory("r")
        assert not triton.get_system_shared_memory_status().regions
        assert not triton.get_cuda_shared_memory_status().regions
    finally:
        shm.destroy_shared_memory_region(region)


# ---- streams


class Stream:
    """Answers of one stream as they come: (response, error)."""

    def __init__(self, triton: Any, **options: Any) -> None:
        self._answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self._triton = triton
        triton.start_stream(lambda result, error: self._answers.put((result, error)), **options)

    def next(self) -> tuple[Any, Any]:
        return self._answers.get(timeout=PATIENCE)


def test_a_stream_answers_in_order(triton: Any) -> None:
    stream = Stream(triton)
    for n in range(1, 101):
        triton.async_stream_infer("rows", [x(n % 5)], request_id=str(n))
    answers = [stream.next() for _ in range(100)]
    assert [str(error) for _, error in answers if error] == []
    assert [a.get_response().id for a, _ in answers] == [str(n) for n in range(1, 101)]
    assert all(len(a.as_numpy("y")) == int(a.get_response().id) % 5 for a, _ in answers)
    assert answers[0][0].get_response().parameters["triton_final_response"].bool_param
    triton.stop_stream()


def test_errors_in_a_stream_leave_it_open(triton: Any) -> None:
    stream = Stream(triton)
    triton.async_stream_infer("nothing", [x()])
    triton.async_stream_infer("rows", [x()], request_id="good")
    _, error = stream.next()
    assert "there is no pipeline `nothing`" in str(error)
    answer, _ = stream.next()
    assert answer.get_response().id == "good"
    triton.stop_stream()


def test_a_stream_can_ask_for_real_errors(triton: Any) -> None:
    stream = Stream(triton, headers={"triton_grpc_error": "true"})
    triton.async_stream_infer("nothing", [x()])
    _, error = stream.next()
    assert error.status() == "StatusCode.NOT_FOUND"


def test_a_stream_that_is_cancelled_leaves_nothing(triton: Any, server: Server) -> None:
    stream = Stream(triton)
    triton.async_stream_infer("rows", [x()])
    stream.next()
    triton.stop_stream(cancel_requests=True)

    async def settled() -> list[str]:
        deployments = server.value.operations.repository.catalog.deployments
        for deployment in deployments:
            await deployment.unused()
        return [problem for d in deployments for problem in d.engine.check_idle()]

    assert server.run(settled()) == []


# ---- limits and framing


def call(server: Server, request: Any, path: str = "ModelInfer", **options: Any) -> Any:
    """A call of bytes, past the client library."""
    data = request if isinstance(request, bytes) else request.SerializeToString()
    response: Any = message("inference.ModelInferResponse")
    with grpc.insecure_channel(server.value.url) as channel:
        method = channel.unary_unary(f"/inference.GRPCInferenceService/{path}")
        return response.FromString(method(data, **{"timeout": PATIENCE, **options}))


def infer_request(**fields: Any) -> Any:
    request = message("inference.ModelInferRequest")(model_name="rows", **fields)
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    return request


def two(**fields: Any) -> Any:
    request = infer_request(**fields)
    request.inputs.add(name="y", datatype="FP32", shape=[1, 4])
    return request


def with_contents(datatype: str, field: str, items: list[Any], **fields: Any) -> Any:
    request = message("inference.ModelInferRequest")(model_name="rows", **fields)
    request.inputs.add(name="x", datatype=datatype, shape=[1, 4], contents={field: items})
    return request


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (b"\xff\xff\xff", "no ModelInferRequest"),
        (b"\x0a\x05ab", "no ModelInferRequest"),
        (b"\x0a\x02\xff\xfe", "no ModelInferRequest"),
        (b"\x0a" * 100_000, "no ModelInferRequest"),
        (infer_request(raw_input_contents=[ROW, ROW]), "2 entries, the inputs take 1"),
        (two(raw_input_contents=[ROW]), "`y`.*1 entries"),
        (infer_request(), "`x`.*4 items, there are 0"),
        (with_contents("FP32", "fp32_contents", [1.0] * 4, raw_input_contents=[ROW]), "`x` has contents beside"),
        (with_contents("FP32", "fp64_contents", [1.0] * 4), "FP32 takes fp32_contents, found fp64_contents"),
        (with_contents("FP16", "fp32_contents", [1.0] * 4), "FP16 travels in raw_input_contents only"),
        (infer_request(parameters={"p": {}}), "parameter `p` has no value"),
    ],
)
def test_messages_that_are_wrong_in_themselves(server: Server, request_: Any, words: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(server, request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]  # a Call too
    assert re.search(words, caught.value.details())  # type: ignore[attr-defined]  # the same


def test_a_large_message_that_is_cut_short_is_refused(server: Server) -> None:
    data = infer_request(raw_input_contents=[bytes(100_000)]).SerializeToString()
    with pytest.raises(grpc.RpcError, match="no ModelInferRequest"):
        call(server, data[:-1])


def test_a_message_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "null.pipe"
    path.write_text(PIPE)
    with live(grpc_server(path, ServerOptions(max_message=2**20))) as small:
        with pytest.raises(grpc.RpcError) as caught:
            call(small, infer_request(raw_input_contents=[bytes(2**21)]))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]  # a Call too
        assert call(small, infer_request(raw_input_contents=[ROW])).model_name == "rows"
