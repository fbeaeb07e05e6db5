"""The client of typed services against a server on this machine, waiting and in async code."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import ml_dtypes
import numpy as np
import pytest

import pipectl
from pipectl import ClientError, Retry
from serving.access import Access
from serving.client.sync import Server as Connected
from serving.options import ServerOptions
from tests.serving.grpc_server import Running, grpc_server
from tests.serving.live import Live, live
from tests.serving.programs import PIPE

MORE = """
stage once(x: f32[*, 4]) -> (x: f32[*, 4]) using null() { effects = once }
pipeline pays(x: f32[*, 4]) -> (x: f32[*, 4]) { return x = once(x) }
stage slow(x: i64) -> (x: i64) using null(latency = 500ms)
pipeline late(x: i64) -> (x: i64) { return x = slow(x) }
stage maybe(x: i64, y: f32?) -> (x: i64, y: f32?) using null()
pipeline optional(x: i64, y: f32?) -> (x: i64, y: f32?) {
  r = maybe(x, y)
  return x = r.x, y = r.y
}
"""
EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live[Running]]:
    path: Path = tmp_path_factory.mktemp("client") / "null.pipe"
    path.write_text(PIPE + MORE)
    with live(grpc_server(path)) as found:
        yield found


@pytest.fixture
def connected(server: Live[Running]) -> Iterator[Connected]:
    with pipectl.connect(server.value.url, timeout=20) as found:
        yield found


# ---- values


def test_single_values(connected: Connected) -> None:
    answer = connected["single"](n=7, j={"a": [1]}, b=np.bool_(False))
    assert answer == {"n": 7, "s": "none", "b": False, "j": '{"a":[1]}', "p": 0.5}
    assert connected["single"]({"n": np.int32(3)}, s="zwö")["s"] == "zwö"


def test_arrays(connected: Connected) -> None:
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    answer = connected["rows"](x=x)
    assert answer["z"].dtype == np.float32
    np.testing.assert_array_equal(answer["z"], x)
    np.testing.assert_array_equal(connected["rows"](x=[[1, 2, 3, 4]])["y"], [[1, 2, 3, 4]])
    small = connected["small"](a=[-1, 2], b=np.array([65535, 0]), c=[True, False])
    assert [small[n].dtype for n in "abc"] == [np.int8, np.uint16, np.bool_]
    assert small["b"].tolist() == [65535, 0]


def test_halves(connected: Connected) -> None:
    a, b = np.array([[1.5, 2]], np.float16), np.array([[1, 0.25]], ml_dtypes.bfloat16)
    answer = connected["halves"](a=a, b=b)
    assert (answer["a"].dtype, answer["b"].dtype) == (a.dtype, b.dtype)
    np.testing.assert_array_equal(answer["b"].astype(np.float32), [[1, 0.25]])


def test_texts_and_bytes(connected: Connected) -> None:
    assert connected["texts"](text=["one", "zwö"])["text"].tolist() == ["one", "zwö"]
    assert connected["blobs"](data=[b"\xff", b""])["data"].tolist() == [b"\xff", b""]


def test_rows_of_unequal_length(connected: Connected) -> None:
    rows = connected["ragged"](ids=[[1, 2, 3], [4]])["ids"]
    assert [row.tolist() for row in rows] == [[1, 2, 3], [4]]
    rows = connected["ragged"](ids=[np.zeros(0, np.int64), np.array([5])])["ids"]
    assert [row.tolist() for row in rows] == [[], [5]]


def test_what_may_be_absent(connected: Connected) -> None:
    answer = connected["optional"](x=1, y=None)
    assert answer["y"] is None
    assert connected["optional"](x=1, y=0.0)["y"] == 0.0


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("rows", {"w": 1}, "no input `w`"),
        ("rows", {}, "`x`.*missing"),
        ("rows", {"x": "text"}, "`x` takes FP32"),
        ("rows", {"x": [[1.0, 2.0]]}, "`x`"),
        ("small", {"a": [1.5], "b": [1], "c": [True]}, "`a` takes INT8, which does not hold"),
        ("small", {"a": [128], "b": [1], "c": [True]}, "`a` takes INT8"),
        ("single", {"n": "seven"}, "`n` takes INT64"),
        ("single", {"n": 1.5}, "`n` takes INT64"),
        ("single", {"n": 1, "s": 3}, "`s` takes BYTES"),
        ("texts", {"text": [1]}, "texts or bytes"),
        ("ragged", {"ids": [[1], ["a"]]}, "`ids` takes INT64"),
    ],
)
def test_values_that_do_not_fit(connected: Connected, name: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(ClientError, match=words) as caught:
        connected[name](values)
    assert caught.value.code == "INVALID_ARGUMENT"


# ---- a server


def test_names(connected: Connected) -> None:
    assert {"rows", "single", "pays"} <= set(connected.pipelines)
    with pytest.raises(KeyError, match="did you mean `rows`"):
        connected["rovs"]


def test_what_is_safe_to_run_twice_is_told(connected: Connected) -> None:
    assert connected["rows"].description.repeatable
    assert not connected["pays"].description.repeatable


def test_an_id_and_a_deadline_reach_the_server(connected: Connected) -> None:
    with pytest.raises(ClientError, match="request mine"):
        connected["fails"](x=[[13, 0, 0, 0]], id="mine")
    with pytest.raises(ClientError) as caught:
        connected["late"](x=1, timeout=0.05)
    assert caught.value.code == "DEADLINE_EXCEEDED"


def test_urls() -> None:
    with pytest.raises(ValueError, match="grpc://HOST:PORT"):
        pipectl.connect("http://localhost:8000")
    with (
        pipectl.connect("grpc://127.0.0.1:1", retry=Retry(attempts=2, first=0.01)) as server,
        pytest.raises(ClientError) as caught,
    ):
        server["rows"]
    assert caught.value.code == "UNAVAILABLE"


def test_a_token(tmp_path: Path) -> None:
    path, tokens = tmp_path / "null.pipe", tmp_path / "tokens"
    path.write_text(PIPE)
    tokens.write_text('[ada]\ntoken = "0123456789abcdef"\ngroups = ["inference", "metadata", "reflection"]\n')
    tokens.chmod(0o600)
    with live(grpc_server(path, access=Access(tokens))) as server:
        with pipectl.connect(server.value.url) as stranger, pytest.raises(ClientError) as caught:
            stranger["texts"]
        assert caught.value.code == "UNAUTHENTICATED"
        with pipectl.connect(server.value.url, token="0123456789abcdef") as ada:
            assert ada["texts"](text=["a"])["text"].tolist() == ["a"]


# ---- streams


@pytest.fixture(scope="module")
def story() -> Iterator[str]:
    with live(grpc_server(EXAMPLES / "stream" / "stream.pipe")) as server:
        yield server.value.url


def test_a_stream_comes_in_pieces(story: str) -> None:
    with pipectl.connect(story, timeout=60) as server:
        pieces = list(server["story"].stream(start="A class", most=5, seed=1))
        with pytest.raises(TypeError, match="read it with `stream`"):
            server["story"](start="A class")
    words = [piece["word"] for piece in pieces if "word" in piece]
    (text,) = [piece["text"] for piece in pieces if "text" in piece]
    assert 0 < len(words) <= 5
    assert text == " ".join(words)
    assert [piece["letters"] for piece in pieces if "letters" in piece] == [len(word) for word in words]


def test_a_pipeline_without_streams_has_none(connected: Connected) -> None:
    with pytest.raises(TypeError, match="no stream output"):
        connected["rows"].stream(x=[[1, 2, 3, 4]])


def test_leaving_a_stream_ends_it(story: str) -> None:
    with pipectl.connect(story, timeout=60) as server:
        pieces = server["story"].stream(start="A class", most=1000)
        assert "word" in next(pieces)
        pieces.close()
        assert list(pieces) == []


# ---- async code


def test_async_code(server: Live[Running], story: str) -> None:
    async def scenario() -> None:
        async with pipectl.aconnect(server.value.url, timeout=20) as found:
            rows = found["rows"]
            answers = await asyncio.gather(*[rows(x=[[i, 2, 3, 4]]) for i in range(8)])
            assert [a["y"][0, 0] for a in answers] == list(range(8))
            assert "rows" in await found.pipelines()
            with pytest.raises(KeyError, match="did you mean `rows`"):
                await found["rovs"](x=1)
            with pytest.raises(ClientError, match="missing"):
                await rows()
            with pytest.raises(TypeError, match="no stream output"):
                async for _ in rows.stream(x=[[1, 2, 3, 4]]):
                    pass
        async with pipectl.aconnect(story, timeout=60) as found:
            words = [piece["word"] async for piece in found["story"].stream(start="A class", most=4) if "word" in piece]
            assert 0 < len(words) <= 4

    asyncio.run(asyncio.wait_for(scenario(), 60))


# ---- retries against a server that refuses

TIGHT = """pipe 1
stage f(x: f32[*]) -> (y: f32[*]) using null(latency = 100ms)EFFECTS
pipeline p(x: f32[*]) -> (y: f32[*]) { return y = f(x) }
profile tight { p { max_inflight = 1, queue { max = 1 } } }
"""


@pytest.mark.parametrize("effects", ["", " { effects = once }"])
def test_a_refusal_at_the_door_is_tried_again(tmp_path: Path, effects: str) -> None:
    """Of any pipeline: nothing of it ran."""
    path = tmp_path / "tight.pipe"
    path.write_text(TIGHT.replace("EFFECTS", effects))
    with live(grpc_server(path, ServerOptions(retry_after=0.15), profile="tight")) as server:
        with pipectl.connect(server.value.url, timeout=20) as client, ThreadPoolExecutor(4) as pool:
            p = client["p"]
            answers = list(pool.map(lambda i: p(x=[i]), range(4)))
            assert [a["y"].tolist() for a in answers] == [[0], [1], [2], [3]]
        with pipectl.connect(server.value.url, retry=Retry(attempts=1)) as client, ThreadPoolExecutor(8) as pool:
            p = client["p"]
            outcomes = list(pool.map(lambda i: outcome(lambda: p(x=[i])), range(8)))
        failed = [error for error in outcomes if error is not None]
        assert 0 < len(failed) < 8
        assert {(error.code, error.refused) for error in failed} == {("RESOURCE_EXHAUSTED", True)}


def outcome(call: Callable[[], Any]) -> ClientError | None:
    try:
        call()
    except ClientError as error:
        return error
    return None


class Flaky(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC ships no types
    """In front of the server's own methods: fails some calls of `Run` as a server does that went away."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.seen = 0
        self._lock = threading.Lock()

    def service(self, details: Any) -> Any:
        if not details.method.endswith("/Run"):
            return None
        with self._lock:
            self.seen += 1
            self.left -= 1
            if self.left < 0:
                return None

        async def fail(data: bytes, context: Any) -> bytes:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            raise AssertionError("abort raises")

        return grpc.unary_unary_rpc_method_handler(fail)


@asynccontextmanager
async def flaky(path: Path, handler: Flaky) -> AsyncIterator[Running]:
    from serving.grpc import server as module

    def first(*args: Any, make: Any = grpc.aio.server, **options: Any) -> Any:
        made = make(*args, **options)
        made.add_generic_rpc_handlers((handler,))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.grpc.aio, "server", first)
        async with grpc_server(path) as found:
            yield found


@pytest.mark.parametrize(("name", "tries"), [("rows", 3), ("pays", 1)])
def test_a_call_that_may_have_run_is_tried_again_only_where_that_is_safe(tmp_path: Path, name: str, tries: int) -> None:
    path = tmp_path / "null.pipe"
    path.write_text(PIPE + MORE)
    handler = Flaky(2)
    with live(flaky(path, handler)) as server:
        with pipectl.connect(server.value.url, timeout=20, retry=Retry(first=0.01)) as client:
            pipeline = client[name]
            if tries > 1:
                assert pipeline(x=[[1, 2, 3, 4]])
            else:
                with pytest.raises(ClientError, match="gone"):
                    pipeline(x=[[1, 2, 3, 4]])
        assert handler.seen == tries
