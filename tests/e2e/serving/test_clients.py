"""tritonclient as it comes, over gRPC and HTTP, against `pipectl serve`: the examples and the language's constructs."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http_client
import tritonclient.http.aio as http_aio
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException

import pipectl
from tests.examples.conftest import EXAMPLES

from .process import Served

CLIENTS = {"gRPC": grpc_client, "HTTP": http_client}
DATATYPES = {"i": "INT64", "f": "FP32", "O": "BYTES"}
ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)
PATIENCE = 20.0


class Triton:
    """A client of one protocol, and the library's module that it comes from."""

    def __init__(self, server: Served, protocol: str) -> None:
        self.kind: Any = CLIENTS[protocol]
        self.protocol = protocol
        self.client = self.kind.InferenceServerClient(server.grpc if protocol == "gRPC" else server.http)

    def infer(self, model: str, outputs: Any = None, **inputs: Any) -> Any:
        return self.client.infer(model, tensors(self.kind, **inputs), outputs=outputs)


def tensors(kind: Any, **inputs: Any) -> list[Any]:
    """Inputs by name; lists of strings or bytes, numbers, and arrays."""
    found = []
    for name, value in inputs.items():
        array = value if isinstance(value, np.ndarray) else np.array(value, object if _texts(value) else None)
        tensor = kind.InferInput(name, list(array.shape), DATATYPES[array.dtype.kind])
        tensor.set_data_from_numpy(array)
        found.append(tensor)
    return found


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], str | bytes)


@pytest.fixture(params=CLIENTS)
def triton(server: Served, request: pytest.FixtureRequest) -> Iterator[Triton]:
    found = Triton(server, request.param)
    yield found
    found.client.close()


def names(triton: Triton) -> list[str]:
    index = triton.client.get_model_repository_index()
    if triton.protocol == "gRPC":
        return sorted(m.name for m in index.models if m.state == "READY")
    return sorted(m["name"] for m in index if m["state"] == "READY")


def as_json(triton: Triton, call: str, *args: Any) -> Any:
    options = {"as_json": True} if triton.protocol == "gRPC" else {}
    return getattr(triton.client, call)(*args, **options)


# ---- what is served


def test_health_and_index(triton: Triton) -> None:
    assert triton.client.is_server_live()
    assert triton.client.is_server_ready()
    everything = ["broken", "chatter", "digits", "embed", "hello", "numbers", "story", "words"]
    assert names(triton) == everything
    assert all(triton.client.is_model_ready(name) for name in everything)


def test_metadata_and_configuration(triton: Triton) -> None:
    found = as_json(triton, "get_model_metadata", "digits")
    assert [(o["name"], o["datatype"]) for o in found["outputs"]] == [
        ("label", "INT64"),
        ("votes", "INT64"),
        ("confidence", "FP32"),
    ]
    config = as_json(triton, "get_model_config", "digits")
    config = config.get("config", config)
    assert [s["model_name"] for s in config["ensemble_scheduling"]["step"]] == [
        *("digits.pixels", "digits.features", "digits.t", "digits.n", "digits.label")
    ]
    story = as_json(triton, "get_model_config", "story")
    assert story.get("config", story)["model_transaction_policy"] == {"decoupled": True}


# ---- answers


def test_strings(triton: Triton) -> None:
    answer = triton.infer("hello", name=["Ada"])
    assert (answer.as_numpy("greeting").tolist(), answer.as_numpy("length").tolist()) == ([b"Hello, Ada!"], [11])


def test_digits_as_in_python(triton: Triton, scans: list[bytes]) -> None:
    with pipectl.load(EXAMPLES / "digits" / "digits.pipe") as app:
        wanted = [app["digits"](image=scan) for scan in scans[:3]]
    for scan, expected in zip(scans[:3], wanted, strict=True):
        answer = triton.infer("digits", image=[scan])
        assert answer.as_numpy("label").tolist() == [expected["label"]]
        assert answer.as_numpy("votes").tolist() == expected["votes"].tolist()
        assert answer.as_numpy("confidence")[0] == pytest.approx(expected["confidence"], abs=1e-6)


def test_embed_rows_of_unequal_length(triton: Triton) -> None:
    texts = ["one", "a sentence of several words", "one"]
    vectors = triton.infer("embed", text=texts).as_numpy("embedding")
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-5)


def test_constructs_of_the_language(triton: Triton) -> None:
    answer = triton.infer("words", host=["ada"], word=["hi", "bad", "longer word"])
    assert answer.as_numpy("line").tolist() == [b"HI", b"YOU", b"longer word"]
    assert answer.as_numpy("good").tolist() == [True, False, True]
    assert answer.as_numpy("total").tolist() == [2, 3, 11]
    arms = {triton.infer("words", host=["ada"], word=["x"]).as_numpy("arm")[0] for _ in range(3)}
    assert arms == {answer.as_numpy("arm")[0]}, "a key always goes the same way"


def test_classes_have_their_labels(triton: Triton) -> None:
    wanted = triton.kind.InferRequestedOutput("score", class_count=2)
    answer = triton.infer("numbers", [wanted], x=ROWS[:1])
    assert answer.as_numpy("score").tolist() == [[b"6.000000:3:three", b"4.000000:2:two"]]


def test_shared_memory_in_and_out(triton: Triton) -> None:
    key = f"/pipectl-e2e-{uuid.uuid4().hex}"
    region = shm.create_shared_memory_region("both", key, 2 * ROWS.nbytes)
    try:
        shm.set_shared_memory_region(region, [ROWS])
        triton.client.register_system_shared_memory("both", key, 2 * ROWS.nbytes)
        given, wanted = triton.kind.InferInput("x", [2, 4], "FP32"), triton.kind.InferRequestedOutput("y")
        given.set_shared_memory("both", ROWS.nbytes)
        wanted.set_shared_memory("both", ROWS.nbytes, ROWS.nbytes)
        triton.client.infer("numbers", [given], outputs=[wanted])
        assert shm.get_contents_as_numpy(region, np.float32, [2, 4], ROWS.nbytes).tolist() == (ROWS * 2).tolist()
        triton.client.unregister_system_shared_memory("both")
    finally:
        shm.destroy_shared_memory_region(region)


@pytest.mark.parametrize("kind", [grpc_aio, http_aio], ids=["gRPC", "HTTP"])
def test_many_at_a_time_from_asynchronous_clients(server: Served, scans: list[bytes], kind: Any) -> None:
    plain = CLIENTS["gRPC" if kind is grpc_aio else "HTTP"]

    async def scenario() -> list[int]:
        async with kind.InferenceServerClient(server.grpc if kind is grpc_aio else server.http) as triton:
            assert await triton.is_server_ready()
            asked = [triton.infer("digits", tensors(plain, image=[scan])) for scan in scans]
            return [int(a.as_numpy("label")[0]) for a in await asyncio.gather(*asked)]

    labels = asyncio.run(scenario())
    with pipectl.load(EXAMPLES / "digits" / "digits.pipe") as app:
        assert labels == [answer["label"] for answer in app["digits"].map({"image": scan} for scan in scans)]


# ---- control and statistics


def test_a_pipeline_goes_and_comes_back(triton: Triton) -> None:
    triton.client.unload_model("hello")
    assert not triton.client.is_model_ready("hello")
    assert "hello" not in names(triton)
    assert not triton.client.is_server_ready() or names(triton), "the others are as before"
    with pytest.raises(InferenceServerException, match="hello"):
        triton.infer("hello", name=["Ada"])
    triton.client.load_model("hello")
    assert triton.infer("hello", name=["Ada"]).as_numpy("length").tolist() == [11]


def test_statistics_count_every_step(triton: Triton) -> None:
    def counts() -> dict[str, int]:
        found = as_json(triton, "get_inference_statistics")["model_stats"]
        return {m["name"]: int(m.get("inference_count", 0)) for m in found}

    before = counts()
    triton.infer("numbers", x=ROWS)
    after = counts()
    grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert grown == {"numbers": 2, "numbers.y": 2, "numbers.score": 2}


def test_errors_are_those_of_the_table(triton: Triton) -> None:
    cases = [
        ("rowz", {"x": ROWS}, "StatusCode.NOT_FOUND", "404"),
        ("numbers", {"x": ROWS[:, :3].copy()}, "StatusCode.INVALID_ARGUMENT", "400"),
        ("digits", {"image": [b"no image"]}, "StatusCode.INVALID_ARGUMENT", "400"),
        ("story", {"topic": ["a"]}, "StatusCode.UNIMPLEMENTED", "501"),
    ]
    for model, inputs, code, status in cases:
        with pytest.raises(InferenceServerException) as caught:
            triton.infer(model, **inputs)
        assert caught.value.status() == (code if triton.protocol == "gRPC" else status)
