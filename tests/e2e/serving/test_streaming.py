"""Pipelines that stream, from `pipectl serve`: to the end, to a failure, and to a client that leaves."""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import tritonclient.grpc as grpc_client
import tritonclient.grpc.aio as grpc_aio

from tests.e2e.conftest import until

from .process import Served
from .test_clients import tensors

PATIENCE = 20.0


class Stream:
    """A bidirectional stream of tritonclient, its answers as they come."""

    def __init__(self, server: Served, **options: Any) -> None:
        self.triton = grpc_client.InferenceServerClient(server.grpc)
        self._answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self.triton.start_stream(lambda result, error: self._answers.put((result, error)), **options)

    def ask(self, model: str, id: str = "", **inputs: Any) -> None:
        asked = tensors(grpc_client, **inputs)
        self.triton.async_stream_infer(model, asked, request_id=id, enable_empty_final_response=True)

    def next(self) -> tuple[Any, Any]:
        return self._answers.get(timeout=PATIENCE)

    def rest(self) -> list[dict[str, Any]]:
        """Answers up to the final one, each with what it holds."""
        found: list[dict[str, Any]] = []
        while True:
            answer, error = self.next()
            assert error is None, error
            response = answer.get_response()
            found.append({o.name: answer.as_numpy(o.name)[0] for o in response.outputs})
            if response.parameters["triton_final_response"].bool_param:
                return found

    def close(self, *, cancel: bool = False) -> None:
        self.triton.stop_stream(cancel_requests=cancel)
        self.triton.close()


@pytest.fixture
def stream(server: Served) -> Iterator[Callable[..., Stream]]:
    opened: list[Stream] = []

    def start(**options: Any) -> Stream:
        opened.append(Stream(server, **options))
        return opened[-1]

    yield start
    for one in opened:
        one.close(cancel=True)


@pytest.fixture(autouse=True)
def nothing_stays_open(server: Served) -> Iterator[None]:
    """Whatever a test does to its streams: in the end the server has none, and no request inside."""
    yield
    until(lambda: server.metric("pipe_streams_open") == 0, PATIENCE)
    until(lambda: server.metric("pipe_requests_inflight") == 0, PATIENCE)


# ---- to the end


def test_elements_come_one_by_one_and_the_final_response_last(stream: Callable[..., Stream]) -> None:
    found = stream()
    found.ask("story", topic=["sea"], n=[3])
    answers = found.rest()
    assert [a["word"] for a in answers if "word" in a] == [b"sea0", b"sea1", b"sea2"]
    assert [a["size"] for a in answers if "size" in a] == [4, 4, 4]
    assert answers[-2:] == [{"words": 3}, {}]


def test_several_requests_of_one_stream(stream: Callable[..., Stream]) -> None:
    found = stream()
    for n in (2, 0, 5):
        found.ask("story", topic=["a"], n=[n])
    answers = [a for _ in range(3) for a in found.rest()]
    assert sorted(a["words"] for a in answers if "words" in a) == [0, 2, 5]
    assert sum("word" in a for a in answers) == 7
    found.ask("hello", name=["Ada"])
    assert found.rest() == [{"greeting": b"Hello, Ada!", "length": 11}]


def test_a_failure_comes_behind_the_elements_before_it(stream: Callable[..., Stream]) -> None:
    found = stream()
    found.ask("broken", n=[0])
    assert found.next()[0].as_numpy("word").tolist() == [b"first"]
    _, error = found.next()
    assert "the stream broke" in str(error)
    found.ask("story", topic=["a"], n=[1])
    assert {"words": 1} in found.rest()


def test_a_failure_as_a_status_ends_the_stream(stream: Callable[..., Stream]) -> None:
    found = stream(headers={"triton_grpc_error": "true"})
    found.ask("broken", n=[0])
    assert found.next()[0].as_numpy("word").tolist() == [b"first"]
    assert found.next()[1].status() == "StatusCode.INTERNAL"


def events(server: Served, model: str, **inputs: Any) -> list[dict[str, Any]]:
    url = f"http://{server.http}/v2/models/{model}/generate_stream"
    with urllib.request.urlopen(url, json.dumps(inputs).encode(), timeout=PATIENCE) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.read().decode().split("\n\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line]


def test_events_over_http(server: Served) -> None:
    found = events(server, "story", topic="sea", n=2)
    assert [e["word"] for e in found if "word" in e] == ["sea0", "sea1"]
    assert [e["words"] for e in found if "words" in e] == [2]
    failed = events(server, "broken")
    assert failed[0]["word"] == "first"
    assert "the stream broke" in failed[1]["error"]


@pytest.mark.parametrize("verb", ["infer", "generate"])
def test_one_answer_of_a_stream_is_not_implemented(server: Served, verb: str) -> None:
    topic: Any = {"name": "topic", "datatype": "BYTES", "shape": [1], "data": ["a"]}
    body = {"infer": {"inputs": [topic]}, "generate": {"topic": "a"}}[verb]
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://{server.http}/v2/models/story/{verb}", json.dumps(body).encode(), PATIENCE)
    with caught.value as reply:
        assert reply.status == 501
        assert "ask for a stream" in json.loads(reply.read())["error"]


# ---- R11: clients that leave


def test_a_stream_that_is_cancelled_ends_its_work(stream: Callable[..., Stream]) -> None:
    found = stream()
    found.ask("chatter")
    assert [found.next()[1] for _ in range(3)] == [None] * 3
    found.close(cancel=True)


def test_a_channel_that_closes_ends_its_work(server: Served) -> None:
    async def scenario() -> None:
        async def asked() -> AsyncIterator[dict[str, Any]]:
            yield {"model_name": "chatter", "inputs": tensors(grpc_client, n=[0])}
            await asyncio.Event().wait()

        async with grpc_aio.InferenceServerClient(server.grpc) as triton:
            answers = triton.stream_infer(asked())
            for _ in range(3):
                await anext(answers)
            answers.cancel()

    asyncio.run(scenario())


def opened(server: Served, model: str) -> socket.socket:
    """A connection that has asked for events and has read the first of them."""
    host, _, port = server.http.rpartition(":")
    found = socket.create_connection((host, int(port)), PATIENCE)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    head = f"POST /v2/models/{model}/generate_stream HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{{}}"
    found.sendall(head.encode())
    assert found.recv(12) == b"HTTP/1.1 200"
    return found


def test_a_connection_that_closes_ends_its_work(server: Served) -> None:
    for _ in range(5):
        opened(server, "chatter").close()


def test_readers_that_stop_reading_are_given_a_bounded_part(server: Served) -> None:
    """R17: an endless stream waits for a reader that does not read; others have their answers meanwhile."""
    slow = [opened(server, "chatter") for _ in range(20)]
    try:
        settled = -1.0
        while (made := server.metric("pipe_elements_total", "chatter")) != settled:  # as long as sockets take something
            settled = made
            assert events(server, "story", topic="a", n=2)
        assert server.metric("pipe_streams_open") == len(slow)
    finally:
        for one in slow:
            one.close()
