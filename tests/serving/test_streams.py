"""Pipelines that stream: responses as elements come, over the v2 stream and as a typed service, to the end or not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as client

from serving.options import ServerOptions
from serving.typed.catalog import TypedCatalog
from serving.typed.text import proto_text

from .grpc_server import Running, grpc_server
from .live import Live, live
from .test_grpc import Stream

Server = Live[Running]

STAGES = """
import itertools

def count(*, n):
    for i in range(n):
        yield {"word": f"w{i}", "length": i}

def endless(*, n):
    for i in itertools.count(n):
        yield f"w{i}"

def breaks(*, n):
    yield "w0"
    raise ValueError("broke")
"""
PIPE = """pipe 1
stage count(n: i64) -> (word: stream string, length: stream i64) using python("MODULE:count")
stage endless(n: i64) -> (word: stream string) using python("MODULE:endless")
stage breaks(n: i64) -> (word: stream string) using python("MODULE:breaks")
stage same(n: i64[*]) -> (n: i64[*]) using null()

pipeline words(n: i64) -> (word: stream string, length: stream i64, n: i64) {
  word, length = count(n)
  return word, length, n = same(n)
}
pipeline late(n: i64) -> (word: stream string, words: i64) {
  word, length = count(n)
  return word, words = len(collect(word))
}
pipeline forever(n: i64) -> (word: stream string) { return word = endless(n) }
pipeline broken(n: i64) -> (word: stream string) { return word = breaks(n) }
pipeline plain(n: i64) -> (n: i64) { return n = same(n) }
pipeline user(n: i64) -> (user: string) { return user = header("x-user") ?? "nobody" }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("streams")
    module = f"serving_streams_{os.getpid()}"
    (folder / f"{module}.py").write_text(STAGES)
    path = folder / "streams.pipe"
    path.write_text(PIPE.replace("MODULE", module))
    with live(grpc_server(path, ServerOptions(header_pattern="x-.*"))) as found:
        yield found


@pytest.fixture
def triton(server: Server) -> Iterator[Any]:
    with client.InferenceServerClient(server.value.url) as found:
        yield found


def n(value: int) -> Any:
    found = client.InferInput("n", [1], "INT64")
    found.set_data_from_numpy(np.array([value]))
    return found


def values(answer: Any) -> dict[str, Any]:
    return {o.name: answer.as_numpy(o.name).tolist() for o in answer.get_response().outputs}


def is_final(answer: Any) -> bool:
    found: bool = answer.get_response().parameters["triton_final_response"].bool_param
    return found


def test_one_response_for_each_element(triton: Any) -> None:
    stream = Stream(triton)
    triton.async_stream_infer("words", [n(3)], request_id="mine", enable_empty_final_response=True)
    answers = []
    while not answers or not is_final(answers[-1]):
        answer, error = stream.next()
        assert error is None
        answers.append(answer)
    assert [values(a) for a in answers] == [
        {"n": [3]},
        *({"word": [f"w{i}".encode()], "length": [i]} for i in range(3)),
        {},
    ]
    assert {a.get_response().id for a in answers} == {"mine"}
    triton.stop_stream()


def test_without_the_empty_response_the_elements_are_all(triton: Any) -> None:
    """Those of a plain pipeline that is asked behind it come when they are there."""
    stream = Stream(triton)
    triton.async_stream_infer("words", [n(2)], outputs=[client.InferRequestedOutput("word")])
    answers = [values(stream.next()[0]) for _ in range(2)]
    assert answers == [{"word": [b"w0"]}, {"word": [b"w1"]}]
    triton.async_stream_infer("plain", [n(7)])
    answer, _ = stream.next()
    assert (values(answer), is_final(answer)) == ({"n": [7]}, True)
    triton.stop_stream()


def test_an_output_that_needs_the_whole_stream_is_the_last(triton: Any) -> None:
    stream = Stream(triton)
    triton.async_stream_infer("late", [n(2)], enable_empty_final_response=True)
    answers = [values(stream.next()[0]) for _ in range(4)]
    assert answers == [{"word": [b"w0"]}, {"word": [b"w1"]}, {"words": [2]}, {}]
    triton.stop_stream()


def test_streams_run_side_by_side(triton: Any) -> None:
    stream = Stream(triton)
    for i in range(4):
        triton.async_stream_infer("words", [n(50)], request_id=str(i), enable_empty_final_response=True)
    found: dict[str, list[int]] = {str(i): [] for i in range(4)}
    left = set(found)
    while left:
        answer, error = stream.next()
        assert error is None
        id = answer.get_response().id
        found[id] += values(answer).get("length", [])
        left -= {id} if is_final(answer) else set()
    assert all(lengths == list(range(50)) for lengths in found.values())
    triton.stop_stream()


def test_a_single_answer_is_refused_unless_no_stream_is_asked_for(triton: Any) -> None:
    with pytest.raises(client.InferenceServerException, match="ask for a stream") as caught:
        triton.infer("words", [n(3)])
    assert caught.value.status() == "StatusCode.UNIMPLEMENTED"
    answer = triton.infer("words", [n(3)], outputs=[client.InferRequestedOutput("n")])
    assert values(answer) == {"n": [3]}
    assert triton.get_model_config("words").config.model_transaction_policy.decoupled


def test_a_failure_comes_behind_the_elements_before_it(triton: Any) -> None:
    stream = Stream(triton)
    triton.async_stream_infer("broken", [n(0)])
    assert values(stream.next()[0]) == {"word": [b"w0"]}
    _, error = stream.next()
    assert "broken.word" in str(error)
    assert "broke" in str(error)
    triton.async_stream_infer("plain", [n(1)])
    assert values(stream.next()[0]) == {"n": [1]}
    triton.stop_stream()


def test_a_client_that_leaves_ends_an_endless_stream(triton: Any, server: Server) -> None:
    stream = Stream(triton)
    triton.async_stream_infer("forever", [n(0)])
    assert [values(stream.next()[0]) for _ in range(3)] == [{"word": [f"w{i}".encode()]} for i in range(3)]
    triton.stop_stream(cancel_requests=True)
    (deployment,) = server.value.operations.repository.catalog.deployments
    server.run(deployment.unused())


# ---- typed


def typed(server: Server, channel: Any, name: str, **fields: Any) -> Iterator[Any]:
    catalog = TypedCatalog(server.value.operations.repository.catalog)
    path = next(path for path in catalog.calls if path.startswith(f"/pipectl.{name}."))
    messages = catalog.calls[path].messages
    response: Any = type(messages.response([]))
    for data in channel.unary_stream(path)(messages.request(**fields).SerializeToString(), timeout=20):
        yield response.FromString(data)


def test_a_typed_service_streams_as_its_types_say(server: Server) -> None:
    plan = server.value.operations.repository.catalog.pipeline("words").plan
    assert "rpc Run(WordsRequest) returns (stream WordsResponse);" in proto_text(plan)
    with grpc.insecure_channel(server.value.url) as channel:
        found = list(typed(server, channel, "words", n=2))
    assert [(m.word, m.length) for m in found if m.word] == [("w0", 0), ("w1", 1)]
    assert found[0].n == 2


def test_a_typed_stream_ends_with_its_failure(server: Server) -> None:
    found = []
    with grpc.insecure_channel(server.value.url) as channel:
        coming = typed(server, channel, "broken", n=0)
        found.append(next(coming).word)
        with pytest.raises(grpc.RpcError, match="broke"):
            next(coming)
    assert found == ["w0"]


def test_a_typed_stream_that_is_left_ends(server: Server) -> None:
    with grpc.insecure_channel(server.value.url) as channel:
        coming = typed(server, channel, "forever", n=0)
        assert next(coming).word == "w0"
    (deployment,) = server.value.operations.repository.catalog.deployments
    server.run(deployment.unused())


# ---- headers


def test_forwarded_headers_are_there_for_the_pipeline(triton: Any) -> None:
    assert triton.infer("user", [n(0)], headers={"x-user": "ada"}).as_numpy("user").tolist() == [b"ada"]
    assert triton.infer("user", [n(0)]).as_numpy("user").tolist() == [b"nobody"]
