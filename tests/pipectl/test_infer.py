"""`pipectl infer` against a server, and the sample commands that a server prints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipectl.banner import _sample
from pipectl.commands.infer import TOKEN
from serving.access import Access
from serving.client.errors import ClientError
from serving.client.protocol import Client, _value
from serving.deployment import Source
from serving.options import ServerOptions
from serving.protocol import message
from tests.serving.grpc_server import Running, grpc_server
from tests.serving.live import Live, live
from tests.serving.programs import PIPE, compiled

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live[Running]]:
    path: Path = tmp_path_factory.mktemp("serving") / "null.pipe"
    path.write_text(PIPE)
    with live(grpc_server(path)) as found:
        yield found


@pytest.fixture
def infer(server: Live[Running], call: Call) -> Call:
    return lambda *args: call("infer", server.value.url, *args)


def answer(called: Any) -> Any:
    assert called.code == 0, called.err
    return json.loads(called.out)


def test_values_of_every_kind(infer: Call, tmp_path: Path) -> None:
    assert answer(infer("single", "-i", "n=7", "-i", 'j=["a"]'))["j"] == '["a"]'
    assert answer(infer("single", "-i", "n=7", "-i", "s=@@x"))["s"] == "@x"
    assert answer(infer("texts", "-i", "text=one")) == {"text": "one"}
    assert answer(infer("texts", "-i", 'text=["one", "zwö"]')) == {"text": ["one", "zwö"]}
    assert answer(infer("rows", "-i", "x=[0, 1, 2, 3]", "--outputs", "z")) == {"z": [[0, 1, 2, 3]]}
    np.save(tmp_path / "x.npy", np.ones((2, 4), np.float32))
    assert answer(infer("rows", "-i", f"x=@{tmp_path}/x.npy"))["y"] == [[1] * 4] * 2
    (tmp_path / "raw").write_bytes(b"\xff\x00")
    assert answer(infer("blobs", "-i", f"data=@{tmp_path}/raw")) == {"data": {"b64": "/wA="}}


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("nothing",), 4, "NOT_FOUND: there is no pipeline `nothing`"),
        (("rows",), 4, "INVALID_ARGUMENT: rows: missing input `x`"),
        (("rows", "-i", "w=1"), 4, "no input `w`, but x"),
        (("rows", "-i", "x=[1, 2"), 2, "takes JSON (FP32)"),
        (("rows", "-i", 'x=["a"]'), 4, "takes FP32"),
        (("single", "-i", "n=1.5"), 4, "INT64, which does not hold 1.5"),
        (("rows", "-i", "x"), 2, "NAME=VALUE"),
        (("rows", "-i", "x=@nothing.npy"), 2, "nothing.npy"),
        (("rows", "--version", "7", "-i", "x=[1]"), 4, "no version 7"),
    ],
)
def test_mistakes_are_told(infer: Call, args: tuple[str, ...], code: int, words: str) -> None:
    called = infer(*args)
    assert called.code == code
    assert words in called.err
    assert called.out == ""


def test_urls(call: Call, server: Live[Running]) -> None:
    assert call("infer", f"grpc://{server.value.url}", "texts", "-i", "text=a").code == 0
    assert "grpc://HOST:PORT" in call("infer", f"http://{server.value.url}", "texts").err
    called = call("infer", "127.0.0.1:1", "texts", "--timeout", "2s", "--no-retry")
    assert called.code == 4
    assert "UNAVAILABLE" in called.err


def test_a_token_comes_from_the_environment(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, tokens = tmp_path / "null.pipe", tmp_path / "tokens"
    path.write_text(PIPE)
    tokens.write_text('[ada]\ntoken = "0123456789abcdef"\ngroups = ["inference", "metadata"]\n')
    tokens.chmod(0o600)
    with live(grpc_server(path, access=Access(tokens))) as server:
        assert "UNAUTHENTICATED" in call("infer", server.value.url, "texts", "-i", "text=a").err
        monkeypatch.setenv(TOKEN, "0123456789abcdef")
        assert call("infer", server.value.url, "texts", "-i", "text=a").code == 0


def test_an_answer_that_lies_is_an_error() -> None:
    response = message("inference.ModelInferResponse")(outputs=[{"name": "y", "datatype": "FP32", "shape": [3]}])
    with pytest.raises(ClientError, match="`y` can not be read"):
        _value(response.outputs[0], b"1234")


def test_a_refusal_is_tried_again(tmp_path: Path) -> None:
    """The server says when to come back, and gRPC does."""
    path = tmp_path / "slow.pipe"
    path.write_text(
        "pipe 1\nstage f(x: f32[*]) -> (y: f32[*]) using null(latency = 100ms)\n"
        "pipeline p(x: f32[*]) -> (y: f32[*]) { return y = f(x) }\n"
        "profile tight { p { max_inflight = 1, queue { max = 1 } } }\n"
    )
    with live(grpc_server(path, ServerOptions(retry_after=0.15), profile="tight")) as server:
        with Client(server.value.url) as client, ThreadPoolExecutor(4) as pool:
            model = client.model("p")
            answers = list(pool.map(lambda i: client.infer(model, {"x": [i]}, timeout=20), range(4)))
        assert [a["y"].tolist() for a in answers] == [[0], [1], [2], [3]]


def test_samples_are_values_of_their_ports(tmp_path: Path) -> None:
    path = tmp_path / "null.pipe"
    path.write_text(PIPE)
    plan = compiled(Source(path))
    found = {(name, p.name): _sample(p) for name, pipeline in plan.pipelines.items() for p in pipeline.inputs}
    assert found["rows", "x"] == "[[1, 1, 1, 1]]"
    assert found["texts", "text"] == '["hello"]'
    assert found["single", "n"] == "1"
    assert found["single", "b"] == "true"
