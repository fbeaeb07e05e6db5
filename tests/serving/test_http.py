"""The v2 REST surface as its own client library sees it, and what that does not reach."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import urllib.error
import urllib.request
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as client
import tritonclient.http.aio as aio_client
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException

from serving.access import Access
from serving.options import ServerOptions

from .http_server import Raw, Running, http_server, request
from .live import Live, live
from .programs import PIPE

Server = Live[Running]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path: Path = tmp_path_factory.mktemp("serving") / "null.pipe"
    path.write_text(PIPE)
    options = ServerOptions(model_control=True, shared_memory=True, version="1.2", trace_folder=path.parent)
    with live(http_server(path, options)) as found:
        yield found


@pytest.fixture
def triton(server: Server) -> Iterator[Any]:
    found = client.InferenceServerClient(server.value.url)
    yield found
    found.close()


def ask(server: Server, path: str, body: Any = None, **headers: str) -> Any:
    """JSON of a path; a body makes it a POST."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    wanted = urllib.request.Request(f"http://{server.value.url}{path}", data, headers)
    with urllib.request.urlopen(wanted, timeout=20) as response:
        return json.loads(response.read())


def x(rows: int = 1, kind: Any = client, binary: bool = True) -> Any:
    data = np.arange(4 * rows, dtype=np.float32).reshape(rows, 4)
    found = kind.InferInput("x", [rows, 4], "FP32")
    found.set_data_from_numpy(data, binary_data=binary)
    return found


# ---- the client library


def test_health_and_metadata(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("rows")
    assert triton.is_model_ready("rows", "1")
    assert not triton.is_model_ready("rows", "2")
    found = triton.get_server_metadata()
    assert (found["name"], found["version"]) == ("pipectl", "1.2")
    assert "binary_tensor_data" in found["extensions"]
    metadata = triton.get_model_metadata("rows")
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]


def test_the_config_has_the_steps(triton: Any) -> None:
    config = triton.get_model_config("rows")
    steps = config["ensemble_scheduling"]["step"]
    assert [s["model_name"] for s in steps] == ["rows.y", "rows.z"]
    assert config["max_batch_size"] == 64
    assert config["input"][0]["data_type"] == "TYPE_FP32"
    assert triton.get_model_config("rows.y")["backend"] == "null"


@pytest.mark.parametrize("rows", [0, 1, 3, 20_000])
@pytest.mark.parametrize("binary", [True, False])
def test_numbers_come_back(triton: Any, rows: int, binary: bool) -> None:
    wanted = [client.InferRequestedOutput(name, binary_data=binary) for name in ("y", "z")]
    answer = triton.infer("rows", [x(rows, binary=binary)], outputs=wanted, request_id="mine")
    assert answer.get_response()["id"] == "mine"
    assert answer.as_numpy("y").tolist() == np.arange(4 * rows).reshape(rows, 4).tolist()
    assert answer.as_numpy("z").tolist() == answer.as_numpy("y").tolist()


def test_one_output_of_two(triton: Any) -> None:
    answer = triton.infer("rows", [x()], outputs=[client.InferRequestedOutput("y")])
    assert [o["name"] for o in answer.get_response()["outputs"]] == ["y"]


@pytest.mark.parametrize("binary", [True, False])
def test_texts(triton: Any, binary: bool) -> None:
    tensor = client.InferInput("text", [2], "BYTES")
    tensor.set_data_from_numpy(np.array(["Zoë", ""], object), binary_data=binary)
    wanted = client.InferRequestedOutput("text", binary_data=binary)
    answer = triton.infer("texts", [tensor], outputs=[wanted]).as_numpy("text")
    assert [a if isinstance(a, str) else a.decode() for a in answer] == ["Zoë", ""]


def test_half_precision(triton: Any) -> None:
    values = {"a": np.array([[1.5, 2]], np.float16), "b": np.array([[3.5, 4]], ml_dtypes.bfloat16)}
    inputs = [client.InferInput(name, [1, 2], kind) for name, kind in (("a", "FP16"), ("b", "BF16"))]
    for tensor in inputs:
        tensor.set_data_from_numpy(values[tensor.name()])
    answer = triton.infer("halves", inputs)
    assert answer.as_numpy("a").tolist() == [[1.5, 2]]
    assert answer.as_numpy("b").astype(np.float32).tolist() == [[3.5, 4]]


def test_classes(triton: Any) -> None:
    wanted = client.InferRequestedOutput("y", class_count=2)
    answer = triton.infer("rows", [x(2)], outputs=[wanted])
    assert answer.as_numpy("y").tolist() == [[b"3.000000:3", b"2.000000:2"], [b"7.000000:3", b"6.000000:2"]]


@pytest.mark.parametrize("kind", ["gzip", "deflate"])
def test_compression_both_ways(triton: Any, kind: str) -> None:
    answer = triton.infer("rows", [x(5000)], request_compression_algorithm=kind, response_compression_algorithm=kind)
    assert answer.as_numpy("y").shape == (5000, 4)


def test_repository_and_statistics(triton: Any) -> None:
    index = triton.get_model_repository_index()
    assert {"name": "rows", "version": "1", "state": "READY", "reason": ""} in index
    triton.load_model("rows")
    assert triton.is_model_ready("rows")
    triton.infer("rows", [x(3)])
    stats = {s["name"]: s for s in triton.get_inference_statistics()["model_stats"]}
    assert stats["rows"]["inference_count"] == stats["rows.z"]["inference_count"] == 3
    assert stats["rows"]["inference_stats"]["success"]["count"] == 1


def test_settings(triton: Any) -> None:
    assert triton.get_trace_settings()["trace_level"] == ["OFF"]
    assert triton.get_log_settings()["log_info"] is True
    assert triton.update_log_settings({"log_verbose_level": 1})["log_verbose_level"] == 1
    triton.update_log_settings({"log_verbose_level": 0})
    for wrong in ({"trace_rate": "0"}, {"trace_file": "../x"}, {"trace_colour": "red"}):
        with pytest.raises(InferenceServerException, match=next(iter(wrong))):
            triton.update_trace_settings(settings=wrong)


def test_system_shared_memory(triton: Any) -> None:
    key = f"/pipectl-test-{uuid.uuid4().hex}"
    region = shm.create_shared_memory_region("both", key, 128)
    try:
        shm.set_shared_memory_region(region, [np.arange(8, dtype=np.float32).reshape(2, 4)])
        triton.register_system_shared_memory("both", key, 128)
        assert triton.get_system_shared_memory_status() == [{"name": "both", "key": key, "offset": 0, "byte_size": 128}]
        tensor = client.InferInput("x", [2, 4], "FP32")
        tensor.set_shared_memory("both", 32)
        wanted = client.InferRequestedOutput("y")
        wanted.set_shared_memory("both", 32, offset=64)
        triton.infer("rows", [tensor], outputs=[wanted])
        found = shm.get_contents_as_numpy(region, np.float32, [2, 4], offset=64)
        assert found.tolist() == np.arange(8).reshape(2, 4).tolist()
        del found
        triton.unregister_system_shared_memory("both")
        assert triton.get_system_shared_memory_status() == []
    finally:
        shm.destroy_shared_memory_region(region)


def test_cuda_shared_memory_is_not_there(triton: Any) -> None:
    assert triton.get_cuda_shared_memory_status() == []
    with pytest.raises(InferenceServerException, match="no memory of CUDA devices"):
        triton.register_cuda_shared_memory("r", b"aGFuZGxl", 0, 64)
    triton.unregister_cuda_shared_memory()


def test_asynchronous_clients(server: Server) -> None:
    async def scenario() -> list[list[list[float]]]:
        async with aio_client.InferenceServerClient(server.value.url) as triton:
            assert await triton.is_server_ready()
            answers = await asyncio.gather(*[triton.infer("rows", [x(n, aio_client)]) for n in (1, 2, 3)])
            return [a.as_numpy("z").tolist() for a in answers]

    assert [len(rows) for rows in asyncio.run(scenario())] == [1, 2, 3]


def test_errors_name_what_is_wrong(triton: Any) -> None:
    with pytest.raises(InferenceServerException, match="there is no pipeline `rowz`; did you mean `rows`"):
        triton.infer("rowz", [x()])
    with pytest.raises(InferenceServerException, match="input `x`"):
        triton.infer("rows", [client.InferInput("x", [1, 4], "INT64").set_data_from_numpy(np.zeros((1, 4), np.int64))])


# ---- generate


def test_generate(server: Server) -> None:
    assert ask(server, "/v2/models/texts/generate", {"text": "hi", "id": "g"}) == {
        "model_name": "texts",
        "model_version": "1",
        "id": "g",
        "text": "hi",
    }
    found = ask(
        server, "/v2/models/rows/versions/1/generate", {"x": [[1, 2, 3, 4], [5, 6, 7, 8]], "timeout": 5_000_000}
    )
    assert found["y"] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    single = ask(server, "/v2/models/single/generate", {"n": 3, "j": {"a": [1]}, "parameters": {"s": "t"}})
    assert (single["n"], json.loads(single["j"]), single["s"], single["b"]) == (3, {"a": [1]}, "t", True)


def test_generate_as_events(server: Server) -> None:
    with Raw(server.value.url) as raw:
        raw.send(request(b'{"text": "hi"}', path="/v2/models/texts/generate_stream"))
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += raw._more()
    assert b"content-type: text/event-stream; charset=utf-8" in data
    assert b'data: {"model_name":"texts","model_version":"1","text":"hi"}\n\n' in data


def test_an_error_before_the_first_event_is_a_reply(server: Server) -> None:
    with Raw(server.value.url) as raw:
        raw.send(request(b'{"text": 3}', path="/v2/models/texts/generate_stream"))
        status, headers, body = raw.response()
    assert (status, headers["content-type"]) == (400, "application/json")
    assert b"`text`" in body


# ---- JSON and framing


def infer(**more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}], **more}


GOOD = json.dumps(infer()).encode()
ODD = {"name": "y", "parameters": {"binary_data": 1}}


def test_timings_are_told_on_request(server: Server) -> None:
    answer = ask(server, "/v2/models/rows/infer", infer(parameters={"pipectl_timings": True}))
    timings = json.loads(answer["parameters"]["pipectl_timings"])
    assert [t["node"] for t in timings] == ["y", "z"]
    assert all(t["compute"] >= 0 and t["start"] >= 0 and t["rows"] == 1 for t in timings)


def test_binary_outputs_by_the_request_or_one_by_one(server: Server) -> None:
    body = json.dumps(
        infer(
            parameters={"binary_data_output": True},
            outputs=[{"name": "y"}, {"name": "z", "parameters": {"binary_data": False}}],
        )
    )
    with Raw(server.value.url) as raw:
        raw.send(request(body.encode()))
        _, headers, content = raw.response()
    split = int(headers["inference-header-content-length"])
    assert headers["content-type"] == "application/octet-stream"
    outputs = json.loads(content[:split])["outputs"]
    assert outputs[0]["parameters"] == {"binary_data_size": 16}
    assert outputs[1]["data"] == [1, 2, 3, 4]
    assert np.frombuffer(content[split:], np.float32).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (b"{", {}, "no JSON"),
        (b"", {}, "no JSON"),
        (b"[]", {}, "Expected `object`"),
        (b"\xff\xfe", {}, "no JSON"),
        (b'{"inputs": 3}', {}, "Expected `array`"),
        (GOOD[:-1], {}, "no JSON"),
        (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[NaN,1,2,3]}]}', {}, "no JSON"),
        (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1.5,4],"data":[1]}]}', {}, "input `x`.*shape"),
        (b'{"inputs":[{"name":"x","datatype":"FP32","shape":"4","data":[1]}]}', {}, "input `x`.*shape"),
        (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,99999999999999999999],"data":[1]}]}', {}, "input `x`"),
        (b'{"inputs":[{"datatype":"FP32","shape":[1,4],"data":[1]}]}', {}, "input 0.*name"),
        (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":["a",1,2,3]}]}', {}, "input `x`"),
        (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[[1,2],[3]]}]}', {}, "input `x`"),
        (b'{"inputs":' + b"[" * 120 + b"]" * 120 + b"}", {}, "deeper than 100"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, {}, "deeper than 100"),
        (b"[" * 100_000, {}, "deeper than 100"),
        (GOOD, {"inference_header_content_length": "-1"}, "no whole number"),
        (GOOD, {"inference_header_content_length": "ten"}, "no whole number"),
        (GOOD, {"inference_header_content_length": "9999999"}, "the body has"),
        (GOOD, {"inference_header_content_length": "0"}, "JSON header"),
        (GOOD + b"abc", {"inference_header_content_length": str(len(GOOD))}, "3 bytes are left over"),
        (json.dumps(infer(outputs=[ODD])).encode(), {}, "output `y`.*binary_data"),
        (json.dumps(infer(parameters={"binary_data_output": "yes"})).encode(), {}, "binary_data_output"),
        (json.dumps(infer(parameters={"p": [1]})).encode(), {}, "parameters"),
        (GOOD, {"content_encoding": "gzip"}, "no gzip data"),
        (gzip.compress(GOOD, mtime=0)[:-9], {"content_encoding": "gzip"}, "no complete gzip"),
        (zlib.compress(GOOD) + b"x", {"content_encoding": "deflate"}, "left over"),
        (GOOD, {"x_envoy_expected_rq_timeout_ms": "soon"}, "milliseconds"),
    ],
)  # fmt: skip
def test_bodies_that_are_wrong_in_themselves(server: Server, body: bytes, headers: dict[str, str], words: str) -> None:
    with Raw(server.value.url) as raw:
        raw.send(request(body, **headers))
        status, found, content = raw.response()
        error = json.loads(content)
        assert (status, found["content-type"], list(error)) == (400, "application/json", ["error"])
        assert re.search(words, error["error"]), error
        raw.send(request(GOOD))
        assert raw.response()[0] == 200


def test_binary_sizes_that_lie(server: Server) -> None:
    def sent(size: Any, tail: bytes, **more: Any) -> str:
        given = {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": size}, **more}
        head = json.dumps({"inputs": [given]}).encode()
        with Raw(server.value.url) as raw:
            raw.send(request(head + tail, inference_header_content_length=str(len(head))))
            status, _, body = raw.response()
        assert status == 400
        return str(json.loads(body)["error"])

    assert "`x`: `binary_data_size` is 99" in sent(99, b"\0" * 16)
    assert "`x`: `binary_data_size` is -1" in sent(-1, b"\0" * 16)
    assert "`x`: `binary_data_size` is 'a'" in sent("a", b"\0" * 16)
    assert "has `data` and" in sent(16, b"\0" * 16, data=[1])
    assert "8 bytes are left over" in sent(16, b"\0" * 24)


def test_a_deadline_from_a_proxy(server: Server) -> None:
    with Raw(server.value.url) as raw:
        raw.send(request(GOOD, x_envoy_expected_rq_timeout_ms="0"))
        status, _, body = raw.response()
    assert (status, b"deadline" in body) == (504, True)


def test_bytes_that_json_can_not_hold(server: Server) -> None:
    tensor = client.InferInput("data", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([b"\xff\x00"], object))
    with client.InferenceServerClient(server.value.url) as triton:
        assert triton.infer("blobs", [tensor]).as_numpy("data").tolist() == [b"\xff\x00"]
        with pytest.raises(InferenceServerException, match="ask for it with `binary_data`"):
            triton.infer("blobs", [tensor], outputs=[client.InferRequestedOutput("data", binary_data=False)])


# ---- everything else


@pytest.mark.parametrize(
    "path", ["/v2/models/rows/infer", "/v2/models/rows/versions/1/generate", "/v2/repository/index"]
)
def test_wrong_methods_are_told_the_right_one(server: Server, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(server, path)
    with caught.value as error:
        assert (error.code, error.headers["allow"]) == (405, "POST")
        assert "error" in json.loads(error.read())


@pytest.mark.parametrize(
    "path", ["/nope", "/v2/", "/v2/models/", "/v2/models/rows/nope", "/v2/models/a/b/infer", "/%00"]
)
def test_unknown_paths_are_json(server: Server, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(server, path)
    with caught.value as error:
        assert error.code == 404
        assert "error" in json.loads(error.read())


def test_probes_get_no_body(server: Server) -> None:
    with Raw(server.value.url) as raw:
        for path, status in (
            ("/v2/health/live", 200),
            ("/v2/health/ready", 200),
            ("/v2/models/rows/versions/9/ready", 400),
        ):
            raw.send(request(method="GET", path=path))
            assert raw.response()[::2] == (status, b"")
        raw.send(request(method="HEAD", path="/v2/health/live"))
        assert raw.response()[0] == 200


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    bodies = [json.dumps(infer(id=f"p{i}")).encode() for i in range(20)]
    with Raw(server.value.url) as raw:
        raw.send(b"".join(request(body) for body in bodies))
        data = b""
        while data.count(b"HTTP/1.1 200") < 20 or not data.endswith(b"}"):
            data += raw._more()
    assert [data.index(f'"id":"p{i}"'.encode()) for i in range(20)] == sorted(
        data.index(f'"id":"p{i}"'.encode()) for i in range(20)
    )


def test_metrics_and_pages(server: Server) -> None:
    with urllib.request.urlopen(f"http://{server.value.url}/metrics", timeout=20) as response:
        text = response.read().decode()
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'pipe_requests_total{outcome="success",pipeline="rows"' in text
    for path, kind in (("/", "text/html"), ("/page/page.js", "text/javascript"), ("/docs", "text/html")):
        with urllib.request.urlopen(f"http://{server.value.url}{path}", timeout=20) as response:
            assert response.headers["content-type"].startswith(kind)
            assert "default-src 'self'" in response.headers["content-security-policy"]
            assert b"http" + b"://" not in response.read().replace(b"http://www.w3.org/2000/svg", b"")
    with urllib.request.urlopen(f"http://{server.value.url}/docs/assets/swagger-ui.css", timeout=20) as response:
        assert response.status == 200


def test_the_document_has_every_pipeline(server: Server) -> None:
    found = ask(server, "/openapi.json")
    assert found["openapi"] == "3.0.3"
    schema = found["paths"]["/v2/models/rows/generate"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["x"]
    assert schema["properties"]["x"]["items"]["items"] == {"type": "number"}
    assert "/v2/models/{model}/config" in found["paths"]


def test_the_overview_has_graph_and_figures(server: Server) -> None:
    pipelines = {p["name"]: p for p in ask(server, "/pipectl/pipelines")}
    assert [(s["label"], s["kind"], s["producers"]) for s in pipelines["rows"]["steps"]] == [
        ("y", "call", [-1]),
        ("z", "call", [0]),
    ]
    ask(server, "/v2/models/rows/infer", infer())
    figures = ask(server, "/pipectl/figures")["rows/1"]
    assert figures["succeeded"] >= 1
    assert figures["nodes"]["rows.z"]["executions"] >= 1


# ---- tokens


def test_tokens_are_asked_for_at_every_route(pipe: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[ada]\ntoken = "0123456789abcdef"\ngroups = ["inference"]\n')
    tokens.chmod(0o600)
    with live(http_server(pipe, access=Access(tokens))) as guarded:
        from serving.http.routes import METRICS_ENTRY, TABLE

        for entry in (*TABLE, METRICS_ENTRY):
            path = entry.path.replace("{model}", "rows").replace("{version}", "1")
            path = path.replace("{repository}", "r").replace("{region}", "r")
            with Raw(guarded.value.url) as raw:
                raw.send(request(b"{}", entry.method, path))
                status, headers, _ = raw.response()
                if "health" in path or path.endswith("/ready"):
                    assert status == 200, path
                    continue
                assert (status, headers.get("www-authenticate")) == (401, "Bearer"), path
                raw.send(request(b"{}", entry.method, path, authorization="Bearer 0123456789abcdef"))
                assert raw.response()[0] == 403, path
        body = GOOD
        with Raw(guarded.value.url) as raw:
            for header, status in (("", 401), ("Bearer wrong", 401), ("Bearer 0123456789abcdef", 200)):
                raw.send(request(body, authorization=header) if header else request(body))
                assert raw.response()[0] == status
