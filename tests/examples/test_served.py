"""The examples over gRPC, asked by a Triton client: the answers that the Python API gives."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as client
import tritonclient.grpc.aio as aio_client

import pipectl
from serving.deployment import Source
from serving.grpc.options import GrpcOptions
from serving.grpc.server import GrpcServer
from serving.operations import operations
from serving.options import ServerOptions
from serving.repository import Repository
from tests.serving.live import live


class Server:
    """The pipelines of one file on a free port."""

    def __init__(self, path: Path, profile: str | None = None) -> None:
        self._source = Source(path, 1, profile)

    async def __aenter__(self) -> str:
        def compiled(source):
            return pipectl.compile(source.path, profile=source.profile)

        self._operations = operations(Repository([self._source], compiled), ServerOptions())
        self._server = GrpcServer(self._operations, GrpcOptions(address="127.0.0.1:0"))
        await self._server.start()
        await self._operations.repository.start()
        return self._server.address

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()
        await self._operations.close()


def tensor(name, array, datatype):
    found = client.InferInput(name, list(array.shape), datatype)
    found.set_data_from_numpy(array)
    return found


def test_hello(hello):
    with live(Server(hello / "hello.pipe")) as server, client.InferenceServerClient(server.value) as triton:
        answer = triton.infer("hello", [tensor("name", np.array(["Ada"], object), "BYTES")])
    assert answer.as_numpy("greeting").tolist() == [b"Hello, Ada!"]
    assert answer.as_numpy("length").tolist() == [11]


def test_digits_many_at_once(digits):
    scans = sorted((digits / "data" / "held_out").glob("*.png"))[:60]
    images = [np.array([path.read_bytes()], object) for path in scans]

    async def ask(url):
        async with aio_client.InferenceServerClient(url) as triton:
            return await asyncio.gather(*[triton.infer("digits", [tensor("image", i, "BYTES")]) for i in images])

    with live(Server(digits / "digits.pipe", "cpu")) as server:
        answers = asyncio.run(ask(server.value))
    with pipectl.load(digits / "digits.pipe", profile="cpu") as app:
        expected = list(app["digits"].map({"image": path.read_bytes()} for path in scans))
    for answer, wanted in zip(answers, expected, strict=True):
        assert answer.as_numpy("label").tolist() == [wanted["label"]]
        assert answer.as_numpy("votes").tolist() == wanted["votes"].tolist()
        assert answer.as_numpy("confidence")[0] == pytest.approx(wanted["confidence"], abs=1e-6)


def test_embed_rows_of_unequal_length(embed):
    texts = ["one", "a sentence of several words", "two words"]
    with live(Server(embed / "embed.pipe", "cpu")) as server, client.InferenceServerClient(server.value) as triton:
        assert triton.get_model_config("embed").config.max_batch_size == 16
        answer = triton.infer("embed", [tensor("text", np.array(texts, object), "BYTES")])
        column = triton.infer("embed", [tensor("text", np.array(texts, object).reshape(-1, 1), "BYTES")])
    with pipectl.load(embed / "embed.pipe", profile="cpu") as app:
        expected = app["embed"](text=texts)["embedding"]
    assert answer.as_numpy("embedding").shape == (3, 384)
    np.testing.assert_allclose(answer.as_numpy("embedding"), expected, atol=1e-5)
    np.testing.assert_allclose(column.as_numpy("embedding"), expected, atol=1e-5)
